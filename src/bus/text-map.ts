/** A map by text that a client has chosen: client identifiers, topics, filters and their levels. */
import { createHash } from 'node:crypto';

/** V8 hashes longer strings by their length alone, so that thousands of them would meet in one bucket of a Map. */
const MOST_HASHED = 16_383;

/** Entries up to which they stand in a list: small maps are many, and a Map takes four times as much. */
const FEW = 8;

/** Keys and values in turn. */
type Few = readonly unknown[];

const NOTHING: Few = [];

/**
 * As a Map, but the time that a key takes does not depend on the other ones, however long they are. Iteration gives the
 * short keys first, each kind in the order in which they were set; what is set meanwhile may not be among them, what is
 * deleted meanwhile is not.
 */
export class TextMap<V> {
  /** Short keys, each with its value behind it; never changed but replaced. Empty once there is `#short`. */
  #few: Few = NOTHING;
  #short: Map<string, V> | null = null;
  /** By a digest of the key; null until there is a long key. */
  #long: Map<string, readonly [string, V]> | null = null;

  get size(): number {
    return this.#few.length / 2 + (this.#short?.size ?? 0) + (this.#long?.size ?? 0);
  }

  get(key: string): V | undefined {
    if (key.length > MOST_HASHED) return this.#long === null ? undefined : this.#long.get(digestOf(key))?.[1];
    if (this.#short !== null) return this.#short.get(key);
    const at = this.#find(key);
    return at < 0 ? undefined : (this.#few[at + 1] as V);
  }

  has(key: string): boolean {
    if (key.length > MOST_HASHED) return this.#long?.has(digestOf(key)) === true;
    return this.#short === null ? this.#find(key) >= 0 : this.#short.has(key);
  }

  set(key: string, value: V): this {
    if (key.length > MOST_HASHED) {
      this.#long ??= new Map();
      this.#long.set(digestOf(key), [key, value]);
    } else if (this.#short !== null) this.#short.set(key, value);
    else this.#setFew(key, value);
    return this;
  }

  delete(key: string): boolean {
    if (key.length > MOST_HASHED) return this.#long?.delete(digestOf(key)) === true;
    if (this.#short !== null) return this.#short.delete(key);
    const at = this.#find(key);
    if (at < 0) return false;
    this.#few = this.#few.length === 2 ? NOTHING : this.#few.toSpliced(at, 2);
    return true;
  }

  /** Where a short key stands in the list; -1 if it does not. */
  #find(key: string): number {
    const few = this.#few;
    for (let at = 0; at < few.length; at += 2) if (few[at] === key) return at;
    return -1;
  }

  #setFew(key: string, value: V): void {
    const few = this.#few;
    const at = this.#find(key);
    if (at >= 0) this.#few = few.with(at + 1, value);
    else if (few.length < 2 * FEW) this.#few = [...few, key, value];
    else {
      this.#short = new Map();
      for (let i = 0; i < few.length; i += 2) this.#short.set(few[i] as string, few[i + 1] as V);
      this.#short.set(key, value);
      this.#few = NOTHING;
    }
  }

  /** The first value. */
  first(): V | undefined {
    for (const value of this.values()) return value;
    return undefined;
  }

  clear(): void {
    this.#few = NOTHING;
    this.#short = null;
    this.#long = null;
  }

  *entries(): IterableIterator<[string, V]> {
    const few = this.#few;
    for (let at = 0; at < few.length; at += 2) {
      const key = few[at] as string;
      if (this.#few === few) yield [key, few[at + 1] as V];
      else if (this.has(key)) yield [key, this.get(key) as V];
    }
    if (few.length === 0 && this.#short !== null) yield* this.#short;
    if (this.#long !== null) for (const [key, value] of this.#long.values()) yield [key, value];
  }

  [Symbol.iterator](): IterableIterator<[string, V]> {
    return this.entries();
  }

  *keys(): IterableIterator<string> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }
}

function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
