/** Block options and the key of a blockwise operation (RFC 7959 2.2, 2.4; RFC 9175 3). */
import { createHash } from 'node:crypto';
import { Method } from './codes.js';
import { Message, parseMessage } from './message.js';
import { isNoCacheKey, OptionNumber } from './options.js';
import type { Request } from './request.js';

/** Block numbers have 20 bits. */
export const LAST_BLOCK = 0xfffff;

/** The size of a block in bytes: 2 to the power of SZX + 4. */
export function blockSize(value: number): number {
  return 16 << (value & 7);
}

/** Largest SZX whose block is no longer than `bytes`; 0 to 6. */
export function sizeExponent(bytes: number): number {
  return Math.max(0, Math.min(6, Math.floor(Math.log2(bytes)) - 4));
}

/** Hop-Limit says how a block came, not what it belongs to. */
const NOT_IN_BLOCK1_KEY: ReadonlySet<number> = new Set([
  OptionNumber.HopLimit,
  OptionNumber.Block1,
  OptionNumber.Block2,
  OptionNumber.Observe,
  OptionNumber.Size2,
  OptionNumber.NoResponse,
]);

/** Later blocks of a response are asked for without what described the request's body or its preconditions. */
const NOT_IN_BLOCK2_KEY: ReadonlySet<number> = new Set([
  ...NOT_IN_BLOCK1_KEY,
  OptionNumber.ContentFormat,
  OptionNumber.ETag,
  OptionNumber.IfMatch,
  OptionNumber.IfNoneMatch,
]);

const scratch = new Message();

/**
 * What ties the blocks of one body together: the remote endpoint, the method and the options that are part of the cache
 * key, Request-Tag among them; never the token (RFC 7959 2.5, RFC 9175 3.3).
 */
export function block1Key(request: Request): string {
  return operationKey(request, NOT_IN_BLOCK1_KEY);
}

/** The same for the blocks of a response. */
export function block2Key(request: Request): string {
  return operationKey(request, NOT_IN_BLOCK2_KEY);
}

/**
 * The key of a FETCH with its body, which selects the response as its options do (RFC 8132 2). Null for other methods and
 * without a body: a client may leave it out when it asks for later blocks. `key` is `block2Key`.
 */
export function fetchKey(request: Request, key: string): string | null {
  if (request.method !== Method.Fetch || request.payload.length === 0) return null;
  const hash = createHash('sha256').update(request.payload).digest('base64');
  return `${key} ${request.contentFormat ?? ''} ${hash}`;
}

function operationKey(request: Request, left: ReadonlySet<number>): string {
  const message = scratch;
  parseMessage(request.bytes, message);
  let key = `${request.remote.key} ${request.method}`;
  for (let index = 0; index < message.optionCount; index++) {
    const option = message.optionNumbers[index];
    if (left.has(option) || isNoCacheKey(option)) continue;
    const start = message.optionStarts[index];
    const length = message.optionLengths[index];
    // Number and length in front of each value, so that no two lists of options read alike.
    key += ` ${option}:${length}:${request.bytes.latin1Slice(start, start + length)}`;
  }
  return key;
}

const tags = new WeakMap<Buffer, Buffer>();

/** An ETag for a body that came without one; remembered, since one body goes to many observers. */
export function bodyTag(payload: Buffer): Buffer {
  let tag = tags.get(payload);
  if (tag === undefined) {
    tag = createHash('sha1').update(payload).digest().subarray(0, 8);
    tags.set(payload, tag);
  }
  return tag;
}
