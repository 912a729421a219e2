/** A run of a session's records that were queued in one commit group, and its form in the store. */
import { parseQueueKey } from '../store/keys.js';
import { Output } from '../wire/output.js';
import { areRecords, nextRecord, RecordView } from './queue-record.js';

/** Version byte at the head of a stored segment. */
export const SEGMENT_VERSION = 1;

export class Segment {
  readonly first: number;
  count = 0;
  /** Messages of it that are done. */
  done = 0;
  /** Milliseconds since the epoch at which the first of its messages expires, 0 if none does. */
  expiresAt = 0;
  /** The records behind a version byte; null if they are only on disk. */
  output: Output | null;
  /** Key under which it is, or is being, stored; null as long as it is not. */
  key: Buffer | null = null;
  /** The store has it. */
  stored = false;

  constructor(first: number, output: Output | null) {
    this.first = first;
    this.output = output;
  }

  /** A segment that is only on disk. */
  static of(key: Buffer): Segment {
    const { first, count } = parseQueueKey(key);
    const segment = new Segment(first, null);
    segment.count = count;
    segment.key = key;
    segment.stored = true;
    return segment;
  }

  get end(): number {
    return this.first + this.count;
  }

  /** One of its messages expires then; 0 for never. */
  expect(expiresAt: number): void {
    if (expiresAt > 0 && (this.expiresAt === 0 || expiresAt < this.expiresAt)) this.expiresAt = expiresAt;
  }

  /** Offset of a record, which must be in memory. */
  offsetOf(sequence: number): number {
    const { buffer } = this.output as Output;
    let offset = 1;
    for (let at = this.first; at < sequence; at++) offset = nextRecord(buffer, offset);
    return offset;
  }

  /** The records from `sequence` on, as far as they are in memory; each is valid until the next one is asked for. */
  *records(sequence: number): Iterable<RecordView> {
    if (this.output === null || this.end <= sequence) return;
    const view = new RecordView();
    const { buffer, length } = this.output;
    for (let at = this.offsetOf(Math.max(this.first, sequence)); at < length; at = nextRecord(buffer, at)) {
      view.read(buffer, at);
      yield view;
    }
  }

  /** Takes the records that the store has of it. Throws DamagedSegment if they are not whole. */
  fill(value: Buffer): void {
    if (!areSegmentRecords(value, this.count)) throw new DamagedSegment('a queue segment does not parse');
    const output = new Output();
    output.buffer = value;
    output.length = value.length;
    this.output = output;
  }
}

/** A stored segment that is not what was written. */
export class DamagedSegment extends Error {}

/** Whether a stored segment is what was written: `count` whole records behind a version that is known. */
export function areSegmentRecords(value: Buffer, count: number): boolean {
  return value[0] === SEGMENT_VERSION && areRecords(value, 1, count);
}
