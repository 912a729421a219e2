/** Makes retained messages durable: the last state of each changed topic joins the open commit group. */
import type { Message } from '../bus/message.js';
import type { RetainedJournal } from '../bus/retained.js';
import { TextMap } from '../bus/text-map.js';
import type { GroupCommit } from './commit.js';
import type { Group, Participant } from './group.js';
import { retainedKey } from './keys.js';
import { encodeMessage } from './records.js';
import type { Operation } from './store.js';

/** Bytes that stand for an entry besides its topic and message. */
const ENTRY_COST = 256;

export class StoredRetained implements RetainedJournal, Participant {
  readonly #commit: GroupCommit;
  readonly #messageOf: (topic: string) => Message | null;
  /** Payload and property bytes of what is to be written, by topic. */
  readonly #changed = new TextMap<number>();
  group: Group | null = null;

  /** @param messageOf the retained message of a topic at the time of asking */
  constructor(commit: GroupCommit, messageOf: (topic: string) => Message | null) {
    this.#commit = commit;
    this.#messageOf = messageOf;
  }

  retainedChanged(topic: string, bytes: number): void {
    // The broker publishes `$SYS` anew after every start.
    if (topic.startsWith('$SYS/')) return;
    const former = this.#changed.get(topic);
    this.#changed.set(topic, bytes);
    const growth = former === undefined ? ENTRY_COST + topic.length + bytes : bytes - former;
    this.#commit.enlist(this, Math.max(0, growth));
  }

  isFull(topic: string): boolean {
    return this.#commit.load.crowded && !topic.startsWith('$SYS/') && !this.#changed.has(topic);
  }

  retainedAbsent(topic: string): void {
    // Who clears it again must not be told earlier than who did so first.
    if (this.#commit.busy) this.retainedChanged(topic, 0);
  }

  collect(operations: Operation[]): void {
    for (const topic of this.#changed.keys()) {
      const message = this.#messageOf(topic);
      const key = retainedKey(topic);
      operations.push(message === null ? { type: 'del', key } : { type: 'put', key, value: encodeMessage(message) });
    }
  }

  collected(): void {
    this.#changed.clear();
  }

  committed(): void {}
}
