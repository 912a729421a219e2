/** What is wrong with a configuration, in sentences that name the right word. */
import { closest, distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { ErrorKinds, near, PorticoError } from '../errors.js';
import type { LoadedConfig } from './load.js';
import { bare, child, choicesOf, listenerSchemas, options, type Path, schemaAt, typeOf } from './options.js';
import type { Fault } from './source.js';

/** A configuration with faults. */
export class UnsoundConfiguration extends PorticoError {
  /** What is left without what is wrong, so that more can be said about it; null if nobody can tell. Never to be run. */
  readonly sound: LoadedConfig | null;

  constructor(message: string, sound: LoadedConfig | null) {
    super(ErrorKinds.Configuration, message);
    this.sound = sound;
  }
}

/** One error with a line for each fault, in the order of the file; other origins come last. */
export function refusal(faults: readonly Fault[], sound: LoadedConfig | null = null): PorticoError {
  const last = Number.MAX_SAFE_INTEGER;
  const sorted = faults.toSorted((a, b) => (a.line || last) - (b.line || last));
  return new UnsoundConfiguration(sorted.map(({ where, sentence }) => `${where}: ${sentence}`).join('\n'), sound);
}

/** The value at a path of the values as written. */
function valueAt(path: Path, raw: unknown): unknown {
  return path.reduce(child, raw);
}

/** A value of the wrong type, or out of its range. */
export function wrongValue(path: Path, raw: unknown): string {
  const value = valueAt(path, raw);
  const is = value === undefined ? 'is missing' : value === null ? 'has no value' : `is ${JSON.stringify(value)}`;
  const schema = schemaAt(path, raw);
  const isListenerType = path[0] === 'listeners' && path[2] === 'type';
  const choices = isListenerType ? [...listenerSchemas.keys()] : schema === undefined ? [] : choicesOf(schema);
  const right =
    schema !== undefined && !isListenerType
      ? typeOf(schema)
      : choices.length > 0
        ? `one of ${choices.join(', ')}`
        : SHAPE;
  const words = choices.filter((choice) => typeof choice === 'string');
  const meant = typeof value === 'string' ? near(value, words) : undefined;
  return `${path.join('.')} ${is}; it must be ${right}${meant === undefined ? '' : ` (did you mean ${meant}?)`}`;
}

/** What an entry of the list of listeners is. */
const SHAPE = 'a listener with type, host and port';

/** A key that the schema does not have at this path. */
export function unknownOption(path: Path, key: string, raw: unknown): string {
  const prefix = path.map((part) => `${part}.`).join('');
  const schema = schemaAt(path, raw);
  const section = schema === undefined ? undefined : bare(schema);
  const siblings = section instanceof z.ZodObject ? Object.keys(section.shape) : [];
  const types = typesWith(path, key);
  if (types.length > 0) {
    const type = child(path.slice(0, 2).reduce<unknown>(child, raw), 'type');
    return `${prefix}${key} is an option of listeners of type ${types.join(', ')}, not of ${String(type)}`;
  }
  const meant = rightWord(prefix, key, siblings);
  const hint =
    meant === undefined ? `the nearest here is ${prefix}${closest(key, siblings)}` : `did you mean ${meant}?`;
  return `${prefix}${key} is not an option; ${hint}`;
}

/** Types of listeners that have an option, which stands in one that has not; none if it stands elsewhere. */
function typesWith([section, , ...inner]: Path, key: string): string[] {
  if (section !== 'listeners') return [];
  const has = (schema: z.core.$ZodType): boolean => {
    let here: z.core.$ZodType = schema;
    for (const name of [...inner, key]) {
      const section = bare(here);
      if (!(section instanceof z.ZodObject) || !Object.hasOwn(section.shape, name)) return false;
      here = section.shape[name];
    }
    return true;
  };
  return [...listenerSchemas].flatMap(([type, schema]) => (has(schema) ? [type] : []));
}

/** A near word in the same section, unless another section has the very word; then a near word of any section. */
function rightWord(prefix: string, key: string, siblings: readonly string[]): string | undefined {
  const exact = options.find(({ path }) => path.at(-1) === key || path.join('_') === key);
  const sibling = near(key, siblings);
  if (sibling !== undefined && (exact === undefined || distance(key, sibling) <= 1)) return prefix + sibling;
  if (exact !== undefined) return exact.name;
  const names = new Map(options.map(({ path, name }) => [path.at(-1) ?? name, name]));
  const elsewhere = near(key, [...names.keys()]);
  return elsewhere === undefined ? undefined : names.get(elsewhere);
}
