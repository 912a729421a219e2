/** Reads the schema: the list of all options, and in words what is right for each. */
import { z } from 'zod';
import { documentation, type OptionDoc } from './schema/documentation.js';
import { configSchema } from './schema.js';

/** Keys from the root of the configuration; numbers are places in a list. */
export type Path = readonly (string | number)[];

/** One option of the configuration, without the fields of listeners. */
export interface Option {
  readonly path: readonly string[];
  /** Dotted path, such as `store.sync`. */
  readonly name: string;
  /** The environment variable that overrides it. */
  readonly variable: string;
  readonly schema: z.core.$ZodType;
  readonly doc: OptionDoc;
  /** In words, what is right. */
  readonly type: string;
  /** Undefined if the option is unset by default. */
  readonly defaultValue: unknown;
}

/** One top-level key that holds options. */
export interface Section {
  readonly name: string;
  readonly doc: OptionDoc;
  readonly options: readonly Option[];
}

/** The schema inside `optional`, `default` and `prefault`. */
export function bare(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
    inner = inner.unwrap();
  }
  return inner;
}

/** The documentation of an option; every option has one. */
export function docOf(schema: z.core.$ZodType): OptionDoc {
  const doc = documentation.get(schema);
  if (doc === undefined) throw new Error('an option without documentation');
  return doc;
}

/** What is right for an option, in words that follow "must be". */
export function typeOf(schema: z.core.$ZodType): string {
  const words = documentation.get(schema)?.type;
  if (words !== undefined) return words;
  const inner = bare(schema);
  if (inner instanceof z.ZodBoolean) return 'true or false';
  if (inner instanceof z.ZodNumber) {
    const kind = inner.format === 'safeint' ? 'a whole number' : 'a number';
    return inner.maxValue === Number.MAX_SAFE_INTEGER
      ? `${kind} from ${inner.minValue}`
      : `${kind} from ${inner.minValue} to ${inner.maxValue}`;
  }
  const choices = choicesOf(schema);
  if (choices.length > 1) return `one of ${choices.join(', ')}`;
  if (choices.length === 1) return String(choices[0]);
  if (inner instanceof z.ZodObject) return 'a section with options';
  return 'text that is not empty';
}

/** The values of an option that takes one of a few. */
export function choicesOf(schema: z.core.$ZodType): (string | number)[] {
  const inner = bare(schema);
  if (inner instanceof z.ZodEnum) return inner.options;
  if (inner instanceof z.ZodLiteral)
    return [...inner.values].map((value) => (typeof value === 'number' ? value : String(value)));
  return [];
}

/** Whether the schema takes text, so that a variable's value is taken as it stands. */
export function takesText(schema: z.core.$ZodType): boolean {
  const inner = bare(schema);
  return inner instanceof z.ZodString || inner instanceof z.ZodEnum;
}

/** The schema of each type of listener, by type. */
export const listenerSchemas: ReadonlyMap<string, z.ZodObject> = new Map(
  bareListeners().map((schema): [string, z.ZodObject] => [String(choicesOf(schema.shape.type)[0]), schema]),
);

function bareListeners(): z.ZodObject[] {
  const list = bare(configSchema.shape.listeners);
  if (!(list instanceof z.ZodArray) || !(list.element instanceof z.ZodDiscriminatedUnion)) return [];
  return list.element.options.filter((schema) => schema instanceof z.ZodObject);
}

/**
 * The schema at a path, with its wrappers; undefined where there is none.
 * @param raw the values as written; the type of a listener decides which options it has
 */
export function schemaAt(path: Path, raw: unknown): z.core.$ZodType | undefined {
  let schema: z.core.$ZodType = configSchema;
  let value: unknown = raw;
  for (const key of path) {
    const inner = bare(schema);
    let next: z.core.$ZodType | undefined;
    if (inner instanceof z.ZodObject) next = inner.shape[key];
    else if (inner instanceof z.ZodArray && typeof key === 'number') next = inner.element;
    value = child(value, key);
    if (next instanceof z.ZodDiscriminatedUnion) next = listenerSchemas.get(String(child(value, 'type')));
    if (next === undefined) return undefined;
    schema = next;
  }
  return schema;
}

/** The value under a key; undefined where there is none. */
export function child(value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
}

function optionOf(path: readonly string[], schema: z.core.$ZodType): Option {
  return {
    path,
    name: path.join('.'),
    variable: `PORTICO_${path.join('_').toUpperCase()}`,
    schema,
    doc: docOf(schema),
    type: typeOf(schema),
    defaultValue: z.safeParse(schema, undefined).data,
  };
}

/** Top-level entries in the order of the schema. A section has options; an option stands alone. */
export const sections: readonly (Section | Option)[] = Object.entries(configSchema.shape).map(([name, schema]) => {
  const inner = bare(schema);
  if (!(inner instanceof z.ZodObject)) return optionOf([name], schema);
  const options = Object.entries(inner.shape).map(([key, field]) => optionOf([name, key], field));
  return { name, doc: docOf(schema), options };
});

/** Every option, in the order of the schema. */
export const options: readonly Option[] = sections.flatMap((entry) => ('options' in entry ? entry.options : entry));
