/** A map by text that a client has chosen: client identifiers, topics, filters and their levels. */
import { createHash } from 'node:crypto';

/** V8 hashes longer strings by their length alone, so that thousands of them would meet in one bucket of a Map. */
const MOST_HASHED = 16_383;

/**
 * As a Map, but the time that a key takes does not depend on the other ones, however long they are. Iteration gives the
 * short keys first, each kind in the order in which they were set.
 */
export class TextMap<V> {
  readonly #short = new Map<string, V>();
  /** By a digest of the key; null until there is a long key. */
  #long: Map<string, readonly [string, V]> | null = null;

  get size(): number {
    return this.#short.size + (this.#long?.size ?? 0);
  }

  get(key: string): V | undefined {
    if (key.length <= MOST_HASHED) return this.#short.get(key);
    return this.#long === null ? undefined : this.#long.get(digestOf(key))?.[1];
  }

  has(key: string): boolean {
    if (key.length <= MOST_HASHED) return this.#short.has(key);
    return this.#long?.has(digestOf(key)) === true;
  }

  set(key: string, value: V): this {
    if (key.length <= MOST_HASHED) this.#short.set(key, value);
    else {
      this.#long ??= new Map();
      this.#long.set(digestOf(key), [key, value]);
    }
    return this;
  }

  delete(key: string): boolean {
    if (key.length <= MOST_HASHED) return this.#short.delete(key);
    return this.#long?.delete(digestOf(key)) === true;
  }

  /** The first value. */
  first(): V | undefined {
    for (const value of this.values()) return value;
    return undefined;
  }

  clear(): void {
    this.#short.clear();
    this.#long = null;
  }

  *entries(): IterableIterator<[string, V]> {
    yield* this.#short;
    if (this.#long !== null) for (const [key, value] of this.#long.values()) yield [key, value];
  }

  [Symbol.iterator](): IterableIterator<[string, V]> {
    return this.entries();
  }

  *keys(): IterableIterator<string> {
    yield* this.#short.keys();
    if (this.#long !== null) for (const [key] of this.#long.values()) yield key;
  }

  *values(): IterableIterator<V> {
    yield* this.#short.values();
    if (this.#long !== null) for (const [, value] of this.#long.values()) yield value;
  }
}

function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
