/** A request as its handler sees it, and what the options of a message must be for that (RFC 7252 5.4, 5.10). */
import { isUtf8 } from 'node:buffer';
import { Code, Method, Type } from './codes.js';
import { type Message, readUint } from './message.js';
import { isCritical, OptionNumber, REQUEST_OPTIONS } from './options.js';
import { type PathReader, ROOT } from './paths.js';
import type { CoapRemote, Remote } from './remotes.js';

/** A request. Everything but `payload` may be kept. */
export interface CoapRequest {
  /** Method code 1 to 7 (`Method`). */
  readonly method: number;
  readonly remote: CoapRemote;
  readonly confirmable: boolean;
  /** Uri-Path, one valid UTF-8 string for each option; a "/" within one is part of the segment. */
  readonly path: readonly string[];
  /** The path as one string: "/" before each segment, "%" and "/" within one as "%25" and "%2F"; empty without segments. */
  readonly pathKey: string;
  /** Uri-Query, one valid UTF-8 string for each option. */
  readonly query: readonly string[];
  readonly uriHost: string | undefined;
  readonly contentFormat: number | undefined;
  readonly accept: number | undefined;
  /** Observe: 0 registers, 1 deregisters (RFC 7641 2); other values are as good as none. */
  readonly observe: number | undefined;
  /** If-Match values; an empty one matches any existing representation (RFC 7252 5.10.8.1). */
  readonly ifMatch: readonly Buffer[];
  readonly ifNoneMatch: boolean;
  readonly etags: readonly Buffer[];
  /** Size2 was asked for, or Size1 announced, in bytes (RFC 7959 4). */
  readonly size1: number | undefined;
  /** No-Response (RFC 7967): bits 2, 8 and 16 suppress 2.xx, 4.xx and 5.xx. The endpoint honours it by itself. */
  readonly noResponse: number;
  /** The body, assembled if it came blockwise. Valid during the handler's call only; copy what is to be kept. */
  readonly payload: Buffer;
}

const NONE: readonly never[] = [];

/** The endpoint's own view of a request: with token, message id and block options. Blocks as on the wire, -1 for none. */
export class Request implements CoapRequest {
  readonly remote: Remote;
  readonly method: number;
  readonly confirmable: boolean;
  readonly messageId: number;
  readonly tokenLength: number;
  readonly tokenHigh: number;
  readonly tokenLow: number;
  path: readonly string[] = ROOT.segments;
  pathKey: string = ROOT.key;
  query: readonly string[] = NONE;
  uriHost: string | undefined = undefined;
  contentFormat: number | undefined = undefined;
  accept: number | undefined = undefined;
  observe: number | undefined = undefined;
  ifMatch: readonly Buffer[] = NONE;
  ifNoneMatch = false;
  etags: readonly Buffer[] = NONE;
  size1: number | undefined = undefined;
  noResponse = 0;
  block1 = -1;
  block2 = -1;
  wantsSize2 = false;
  /** The value of Echo (RFC 9175 2.2.1), null without it. */
  echo: Buffer | null = null;
  /** The datagram; the endpoint owns it, so options can be read again later. */
  readonly bytes: Buffer;
  readonly payloadStart: number;
  #payload: Buffer | null = null;

  constructor(message: Message, remote: Remote) {
    this.remote = remote;
    this.method = message.code;
    this.confirmable = message.type === Type.Confirmable;
    this.messageId = message.messageId;
    this.tokenLength = message.tokenLength;
    this.tokenHigh = message.tokenHigh;
    this.tokenLow = message.tokenLow;
    this.bytes = message.bytes;
    this.payloadStart = message.payloadStart;
  }

  get payload(): Buffer {
    this.#payload ??= this.bytes.subarray(this.payloadStart);
    return this.#payload;
  }

  set payload(body: Buffer) {
    this.#payload = body;
  }
}

/**
 * Reads the options of `message` into `request`. Returns 0, or the response code with which the request is refused.
 * Options out of place count as unrecognized: elective ones are ignored, critical ones refused (RFC 7252 5.4.1).
 */
