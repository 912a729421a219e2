/** Response bodies that leave block by block (RFC 7959 2.4, 2.6, 2.7). */
import { blockSize, bodyTag, LAST_BLOCK } from './block.js';
import { type Expiring, KeptBodies } from './kept-bodies.js';
import type { CoapResponse, Frame } from './response.js';
import { isSuccess } from './response.js';

/** A body kept for its next blocks. */
export interface KeptBody extends Expiring {
  readonly response: CoapResponse;
  /** Given by the endpoint if the response has none. */
  readonly etag: Buffer | null;
}

/**
 * Bodies whose first block was sent, by the key of their operation. A client that fetches the rest gets blocks of one
 * body, however often the resource changes meanwhile. Payloads are shared, not copied, and counted once.
 */
export class Block2Bodies extends KeptBodies<KeptBody, 'block2Bodies' | 'block2Bytes'> {
  readonly #uses = new Map<Buffer, number>();

  find(key: string): KeptBody | undefined {
    return this.use(key);
  }

  /** Keeps a body under its key, and under a second one unless that is null. */
  keep(key: string, second: string | null, response: CoapResponse, etag: Buffer | null): void {
    if (second !== null) this.#keep(second, response, etag);
    this.#keep(key, response, etag);
  }

  #keep(key: string, response: CoapResponse, etag: Buffer | null): void {
    this.drop(key);
    const payload = response.payload as Buffer;
    const uses = this.#uses.get(payload) ?? 0;
    if (uses === 0) this.held += payload.length;
    this.#uses.set(payload, uses + 1);
    this.set(key, { response, etag, expiry: this.expiry });
    for (const oldest of this.keys) {
      const many = this.size > this.limits.block2Bodies;
      if (!many && this.held <= this.limits.block2Bytes) break;
      this.drop(oldest);
      if (many) this.counters.block2Evictions++;
      else this.counters.block2EvictionsBytes++;
      this.onEviction?.(many ? 'block2Bodies' : 'block2Bytes');
    }
  }

  protected expired(): void {
    this.counters.block2Expired++;
  }

  protected dropped({ response }: KeptBody): void {
    const payload = response.payload as Buffer;
    const uses = (this.#uses.get(payload) as number) - 1;
    if (uses > 0) this.#uses.set(payload, uses);
    else {
      this.#uses.delete(payload);
      this.held -= payload.length;
    }
  }
}

/**
 * Chooses the part of the payload that a frame carries. `asked` is the Block2 value of the request, -1 for none;
 * `exponent` the largest SZX to use. False if the block asked for lies beyond the body.
 */
export function chooseBlock(frame: Frame, asked: number, exponent: number): boolean {
  const response = frame.response;
  const length = response.payload?.length ?? 0;
  frame.block2 = -1;
  frame.payloadStart = 0;
  frame.payloadEnd = length;
  const whole = length <= blockSize(exponent);
  // An error is answered as it is, whichever block was asked for; so is a response without a body.
  if (whole && (asked < 0 || length === 0 || !isSuccess(response))) {
    return length > 0 || asked < 16 || !isSuccess(response);
  }
  const used = asked < 0 ? exponent : Math.min(asked & 7, exponent);
  const size = blockSize(used);
  const start = asked < 0 || !isSuccess(response) ? 0 : (asked >>> 4) * blockSize(asked);
  const number = start / size;
  if (start >= length || number > LAST_BLOCK) return false;
  const end = Math.min(start + size, length);
  frame.payloadStart = start;
  frame.payloadEnd = end;
  frame.block2 = (number << 4) | (end < length ? 8 : 0) | used;
  if (end < length || number > 0) frame.etag ??= response.etag === undefined ? bodyTag(response.payload!) : null;
  return true;
}
