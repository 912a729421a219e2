/**
 * Takes messages whose Message Expiry Interval has run out from the stored queue of an absent client [MQTT-3.3.2-5].
 * A segment of which nothing is left is deleted; another is written anew, with a short record in the place of each
 * message that is gone, because a message's number follows from its place.
 */
import { Family, parseQueueKey, queueKey, sessionRange } from '../store/keys.js';
import type { Operation, Store } from '../store/store.js';
import { Output } from '../wire/output.js';
import { appendGone, GONE, nextRecord, RecordView } from './queue-record.js';
import { areSegmentRecords, SEGMENT_VERSION, type SegmentQueue } from './segment-queue.js';

/** What a sweep needs of the queue's owner. */
export interface SweepHost {
  readonly number: number;
  readonly store: Store;
  /** Whether a client has come back: the sweep ends there. */
  readonly interrupted: boolean;
  /** First message that has not been sent: what has been is not taken back. */
  readonly sent: number;
  /** Joins changes to the open commit group. */
  write(operations: readonly Operation[]): void;
}

export interface SweepResult {
  /** Messages gone, and the bytes of their records. */
  readonly messages: number;
  readonly bytes: number;
  /** Milliseconds since the epoch at which the next message expires, 0 for none. */
  readonly due: number;
}

/** What is left of a segment. */
interface Rewritten {
  readonly gone: number;
  /** Bytes of the records that are gone. */
  readonly bytes: number;
  /** Null if nothing is left. */
  readonly value: Buffer | null;
  /** Earliest expiry of what is left, 0 for none. */
  readonly due: number;
}

const view = new RecordView();

/** @param now milliseconds since the epoch */
export async function sweepExpired(host: SweepHost, queue: SegmentQueue, now: number): Promise<SweepResult> {
  let messages = 0;
  let bytes = 0;
  let due = 0;
  const later = (time: number): void => {
    if (time > 0 && (due === 0 || time < due)) due = time;
  };
  for await (const key of host.store.keys(sessionRange(Family.Queue, host.number))) {
    const segment = parseQueueKey(key);
    if (segment.expiresAt === 0 || segment.expiresAt > now) {
      later(segment.expiresAt);
      continue;
    }
    const value = await host.store.get(key);
    if (host.interrupted) return { messages, bytes, due: now };
    // Deleted since, or damaged, which reading it will report.
    if (value === undefined || !areSegmentRecords(value, segment.count)) continue;
    const left = rewrite(value, segment.first, segment.count, host.sent, now);
    later(left.due);
    if (left.gone === 0) continue;
    const operations: Operation[] = [{ type: 'del', key }];
    let newKey: Buffer | null = null;
    if (left.value !== null) {
      newKey = queueKey(host.number, segment.first, segment.count, left.value.length, left.due);
      operations.push({ type: 'put', key: newKey, value: left.value });
    }
    if (!queue.replace(key, newKey)) continue;
    host.write(operations);
    messages += left.gone;
    bytes += left.bytes;
  }
  return { messages, bytes, due };
}

function rewrite(value: Buffer, first: number, count: number, sent: number, now: number): Rewritten {
  const out = new Output();
  out.reserve(value.length + count);
  out.writeUInt8(SEGMENT_VERSION);
  let gone = 0;
  let left = 0;
  let bytes = 0;
  let due = 0;
  for (let sequence = first, at = 1; sequence < first + count; sequence++) {
    const next = nextRecord(value, at);
    view.read(value, at);
    if (view.expiresAt === GONE) {
      out.writeBytes(value, at, next);
    } else if (view.expiresAt > 0 && view.expiresAt <= now && sequence >= sent) {
      appendGone(out);
      gone++;
      bytes += next - at;
    } else {
      out.writeBytes(value, at, next);
      left++;
      if (view.expiresAt > 0 && sequence >= sent && (due === 0 || view.expiresAt < due)) due = view.expiresAt;
    }
    at = next;
  }
  const rewritten = left === 0 ? null : Buffer.from(out.bytes());
  out.recycle();
  return { gone, bytes, value: rewritten, due };
}
