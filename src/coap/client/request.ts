/** Requests as a client sends them (RFC 7252 5.1, 5.10). */
import { Method } from '../codes.js';
import { type MessageWriter, optionRoom } from '../message.js';
import { OptionNumber } from '../options.js';
import type { RequestTransmission } from './limits.js';

/** What is asked. The client may keep it and its buffers until the outcome: whoever hands it over does not change it. */
export interface ClientRequest {
  /** A method code (`Method`). */
  readonly method: number;
  /** Uri-Path, one segment each, up to 255 bytes. */
  readonly path?: readonly string[];
  /** Uri-Query, one argument each, up to 255 bytes. */
  readonly query?: readonly string[];
  /** Uri-Host, for a host known by name (RFC 7252 6.4, step 5). */
  readonly uriHost?: string;
  readonly contentFormat?: number;
  readonly accept?: number;
  /** ETags of what the caller has: 2.03 says that one of them is still valid. 1 to 8 bytes each. */
  readonly etags?: readonly Buffer[];
  /** Of any length; what exceeds a block goes out blockwise (RFC 7959). None for GET and DELETE. */
  readonly payload?: Buffer;
  /** Confirmable or Non-confirmable. Default true. */
  readonly confirmable?: boolean;
  /** Where it differs from the client's. */
  readonly transmission?: Partial<RequestTransmission>;
}

/** What one message of a request says beyond the request itself; numbers are -1 for none. */
export interface RequestFrame {
  readonly request: ClientRequest;
  observe: number;
  block1: number;
  block2: number;
  size1: number;
  /** Request-Tag (RFC 9175 3). */
  tag: Buffer | null;
  echo: Buffer | null;
  /** The part of the payload that goes into this message. */
  payloadStart: number;
  payloadEnd: number;
}

export function frameOf(request: ClientRequest): RequestFrame {
  return {
    request,
    observe: -1,
    block1: -1,
    block2: -1,
    size1: -1,
    tag: null,
    echo: null,
    payloadStart: 0,
    payloadEnd: 0,
  };
}

/** The most bytes of one message of a request. */
export const MESSAGE_ROOM = 8_192;

/** Header, token and every option of bounded size. */
const FIXED_ROOM = 160;

/** Whether the request keeps the bounds of its options, and its messages fit into `MESSAGE_ROOM`. */
export function isSendable(request: ClientRequest, blockSize: number): boolean {
  const { method, contentFormat = 0, accept = 0, uriHost, path = [], query = [], etags = [], payload } = request;
  if (!(method >= Method.Get && method <= Method.IPatch)) return false;
  if ((method === Method.Get || method === Method.Delete) && payload !== undefined && payload.length > 0) return false;
  if (!isUint16(contentFormat) || !isUint16(accept)) return false;
  if (uriHost !== undefined && (uriHost === '' || Buffer.byteLength(uriHost) > 255)) return false;
  if (etags.some((etag) => etag.length < 1 || etag.length > 8)) return false;
  // "." and ".." cannot be said in a Uri-Path (RFC 7252 5.10.1).
  if (path.some((segment) => segment === '.' || segment === '..')) return false;
  let bytes = FIXED_ROOM + blockSize + optionRoom(255) + etags.length * optionRoom(8);
  for (const value of [...path, ...query]) {
    const length = Buffer.byteLength(value);
    if (length > 255) return false;
    bytes += optionRoom(length);
  }
  return bytes <= MESSAGE_ROOM;
}

function isUint16(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff;
}

/** Writes one message from the start of the writer; the request is sendable. */
export function writeRequest(
  writer: MessageWriter,
  frame: RequestFrame,
  type: number,
  messageId: number,
  high: number,
  low: number,
): void {
  const { request } = frame;
  writer.begin(type, request.method, messageId, 8, high, low);
  if (request.uriHost !== undefined) writer.string(OptionNumber.UriHost, request.uriHost);
  // Later blocks are asked for without what could answer 2.03 in their place.
  if (frame.block2 < 16) for (const etag of request.etags ?? []) writer.opaque(OptionNumber.ETag, etag);
  if (frame.observe >= 0) writer.uint(OptionNumber.Observe, frame.observe);
  for (const segment of request.path ?? []) writer.string(OptionNumber.UriPath, segment);
  if (request.contentFormat !== undefined && frame.payloadEnd > frame.payloadStart) {
    writer.uint(OptionNumber.ContentFormat, request.contentFormat);
  }
  for (const argument of request.query ?? []) writer.string(OptionNumber.UriQuery, argument);
  if (request.accept !== undefined) writer.uint(OptionNumber.Accept, request.accept);
  if (frame.block2 >= 0) writer.uint(OptionNumber.Block2, frame.block2);
  if (frame.block1 >= 0) writer.uint(OptionNumber.Block1, frame.block1);
  if (frame.size1 >= 0) writer.uint(OptionNumber.Size1, frame.size1);
  if (frame.echo !== null) writer.opaque(OptionNumber.Echo, frame.echo);
  if (frame.tag !== null) writer.opaque(OptionNumber.RequestTag, frame.tag);
  if (request.payload !== undefined) writer.payload(request.payload, frame.payloadStart, frame.payloadEnd);
}
