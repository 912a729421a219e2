/** When retained messages expire [MQTT-3.3.2-5]: each has its place in a list of what is due, as long as it is kept. */
import { DueList } from './due-list.js';
import type { RetainedRecords } from './retained-records.js';
import type { TopicTree } from './topic-tree.js';

/** Entries of topics that need none any more, at which the list is made anew. */
const MOST_STALE = 1024;
/** Entries that `expired` looks at in one go. */
const MOST_LOOKED_AT = 10_000;

export class RetainedExpiries {
  readonly #topics: TopicTree;
  readonly #records: RetainedRecords;
  /** Nodes; one may stand for another topic by then. */
  readonly #list = new DueList<number>();
  /** Nodes that are due. */
  #due: number[] = [];

  constructor(topics: TopicTree, records: RetainedRecords) {
    this.#topics = topics;
    this.#records = records;
  }

  /** Entries, also those that are due. */
  get size(): number {
    return this.#list.size + this.#due.length;
  }

  /**
   * A message expires. Each topic stands in the list once, unless its next message expires earlier than its last one.
   * @param expiresAt milliseconds since the epoch, not 0
   * @param count retained messages that there are
   */
  add(node: number, record: number, expiresAt: number, count: number): void {
    const due = this.#records.due(record);
    if (due > 0 && due <= expiresAt) return;
    if (this.size > 2 * count + MOST_STALE) this.#renew();
    this.#enter(node, record, expiresAt);
  }

  #enter(node: number, record: number, expiresAt: number): void {
    this.#records.setDue(record, expiresAt);
    this.#list.add(node, expiresAt);
  }

  /** Nodes whose messages have expired, a bounded number at a time; each is forgotten before the next is asked for. */
  *expired(now: number): Generator<number> {
    const taken = this.#list.take(now);
    if (taken.length > 0) this.#due = this.#due.length === 0 ? taken : this.#due.concat(taken);
    for (let looked = 0; this.#due.length > 0 && looked < MOST_LOOKED_AT; looked++) {
      const node = this.#due.pop() as number;
      const record = this.#topics.value(node);
      if (record === 0) continue;
      const due = this.#records.due(record);
      // Another entry speaks for it.
      if (due === 0 || due > now) continue;
      this.#records.setDue(record, 0);
      const expiresAt = this.#records.expiresAt(record);
      if (expiresAt === 0) continue;
      // A later message has taken the place of the one that expires.
      if (expiresAt > now) this.#enter(node, record, expiresAt);
      else yield node;
    }
  }

  /** A topic that comes and goes leaves entries behind. */
  #renew(): void {
    this.#list.clear();
    this.#due = [];
    for (let node = 1; node < this.#topics.end; node++) {
      const record = this.#topics.value(node);
      if (record === 0) continue;
      const expiresAt = this.#records.expiresAt(record);
      this.#records.setDue(record, expiresAt);
      if (expiresAt > 0) this.#list.add(node, expiresAt);
    }
  }
}
