/** A disk that outlives its broker, and is as slow as a seed says. */
import { everything } from '../../src/store/keys.js';
import type { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange, Operation, Store } from '../../src/store/store.js';

/** A number from 0 to less than `below`. */
export type Random = (below: number) => number;

export function mulberry32(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Resolves in the next turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const forever = (): Promise<never> => new Promise(() => {});

/** What one life of the broker sees of the disk: each access takes a few turns, and none returns after its death. */
export class Disk implements Store {
  readonly #disk: MemoryStore;
  readonly #random: Random;
  dead = false;
  /** Accesses under way. */
  busy = 0;

  constructor(disk: MemoryStore, random: Random) {
    this.#disk = disk;
    this.#random = random;
  }

  async #access(): Promise<void> {
    this.busy++;
    for (let turns = this.#random(4); turns > 0; turns--) await turn();
    if (this.dead) await forever();
    this.busy--;
  }

  async open(): Promise<void> {}

  async write(operations: Operation[], sync: boolean): Promise<void> {
    await this.#access();
    await this.#disk.write(operations, sync);
    // The broker may die when the disk has it and nobody knows.
    await this.#access();
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    const value = await this.#disk.get(key);
    await this.#access();
    return value;
  }

  async *entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    for await (const entry of this.#disk.entries(range)) {
      await this.#access();
      yield entry;
    }
  }

  snapshot(): AsyncIterable<[Buffer, Buffer]> {
    return this.entries(everything());
  }

  async *keys(range: KeyRange): AsyncIterable<Buffer> {
    for await (const key of this.#disk.keys(range)) {
      await this.#access();
      yield key;
    }
  }

  async clear(range: KeyRange): Promise<void> {
    await this.#access();
    await this.#disk.clear(range);
  }

  async close(): Promise<void> {}
}
