/** Makes retained messages durable: the last state of each changed topic joins the open commit group. */
import type { Message } from '../bus/message.js';
import type { RetainedJournal } from '../bus/retained.js';
import { TextMap } from '../bus/text-map.js';
import type { Group, GroupCommit, Participant } from './commit.js';
import { retainedKey } from './keys.js';
import { encodeMessage } from './records.js';
import type { Operation } from './store.js';

/** Bytes that stand for an entry besides its topic and message. */
const ENTRY_COST = 256;

function sizeOf(message: Message | null): number {
  return message === null ? 0 : message.payload.length + message.properties.length;
}

export class StoredRetained implements RetainedJournal, Participant {
  readonly #commit: GroupCommit;
  readonly #changed = new TextMap<Message | null>();
  group: Group | null = null;

  constructor(commit: GroupCommit) {
    this.#commit = commit;
  }

  retainedChanged(topic: string, message: Message | null): void {
    // The broker publishes `$SYS` anew after every start.
    if (topic.startsWith('$SYS/')) return;
    const former = this.#changed.get(topic);
    this.#changed.set(topic, message);
    const growth =
      former === undefined ? ENTRY_COST + topic.length + sizeOf(message) : sizeOf(message) - sizeOf(former);
    this.#commit.enlist(this, Math.max(0, growth));
  }

  isFull(topic: string): boolean {
    return this.#commit.load.crowded && !topic.startsWith('$SYS/') && !this.#changed.has(topic);
  }

  retainedAbsent(topic: string): void {
    // Who clears it again must not be told earlier than who did so first.
    if (this.#commit.busy) this.retainedChanged(topic, null);
  }

  collect(operations: Operation[]): void {
    for (const [topic, message] of this.#changed) {
      const key = retainedKey(topic);
      operations.push(message === null ? { type: 'del', key } : { type: 'put', key, value: encodeMessage(message) });
    }
    this.#changed.clear();
  }

  committed(): void {}
}
