/**
 * The messages of one session that are not done yet, in order of sequence number, as segments: runs of records that
 * were queued in one commit group and lie under one key of the store.
 *
 * Invariants: `front` holds the oldest segments; then come the messages of `unloaded`, which are only on disk; then
 * `back`, which is empty unless something is unloaded. A segment's records are in memory, or it is stored. A session
 * with a million waiting messages therefore holds a few segments in memory and a count.
 */
import type { Holding } from '../bus/memory-budget.js';
import type { Publication } from '../bus/publication.js';
import { parseQueueKey, queueKey, queueRangeFrom } from '../store/keys.js';
import type { Operation, Store } from '../store/store.js';
import { Output } from '../wire/output.js';
import type { FlowState } from './flow-state.js';
import type { OutboundHost } from './link.js';
import { appendRecord, type RecordView } from './queue-record.js';
import { DamagedSegment, SEGMENT_VERSION, Segment } from './segment.js';

/** Bytes of records that are read ahead from the store. */
const LOAD_BYTES = 256 * 1024;
/**
 * Bytes after which a segment of a session without store is closed, so that what is sent can be freed: most of a buffer
 * of 128 KiB, and not little more than one of 64 KiB.
 */
const VOLATILE_SEGMENT_BYTES = 112 * 1024;

/** Bounds of what a segment is expected to take: what a single small message takes, and the smallest pooled buffer. */
const LEAST_SEGMENT_BYTES = 256;
const MOST_EXPECTED_BYTES = 4096;

/** Stands for a list without any: most queues never need one. */
const NO_KEYS: Buffer[] = [];

/** What the queue needs of its session; see `OutboundHost`. */
type QueueHost = Pick<OutboundHost, 'number' | 'store' | 'options' | 'onDamage'>;

export class SegmentQueue {
  readonly #host: QueueHost;
  readonly #flow: FlowState;
  readonly #store: Store | null;
  readonly #holding: Holding;
  #front: Segment[] = [];
  #back: Segment[] = [];
  /** What is only on disk between front and back. */
  #unloadedFirst = 0;
  #unloadedCount = 0;
  /** Bytes that the next segment will take, about. */
  #expected = LEAST_SEGMENT_BYTES;
  /** Takes appends until its commit group closes. */
  #open: Segment | null = null;
  #writing: Segment | null = null;
  #deletions = NO_KEYS;
  #loading = false;
  #loadingAhead = false;
  #disposed = false;

  /**
   * @param flow knows whether a message of a segment that is read again was done before
   * @param holding what the records in memory take
   */
  constructor(host: QueueHost, flow: FlowState, holding: Holding) {
    this.#host = host;
    this.#flow = flow;
    this.#store = host.store;
    this.#holding = holding;
  }

  #delete(key: Buffer): void {
    if (this.#deletions === NO_KEYS) this.#deletions = [];
    this.#deletions.push(key);
  }

  /** Tells the queue what the store holds, at start-up. */
  restore(first: number, count: number): void {
    this.#unloadedFirst = first;
    this.#unloadedCount = count;
  }

