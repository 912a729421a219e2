/**
 * What may wait in a session's queue, how much and how long: `limits.queued_messages`, `limits.queued_bytes`,
 * `limits.queue_age`, `limits.queue_full`, `limits.memory`, and each message's expiry. What they take is counted here.
 */
import type { Holding } from '../bus/memory-budget.js';
import type { FlowState } from './flow-state.js';
import type { OutboundHost } from './link.js';
import type { RecordView } from './queue-record.js';
import { QueueExpiry, type SweepHost, sweepDropped } from './queue-sweep.js';
import type { SegmentQueue } from './segment-queue.js';

/** Dropped messages that the store may still have before they are taken out of it. */
const MOST_DROPPED_IN_STORE = 1024;

export class QueueLimits {
  readonly #host: OutboundHost;
  readonly #flow: FlowState;
  readonly #queue: SegmentQueue;
  readonly #holding: Holding;
  /** Bytes of the messages that have not been sent; about, after a restart. */
  waitingBytes = 0;
  readonly expiry = new QueueExpiry();
  /** Dropped messages that the store still has, about. */
  #droppedInStore = 0;

  /** @param holding what the queue holds in memory */
  constructor(host: OutboundHost, flow: FlowState, queue: SegmentQueue, holding: Holding) {
    this.#host = host;
    this.#flow = flow;
    this.#queue = queue;
    this.#holding = holding;
  }

  /**
   * The option that says that no further message may wait, or be held at all, if there is one.
   * @param bytes of its payload
   * @param live whether it does not wait
   */
  reached(bytes = 0, live = false): string | null {
    const { options, store } = this.#host;
    // What a durable session cannot have in memory waits in the store.
    if (store === null && (this.#holding.lacksRoomFor(bytes) || (!live && this.#holding.isOver)))
      return 'limits.memory';
    if (live) return null;
    if (this.#flow.unsent >= options.queuedMessages) return 'limits.queued_messages';
    if (this.waitingBytes >= options.queuedBytes) return 'limits.queued_bytes';
    return null;
  }

  /** Whether one more message may wait, once the oldest have made room for it if they are to. */
  hasRoom(bytes = 0, live = false): boolean {
    for (let option = this.reached(bytes, live); option !== null; option = this.reached(bytes, live)) {
      const { options, counters } = this.#host;
      const lacksMemory = option === 'limits.memory';
      const goesOn = options.queueFull === 'drop_oldest' && !lacksMemory && this.#dropOldest();
      counters.publishDropped++;
      if (lacksMemory) counters.droppedMemory++;
      else if (option === 'limits.queued_bytes') counters.droppedQueuedBytes++;
      else counters.droppedQueuedMessages++;
      this.#host.onLimit(option);
      if (!goesOn) return false;
    }
    return true;
  }

  /** Drops the oldest message that has not been sent. Returns false if there is none. */
  #dropOldest(): boolean {
    const flow = this.#flow;
    while (flow.sent < flow.tail) {
      const sequence = flow.sent;
      const { unsent } = flow;
      if (flow.gap.holds(sequence)) {
        flow.passOver(flow.gap.end);
        continue;
      }
      flow.passOver(sequence + 1);
      if (this.#host.store === null) this.#queue.sentUpTo(flow.next);
      else if (!this.#queue.finish(sequence)) this.#droppedInStore++;
      // Whether an expired message was here is not known without reading: they are counted as the oldest.
      if (flow.gone > 0) {
        flow.gone--;
        flow.assumedGone++;
        continue;
      }
      this.waitingBytes -= this.waitingBytes / Math.max(1, unsent);
      return true;
    }
    return false;
  }

  /** When a message that begins to wait now has waited too long, in milliseconds since the epoch; 0 for never. */
  deadline(): number {
    const { queueAge: age } = this.#host.options;
    return age === 0 ? 0 : this.#host.now() + age * 1000;
  }

  /** Whether a message has expired, or has waited too long; then it is counted. */
  isOver(record: RecordView): boolean {
    const now = this.#host.now();
    if (record.expiresAt > 0 && record.expiresAt <= now) this.#expired(1, 0);
    else if (record.deadline > 0 && record.deadline <= now) this.#expired(0, 1);
    else return false;
    return true;
  }

  /**
   * @param expired messages whose Message Expiry Interval has run out
   * @param aged messages that have waited for `limits.queue_age`
   */
  #expired(expired: number, aged: number): void {
    const { counters } = this.#host;
    counters.publishDropped += expired + aged;
    counters.droppedExpired += expired;
    if (aged === 0) return;
    counters.droppedAged += aged;
    this.#host.onLimit('limits.queue_age', aged);
  }

  /** So many messages that wait, the oldest, turn out not to be there. */
  missing(count: number): void {
    const flow = this.#flow;
    const gone = Math.min(count, flow.gone);
    flow.gone -= gone;
    // These had expired; then others that were taken for them had not.
    const mistaken = Math.min(count - gone, flow.assumedGone);
    flow.assumedGone -= mistaken;
    this.#host.counters.publishDropped += mistaken;
    this.#host.counters.droppedQueuedMessages += mistaken;
  }

  /** Nothing waits: what a restart could only estimate is known now. */
  empty(): void {
    this.waitingBytes = 0;
    this.#flow.gone = 0;
  }

  /**
   * Whether it is time for `sweep`.
   * @param online whether a client is connected
   */
  needsSweep(now: number, online: boolean): boolean {
    return this.#droppedInStore >= MOST_DROPPED_IN_STORE || (!online && this.expiry.isDue(now));
  }

  /**
   * Takes messages that have been dropped, and those that have expired, out of the store. Resolves when that is durable.
   * @param now milliseconds since the epoch
   * @param interrupted whether a client has come back, or the session has ended
   */
  async sweep(now: number, interrupted: () => boolean): Promise<void> {
    const { number, store } = this.#host;
    if (store === null) return;
    const host: SweepHost = {
      number,
      store,
      get interrupted() {
        return interrupted();
      },
      isDone: (sequence) => this.#flow.isDone(sequence),
      hasBegun: (sequence, qos) => this.#flow.hasBegun(sequence, qos),
      expired: (expired, aged, bytes) => {
        this.#flow.gone += expired + aged;
        this.waitingBytes = Math.max(0, this.waitingBytes - bytes);
        this.#expired(expired, aged);
      },
      write: (operations) => this.#host.write(operations),
      settled: () => new Promise((resolve) => this.#host.whenSettled(resolve)),
    };
    if (this.#droppedInStore >= MOST_DROPPED_IN_STORE) {
      this.#droppedInStore = 0;
      await sweepDropped(host, this.#queue, this.#flow.dropped);
    }
    if (this.expiry.isDue(now) && !interrupted()) await this.expiry.sweep(host, this.#queue, now);
  }
}
