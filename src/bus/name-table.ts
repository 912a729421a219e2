/**
 * A map by name for a level with many names, of which most topics have none. Before the map, whose entries are all over the
 * memory, it asks a table of bits that fits into the processor's caches.
 */
import { TextMap } from './text-map.js';

/** Names above which there is a table of bits: a smaller map is in the caches itself. */
const MANY = 1024;
/** Bits of the table for each name, at least, when it is made and when it is made anew. */
const BITS = 16;
const LEAST_BITS = 8;

export class NameTable<V> {
  readonly #values = new TextMap<V>();
  /** A bit for each name, at its hash; null while there are few. A power of two words. */
  #marks: Uint32Array | null = null;
  /** Names that have been marked, also those that are gone. */
  #marked = 0;

  get size(): number {
    return this.#values.size;
  }

  get(name: string): V | undefined {
    if (this.#marks !== null && !this.#isMarked(this.#marks, name)) return undefined;
    return this.#values.get(name);
  }

  set(name: string, value: V): this {
    this.#values.set(name, value);
    if (this.#marks !== null && this.#marked < this.#marks.length * (32 / LEAST_BITS)) {
      mark(this.#marks, name);
      this.#marked++;
    } else if (this.#marks !== null || this.size > MANY) this.#markAll();
    return this;
  }

  /** What is gone stays marked until the table is made anew. */
  delete(name: string): boolean {
    return this.#values.delete(name);
  }

  #markAll(): void {
    this.#marked = this.size;
    this.#marks = new Uint32Array(2 ** Math.ceil(Math.log2((this.#marked * BITS) / 32)));
    for (const name of this.#values.keys()) mark(this.#marks, name);
  }

  #isMarked(marks: Uint32Array, name: string): boolean {
    const hash = hashOf(name);
    return (marks[(hash >>> 5) & (marks.length - 1)] & (1 << (hash & 31))) !== 0;
  }
}

function mark(marks: Uint32Array, name: string): void {
  const hash = hashOf(name);
  marks[(hash >>> 5) & (marks.length - 1)] |= 1 << (hash & 31);
}

/** FNV-1a, with its upper bits mixed into the lower ones. Who foresees it only makes the bits useless. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}
