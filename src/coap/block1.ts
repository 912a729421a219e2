/** Request bodies that arrive block by block (RFC 7959 2.3, 2.5, 2.9). */
import { block1Key, blockSize, sizeExponent } from './block.js';
import { Code } from './codes.js';
import { type Expiring, KeptBodies } from './kept-bodies.js';
import type { Request } from './request.js';

/** A body under assembly. Invariant: bytes `[0, length)` of `buffer` have arrived, in order. */
interface PartialBody extends Expiring {
  buffer: Buffer;
  length: number;
  /** Where the last block began: a repetition of it is confirmed again. */
  lastStart: number;
}

const FIRST_BUFFER = 2_048;

/** What becomes of a block: 0 if it completes the body, else the response code to answer at once. */
export class Block1Bodies extends KeptBodies<PartialBody, 'block1Bodies' | 'block1Bytes'> {
  /** Takes the block of a request with Block1. On 0 the request's payload is the whole body. */
  accept(request: Request): number {
    const value = request.block1;
    const start = (value >>> 4) * blockSize(value);
    const more = (value & 8) !== 0;
    const payload = request.payload;
    if (more ? payload.length !== blockSize(value) : payload.length > blockSize(value)) return Code.BadRequest;
    if (start + payload.length > this.limits.bodyBytes || (request.size1 ?? 0) > this.limits.bodyBytes) {
      this.drop(block1Key(request));
      this.counters.block1TooLarge++;
      return Code.RequestEntityTooLarge;
    }
    if (start === 0 && !more) {
      this.drop(block1Key(request));
      return 0;
    }
    const key = block1Key(request);
    const body = start === 0 ? this.#begin(key) : this.use(key);
    if (body === undefined || (start !== body.length && start !== body.lastStart)) {
      // A block is missing (RFC 7959 2.9.2). What has arrived stays: the next block may still be the right one.
      this.counters.block1Incomplete++;
      return Code.RequestEntityIncomplete;
    }
    if (start === body.length) this.#append(body, payload);
    else if (start + payload.length !== body.length) {
      this.drop(key);
      this.counters.block1Incomplete++;
      return Code.RequestEntityIncomplete;
    }
    body.lastStart = start;
    if (more) {
      this.#evict(key);
      return Code.Continue;
    }
    request.payload = body.buffer.subarray(0, body.length);
    this.drop(key);
    this.counters.block1Completed++;
    return 0;
  }

  /** The Block1 value that answers a request's: same block, the size that this endpoint prefers for the next ones. */
  echo(value: number, more: boolean): number {
    const exponent = Math.min(value & 7, sizeExponent(this.limits.blockSize));
    return ((value >>> 4) << 4) | (more ? 8 : 0) | exponent;
  }

  protected expired(): void {
    this.counters.block1Expired++;
  }

  #begin(key: string): PartialBody {
    const buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER);
    const body: PartialBody = { buffer, length: 0, lastStart: 0, expiry: this.expiry };
    this.set(key, body);
    this.held += FIRST_BUFFER;
    return body;
  }

  #append(body: PartialBody, payload: Buffer): void {
    const length = body.length + payload.length;
    if (length > body.buffer.length) {
      const next = Buffer.allocUnsafeSlow(Math.max(length, 2 * body.buffer.length));
      body.buffer.copy(next, 0, 0, body.length);
      this.held += next.length - body.buffer.length;
      body.buffer = next;
    }
    payload.copy(body.buffer, body.length);
    body.length = length;
  }

  protected dropped({ buffer }: PartialBody): void {
    this.held -= buffer.length;
  }

  /** Gives up the oldest bodies until both bounds hold; never the one just touched, unless it is alone. */
  #evict(touched: string): void {
    for (const key of this.keys) {
      const many = this.size > this.limits.block1Bodies;
      if (!many && this.held <= this.limits.block1Bytes) return;
      if (key === touched && this.size > 1) continue;
      this.drop(key);
      if (many) this.counters.block1Evictions++;
      else this.counters.block1EvictionsBytes++;
      this.onEviction?.(many ? 'block1Bodies' : 'block1Bytes');
    }
  }
}
