/**
 * Group commit. Whatever has to be durable in one turn of the event loop joins the open group; the group closes at the
 * end of the turn, or when the group before it has been written, and goes to the store in one batch. Acknowledgements
 * that joined the group leave after that.
 *
 * Invariants: one group is being written at a time; groups are written in the order in which they were opened; an
 * acknowledgement leaves only after everything that had joined before it is durable.
 */
import type { Counters } from '../bus/counters.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { Operation, Store } from './store.js';

/** Something with state to write. It is asked for its operations when the group closes, so late changes cancel. */
export interface Participant {
  /** The group that it has joined; owned by GroupCommit. */
  group: Group | null;
  /** Adds the operations that make its state durable. */
  collect(operations: Operation[]): void;
  /** Called after a group that it had joined is durable. */
  committed(): void;
}

/** Who waits for an acknowledgement to leave. */
export interface Acknowledger {
  /** @param type MQTT packet type 4 to 7 */
  acknowledge(type: number, packetId: number, reasonCode: number): void;
}

/** The changes of one turn. */
export class Group {
  readonly participants: Participant[] = [];
  readonly operations: Operation[] = [];
  readonly acknowledgers: Acknowledger[] = [];
  /** Packet type, packet identifier and reason code of each acknowledgement. */
  readonly acknowledgements: number[] = [];
  readonly waiters: (() => void)[] = [];
}

export interface CommitOptions {
  /** `store.sync`. */
  readonly sync: 'always' | 'interval' | 'never';
  /** `store.sync_interval` in milliseconds, for `interval`. */
  readonly syncInterval: number;
}

/** Milliseconds until state that nobody waits for is written. */
const LAZY_DELAY = 500;
/** Milliseconds between attempts after a failed write. */
const RETRY_DELAY = 250;

export class GroupCommit {
  readonly #store: Store;
  readonly #options: CommitOptions;
  readonly #counters: Counters;
  readonly #lazy = new Set<Participant>();
  #open = new Group();
  #writing: Group | null = null;
  #scheduled = false;
  #lazyTimer: NodeJS.Timeout | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #syncTimer: NodeJS.Timeout | null = null;
  #unsynced = false;
  #closed = false;
  /** Told of each failed write; the group is tried again. */
  onFailure: ((error: unknown) => void) | null = null;
  /** Told when writing works again. */
  onRecovery: (() => void) | null = null;
  /** The last write failed and its group has not been written yet. */
  failing = false;
  /** Grows with everything that joins, so that a caller can tell whether what it did has to be waited for. */
  revision = 0;

  constructor(store: Store, options: CommitOptions, counters: Counters) {
    this.#store = store;
    this.#options = options;
    this.#counters = counters;
    if (options.sync === 'interval') {
      this.#syncTimer = setInterval(() => this.#syncNow(), options.syncInterval);
      this.#syncTimer.unref();
    }
  }

  /** Whether anything has joined that is not durable yet. */
  get busy(): boolean {
    return this.#scheduled || this.#writing !== null;
  }

  /** The open group, for participants that compare it with the one they have joined. */
  get group(): Group {
    return this.#open;
  }

  /** Joins the open group. */
  enlist(participant: Participant): void {
    this.revision++;
    if (participant.group === this.#open) return;
    participant.group = this.#open;
    this.#open.participants.push(participant);
    this.#schedule();
  }

  /** Joins the next group that is written anyway, at the latest after half a second. */
  enlistLazily(participant: Participant): void {
    if (participant.group === this.#open || this.#lazy.has(participant)) return;
    this.#lazy.add(participant);
    if (this.#lazyTimer !== null || this.#closed) return;
    this.#lazyTimer = setTimeout(() => {
      this.#lazyTimer = null;
      this.#schedule();
    }, LAZY_DELAY);
    this.#lazyTimer.unref();
  }

  /** Adds one change to the open group. */
  add(operation: Operation): void {
    this.revision++;
    this.#open.operations.push(operation);
    this.#schedule();
  }

  /** Sends an acknowledgement once everything that has joined until now is durable. */
  acknowledge(who: Acknowledger, type: number, packetId: number, reasonCode: number): void {
    const group = this.#open;
    group.acknowledgers.push(who);
    group.acknowledgements.push(type, packetId, reasonCode);
    this.#schedule();
  }

  /** Resolves once everything that has joined until now is durable; rejects with `PORTICO_CLOSED` after `close`. */
  settled(): Promise<void> {
    if (this.#closed) return Promise.reject(new PorticoError(ErrorKinds.Closed, 'the store is closed'));
    if (!this.busy) return Promise.resolve();
    return new Promise((resolve) => {
      this.#open.waiters.push(resolve);
      this.#schedule();
    });
  }

  /** Calls back once everything that has joined until now is durable; at once if it is already, never after `close`. */
  whenSettled(callback: () => void): void {
    if (this.#closed) return;
    if (!this.busy) {
      callback();
      return;
    }
    this.#open.waiters.push(callback);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    if (this.#writing === null) setImmediate(this.#closeGroup);
  }

  readonly #closeGroup = (): void => {
    const group = this.#open;
    this.#open = new Group();
    this.#scheduled = false;
    for (const participant of this.#lazy) {
      if (participant.group === group) continue;
      participant.group = group;
      group.participants.push(participant);
    }
    this.#lazy.clear();
    for (const participant of group.participants) {
      participant.group = null;
      participant.collect(group.operations);
    }
    this.#writing = group;
    if (group.operations.length === 0) this.#finish(group);
    else void this.#write(group);
  };

  async #write(group: Group): Promise<void> {
    try {
      await this.#store.write(group.operations, this.#options.sync === 'always');
    } catch (error) {
      this.#counters.commitFailures++;
      this.failing = true;
      this.onFailure?.(error);
      this.#retryTimer = setTimeout(() => void this.#write(group), RETRY_DELAY);
      return;
    }
    if (this.failing) {
      this.failing = false;
      this.onRecovery?.();
    }
    this.#unsynced = true;
    this.#counters.commits++;
    this.#counters.commitOperations += group.operations.length;
    this.#finish(group);
  }

  #finish(group: Group): void {
    // `#writing` stays set until the end, so that what joins from here is scheduled once.
    for (const participant of group.participants) this.#guard(() => participant.committed());
    const { acknowledgers, acknowledgements } = group;
    for (let i = 0, at = 0; i < acknowledgers.length; i++, at += 3) {
      try {
        acknowledgers[i].acknowledge(acknowledgements[at], acknowledgements[at + 1], acknowledgements[at + 2]);
      } catch (error) {
        this.onFailure?.(error);
      }
    }
    for (const waiter of group.waiters) this.#guard(waiter);
    this.#writing = null;
    if (this.#scheduled) setImmediate(this.#closeGroup);
  }

  /** A participant that fails must not stop the groups of the others. */
  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.onFailure?.(error);
    }
  }

  #syncNow(): void {
    if (!this.#unsynced) return;
    this.#unsynced = false;
    this.#store.write([], true).catch((error: unknown) => {
      this.#unsynced = true;
      this.onFailure?.(error);
    });
  }

  /** Writes everything that has joined, also lazily, and stops. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#lazyTimer !== null) clearTimeout(this.#lazyTimer);
    if (this.#syncTimer !== null) clearInterval(this.#syncTimer);
    while (this.busy || this.#lazy.size > 0) {
      this.#schedule();
      await this.settled();
    }
    this.#closed = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    if (this.#options.sync !== 'never') await this.#store.write([], true);
  }
}
