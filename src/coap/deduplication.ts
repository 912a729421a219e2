/**
 * Deduplication (RFC 7252 4.5): which requests have been seen, and what was answered, byte for byte.
 *
 * Everything lives in one ring of bytes, oldest out, and one table of chain heads: no object, no timer and no memory
 * beyond the budget however many requests come. At load an entry leaves by the budget and not by its lifetime.
 *
 * A record is a header of 16 bytes and the answer, in units of 16 bytes, never wrapping around the end:
 *   word 0  distance to the next older record of the same chain, in units; 0 ends the chain
 *   word 1  id of the remote; 0 fills up the end of the ring
 *   word 2  message id << 16 | length of the answer
 *   word 3  second in which the record expires << 3 | state
 * Positions count units since the start, modulo 2^31; a position is live while it lies in [tail, head).
 *
 * A head is two words: the newest position of its chain, and a mark, 0 for no chain: the upper 15 bits of that request's hash,
 * 16 bits of which one or more stand for the older requests of the chain, and a 1. The ring is larger than the processor's
 * caches: the mark says of most new requests that they are new, and where message ids follow each other, so do heads.
 */
import { randomInt } from 'node:crypto';
import type { CoapCounters } from './counters.js';
import { copyBytes } from './message.js';

/** What is known about a request that was seen before. */
export const Seen = {
  /** A newer record of the same request holds its answer. */
  Superseded: 0,
  /** Its handler has not answered, and nothing was sent. */
  Pending: 1,
  /** An empty Acknowledgement was sent; a separate response follows or has followed. */
  Acknowledged: 2,
  /** The answer is in the record. */
  Answered: 3,
  /** A Non-confirmable request: its duplicates are ignored. */
  Silent: 4,
} as const;

/** `find`'s answer for a request that is new; as a position, that of a request which cannot come twice. */
export const NOT_SEEN = -1;

const UNIT = 16;
/** Arithmetic on positions is modulo 2^31. */
const WRAP = 0x7fffffff;
const MINIMUM = 256 * 1024;
/** Message ids in a row that have neighbouring heads, as a power of two: those of a line of the processor's cache. */
const NEIGHBOURS = 3;
const USED = 1;
/** The bits of a mark that stand for older requests, and those of the newest one's hash. */
const OLDER = 0x0001_fffe;
const NEWEST = ~(OLDER | USED);

export class Deduplication {
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  /** Of each chain. */
  readonly #heads: Int32Array;
  readonly #units: number;
  readonly #counters: CoapCounters;
  #head = 0;
  #tail = 0;
  #swept = 0;
  /** Told that requests are forgotten before their lifetime, at most once a second. */
  onEviction: (() => void) | null = null;
  #toldAt = -1;
  /** Chains are not to be foreseen: remotes choose their message ids. */
  readonly #seed = randomInt(0x7fffffff);

  /** `budget` in bytes, rounded down to a power of two, at least 256 KiB; the table of heads takes a quarter more. */
  constructor(budget: number, counters: CoapCounters) {
    const capacity = 2 ** Math.floor(Math.log2(Math.min(Math.max(budget, MINIMUM), 2 ** 30)));
    this.#bytes = Buffer.allocUnsafeSlow(capacity);
    this.#words = new Int32Array(this.#bytes.buffer, this.#bytes.byteOffset, capacity / 4);
    this.#units = capacity / UNIT;
    // A head for each two units: no record that was answered has fewer.
    this.#heads = new Int32Array(this.#units);
    this.#counters = counters;
  }

