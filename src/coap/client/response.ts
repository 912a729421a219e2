/** Responses as a client reads them (RFC 7252 5.4, 5.10). */
import { isUtf8 } from 'node:buffer';
import { type Message, readUint } from '../message.js';
import { isCritical, OptionNumber } from '../options.js';

/** A response. Everything in it may be kept. */
export interface ClientResponse {
  /** A response code (`Code`), of any class from 2 to 5. */
  readonly code: number;
  /** The body, assembled if it came blockwise. */
  readonly payload: Buffer;
  readonly contentFormat: number | undefined;
  readonly etag: Buffer | undefined;
  /** Max-Age in seconds, 60 if the response says none (RFC 7252 5.10.5). */
  readonly maxAge: number;
  readonly locationPath: readonly string[];
  readonly locationQuery: readonly string[];
  /** Size1 in bytes: how much the server would have taken, in a 4.13. */
  readonly size1: number | undefined;
  /** True if it is a notification, or the first response of an observation. */
  readonly observed: boolean;
}

/** One response message: with block options as on the wire, -1 for none. */
export class ResponseMessage implements ClientResponse {
  readonly code: number;
  payload: Buffer;
  contentFormat: number | undefined = undefined;
  etag: Buffer | undefined = undefined;
  maxAge = 60;
  locationPath: string[] = [];
  locationQuery: string[] = [];
  size1: number | undefined = undefined;
  size2: number | undefined = undefined;
  observe = -1;
  block1 = -1;
  block2 = -1;
  echo: Buffer | undefined = undefined;

  constructor(message: Message) {
    this.code = message.code;
    this.payload = message.bytes.subarray(message.payloadStart, message.payloadEnd);
  }

  get observed(): boolean {
    return this.observe >= 0;
  }
}

/** Shortest and longest value of the options of a response, in bytes; outside of it an option counts as unrecognized. */
const BOUNDS: ReadonlyMap<number, readonly [minimum: number, maximum: number]> = new Map([
  [OptionNumber.ETag, [1, 8]],
  [OptionNumber.Observe, [0, 3]],
  [OptionNumber.LocationPath, [0, 255]],
  [OptionNumber.ContentFormat, [0, 2]],
  [OptionNumber.MaxAge, [0, 4]],
  [OptionNumber.LocationQuery, [0, 255]],
  [OptionNumber.Block2, [0, 3]],
  [OptionNumber.Block1, [0, 3]],
  [OptionNumber.Size2, [0, 4]],
  [OptionNumber.Size1, [0, 4]],
  [OptionNumber.Echo, [1, 40]],
]);

/** Reads a response. Undefined if it has to be rejected for a critical option (RFC 7252 5.4.1). */
export function readResponse(message: Message): ResponseMessage | undefined {
  const response = new ResponseMessage(message);
  let previous = -1;
  for (let index = 0; index < message.optionCount; index++) {
    const option = message.optionNumbers[index];
    const length = message.optionLengths[index];
    const bounds = BOUNDS.get(option);
    const repeated =
      option === previous && option !== OptionNumber.LocationPath && option !== OptionNumber.LocationQuery;
    previous = option;
    if (bounds === undefined || repeated || length < bounds[0] || length > bounds[1]) {
      if (isCritical(option)) return undefined;
      continue;
    }
    readOption(response, option, message.bytes, message.optionStarts[index], length);
  }
  // SZX 7 is reserved (RFC 7959 2.2).
  if (response.block1 >= 0 && (response.block1 & 7) === 7) return undefined;
  if (response.block2 >= 0 && (response.block2 & 7) === 7) return undefined;
  return response;
}

function readOption(response: ResponseMessage, option: number, bytes: Buffer, start: number, length: number): void {
  const value = bytes.subarray(start, start + length);
  switch (option) {
    case OptionNumber.ETag:
      response.etag = value;
      return;
    case OptionNumber.Echo:
      response.echo = value;
      return;
    case OptionNumber.LocationPath:
      if (isUtf8(value)) response.locationPath.push(value.toString());
      return;
    case OptionNumber.LocationQuery:
      if (isUtf8(value)) response.locationQuery.push(value.toString());
      return;
    default:
      readNumber(response, option, readUint(bytes, start, length));
  }
}

function readNumber(response: ResponseMessage, option: number, value: number): void {
  switch (option) {
    case OptionNumber.Observe:
      response.observe = value;
      return;
    case OptionNumber.ContentFormat:
      response.contentFormat = value;
      return;
    case OptionNumber.MaxAge:
      response.maxAge = value;
      return;
    case OptionNumber.Block2:
      response.block2 = value;
      return;
    case OptionNumber.Block1:
      response.block1 = value;
      return;
    case OptionNumber.Size2:
      response.size2 = value;
      return;
    default:
      response.size1 = value;
  }
}
