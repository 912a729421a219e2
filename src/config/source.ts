/** Where values come from: a YAML text that knows its lines, or another origin by name. */
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';
import type { Path } from './options.js';

/** Where something stands. */
export interface Place {
  /** `FILE:LINE`, the name of a variable, or an argument of the command line. */
  readonly where: string;
  /** Line in the file; 0 elsewhere. */
  readonly line: number;
}

/** A sentence about something wrong, with its place. */
export interface Fault extends Place {
  readonly sentence: string;
}

export const BUILT_IN = 'built-in defaults';
/** Where a mosquitto.conf says nothing. */
export const MOSQUITTO_BUILT_IN = 'default of Mosquitto';
/** Origins that are arguments begin with this. */
export const COMMAND_LINE = 'command line';

/** Who said the value of an option, by its dotted path. */
export function sourceOf(loaded: { readonly sources: ReadonlyMap<string, string> }, name: string): string {
  for (let path = name; path !== ''; path = path.slice(0, Math.max(0, path.lastIndexOf('.')))) {
    const source = loaded.sources.get(path);
    if (source !== undefined) return source;
  }
  return BUILT_IN;
}

/** The text of a configuration as plain values that know where they stand. */
export interface Source {
  readonly name: string;
  /** Plain values; undefined for an empty text, and if nothing of it can be read. */
  readonly value: unknown;
  /** Whether all of the text can be read. */
  readonly readable: boolean;
  /** Faults of the text itself. */
  readonly faults: readonly Fault[];
  /** What is accepted without effect. */
  readonly warnings: readonly string[];
  /** Whether the text has something at a path. */
  has(path: Path): boolean;
  /** Where a path stands, or the deepest part of it that the text has. */
  place(path: Path): Place;
}

/** A YAML text as plain values that know their lines. */
export class YamlSource implements Source {
  readonly name: string;
  /** Plain values; undefined for an empty text, and if it is not readable. */
  readonly value: unknown;
  /** Whether the text is YAML that can be unfolded; duplicate keys do not change that. */
  readonly readable: boolean;
  /** Faults of the text itself: syntax, duplicate keys, keys that are no words, and aliases of what they stand in. */
  readonly faults: Fault[] = [];
  readonly warnings: readonly string[] = [];
  readonly #root: Node | null;
  readonly #lines = new LineCounter();

  /** @param name the file, or the variable that holds the text */
  constructor(name: string, text: string) {
    this.name = name;
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: false });
    this.#root = document.contents;
    for (const error of [...document.errors, ...document.warnings]) this.#fault(error.pos[0], error.message);
    this.readable = this.faults.length === 0;
    if (!this.readable) return;
    try {
      this.readable = this.#isTree();
      if (!this.readable) return;
      this.#refuseDuplicates();
      this.value = document.toJS({ maxAliasCount: 100 }) ?? undefined;
    } catch (error) {
      // Aliases that would unfold into too many nodes, or nodes in nodes beyond the stack.
      this.readable = false;
      this.#fault(0, error instanceof Error ? error.message : String(error));
    }
  }

  #fault(offset: number, sentence: string): void {
    const line = this.#lines.linePos(offset).line;
    this.faults.push({ where: `${this.name}:${line}`, line, sentence });
  }

  /** Whether keys are words and no alias stands for something that it is a part of: JSON knows neither. */
  #isTree(): boolean {
    const before = this.faults.length;
    visit(this.#root, {
      Pair: (_, { key }) => {
        const offset = isNode(key) ? (key.range?.[0] ?? 0) : 0;
        if (key !== null && !isScalar(key)) this.#fault(offset, 'a key must be a word');
      },
      Alias: (_, alias, path) => {
        const isInside = path.some((outer) => isNode(outer) && 'anchor' in outer && outer.anchor === alias.source);
        if (isInside) this.#fault(alias.range?.[0] ?? 0, `*${alias.source} stands inside of what it stands for`);
      },
    });
    return this.faults.length === before;
  }

  #refuseDuplicates(): void {
    visit(this.#root, {
      Map: (_, map) => {
        const first = new Map<string, number>();
        for (const { key } of map.items) {
          if (!isScalar(key)) continue;
          const name = String(key.value);
          const offset = key.range?.[0] ?? 0;
          const before = first.get(name);
          if (before === undefined) first.set(name, this.#lines.linePos(offset).line);
          else this.#fault(offset, `${name} is written twice; the first one is on line ${before}`);
        }
      },
    });
  }

  has(path: Path): boolean {
    return this.#find(path).depth === path.length;
  }

  place(path: Path): Place {
    const { line } = this.#lines.linePos(this.#find(path).offset);
    return { where: `${this.name}:${line}`, line };
  }

  #find(path: Path): { offset: number; depth: number } {
    let node: Node | null = this.#root;
    let offset = node?.range?.[0] ?? 0;
    let depth = 0;
    for (const key of path) {
      const next = this.#child(node, key);
      if (next === undefined) break;
      offset = next.offset;
      node = next.node;
      depth++;
    }
    return { offset, depth };
  }

  /** An entry of a mapping begins at its key. */
  #child(parent: Node | null, key: string | number): { offset: number; node: Node | null } | undefined {
    if (isMap<Node, Node | null>(parent)) {
      // Of a key that is written twice the last one holds, as it does in `value`.
      const pair = parent.items.findLast((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair !== undefined) return { offset: pair.key.range?.[0] ?? 0, node: this.#resolve(pair.value) };
    } else if (isSeq<Node>(parent) && typeof key === 'number' && key < parent.items.length) {
      const item = parent.items[key];
      return { offset: item.range?.[0] ?? 0, node: this.#resolve(item) };
    }
    return undefined;
  }

  #resolve(node: Node | null): Node | null {
    if (!isAlias(node)) return node;
    let target: Node | null = null;
    visit(this.#root, {
      Value: (_, value) => {
        if (value.anchor === node.source) target = value;
      },
    });
    return target;
  }
}
