/** Responses, and their form as messages (RFC 7252 5.2, 5.10). */
import { codeClass } from './codes.js';
import { type MessageWriter, optionRoom } from './message.js';
import { OptionNumber } from './options.js';

/**
 * What a handler answers, or notifies. The endpoint may keep the object and its buffers for retransmissions and further
 * blocks: whoever hands it over does not change it any more. One object may go to any number of remotes.
 */
export interface CoapResponse {
  /** A response code (`Code`). */
  readonly code: number;
  /** Of any length; what exceeds a block goes out blockwise (RFC 7959). */
  readonly payload?: Buffer;
  /** Content-Format, 0 to 65535. */
  readonly contentFormat?: number;
  /** ETag, 1 to 8 bytes. */
  readonly etag?: Buffer;
  /** Max-Age in seconds, 0 to 2^32-1; clients assume 60 if absent. */
  readonly maxAge?: number;
  /** Location-Path, one segment each, up to 255 bytes. */
  readonly locationPath?: readonly string[];
  /** Location-Query, one argument each, up to 255 bytes. */
  readonly locationQuery?: readonly string[];
  /** Size1 in bytes: the largest body that a 4.13 would have allowed (RFC 7959 4). */
  readonly size1?: number;
  /** Echo, 1 to 40 bytes: the endpoint asks the client to repeat its request with it (RFC 9175 2.2). */
  readonly echo?: Buffer;
}

/** One response on its way out: what the message says beyond the response itself. */
export interface Frame {
  type: number;
  messageId: number;
  tokenLength: number;
  tokenHigh: number;
  tokenLow: number;
  response: CoapResponse;
  /** Option values, -1 for none. Blocks as on the wire: number << 4 | more << 3 | SZX. */
  observe: number;
  block1: number;
  block2: number;
  size2: number;
  /** ETag that the endpoint gives a body that has none, so that blocks of different bodies are told apart. */
  etag: Buffer | null;
  /** The part of the response's payload that goes into this message. */
  payloadStart: number;
  payloadEnd: number;
}

/** The largest message written, in bytes: what UDP over IPv4 carries. */
export const MESSAGE_BYTES = 65_507;

/** Header, token and every option but Location-*, generously. */
export const FIXED_ROOM = 96;

/** Writes a frame from the start of the writer. False if the response breaks an option's bounds or does not fit. */
export function writeFrame(writer: MessageWriter, frame: Frame): boolean {
  const response = frame.response;
  const etag = response.etag ?? frame.etag;
  if (frameRoom(frame) > writer.buffer.length) return false;
  if (etag !== null && (etag.length < 1 || etag.length > 8)) return false;
  writer.begin(frame.type, response.code, frame.messageId, frame.tokenLength, frame.tokenHigh, frame.tokenLow);
  if (etag !== null) writer.opaque(OptionNumber.ETag, etag);
  if (frame.observe >= 0) writer.uint(OptionNumber.Observe, frame.observe);
  if (response.locationPath !== undefined) {
    for (const segment of response.locationPath) writer.string(OptionNumber.LocationPath, segment);
  }
  if (response.contentFormat !== undefined) writer.uint(OptionNumber.ContentFormat, response.contentFormat & 0xffff);
  if (response.maxAge !== undefined) writer.uint(OptionNumber.MaxAge, clampUint(response.maxAge));
  if (response.locationQuery !== undefined) {
    for (const argument of response.locationQuery) writer.string(OptionNumber.LocationQuery, argument);
  }
  if (frame.block2 >= 0) writer.uint(OptionNumber.Block2, frame.block2);
  if (frame.block1 >= 0) writer.uint(OptionNumber.Block1, frame.block1);
  if (frame.size2 >= 0) writer.uint(OptionNumber.Size2, frame.size2);
  if (response.size1 !== undefined) writer.uint(OptionNumber.Size1, clampUint(response.size1));
  if (response.echo !== undefined) writer.opaque(OptionNumber.Echo, response.echo);
  if (response.payload !== undefined) writer.payload(response.payload, frame.payloadStart, frame.payloadEnd);
  return true;
}

/** True for 2.xx, the only codes that keep an observation alive (RFC 7641 4.2). */
export function isSuccess(response: CoapResponse): boolean {
  return codeClass(response.code) === 2;
}

/** The most bytes that a frame takes. */
export function frameRoom(frame: Frame): number {
  return frame.payloadEnd - frame.payloadStart + FIXED_ROOM + locationRoom(frame.response);
}

/** Bytes that the Location options may take; infinity if one is too long. */
function locationRoom(response: CoapResponse): number {
  if (response.locationPath === undefined && response.locationQuery === undefined) return 0;
  let room = 0;
  for (const value of [...(response.locationPath ?? []), ...(response.locationQuery ?? [])]) {
    const length = Buffer.byteLength(value);
    room += length > 255 ? Number.POSITIVE_INFINITY : optionRoom(length);
  }
  return room;
}

function clampUint(value: number): number {
  return Math.max(0, Math.min(0xffffffff, Math.floor(value)));
}