  /** Appends a message; returns the bytes of its record. */
  append(
    sequence: number,
    publication: Publication,
    qos: number,
    retain: boolean,
    identifiers: readonly number[] | null,
    share: string,
    deadline: number,
  ): number {
    let segment = this.#open;
    if (segment?.output == null) {
      const output = new Output(true);
      output.reserve(this.#expected);
      output.writeUInt8(SEGMENT_VERSION);
      this.#hold(output.buffer.length);
      segment = new Segment(sequence, output);
      this.#open = segment;
      if (this.#hasMiddle) this.#back.push(segment);
      else this.#front.push(segment);
    }
    segment.count++;
    segment.expect(publication.expiresAt);
    segment.expect(deadline);
    const output = segment.output as Output;
    const before = output.buffer.length;
    const size = appendRecord(output, publication, qos, retain, identifiers, share, deadline);
    if (output.buffer.length !== before) this.#hold(output.buffer.length - before);
    if (this.#store === null && output.length >= VOLATILE_SEGMENT_BYTES) this.#open = null;
    return size;
  }

  /** Whether there is, or while it is being read may be, something between front and back. */
  get #hasMiddle(): boolean {
    return this.#unloadedCount > 0 || this.#back.length > 0 || this.#loadingAhead;
  }

  /** Whether the next message opens a segment. */
  get opensSegment(): boolean {
    return this.#open === null;
  }

  /** Adds what the store has to learn. A segment whose messages are all done by now is never written. */
  collect(operations: Operation[]): void {
    const open = this.#open;
    if (open?.output != null && open.done < open.count) {
      open.key = queueKey(this.#host.number, open.first, open.count, open.output.length, open.expiresAt);
      operations.push({ type: 'put', key: open.key, value: open.output.bytes() });
    }
    for (const key of this.#deletions) operations.push({ type: 'del', key });
  }

  /** What was collected is on its way to the store. */
  collected(): void {
    const open = this.#open;
    this.#open = null;
    this.#deletions = NO_KEYS;
    if (open?.output == null) return;
    if (open.done === open.count) this.#remove(open);
    else {
      this.#expected = Math.min(Math.max(open.output.length, LEAST_SEGMENT_BYTES), MOST_EXPECTED_BYTES);
      this.#writing = open;
    }
  }

  /** The records in memory take so many bytes more, or less. */
  #hold(bytes: number): void {
    if (!this.#disposed) this.#holding.set(this.#holding.held + bytes);
  }

  /**
   * What was collected is durable.
   * @param next first message that has not been sent on this connection
   * @param sent first message that has not been sent at all
   * @param online whether a client takes messages: for one that is away none stay in memory
   * @returns whether there is something to delete again
   */
  committed(next: number, sent: number, online: boolean): boolean {
    const segment = this.#writing;
    this.#writing = null;
    if (segment === null) return false;
    segment.stored = true;
    if (this.#back[0] === segment) {
      // Also if all of it is done: whoever reads what is unloaded finds it there, and counts it.
      this.#back.shift();
      this.#unload(segment);
      return false;
    }
    if (segment.done === segment.count) {
      this.#remove(segment);
      return true;
    }
    if (segment.end <= next) this.#dropRecords(segment);
    else if (segment.first >= sent && !this.#hasMiddle) {
      const bytes = (): number => this.#front.reduce((sum, { output }) => sum + (output?.length ?? 0), 0);
      if (!online || bytes() > this.#mostBytes) this.#unloadFrom(this.#front.indexOf(segment));
    }
    return false;
  }

  /** Bytes of waiting records that may stay in memory now. */
  get #mostBytes(): number {
    return this.#holding.isOver ? 0 : this.#host.options.queueMemory;
  }

  /**
   * The client is away: what the store has need not be in memory.
   * @param sent first message that has not been sent at all
   */
  release(sent: number): void {
    if (this.#store === null || this.#loading) return;
    let at = this.#front.length;
    while (at > 0 && this.#front[at - 1].first >= sent) at--;
    if (at < this.#front.length) this.#unloadFrom(at);
    for (const segment of this.#front) if (segment.stored) this.#dropRecords(segment);
  }

  /** Forgets the records of the segments from an index of `front` on, as far as the store has them. */
  #unloadFrom(index: number): void {
    const behind = this.#front.splice(index);
    let stored = 0;
    while (stored < behind.length && behind[stored].stored) stored++;
    if (stored === 0) {
      this.#front.push(...behind);
      return;
    }
    // What was queued while the last one was being written stands behind it, and behind what is unloaded.
    if (!this.#hasMiddle) this.#back = behind.slice(stored);
    this.#unloadedFirst = behind[0].first;
    for (const segment of behind.slice(0, stored)) this.#unload(segment);
  }

  #unload(segment: Segment): void {
    this.#unloadedCount += segment.count;
    this.#dropRecords(segment);
  }

  #dropRecords(segment: Segment): void {
    if (segment.output === null) return;
    this.#hold(-segment.output.buffer.length);
    segment.output.recycle();
    segment.output = null;
  }

  /** Gives a segment the records that the store has of it. Throws if they are not whole. */
  #fill(segment: Segment, value: Buffer): void {
    segment.fill(value);
    this.#hold(value.length);
  }

  /** A message is done. Returns false if it is only in the store, which then still has to forget it. */
  finish(sequence: number): boolean {
    const segment = this.#find(sequence);
    if (segment === null) return false;
    segment.done++;
    if (segment.done === segment.count && segment !== this.#open && segment !== this.#writing) this.#remove(segment);
    return true;
  }

  #find(sequence: number): Segment | null {
    for (const segment of this.#front) if (sequence < segment.end) return sequence >= segment.first ? segment : null;
    for (const segment of this.#back) if (sequence < segment.end) return sequence >= segment.first ? segment : null;
    return null;
  }

  #remove(segment: Segment): void {
    const list = this.#front.includes(segment) ? this.#front : this.#back;
    const at = list.indexOf(segment);
    if (at >= 0) list.splice(at, 1);
    if (segment.stored && segment.key !== null) this.#delete(segment.key);
    this.#dropRecords(segment);
  }

  /** The segment that holds `sequence`, or the first one after it; null if none is loaded. */
  locate(sequence: number): Segment | null {
    for (const segment of this.#front) if (sequence < segment.end) return segment;
    return null;
  }

  /** The records in memory from `sequence` on; each is valid until the next one is asked for. */
  *records(sequence: number): Iterable<RecordView> {
    for (const segment of this.#front) yield* segment.records(sequence);
  }

  /** All messages below `next` have been sent: frees the records that the store has, or that nobody needs again. */
  sentUpTo(next: number): void {
    if (this.#store === null) {
      while (this.#front.length > 0 && this.#front[0].end <= next) {
        const segment = this.#front.shift() as Segment;
        if (segment === this.#open) this.#open = null;
        this.#dropRecords(segment);
      }
      return;
    }
    for (const segment of this.#front) {
      if (segment.end > next) return;
      if (segment.stored) this.#dropRecords(segment);
    }
  }

  /** Whether `load` would bring something that is not in memory now. */
  needsLoad(next: number): boolean {
    const segment = this.locate(next);
    return segment === null ? this.#hasMiddle : segment.output === null;
  }

  /** Reads the records at `next` and some after it from the store, then calls back. Does nothing while it is reading. */
  load(next: number, loaded: () => void, failed: (error: unknown) => void): void {
    if (this.#loading || this.#store === null) return;
    this.#loading = true;
    const segment = this.locate(next);
    const reading = segment?.key != null ? this.#loadSegment(segment, segment.key) : this.#loadAhead();
    reading.then(
      () => {
        this.#loading = false;
        if (!this.#disposed) loaded();
      },
      (error: unknown) => {
        this.#loading = false;
        if (!this.#disposed) failed(error);
      },
    );
  }

  async #loadSegment(segment: Segment, key: Buffer): Promise<void> {
    const value = await this.#store?.get(key);
    // All of it may have been done with meanwhile.
    if (segment.output !== null || !this.#front.includes(segment)) return;
    try {
      if (value === undefined) throw new DamagedSegment('a queue segment is missing in the store');
      this.#fill(segment, value);
    } catch (error) {
      this.#front.splice(this.#front.indexOf(segment), 1);
      this.#host.onDamage(error, key, value);
    }
  }

  async #loadAhead(): Promise<void> {
    this.#loadingAhead = true;
    try {
      await this.#readAhead();
    } finally {
      this.#loadingAhead = false;
    }
  }

  async #readAhead(): Promise<void> {
    if (this.#store === null) return;
    let bytes = 0;
    const expected = this.#unloadedCount;
    for await (const [key, value] of this.#store.entries(queueRangeFrom(this.#host.number, this.#unloadedFirst))) {
      if (this.#disposed) return;
      const { first, count } = parseQueueKey(key);
      if (this.#unloadedCount <= 0 || (this.#back.length > 0 && first >= this.#back[0].first)) break;
      this.#unloadedCount -= count;
      this.#unloadedFirst = first + count;
      const segment = Segment.of(key);
      bytes += value.length;
      try {
        this.#fill(segment, value);
      } catch (error) {
        this.#host.onDamage(error, key, value);
        continue;
      }
      for (let sequence = first; sequence < first + count; sequence++) if (this.#flow.isDone(sequence)) segment.done++;
      if (segment.done < count) this.#front.push(segment);
      else {
        this.#delete(key);
        this.#dropRecords(segment);
      }
      if (bytes >= LOAD_BYTES) break;
    }
    // Segments that were unloaded meanwhile are not in this view of the store: the next load finds them.
    if (this.#unloadedCount > 0 && (bytes > 0 || this.#unloadedCount > expected)) return;
    this.#unloadedCount = 0;
    this.#front.push(...this.#back);
    this.#back = [];
  }

  /**
   * Keeps the queue to itself while its stored segments are changed: nothing is read meanwhile. Returns false if it is
   * being read now.
   */
  lock(): boolean {
    if (this.#loading || this.#store === null) return false;
    this.#loading = true;
    return true;
  }

  unlock(): void {
    this.#loading = false;
  }

  /**
   * A stored segment has been replaced by the caller of `lock`.
   * @param runs keys of what is left of it, in order
   * @returns false if the segment is not, or no longer, the queue's, and nothing may be changed
   */
  replace(key: Buffer, runs: readonly Buffer[]): boolean {
    const { first, count } = parseQueueKey(key);
    const segment = this.#front.find((other) => other.first === first);
    if (segment === undefined) {
      const unloaded = this.#unloadedCount > 0 && first >= this.#unloadedFirst;
      if (!unloaded || (this.#back.length > 0 && first >= this.#back[0].first)) return false;
      this.#unloadedCount -= count - runs.reduce((sum, run) => sum + parseQueueKey(run).count, 0);
      return true;
    }
    if (!segment.stored || segment.key === null || !segment.key.equals(key)) return false;
    this.#dropRecords(segment);
    this.#front.splice(this.#front.indexOf(segment), 1, ...runs.map(Segment.of));
    return true;
  }

  /** Forgets everything in memory. */
  dispose(): void {
    this.#disposed = true;
    this.#holding.set(0);
    this.#front = [];
    this.#back = [];
    this.#open = null;
    this.#unloadedCount = 0;
    this.#deletions = NO_KEYS;
  }
}
