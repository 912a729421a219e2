/**
 * Changes on their way to the store: readable as soon as they are made, written by the group commit, so that a reader
 * never sees an older value than the writer before it left.
 *
 * Invariant: `#open` holds what the next group writes, `#writing` what the group being written holds; a key in `#open`
 * is newer than the same key in `#writing`, and that is newer than the store.
 */
import type { GroupCommit } from './commit.js';
import type { Group, Participant } from './group.js';
import type { Operation, Store } from './store.js';

export class PendingWrites implements Participant {
  group: Group | null = null;
  readonly #store: Store;
  readonly #commit: GroupCommit;
  /** By the key's bytes as a Latin-1 string. */
  #open = new Map<string, Operation>();
  #writing = new Map<string, Operation>();

  constructor(store: Store, commit: GroupCommit) {
    this.#store = store;
    this.#commit = commit;
  }

  put(key: Buffer, value: Buffer): void {
    this.#open.set(key.latin1Slice(), { type: 'put', key, value });
    this.#commit.enlist(this);
  }

  delete(key: Buffer): void {
    this.#open.set(key.latin1Slice(), { type: 'del', key });
    this.#commit.enlist(this);
  }

  /** The newest value of a key, durable or not. The caller must not change it. */
  async get(key: Buffer): Promise<Buffer | undefined> {
    const name = key.latin1Slice();
    const pending = this.#open.get(name) ?? this.#writing.get(name);
    if (pending === undefined) return await this.#store.get(key);
    return pending.type === 'put' ? pending.value : undefined;
  }

  /** Resolves once every change made until now is durable. */
  settled(): Promise<void> {
    return this.#commit.settled();
  }

  collect(operations: Operation[]): void {
    for (const operation of this.#open.values()) operations.push(operation);
  }

  collected(): void {
    const writing = this.#open;
    this.#open = this.#writing;
    this.#writing = writing;
  }

  committed(): void {
    this.#writing.clear();
  }
}
