/**
 * Takes from the stored queue of a client what it will never get: messages whose Message Expiry Interval has run out
 * [MQTT-3.3.2-5] or that have waited too long, while it is absent; and messages that were dropped for newer ones. A
 * segment with such messages is replaced by what is left of it: runs of messages, each a segment of its own, because a
 * message's number follows from its place in its segment.
 */
import { Family, parseQueueKey, queueKey, queueRangeFrom, sessionRange } from '../store/keys.js';
import type { Operation, Store } from '../store/store.js';
import { nextRecord, RecordView } from './queue-record.js';
import { areSegmentRecords, SEGMENT_VERSION } from './segment.js';
import type { SegmentQueue } from './segment-queue.js';
import type { SequenceRange } from './sequence-range.js';

/** Milliseconds between two looks for expired messages in one queue. */
const SWEEP_INTERVAL = 10_000;
/** Bytes that are written anew before the sweep waits for the store. */
const BATCH_BYTES = 1024 * 1024;
/** Segments that are deleted before the sweep waits for the store. */
const BATCH_KEYS = 1000;

/** What a sweep needs of the queue's owner. */
export interface SweepHost {
  readonly number: number;
  readonly store: Store;
  /** Whether a client has come back, or the session has ended: the sweep ends there. */
  readonly interrupted: boolean;
  isDone(sequence: number): boolean;
  /** Whether the delivery of a message has begun: then it is not taken back. */
  hasBegun(sequence: number, qos: number): boolean;
  /**
   * Messages have been taken from the queue.
   * @param expired by their Message Expiry Interval
   * @param aged by `limits.queue_age`
   * @param bytes of their records
   */
  expired(expired: number, aged: number, bytes: number): void;
  /** Joins changes to the open commit group. */
  write(operations: readonly Operation[]): void;
  /** Resolves once everything that has joined until now is durable. */
  settled(): Promise<void>;
}

/** When to look for expired messages in one queue. All times in milliseconds since the epoch. */
export class QueueExpiry {
  /** When the first waiting message expires, as far as is known; 0 if none does. */
  #due = 0;
  #sweptAt = 0;

  /** A message that waits expires then; 0 for never. */
  expect(expiresAt: number): void {
    this.#due = earlier(this.#due, expiresAt);
  }

  /** Whether it is time for `sweep`. */
  isDue(now: number): boolean {
    return this.#due > 0 && now >= Math.max(this.#due, this.#sweptAt + SWEEP_INTERVAL);
  }

  /** Takes the expired messages out of the store. Resolves when that is durable. */
  async sweep(host: SweepHost, queue: SegmentQueue, now: number): Promise<void> {
    let due = this.#due;
    // What joins the queue from here on tells its own time; what joined before has to be where it is looked for.
    this.#due = 0;
    try {
      await host.settled();
      if (host.interrupted || !queue.lock()) return;
      this.#sweptAt = now;
      try {
        due = await sweepExpired(host, queue, now);
      } finally {
        // What is read from the store has to be what the queue expects there.
        await host.settled();
        queue.unlock();
      }
    } finally {
      this.expect(due);
    }
  }
}

/** Takes segments out of the store all whose messages have been dropped. Resolves when that is durable. */
export async function sweepDropped(host: SweepHost, queue: SegmentQueue, dropped: SequenceRange): Promise<void> {
  await host.settled();
  if (!queue.lock()) return;
  try {
    let deleted = 0;
    for await (const key of host.store.keys(queueRangeFrom(host.number, dropped.start))) {
      const { first, count } = parseQueueKey(key);
      if (first + count > dropped.end) break;
      // The range may have moved on meanwhile, over messages that are in flight.
      if (!areDone(host, first, count) || !queue.replace(key, [])) continue;
      host.write([{ type: 'del', key }]);
      if (++deleted % BATCH_KEYS === 0) await host.settled();
    }
  } finally {
    await host.settled();
    queue.unlock();
  }
}

function areDone(host: SweepHost, first: number, count: number): boolean {
  for (let sequence = first; sequence < first + count; sequence++) if (!host.isDone(sequence)) return false;
  return true;
}

/** The earlier of two times, of which 0 is never. */
export function earlier(one: number, other: number): number {
  return one === 0 || (other > 0 && other < one) ? other : one;
}

/** Returns when the next message expires, 0 for never. */
async function sweepExpired(host: SweepHost, queue: SegmentQueue, now: number): Promise<number> {
  let due = 0;
  let written = 0;
  for await (const key of host.store.keys(sessionRange(Family.Queue, host.number))) {
    if (host.interrupted) return now;
    const segment = parseQueueKey(key);
    if (segment.expiresAt === 0 || segment.expiresAt > now) {
      due = earlier(due, segment.expiresAt);
      continue;
    }
    const value = await host.store.get(key);
    if (host.interrupted) return now;
    // Deleted since, or damaged, which reading it will report.
    if (value === undefined || !areSegmentRecords(value, segment.count)) continue;
    const left = leftOf(host, value, segment.first, segment.count, now);
    due = earlier(due, left.due);
    if (left.expired + left.aged === 0) continue;
    const keys = left.runs.map((run) => queueKey(host.number, run.first, run.count, run.value.length, run.expiresAt));
    if (!queue.replace(key, keys)) continue;
    const puts = left.runs.map(({ value }, i): Operation => ({ type: 'put', key: keys[i], value }));
    host.write([{ type: 'del', key }, ...puts]);
    const bytes = left.runs.reduce((sum, run) => sum + run.value.length - 1, 0);
    host.expired(left.expired, left.aged, value.length - 1 - bytes);
    written += bytes;
    if (written < BATCH_BYTES) continue;
    written = 0;
    await host.settled();
  }
  return due;
}

/** Messages in a row that are left of a segment. */
interface Run {
  readonly first: number;
  readonly count: number;
  /** As a stored segment. */
  readonly value: Buffer;
  /** Earliest expiry, 0 for none. */
  readonly expiresAt: number;
}

interface Left {
  /** Messages that have expired, and those that have waited too long. */
  readonly expired: number;
  readonly aged: number;
  readonly runs: readonly Run[];
  /** Earliest expiry of the runs, 0 for none. */
  readonly due: number;
}

const view = new RecordView();

function leftOf(host: SweepHost, value: Buffer, first: number, count: number, now: number): Left {
  const runs: Run[] = [];
  let expired = 0;
  let aged = 0;
  let due = 0;
  let expiresAt = 0;
  let start = 1;
  let from = first;
  let at = 1;
  const close = (sequence: number): void => {
    if (sequence === from) return;
    const run = Buffer.concat([Buffer.from([SEGMENT_VERSION]), value.subarray(start, at)]);
    runs.push({ first: from, count: sequence - from, value: run, expiresAt });
    due = earlier(due, expiresAt);
    expiresAt = 0;
  };
  for (let sequence = first; sequence < first + count; sequence++) {
    const next = nextRecord(value, at);
    view.read(value, at);
    const mayExpire = view.mayExpire && !host.hasBegun(sequence, view.qos);
    const isExpired = mayExpire && view.expiresAt > 0 && view.expiresAt <= now;
    const isOver = isExpired || (mayExpire && view.deadline > 0 && view.deadline <= now);
    if (isOver || host.isDone(sequence)) {
      close(sequence);
      from = sequence + 1;
      start = next;
      if (isExpired) expired++;
      else if (isOver) aged++;
    } else if (mayExpire) expiresAt = earlier(expiresAt, earlier(view.expiresAt, view.deadline));
    at = next;
  }
  close(first + count);
  return { expired, aged, runs, due };
}
