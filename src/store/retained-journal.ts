/** Makes retained messages durable: the last state of each changed topic joins the open commit group. */
import type { Message } from '../bus/message.js';
import type { RetainedJournal } from '../bus/retained.js';
import type { Group, GroupCommit, Participant } from './commit.js';
import { retainedKey } from './keys.js';
import { encodeMessage } from './records.js';
import type { Operation } from './store.js';

export class StoredRetained implements RetainedJournal, Participant {
  readonly #commit: GroupCommit;
  readonly #changed = new Map<string, Message | null>();
  group: Group | null = null;

  constructor(commit: GroupCommit) {
    this.#commit = commit;
  }

  retainedChanged(topic: string, message: Message | null): void {
    // The broker publishes `$SYS` anew after every start.
    if (topic.startsWith('$SYS/')) return;
    this.#changed.set(topic, message);
    this.#commit.enlist(this);
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
