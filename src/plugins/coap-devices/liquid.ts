/** Liquid as commands use it: few tags and filters, no files, and a bound on everything. */
import { isUtf8 } from 'node:buffer';
import { createRequire } from 'node:module';
import type { Context, Liquid, LiquidError, Template as Part } from 'liquidjs';
import { MOST_CONVERTED } from '../coap-topics/conversion.js';
import { shortened } from './reply.js';

/** Bytes of a payload that a template takes, and of what it renders: as many as are converted. */
export const MOST_RENDERED = MOST_CONVERTED;
/** Characters and list entries that one rendering may make on its way. */
const MOST_MADE = 16 * MOST_RENDERED;
/** Outputs, tags and texts that one rendering goes through, each turn of a loop anew: some milliseconds. */
const MOST_STEPS = 5_000;
/** Milliseconds of one rendering, if its steps should take that long. */
const LONGEST = 250;

const TAGS = new Set(['assign', 'break', 'case', 'comment', 'continue', 'for', 'if', 'raw', 'unless', '#']);

/** None of these takes longer, or makes more, than `MOST_MADE` allows; none reads anything but its arguments. */
const FILTERS = new Set(
  (
    'abs append at_least at_most base64_decode base64_encode capitalize ceil date default divided_by downcase first ' +
    'floor join last lstrip minus modulo plus prepend remove replace round rstrip size slice split strip times ' +
    'truncate upcase'
  ).split(' '),
);

/** What becomes of a value on its way into the text. @throws Error for a value that has no such form */
type Escape = (value: unknown) => string;

const text: Escape = (value) => {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || Number.isFinite(value)) return String(value);
  throw new Error(`${nameOf(value)} has no text`);
};

/** A whole JSON value. */
const json: Escape = (value) => {
  if (value === undefined || (typeof value === 'number' && !Number.isFinite(value))) {
    throw new Error(`${nameOf(value)} is no JSON`);
  }
  return JSON.stringify(value);
};

/** How values stand in a text of one kind. */
const ESCAPES = {
  text,
  /** Text as it stands between quotes, so that it cannot end them; everything else as JSON. */
  json: (value: unknown) => (typeof value === 'string' ? JSON.stringify(value).slice(1, -1) : json(value)),
  /** Percent-encoded, so that it is one part of a URI. */
  uri: (value: unknown) => encodeURIComponent(text(value)),
} as const;

export type Dialect = keyof typeof ESCAPES;

function nameOf(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'number') return 'what is no number';
  return Array.isArray(value) ? 'a list' : 'an object';
}

/** The number that a text says, as JSON writes numbers. */
function number(value: unknown): number {
  const said = typeof value === 'string' ? value.trim() : value;
  const found = typeof said === 'string' && /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(said) ? Number(said) : said;
  if (typeof found !== 'number' || !Number.isFinite(found)) throw new Error('what is no number was to be one');
  return found;
}

/** Throws for arguments that a filter would take for others: a request is never one with holes. */
type Check = (...values: readonly unknown[]) => void;

const texts: Check = (...values) => values.forEach(text);

/** The engine takes what is no number for 0. A third argument of `divided_by` is none. */
const numbers: Check = (...values) => values.slice(0, 2).forEach(number);

const listOrText: Check = (value) => {
  if (!Array.isArray(value)) text(value);
};

/** The same check for each of some filters. */
function each(names: string, check: Check): [string, Check][] {
  return names.split(' ').map((name) => [name, check]);
}

const CHECKS: ReadonlyMap<string, Check> = new Map([
  ...each('abs at_least at_most ceil divided_by floor minus modulo plus round times', numbers),
  ...each('append base64_encode capitalize downcase lstrip prepend remove replace rstrip split strip', texts),
  ...each('truncate upcase', texts),
  ...each('first last size slice', listOrText),
  ['join', (value, ...others) => texts(...(Array.isArray(value) ? value : [value]), ...others)],
  [
    'base64_decode',
    (value) => {
      if (!isUtf8(Buffer.from(text(value), 'base64'))) throw new Error('what was decoded is no text');
    },
  ],
  [
    'date',
    (value) => {
      const said = text(value);
      const isDate =
        said === 'now' || said === 'today' || Number.isFinite(Number(said)) || !Number.isNaN(Date.parse(said));
      if (!isDate) throw new Error('what is no date was to be one');
    },
  ],
]);

/** Loaded with the first template: it takes 8 MB, and most brokers have no templates. */
function library(): typeof import('liquidjs') {
  return createRequire(import.meta.url)('liquidjs') as typeof import('liquidjs');
}

