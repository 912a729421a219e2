/**
 * Group commit. Whatever has to be durable in one turn of the event loop joins the open group; the group closes at the
 * end of the turn, or when the group before it has been written, and goes to the store in one batch; while many join in
 * each turn it stays open a little longer, unless most of those who wait for an acknowledgement have joined it already.
 * Acknowledgements that joined the group leave after that.
 *
 * Invariants: one group is being written at a time; groups are written in the order in which they were opened, each as a
 * whole or not at all; an acknowledgement leaves only after everything that had joined before it is durable.
 */
import type { Counters } from '../bus/counters.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { type Acknowledger, Group, type Participant } from './group.js';
import { Growth } from './growth.js';
import { PATIENCE, StoreLoad } from './load.js';
import type { Operation, Store } from './store.js';
import { TimedSync } from './timed-sync.js';

/** Changes are written again. */
export interface Outage {
  /** What held up writing was a fault of the broker, not the store. */
  readonly faulty: boolean;
  /** How long it did not. */
  readonly milliseconds: number;
  /** PUBLISH, SUBSCRIBE, UNSUBSCRIBE and CONNECT packets that were refused meanwhile. */
  readonly refused: number;
}

export interface CommitOptions {
  /** `store.sync`. */
  readonly sync: 'always' | 'interval' | 'never';
  /** `store.sync_interval` in milliseconds, for `interval`. */
  readonly syncInterval: number;
  /** `store.unwritten_bytes`; 64 MiB unless given. */
  readonly unwrittenBytes?: number;
  /** Milliseconds between the first attempts after a failed write; 250 unless given. */
  readonly retryDelay?: number;
  /** Milliseconds for which a group stays open while many join in each turn; 2 unless given. */
  readonly growth?: number;
  /** Milliseconds that `close` waits for a store that writes nothing; for ever unless given. */
  readonly closePatience?: number;
}

/** Milliseconds for which a group stays open while many join. */
const GROWTH = 2;
/** Milliseconds until state that nobody waits for is written. */
const LAZY_DELAY = 500;
/** Milliseconds between attempts after a failed write: at first, and after `EARLY_ATTEMPTS`. */
const RETRY_DELAY = 250;
const LATE_RETRY_DELAY = 1000;
const EARLY_ATTEMPTS = 20;
const UNWRITTEN_BYTES = 64 * 1024 * 1024;
/** Bytes that stand for what is kept of each of these besides its content. */
const PARTICIPANT_COST = 256;
const OPERATION_COST = 256;
const ACKNOWLEDGEMENT_COST = 64;
const WAITER_COST = 1024;

export class GroupCommit {
  readonly #store: Store;
  readonly #options: CommitOptions;
  readonly #counters: Counters;
  readonly #growth: Growth;
  readonly #lazy = new Set<Participant>();
  #open = new Group();
  #writing: Group | null = null;
  /** Of a group that is over, for the next one. */
  #numbers: Int32Array | null = null;
  #scheduled = false;
  #lazyTimer: NodeJS.Timeout | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #closed = false;
  /** Told of each failed write; the group is tried again. */
  onFailure: ((error: unknown) => void) | null = null;
  /**
   * Told of each fault of ours, which somebody who takes part in a group has thrown.
   * @param held nothing is written until whoever failed says what it has to write; it is asked again
   */
  onFault: ((error: unknown, held: boolean) => void) | null = null;
  /** Told once when a write takes too long; the argument is how long it may, in seconds. */
  onOverdue: ((seconds: number) => void) | null = null;
  /** Told when writing works again. */
  onRecovery: ((outage: Outage) => void) | null = null;
  /** How it keeps up. */
  readonly load: StoreLoad;
  /** With `interval`, what brings to the disk what was written. */
  readonly timedSync: TimedSync | null;
  /** `close` has given up on a write that has not returned. */
  hanging = false;
  #attempts = 0;
  /** `performance.now()` at which the store began to fail or not to answer, and what had been refused before. */
  #ailingSince = 0;
  #refusedBefore = 0;
  /** The group that was being written when `tick` last looked, and how often it has seen it since. */
  #watched: Group | null = null;
  #looks = 0;
  /** Grows with everything that joins, so that a caller can tell whether what it did has to be waited for. */
  revision = 0;
  /** Those who have more to add than at once: `close` waits until they have. */
  expected = 0;

