/** Whether whoever published a retained message may still do so: asked once for each message, and remembered in its record. */
import type { Counters } from './counters.js';
import type { Source } from './message.js';
import type { RetainedRecords } from './retained-records.js';
import type { TopicTree } from './topic-tree.js';

/** Says what clients may do now. */
export interface RetainedGuard {
  /** @param source on whose right to publish the message stands */
  allows(source: Source, topic: string): boolean;
}

/** A record remembers an answer in 32 bits: who gave it, and in the lowest one what it is. */
const MOST_GENERATIONS = 2 ** 31;

export class RetainedVouching {
  readonly #topics: TopicTree;
  readonly #records: RetainedRecords;
  readonly #counters: Counters;
  #guard: RetainedGuard | null = null;
  /** Counts guards: what a former one has said counts no more. From 1, as a new record has 0. */
  #generation = 0;

  constructor(topics: TopicTree, records: RetainedRecords, counters: Counters) {
    this.#topics = topics;
    this.#records = records;
    this.#counters = counters;
  }

  /** Whether anybody is asked. */
  get guarded(): boolean {
    return this.#guard !== null;
  }

  /** @param guard null: everything may be given to clients */
  guardBy(guard: RetainedGuard | null): void {
    this.#guard = guard;
    this.#generation = (this.#generation + 1) % MOST_GENERATIONS || 1;
  }

  /** Whether the message of a node may be given to clients, if there is one; counted if not. */
  vouchFor(node: number): boolean {
    const guard = this.#guard;
    if (guard === null) return true;
    const record = this.#topics.value(node);
    if (record === 0) return true;
    let checked = this.#records.checked(record);
    if (checked >>> 1 !== this.#generation) {
      const source = this.#records.source(record);
      const allowed = source === null || guard.allows(source, this.#topics.topic(node));
      checked = this.#generation * 2 + (allowed ? 1 : 0);
      this.#records.setChecked(record, checked);
    }
    if ((checked & 1) === 1) return true;
    this.#counters.withheldRetained++;
    return false;
  }
}
