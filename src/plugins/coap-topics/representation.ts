/** Messages as CoAP representations. */
import { createHash } from 'node:crypto';
import type { Message } from '../../bus/message.js';
import { Code } from '../../coap/codes.js';
import type { CoapResponse } from '../../coap/response.js';
import { contentFormatOf } from './content-format.js';

/** Bytes of an ETag (RFC 7252 5.10.6 allows 1 to 8). */
const ETAG_BYTES = 8;

/** Responses by message: a retained message that is read often is turned into one once. */
const responses = new WeakMap<Message, CoapResponse>();

/** 2.05 with a message as its representation. */
export function contentOf(message: Message, now: number): CoapResponse {
  let response = responses.get(message);
  if (response === undefined) {
    const contentFormat = contentFormatOf(message);
    const { payload } = message;
    response = { code: Code.Content, payload, etag: etagOf(payload, contentFormat) };
    if (contentFormat !== undefined) response = { ...response, contentFormat };
    responses.set(message, response);
  }
  if (message.expiresAt === 0) return response;
  return { ...response, maxAge: Math.max(0, Math.ceil((message.expiresAt - now) / 1000)) };
}

/** Equal representations have equal ETags, also after a restart. */
export function etagOf(payload: Buffer, contentFormat: number | undefined): Buffer {
  const hash = createHash('sha1')
    .update(`${contentFormat ?? ''}\n`)
    .update(payload);
  return hash.digest().subarray(0, ETAG_BYTES);
}