export function readOptions(message: Message, request: Request, paths: PathReader): number {
  const { bytes, optionNumbers, optionStarts, optionLengths, optionCount } = message;
  let previous = -1;
  for (let index = 0; index < optionCount; index++) {
    const option = optionNumbers[index];
    const start = optionStarts[index];
    const length = optionLengths[index];
    if (option === OptionNumber.UriPath) {
      // All Uri-Path options in one go; they are neighbours.
      let last = index;
      while (last + 1 < optionCount && optionNumbers[last + 1] === option) last++;
      for (let at = index; at <= last; at++) if (optionLengths[at] > 255) return Code.BadOption;
      const end = optionStarts[last] + optionLengths[last];
      const path = paths.read(bytes, start, length, end, optionStarts, optionLengths, index, last - index + 1);
      if (path === undefined) return Code.BadOption;
      request.path = path.segments;
      request.pathKey = path.key;
      index = last;
      previous = option;
      continue;
    }
    const definition = REQUEST_OPTIONS.get(option);
    const repeated = option === previous && definition?.repeatable !== true;
    previous = option;
    if (definition === undefined || repeated || length < definition.minimum || length > definition.maximum) {
      if (isCritical(option)) return Code.BadOption;
      continue;
    }
    const refusal = readOption(request, option, bytes, start, length);
    if (refusal !== 0) return refusal;
  }
  return 0;
}

function readOption(request: Request, option: number, bytes: Buffer, start: number, length: number): number {
  switch (option) {
    case OptionNumber.UriQuery: {
      const argument = readString(bytes, start, length);
      if (argument === undefined) return Code.BadOption;
      request.query = append(request.query, argument);
      return 0;
    }
    case OptionNumber.ContentFormat:
      request.contentFormat = readUint(bytes, start, length);
      return 0;
    case OptionNumber.Accept:
      request.accept = readUint(bytes, start, length);
      return 0;
    case OptionNumber.Observe:
      request.observe = readUint(bytes, start, length);
      return 0;
    case OptionNumber.IfMatch:
      request.ifMatch = append(request.ifMatch, bytes.subarray(start, start + length));
      return 0;
    case OptionNumber.IfNoneMatch:
      request.ifNoneMatch = true;
      return 0;
    case OptionNumber.ETag:
      request.etags = append(request.etags, bytes.subarray(start, start + length));
      return 0;
    case OptionNumber.Block1:
      // GET and DELETE have no body that could be split (RFC 7959 2.1): the option does not apply to them.
      if (request.method === Method.Get || request.method === Method.Delete) return Code.BadOption;
      request.block1 = readUint(bytes, start, length);
      return (request.block1 & 7) === 7 ? Code.BadRequest : 0;
    case OptionNumber.Block2:
      request.block2 = readUint(bytes, start, length);
      return (request.block2 & 7) === 7 ? Code.BadRequest : 0;
    case OptionNumber.Size1:
      request.size1 = readUint(bytes, start, length);
      return 0;
    case OptionNumber.Size2:
      request.wantsSize2 = true;
      return 0;
    case OptionNumber.HopLimit:
      // An origin server forwards nothing, so a Hop-Limit of 1 is as good as any (RFC 8768 3).
      return length === 1 && bytes[start] > 0 ? 0 : Code.BadRequest;
    case OptionNumber.Echo:
      request.echo = bytes.subarray(start, start + length);
      return 0;
    case OptionNumber.NoResponse:
      request.noResponse = readUint(bytes, start, length);
      return 0;
    case OptionNumber.UriHost:
      request.uriHost = readString(bytes, start, length);
      return request.uriHost === undefined ? Code.BadOption : 0;
    case OptionNumber.ProxyUri:
    case OptionNumber.ProxyScheme:
      // RFC 7252 5.10.2: this endpoint is no proxy.
      return Code.ProxyingNotSupported;
    default:
      return 0;
  }
}

function readString(bytes: Buffer, start: number, length: number): string | undefined {
  const value = bytes.subarray(start, start + length);
  return isUtf8(value) ? value.toString('utf8') : undefined;
}

/** Appends to a list that belongs to one request; the empty list is shared by all of them and is replaced. */
function append<T>(list: readonly T[], value: T): readonly T[] {
  if (list.length === 0) return [value];
  (list as T[]).push(value);
  return list;
}
