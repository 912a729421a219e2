/** Variables of a template, made of one thing; each is made once, and only if it is asked for. */
import { isUtf8 } from 'node:buffer';
import { MOST_RENDERED, TemplateFailure, type Variables } from './liquid.js';

/** What each variable is; undefined for nothing. @throws TemplateFailure */
export type Readers<Source> = Readonly<Record<string, (source: Source) => unknown>>;

export class Values<Source> implements Variables {
  readonly #readers: Readers<Source>;
  readonly #source: Source;
  readonly #read = new Map<string, unknown>();

  constructor(readers: Readers<Source>, source: Source) {
    this.#readers = readers;
    this.#source = source;
  }

  get(name: string): unknown {
    if (!this.#read.has(name)) this.#read.set(name, this.#readers[name](this.#source));
    return this.#read.get(name);
  }
}

/** A payload as text. */
export function textOf(payload: Buffer): string {
  if (payload.length > MOST_RENDERED) throw new TemplateFailure(`the payload has more than ${MOST_RENDERED} bytes`);
  if (!isUtf8(payload)) throw new TemplateFailure('the payload is not UTF-8');
  return payload.toString();
}

/** A payload as the value that it says in JSON. */
export function jsonOf(payload: Buffer): unknown {
  const text = textOf(payload);
  try {
    return JSON.parse(text);
  } catch {
    throw new TemplateFailure('the payload is not JSON');
  }
}
