/** Where a queue is being read: spares looking for the next message after each one. */
import type { Output } from '../wire/output.js';
import { nextRecord, RecordView } from './queue-record.js';
import type { Segment } from './segment.js';
import type { SegmentQueue } from './segment-queue.js';

export class QueueCursor {
  readonly #queue: SegmentQueue;
  /** What was read last; valid until the segment's bytes change. */
  readonly record = new RecordView();
  #segment: Segment | null = null;
  #offset = 0;
  /** Number of the message at `#offset`. */
  #sequence = 0;

  constructor(queue: SegmentQueue) {
    this.#queue = queue;
  }

  /** The segment that holds a message, or the first one after it, if its records are in memory. */
  seek(sequence: number): Segment | null {
    const known = this.#segment;
    if (known?.output != null && this.#sequence === sequence && sequence < known.end) return known;
    const segment = this.#queue.locate(sequence);
    return segment === null || segment.output === null ? null : segment;
  }

  /** Reads a message of a segment that `seek` has found. Returns the bytes of its record. */
  read(segment: Segment, sequence: number): number {
    if (segment !== this.#segment || sequence !== this.#sequence) {
      this.#segment = segment;
      this.#sequence = sequence;
      this.#offset = segment.offsetOf(sequence);
    }
    this.record.read((segment.output as Output).buffer, this.#offset);
    return this.record.payloadEnd - this.#offset;
  }

  /** Goes on behind the message that was read. */
  pass(): void {
    this.#offset = nextRecord(this.record.buffer, this.#offset);
    this.#sequence++;
  }
}
