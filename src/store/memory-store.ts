/** The store that forgets: for tests and for `store.type: memory`. */
import { everything } from './keys.js';
import type { KeyRange, Operation, Store } from './store.js';

export class MemoryStore implements Store {
  /** By the key's bytes as a Latin-1 string, whose order is byte order. */
  readonly #map = new Map<string, Buffer>();

  async open(): Promise<void> {}

  async write(operations: Operation[], _sync: boolean): Promise<void> {
    for (const operation of operations) {
      if (operation.type === 'put') this.#map.set(operation.key.latin1Slice(), Buffer.from(operation.value));
      else this.#map.delete(operation.key.latin1Slice());
    }
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    return this.#map.get(key.latin1Slice());
  }

  #select(range: KeyRange): string[] {
    const gte = range.gte.latin1Slice();
    const lt = range.lt.latin1Slice();
    return [...this.#map.keys()].filter((key) => key >= gte && key < lt).sort();
  }

  async *entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    const found = this.#select(range).map((key): [Buffer, Buffer | undefined] => [
      Buffer.from(key, 'latin1'),
      this.#map.get(key),
    ]);
    for (const [key, value] of found) if (value !== undefined) yield [key, value];
  }

  async *keys(range: KeyRange): AsyncIterable<Buffer> {
    for (const key of this.#select(range)) yield Buffer.from(key, 'latin1');
  }

  snapshot(): AsyncIterable<[Buffer, Buffer]> {
    return this.entries(everything());
  }

  async clear(range: KeyRange): Promise<void> {
    for (const key of this.#select(range)) this.#map.delete(key);
  }

  async close(): Promise<void> {}
}
