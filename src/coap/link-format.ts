/** CoRE Link Format (RFC 6690): what `/.well-known/core` answers, how it is read, and how a query filters it. */

/** One link. */
export interface Link {
  /** The target, a URI reference such as `/sensors/temp`. */
  readonly href: string;
  /**
   * Attributes in the order of writing: a number or `true` stands without quotes (`ct=40`, `obs`), a string in quotes.
   * `rt`, `if` and `rel` hold values separated by spaces.
   */
  readonly attributes?: Readonly<Record<string, string | number | true>>;
}

/** Attributes whose value is a list separated by spaces; a filter matches any of its values (RFC 6690 4.1). */
const LISTS: ReadonlySet<string> = new Set(['rt', 'if', 'rel', 'rev', 'ct']);

/** Writes links, separated by commas (RFC 6690 2). */
export function formatLinks(links: Iterable<Link>): string {
  const parts: string[] = [];
  for (const link of links) {
    let part = `<${link.href}>`;
    for (const [name, value] of Object.entries(link.attributes ?? {})) {
      if (value === true) part += `;${name}`;
      else if (typeof value === 'number') part += `;${name}=${value}`;
      else part += `;${name}="${value.replace(/["\\]/g, '\\$&')}"`;
    }
    parts.push(part);
  }
  return parts.join(',');
}

/** A link, up to the comma behind it: target, then parameters. */
const TARGET = /\s*<([^<>]*)>/y;
const PARAMETER = /\s*;\s*([A-Za-z0-9!#$&+\-.^_`|~]+\*?)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";,]+)))?/sy;
const COMMA = /\s*(,|$)/y;

/**
 * Reads links (RFC 6690 2). Of an attribute that stands twice the first one counts. Null if it is no link format, or more
 * than `most` links.
 */
export function parseLinks(text: string, most: number): Link[] | null {
  const links: Link[] = [];
  let at = 0;
  const next = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  if (text.trim() === '') return links;
  for (;;) {
    const href = next(TARGET)?.[1];
    if (href === undefined || links.length >= most) return null;
    const attributes: Record<string, string | number | true> = {};
    for (let found = next(PARAMETER); found !== null; found = next(PARAMETER)) {
      const [, name = '', quoted, token] = found;
      if (Object.hasOwn(attributes, name) || name === '__proto__') continue;
      if (quoted !== undefined) attributes[name] = quoted.replace(/\\(.)/gs, '$1');
      else if (token === undefined) attributes[name] = true;
      else attributes[name] = /^(0|[1-9]\d{0,8})$/.test(token) ? Number(token) : token;
    }
    links.push({ href, attributes });
    const end = next(COMMA)?.[1];
    if (end === undefined) return null;
    if (end === '') return links;
  }
}

/**
 * The links that match every query argument (RFC 6690 4.1): `name=value`, a value that ends in `*` matching a prefix, so
 * that `name=*` matches every link with the attribute. `href` filters by target. An argument without `=` or with an empty
 * name is ignored.
 */
export function filterLinks<T extends Link>(links: Iterable<T>, query: readonly string[]): T[] {
  const filters = query.flatMap((argument) => {
    const equals = argument.indexOf('=');
    return equals <= 0 ? [] : [{ name: argument.slice(0, equals), wanted: argument.slice(equals + 1) }];
  });
  const matching: T[] = [];
  for (const link of links) {
    if (filters.every(({ name, wanted }) => matches(link, name, wanted))) matching.push(link);
  }
  return matching;
}

function matches(link: Link, name: string, wanted: string): boolean {
  const prefix = wanted.endsWith('*') ? wanted.slice(0, -1) : undefined;
  for (const value of valuesOf(link, name)) {
    if (prefix === undefined ? value === wanted : value.startsWith(prefix)) return true;
  }
  return false;
}

function valuesOf(link: Link, name: string): readonly string[] {
  if (name === 'href') return [link.href];
  const attributes = link.attributes;
  if (attributes === undefined || !Object.hasOwn(attributes, name)) return [];
  const value = attributes[name];
  if (value === true) return [''];
  return LISTS.has(name) ? String(value).split(' ') : [String(value)];
}
