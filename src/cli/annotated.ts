/** Values as YAML in which comments name their origins. */
import { Document, isMap, isScalar, isSeq, type Node } from 'yaml';

/**
 * Values as YAML; a comment names the origin of each that has one.
 * @param sources origins by dotted path
 */
export function annotated(value: unknown, sources: ReadonlyMap<string, string>): string {
  const document = new Document(value);
  annotate(document.contents, '', sources);
  return document.toString({ lineWidth: 0 });
}

function annotate(node: unknown, path: string, sources: ReadonlyMap<string, string>): void {
  const entries: [string | number, unknown][] = [];
  if (isMap<Node, Node>(node)) for (const { key, value } of node.items) entries.push([String(key), value]);
  else if (isSeq(node)) entries.push(...node.items.entries());
  for (const [key, value] of entries) {
    const inner = path === '' ? String(key) : `${path}.${key}`;
    const source = sources.get(inner);
    if (isScalar(value) && source !== undefined) value.comment = ` ${source}`;
    annotate(value, inner, sources);
  }
}