  constructor(store: Store, options: CommitOptions, counters: Counters) {
    this.#store = store;
    this.#options = options;
    this.#counters = counters;
    this.#growth = new Growth(options.growth ?? GROWTH);
    this.load = new StoreLoad(options.unwrittenBytes ?? UNWRITTEN_BYTES);
    const { sync, syncInterval } = options;
    this.timedSync = sync === 'interval' ? new TimedSync(syncInterval, () => store.write([], true), counters) : null;
  }

  /** The last write failed and its group has not been written yet, or it has not been answered, or a fault holds it up. */
  get failing(): boolean {
    return this.load.ailing;
  }

  /** Bytes that wait to be written, about. */
  get unwritten(): number {
    return this.load.bytes;
  }

  /** Whether anything has joined that is not durable yet. */
  get busy(): boolean {
    return this.#scheduled || this.#writing !== null;
  }

  /** The open group, for participants that compare it with the one they have joined. */
  get group(): Group {
    return this.#open;
  }

  /**
   * Joins the open group.
   * @param bytes that it has to write, beyond what it said before
   */
  enlist(participant: Participant, bytes = 0): void {
    this.revision++;
    if (participant.group === this.#open) {
      this.#grow(bytes);
      return;
    }
    this.#grow(bytes + PARTICIPANT_COST);
    participant.group = this.#open;
    this.#open.participants.push(participant);
    this.#schedule();
  }