function engineFor(dialect: Dialect): Liquid {
  const engine = new (library().Liquid)({
    strictFilters: true,
    strictVariables: true,
    // What may be missing is asked for with `if` or `default`.
    lenientIf: true,
    ownPropertyOnly: true,
    outputEscape: ESCAPES[dialect],
    templates: {},
    timezoneOffset: 0,
    parseLimit: MOST_RENDERED,
    renderLimit: LONGEST,
    memoryLimit: MOST_MADE,
  });
  for (const name of Object.keys(engine.tags)) if (!TAGS.has(name)) delete engine.tags[name];
  for (const name of Object.keys(engine.filters)) if (!FILTERS.has(name)) engine.unregisterFilter(name);
  for (const [name, check] of CHECKS) {
    const filter = engine.filters[name] as (this: unknown, ...values: unknown[]) => unknown;
    engine.registerFilter(name, function (this: unknown, ...values: unknown[]) {
      check(...values);
      return filter.apply(this, values);
    });
  }
  engine.registerFilter('number', number);
  // In JSON it is what stands there; in a URI it is encoded like any other text.
  engine.registerFilter('json', { handler: json, raw: dialect === 'json' });
  return engine;
}

const engines = new Map<Dialect, Liquid>();

function engineOf(dialect: Dialect): Liquid {
  const engine = engines.get(dialect) ?? engineFor(dialect);
  engines.set(dialect, engine);
  return engine;
}

/** A text that is no template. */
export class TemplateFault extends Error {
  /** Both begin with 1. */
  readonly line: number;
  readonly column: number;

  constructor(sentence: string, [line, column]: readonly [number, number]) {
    super(sentence);
    this.line = line;
    this.column = column;
  }
}

/** Characters of what a failure says: a message may have a part in it. */
const MOST_SAID = 200;

/** Something for which a message has no value, or no fitting one; the message says what, in a few words. */
export class TemplateFailure extends Error {}

/** Collects what is rendered. */
class Bounded {
  buffer = '';

  write(part: unknown): void {
    const added = String(part);
    if (this.buffer.length + added.length > MOST_RENDERED) throw new Error(`more than ${MOST_RENDERED} bytes`);
    this.buffer += added;
  }
}

/** Values by the names of variables. */
export interface Variables {
  /** Undefined if there is none. @throws TemplateFailure for one that cannot be read */
  get(name: string): unknown;
}

/** A text with `{{ outputs }}` and `{% tags %}`. */
export class Template {
  readonly #library = library();
  readonly #engine: Liquid;
  readonly #parts: Part[];
  /** The variables that it asks for. */
  readonly #names: readonly string[];

  /**
   * @param known the variables that there are
   * @throws TemplateFault
   */
  constructor(source: string, dialect: Dialect, known: readonly string[]) {
    this.#engine = engineOf(dialect);
    try {
      this.#parts = this.#engine.parse(source);
      const { globals } = this.#engine.analyzeSync(this.#parts, { partials: false });
      this.#names = Object.keys(globals);
      for (const name of this.#names) {
        if (known.includes(name)) continue;
        const { row, col } = globals[name][0].location;
        throw new TemplateFault(`there is no variable ${name}, but ${known.join(', ')}`, [row, col]);
      }
    } catch (error) {
      if (error instanceof TemplateFault) throw error;
      throw new TemplateFault(sentenceOf(error), positionOf(error));
    }
  }

  /** @throws TemplateFailure */
  render(variables: Variables): string {
    const values: Record<string, unknown> = Object.create(null);
    for (const name of this.#names) {
      const value = variables.get(name);
      if (value !== undefined) values[name] = value;
    }
    const out = new Bounded();
    try {
      const { Context, toValueSync } = this.#library;
      const context = new Context(values, this.#engine.options, { sync: true });
      limitSteps(context);
      toValueSync(this.#engine.renderer.renderTemplates(this.#parts, context, out));
    } catch (error) {
      const [line, column] = positionOf(error);
      const sentence = shortened(sentenceOf(error), MOST_SAID);
      throw new TemplateFailure(`${sentence} (line ${line}, column ${column})`, { cause: error });
    }
    return out.buffer;
  }
}

/** The engine looks at the time at each step; time alone would be a limit that depends on what else the machine does. */
function limitSteps({ renderLimit }: Context): void {
  const inTime = renderLimit.check.bind(renderLimit);
  let steps = 0;
  renderLimit.check = (now) => {
    if (++steps > MOST_STEPS) throw new Error(`more than ${MOST_STEPS} steps`);
    inTime(now);
  };
}

/** What an error of the engine says, without the place that it appends. */
function sentenceOf(error: unknown): string {
  const { message } = error instanceof Error ? error : new Error(String(error));
  return message.replace(/, line:\d+, col:\d+$/, '');
}

function positionOf(error: unknown): readonly [number, number] {
  if (!(error instanceof Error) || !library().LiquidError.is(error)) return [1, 1];
  const [line, column] = (error as LiquidError).token.getPosition();
  return [line, column];
}
