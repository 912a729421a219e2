/** What the table says of one option of mosquitto.conf. */

/** How Mosquitto reads the value. */
export type Kind =
  | { readonly type: 'boolean' }
  | { readonly type: 'integer'; readonly min: number; readonly max: number }
  | { readonly type: 'size' }
  | { readonly type: 'text'; readonly most?: number }
  | { readonly type: 'word'; readonly words: readonly string[] }
  | { readonly type: 'duration' }
  /** Anything, also nothing: the option decides, or it is refused as a whole. */
  | { readonly type: 'free' };

/** Where an option may stand. */
export type Scope =
  /** Anywhere. */
  | 'global'
  /** Behind `listener`; before it, it makes the default listener. */
  | 'listener'
  /** Only behind `listener`, `port` or another option that made a listener. */
  | 'own listener'
  /** Anywhere, but with `per_listener_settings true` it belongs to the listener before it. */
  | 'security'
  /** Behind `connection`. */
  | 'bridge'
  /** Behind `plugin`. */
  | 'plugin';

/** `honoured`: it does here what it does there. `ignored`: accepted with a warning. `refused`: the start stops. */
export type Fate = 'honoured' | 'ignored' | 'refused';

export interface Row {
  readonly name: string;
  /** Older names. */
  readonly aliases?: readonly string[];
  readonly scope: Scope;
  readonly kind: Kind;
  /** Mosquitto refuses a second value. */
  readonly once?: true;
  readonly fate: Fate;
  /** Honoured: what it becomes. Ignored: why. Refused: what to do instead. Markdown, without a full stop at its end. */
  readonly words: string;
  /** Our options, by dotted path, that get the value; others are for translation.ts. */
  readonly to?: readonly string[];
  /** The value for ours; undefined leaves ours as it is. */
  readonly map?: (value: number) => number | undefined;
  /** Mosquitto's default where ours is another one. */
  readonly usual?: number | boolean | string;
  /** Values that ask for nothing: neither a warning nor a refusal. */
  readonly idle?: readonly (boolean | number | string)[];
}

export const boolean: Kind = { type: 'boolean' };
export const size: Kind = { type: 'size' };
export const text: Kind = { type: 'text' };
export const duration: Kind = { type: 'duration' };
export const free: Kind = { type: 'free' };
/** Mosquitto's integers have 32 bits. */
export const integer = (min = -(2 ** 31), max = 2 ** 31 - 1): Kind => ({ type: 'integer', min, max });
export const word = (...words: string[]): Kind => ({ type: 'word', words });

/** The end of a sentence about what this version cannot do. */
export const notYet = (instead: string): string => `not supported yet; ${instead}`;