  /** The ring itself, for sending answers straight from it. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Bytes in use. */
  get size(): number {
    return ((this.#head - this.#tail) & WRAP) * UNIT;
  }

  /** The position of the live record of a request, or `NOT_SEEN`. `second` is the present second. */
  find(remote: number, messageId: number, second: number): number {
    const hash = this.#hash(remote, messageId);
    const heads = this.#heads;
    const head = this.#headOf(hash, messageId);
    const mark = heads[head + 1];
    // Also where there is no chain: what a cleared head points at may be anything by now.
    if (((mark ^ (hash | USED)) & (NEWEST | USED)) !== 0 && (mark & olderBit(hash)) === 0) return NOT_SEEN;
    const words = this.#words;
    let position = heads[head];
    while (this.#live(position)) {
      const word = this.#word(position);
      if (words[word + 1] === remote && words[word + 2] >>> 16 === messageId) {
        return words[word + 3] >>> 3 > second ? position : NOT_SEEN;
      }
      const distance = words[word];
      if (distance === 0) break;
      position = (position - distance) & WRAP;
    }
    return NOT_SEEN;
  }

  /** Remembers a new request; the position of its record. */
  insert(remote: number, messageId: number, state: number, second: number, expiry: number): number {
    return this.#append(remote, messageId, 0, (expiry << 3) | state, second);
  }

  /** A `Seen` value; `Superseded` if the record is no longer there. */
  state(position: number): number {
    return this.#live(position) ? this.#words[this.#word(position) + 3] & 7 : Seen.Superseded;
  }

  setState(position: number, state: number): void {
    if (!this.#live(position)) return;
    const word = this.#word(position) + 3;
    this.#words[word] = (this.#words[word] & ~7) | state;
  }

  /** Where the answer of a record begins in `bytes`, and its length. */
  answerStart(position: number): number {
    return this.#word(position) * 4 + UNIT;
  }

  answerLength(position: number): number {
    return this.#words[this.#word(position) + 2] & 0xffff;
  }

  /** Keeps the answer to the request of a record, if the record is still there. */
  answer(position: number, message: Buffer, length: number, second: number): void {
    if (!this.#live(position)) return;
    const words = this.#words;
    const word = this.#word(position);
    const remote = words[word + 1];
    const messageId = words[word + 2] >>> 16;
    const expiry = words[word + 3] & ~7;
    const needed = Math.ceil(length / UNIT);
    const room = this.#units - (position & (this.#units - 1)) - 1;
    let target = position;
    if (((position + 1) & WRAP) === this.#head && needed <= room) {
      // The newest record grows in place: the answer came within the handler's call.
      this.#makeRoom(needed, second);
      this.#advance(needed);
    } else {
      this.setState(position, Seen.Superseded);
      target = this.#append(remote, messageId, needed, expiry, second);
    }
    const at = this.#word(target);
    words[at + 2] = (messageId << 16) | length;
    words[at + 3] = expiry | Seen.Answered;
    copyBytes(message, 0, this.#bytes, at * 4 + UNIT, length);
  }

  #append(remote: number, messageId: number, answerUnits: number, expiryAndState: number, second: number): number {
    const needed = 1 + answerUnits;
    const left = this.#units - (this.#head & (this.#units - 1));
    if (left < needed) {
      this.#makeRoom(left, second);
      this.#words[this.#word(this.#head) + 1] = 0;
      this.#advance(left);
    }
    this.#makeRoom(needed, second);
    const position = this.#head;
    const hash = this.#hash(remote, messageId);
    const heads = this.#heads;
    const head = this.#headOf(hash, messageId);
    const older = heads[head];
    const mark = heads[head + 1];
    const isOlder = mark !== 0 && this.#live(older);
    const words = this.#words;
    const word = this.#word(position);
    words[word] = isOlder ? (position - older) & WRAP : 0;
    words[word + 1] = remote;
    words[word + 2] = messageId << 16;
    words[word + 3] = expiryAndState;
    heads[head] = position;
    heads[head + 1] = (hash & NEWEST) | (isOlder ? (mark & OLDER) | olderBit(mark) : 0) | USED;
    this.#advance(needed);
    return position;
  }

  /**
   * The head of the ring moves on. As many chains are cleared if they are dead, so that none outlives a whole turn of the
   * positions and comes alive again.
   */
  #advance(units: number): void {
    this.#head = (this.#head + units) & WRAP;
    const heads = this.#heads;
    let at = this.#swept;
    for (let n = units; n > 0; n--) {
      if (!this.#live(heads[at])) heads[at + 1] = 0;
      at = (at + 2) & (heads.length - 1);
    }
    this.#swept = at;
  }

  /** Drops the oldest records until `units` more fit. */
  #makeRoom(units: number, second: number): void {
    const words = this.#words;
    while (((this.#head - this.#tail) & WRAP) + units > this.#units) {
      const word = this.#word(this.#tail);
      if (words[word + 1] === 0) {
        this.#tail = (this.#tail + this.#units - (this.#tail & (this.#units - 1))) & WRAP;
        continue;
      }
      const info = words[word + 3];
      if ((info & 7) !== Seen.Superseded && info >>> 3 > second) {
        this.#counters.deduplicationEvictions++;
        if (this.#toldAt !== second) this.onEviction?.();
        this.#toldAt = second;
      }
      this.#tail = (this.#tail + 1 + Math.ceil((words[word + 2] & 0xffff) / UNIT)) & WRAP;
    }
  }

  #live(position: number): boolean {
    return position >= 0 && ((position - this.#tail) & WRAP) < ((this.#head - this.#tail) & WRAP);
  }

  #word(position: number): number {
    return (position & (this.#units - 1)) * 4;
  }

  #hash(remote: number, messageId: number): number {
    let hash = Math.imul(remote ^ this.#seed, 0x9e3779b1) ^ Math.imul((messageId >>> NEIGHBOURS) + 1, 0x85ebca6b);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0x2c1b3c6d);
    return hash ^ (hash >>> 13);
  }

  /** Where the head of a request's chain stands. */
  #headOf(hash: number, messageId: number): number {
    // Also where a remote uses each eighth message id only, all heads are used.
    const neighbour = (messageId + (hash >>> 29)) & ((1 << NEIGHBOURS) - 1);
    return ((hash << (NEIGHBOURS + 1)) & (this.#heads.length - 1)) | (neighbour << 1);
  }
}

/** What stands for a request in the marks of newer ones; of its hash only the bits that its own mark has count. */
function olderBit(hash: number): number {
  return 2 << ((hash >>> 25) & 15);
}
