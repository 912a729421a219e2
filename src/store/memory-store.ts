/** The store that forgets: for tests and for `store.type: memory`. */
import { everything, Family, sessionRange } from './keys.js';
import type { KeyRange, Operation, Store } from './store.js';

/** Length of what the keys of one session's queue begin with. */
const QUEUE_PREFIX = sessionRange(Family.Queue, 0).gte.length;
const QUEUE = String.fromCharCode(Family.Queue);

export class MemoryStore implements Store {
  /**
   * By the key's bytes as a Latin-1 string, whose order is byte order. The queue of each session is a map of its own, as is
   * each family of other keys: who looks for one queue does not look at all.
   */
  readonly #maps = new Map<string, Map<string, Buffer>>();

  async open(): Promise<void> {}

  async write(operations: Operation[], _sync: boolean): Promise<void> {
    for (const operation of operations) {
      const key = operation.key.latin1Slice();
      if (operation.type === 'put') this.#put(key, Buffer.from(operation.value));
      else this.#delete(key);
    }
  }

  #put(key: string, value: Buffer): void {
    const name = mapOf(key);
    let map = this.#maps.get(name);
    if (map === undefined) {
      map = new Map();
      this.#maps.set(name, map);
    }
    map.set(key, value);
  }

  #delete(key: string): void {
    const name = mapOf(key);
    const map = this.#maps.get(name);
    if (map?.delete(key) && map.size === 0) this.#maps.delete(name);
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    return this.#get(key.latin1Slice());
  }

  #get(key: string): Buffer | undefined {
    return this.#maps.get(mapOf(key))?.get(key);
  }

  #select(range: KeyRange): string[] {
    const gte = range.gte.latin1Slice();
    const lt = range.lt.latin1Slice();
    const found: string[] = [];
    for (const map of this.#mapsOf(range)) for (const key of map.keys()) if (key >= gte && key < lt) found.push(key);
    return found.sort();
  }

  /** The maps that may have keys of a range. */
  #mapsOf({ gte, lt }: KeyRange): Iterable<Map<string, Buffer>> {
    const prefix = gte.subarray(0, QUEUE_PREFIX);
    const areQueues = prefix[0] === Family.Queue && lt[0] === Family.Queue;
    const areWhole = prefix.length === QUEUE_PREFIX && lt.length === QUEUE_PREFIX;
    if (!areQueues || !areWhole || numberOf(lt) !== numberOf(prefix) + 1) return this.#maps.values();
    const map = this.#maps.get(prefix.latin1Slice());
    return map === undefined ? [] : [map];
  }

  async *entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    const found = this.#select(range).map((key): [Buffer, Buffer | undefined] => [
      Buffer.from(key, 'latin1'),
      this.#get(key),
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
    for (const key of this.#select(range)) this.#delete(key);
  }

  async close(): Promise<void> {}
}

/** The session in the prefix of a queue. */
function numberOf(prefix: Buffer): number {
  return prefix.readUIntBE(1, QUEUE_PREFIX - 1);
}

/** Name of the map that a key is in. */
function mapOf(key: string): string {
  return key.slice(0, key.startsWith(QUEUE) ? QUEUE_PREFIX : 1);
}
