/** Values of mosquitto.conf, as Mosquitto reads them. */
import { near } from '../../errors.js';
import { textOf, wordsOf } from './lexer.js';
import type { Kind } from './row.js';

/** A value, or a sentence about what is wrong with it. */
export type Reading = { readonly value: boolean | number | string } | { readonly fault: string };

/** What Mosquitto takes for text: control characters and what is no UTF-8 are none. */
const NO_TEXT = /[\p{Cc}\p{Noncharacter_Code_Point}\ufffd]/u;
const LONGEST = 65_535;
/** As strtol with base 0: hexadecimal with 0x, octal with a leading 0. */
const INTEGER = /^\s*([+-]?)(0x[\da-f]+|0[0-7]*|[1-9]\d*)$/i;
const SECONDS: Readonly<Record<string, number>> = {
  s: 1,
  h: 3600,
  d: 86_400,
  w: 604_800,
  m: 2_592_000,
  y: 31_536_000,
};

/** Characters of a word that a sentence shows. */
export const SHOWN = 80;

/** A word in a sentence; of a long one its beginning. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
}

/** Reads what stands behind the name of an option. */
export function readValue(name: string, kind: Kind, rest: string): Reading {
  const [first] = wordsOf(rest);
  if (kind.type === 'free') return { value: textOf(rest) };
  const text = kind.type === 'text' ? textOf(rest) : first;
  if (text === undefined || text === '') return { fault: `${name} has no value; it must be ${describe(kind)}` };
  const value = read(kind, text);
  if (value !== undefined) return { value };
  const words = kind.type === 'boolean' ? ['true', 'false'] : kind.type === 'word' ? kind.words : [];
  const meant = text.length > SHOWN ? undefined : near(text, words);
  const hint = meant === undefined ? '' : ` (did you mean ${meant}?)`;
  return { fault: `${name} is ${quoted(text)}; it must be ${describe(kind)}${hint}` };
}

function read(kind: Kind, text: string): boolean | number | string | undefined {
  switch (kind.type) {
    case 'boolean':
      return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : undefined;
    case 'integer': {
      const value = integerOf(text);
      return value !== undefined && value >= kind.min && value <= kind.max ? value : undefined;
    }
    case 'size': {
      const value = Number.parseInt(text, 10);
      return value >= 0 ? Math.min(value, Number.MAX_SAFE_INTEGER) : undefined;
    }
    case 'duration': {
      const value = Number.parseInt(text, 10) * (SECONDS[text.slice(-1)] ?? 0);
      return value > 0 && Number.isSafeInteger(value) ? value : undefined;
    }
    case 'word':
      return kind.words.includes(text) ? text : undefined;
    case 'text': {
      const length = Buffer.byteLength(text);
      return NO_TEXT.test(text) || length > Math.min(LONGEST, kind.most ?? LONGEST) ? undefined : text;
    }
    case 'free':
      return text;
  }
}

/** A number of 32 bits. */
export function integerOf(text: string): number | undefined {
  const match = INTEGER.exec(text);
  if (match === null) return undefined;
  const [, sign, digits] = match;
  const size = /^0x/i.test(digits)
    ? Number.parseInt(digits.slice(2), 16)
    : Number.parseInt(digits, digits.startsWith('0') ? 8 : 10);
  const value = sign === '-' ? 0 - size : size;
  return value >= -(2 ** 31) && value < 2 ** 31 ? value : undefined;
}

/** What is right, in words that follow "must be". */
export function describe(kind: Kind): string {
  switch (kind.type) {
    case 'boolean':
      return 'true or false';
    case 'integer': {
      const { min, max } = kind;
      const low = min === -(2 ** 31);
      const high = max === 2 ** 31 - 1;
      if (low && high) return 'a whole number';
      if (high) return `a whole number from ${min}`;
      return low ? `a whole number up to ${max}` : `a whole number from ${min} to ${max}`;
    }
    case 'size':
      return 'a number of bytes';
    case 'duration':
      return 'a number with s, h, d, w, m or y behind it';
    case 'word':
      return `one of ${kind.words.join(', ')}`;
    case 'text':
      return kind.most === undefined ? 'text in UTF-8' : `text in UTF-8 of at most ${kind.most} bytes`;
    case 'free':
      return 'as Mosquitto takes it';
  }
}