  #grow(bytes: number): void {
    this.#open.bytes += bytes;
    this.load.add(bytes);
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
    const value = operation.type === 'put' ? operation.value.length : 0;
    this.#grow(OPERATION_COST + operation.key.length + value);
    this.#schedule();
  }

  /**
   * Sends an acknowledgement once everything that has joined until now is durable.
   * @param bytes told back to `who`, which has caused that many to wait
   */
  acknowledge(who: Acknowledger, type: number, packetId: number, reasonCode: number, bytes = 0): void {
    const group = this.#open;
    group.await(who, type, packetId, reasonCode, bytes);
    this.#grow(ACKNOWLEDGEMENT_COST);
    this.#schedule();
  }

  /** Resolves once everything that has joined until now is durable; rejects with `PORTICO_CLOSED` after `close`. */
  settled(): Promise<void> {
    if (this.#closed) return Promise.reject(new PorticoError(ErrorKinds.Closed, 'the store is closed'));
    if (!this.busy) return Promise.resolve();
    return new Promise((resolve) => this.#await(resolve));
  }

  /** Calls back once everything that has joined until now is durable; at once if it is already, never after `close`. */
  whenSettled(callback: () => void): void {
    if (this.#closed) return;
    if (!this.busy) {
      callback();
      return;
    }
    this.#await(callback);
  }

  #await(callback: () => void): void {
    this.#open.waiters.push(callback);
    this.#grow(WAITER_COST);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    if (this.#writing === null) setImmediate(this.#closeGroup);
  }

  readonly #closeGroup = (): void => {
    if (this.#growth.goesOn(this.revision, this.#open.acknowledgements)) {
      setImmediate(this.#closeGroup);
      return;
    }
    const group = this.#open;
    for (const participant of this.#lazy) {
      if (participant.group === group) continue;
      participant.group = group;
      group.participants.push(participant);
    }
    this.#lazy.clear();
    if (!this.#collect(group)) return;
    this.#open = new Group(this.#numbers);
    this.#numbers = null;
    this.#scheduled = false;
    this.#writing = group;
    group.collected(this.#report);
    if (this.load.faulty) this.#recovered();
    if (group.operations.length === 0) this.#finish(group);
    else void this.#write(group);
  };

  /**
   * Asks everybody in the group what is to be written. If one fails the group stays open, and is asked again: without a
   * part of it the rest would be wrong. Who has taken a QoS 2 publication must not be known before its receivers have it.
   */
  #collect(group: Group): boolean {
    const { operations } = group;
    const added = operations.length;
    try {
      for (const participant of group.participants) participant.collect(operations);
      return true;
    } catch (error) {
      operations.length = added;
      this.#hold(error);
      return false;
    }
  }

  #hold(error: unknown): void {
    if (this.#closed) return;
    if (!this.load.ailing) this.#begins();
    this.#report(error, true);
    // Meanwhile `#scheduled` stays set.
    this.#retryTimer = setTimeout(this.#closeGroup, this.#nextDelay());
    this.load.ail(false, false, true);
  }

  /** Milliseconds until the next attempt. */
  #nextDelay(): number {
    return ++this.#attempts > EARLY_ATTEMPTS ? LATE_RETRY_DELAY : (this.#options.retryDelay ?? RETRY_DELAY);
  }

  async #write(group: Group): Promise<void> {
    try {
      await this.#store.write(group.operations, this.#options.sync === 'always');
    } catch (error) {
      this.#failed(group, error);
      return;
    }
    if (this.load.ailing) this.#recovered();
    this.timedSync?.want();
    this.#counters.commits++;
    this.#counters.commitOperations += group.operations.length;
    this.#finish(group);
  }

  #failed(group: Group, error: unknown): void {
    this.#counters.commitFailures++;
    if (this.#closed) return;
    if (!this.load.ailing) this.#begins();
    this.onFailure?.(error);
    this.#retryTimer = setTimeout(() => void this.#write(group), this.#nextDelay());
    // It has answered.
    this.load.ail(true, false);
  }

  #begins(): void {
    this.#ailingSince = performance.now();
    this.#refusedBefore = refusedBecauseOfStore(this.#counters);
  }

  #recovered(): void {
    this.#attempts = 0;
    const milliseconds = performance.now() - this.#ailingSince;
    const refused = refusedBecauseOfStore(this.#counters) - this.#refusedBefore;
    this.onRecovery?.({ faulty: this.load.faulty, milliseconds, refused });
    this.load.ail(false, false);
  }

  /** Looks whether the store answers. Call about once a second: looks are counted, for clocks jump and machines sleep. */
  tick(): void {
    const { load } = this;
    if (this.#watched !== this.#writing) {
      this.#watched = this.#writing;
      this.#looks = 0;
    } else if (this.#watched !== null && !load.ailing && ++this.#looks >= PATIENCE) this.#silent();
  }

  #silent(): void {
    this.#begins();
    this.#ailingSince -= PATIENCE * 1000;
    this.onOverdue?.(PATIENCE);
    this.load.ail(false, true);
  }

  #finish(group: Group): void {
    this.#growth.waited = group.acknowledgements + this.#open.acknowledgements;
    // `#writing` stays set until the end, so that what joins from here is scheduled once.
    group.committed(this.#report);
    this.#writing = null;
    this.#numbers = group.numbers;
    if (this.#scheduled) setImmediate(this.#closeGroup);
    this.load.remove(group.bytes);
  }

  readonly #report = (error: unknown, held = false): void => {
    this.#counters.commitFaults++;
    this.onFault?.(error, held);
  };

  /**
   * Writes everything that has joined, also lazily, and stops. Rejects with `PORTICO_STORE_COMMIT` if the store writes
   * nothing for `closePatience`: what nobody has been told of is lost then.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#lazyTimer !== null) clearTimeout(this.#lazyTimer);
    this.timedSync?.stop();
    try {
      while (this.busy || this.#lazy.size > 0 || this.expected > 0) {
        this.#schedule();
        await this.#patiently(this.settled());
      }
      this.#closed = true;
      if (this.#options.sync !== 'never') await this.#patiently(this.#store.write([], true));
    } finally {
      this.#closed = true;
      if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    }
  }

  /** Rejects with `PORTICO_STORE_COMMIT` if `written` fails or takes too long. */
  async #patiently(written: Promise<void>): Promise<void> {
    const { closePatience } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    try {
      if (closePatience === undefined) return await written;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          const { failing, faulty } = this.load;
          this.hanging = !failing && !faulty;
          const words = faulty ? 'because of an internal fault nothing was written' : 'the store has written nothing';
          reject(new Error(`${words} for ${closePatience / 1000} s`));
        }, closePatience);
      });
      await Promise.race([written, late]);
    } catch (cause) {
      const words = cause instanceof Error ? cause.message : String(cause);
      const lost = 'what was not written yet, and so not acknowledged, is lost';
      throw new PorticoError(ErrorKinds.StoreCommit, `${lost}: ${words}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }
}

function refusedBecauseOfStore(counters: Counters): number {
  return counters.refusedPublish + counters.refusedSubscribe + counters.refusedConnect;
}
