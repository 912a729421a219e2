/** The message format of RFC 7252 3: a strict parser that works in place, and a writer. */
import { EMPTY } from './codes.js';

/** Why a datagram is not a message, RFC 7252 3. A value, since most of the internet's bytes are no messages. */
export const FormatError = {
  None: 0,
  /** Fewer than four bytes. */
  TooShort: 1,
  /** Version is not 1: "MUST be silently ignored". */
  Version: 2,
  /** Token length 9 to 15, or more than the datagram holds. */
  TokenLength: 3,
  /** Option delta or length nibble 15 that is no payload marker. */
  ReservedNibble: 4,
  /** An option header or value runs past the end. */
  OptionTruncated: 5,
  /** Option number above 65535. */
  OptionNumber: 6,
  /** A payload marker followed by nothing. */
  EmptyPayload: 7,
  /** Code 0.00 with anything after the message id (RFC 7252 4.1). */
  EmptyMessage: 8,
} as const;

const PAYLOAD_MARKER = 0xff;

/**
 * One parsed message. Reused from datagram to datagram: everything in it is offsets into `bytes`.
 * Invariant: `optionNumbers`, `optionStarts` and `optionLengths` are valid below `optionCount`, in ascending number.
 */
export class Message {
  bytes: Buffer = Buffer.alloc(0);
  type = 0;
  code = 0;
  messageId = 0;
  tokenLength = 0;
  /** The token as two signed 32-bit halves, left-aligned and zero-filled: comparing it needs no allocation. */
  tokenHigh = 0;
  tokenLow = 0;
  optionCount = 0;
  readonly optionNumbers: number[] = [];
  readonly optionStarts: number[] = [];
  readonly optionLengths: number[] = [];
  /** The payload is `bytes[payloadStart, payloadEnd)`; empty if there is none. */
  payloadStart = 0;
  payloadEnd = 0;
}

/**
 * Parses a datagram into `message`. After any result but `TooShort`, `type`, `code` and `messageId` are valid, so that a
 * Confirmable message can be rejected with a Reset (RFC 7252 4.2).
 */
export function parseMessage(bytes: Buffer, message: Message): number {
  const end = bytes.length;
  if (end < 4) return FormatError.TooShort;
  const first = bytes[0];
  message.bytes = bytes;
  message.type = (first >> 4) & 3;
  message.code = bytes[1];
  message.messageId = (bytes[2] << 8) | bytes[3];
  message.optionCount = 0;
  message.payloadStart = end;
  message.payloadEnd = end;
  message.tokenLength = 0;
  message.tokenHigh = 0;
  message.tokenLow = 0;
  if (first >> 6 !== 1) return FormatError.Version;
  if (message.code === EMPTY) return end === 4 && (first & 15) === 0 ? FormatError.None : FormatError.EmptyMessage;
  const tokenLength = first & 15;
  if (tokenLength > 8 || 4 + tokenLength > end) return FormatError.TokenLength;
  message.tokenLength = tokenLength;
  for (let index = 0; index < tokenLength; index++) {
    if (index < 4) message.tokenHigh |= bytes[4 + index] << (24 - 8 * index);
    else message.tokenLow |= bytes[4 + index] << (56 - 8 * index);
  }
  return parseOptions(bytes, 4 + tokenLength, end, message);
}

function parseOptions(bytes: Buffer, start: number, end: number, message: Message): number {
  let at = start;
  let number = 0;
  let count = 0;
  while (at < end) {
    const head = bytes[at++];
    if (head === PAYLOAD_MARKER) {
      if (at === end) return FormatError.EmptyPayload;
      message.payloadStart = at;
      break;
    }
    let delta = head >> 4;
    let length = head & 15;
    if (delta === 15 || length === 15) return FormatError.ReservedNibble;
    // Reading past the end yields undefined, hence NaN or 0; `at > end` below catches every such case.
    if (delta === 13) delta = bytes[at++] + 13;
    else if (delta === 14) {
      delta = ((bytes[at] << 8) | bytes[at + 1]) + 269;
      at += 2;
    }
    if (length === 13) length = bytes[at++] + 13;
    else if (length === 14) {
      length = ((bytes[at] << 8) | bytes[at + 1]) + 269;
      at += 2;
    }
    if (at > end || at + length > end) return FormatError.OptionTruncated;
    number += delta;
    if (number > 0xffff) return FormatError.OptionNumber;
    message.optionNumbers[count] = number;
    message.optionStarts[count] = at;
    message.optionLengths[count] = length;
    count++;
    at += length;
  }
  message.optionCount = count;
  return FormatError.None;
}

/** An option value of format uint (RFC 7252 3.2): big-endian, at most four bytes, empty is zero. */
export function readUint(bytes: Buffer, start: number, length: number): number {
  let value = 0;
  for (let index = 0; index < length; index++) value = value * 256 + bytes[start + index];
  return value;
}

/** Copies `length` bytes; a loop for the short runs that messages are made of, where it is faster than a call. */
export function copyBytes(source: Buffer, start: number, target: Buffer, at: number, length: number): void {
  if (length > 64) source.copy(target, at, start, start + length);
  else for (let index = 0; index < length; index++) target[at + index] = source[start + index];
}

/**
 * Writes one message after another into one buffer. The caller guarantees room (`optionRoom` gives the bound) and writes
 * options in ascending order of their number.
 */
export class MessageWriter {
  readonly buffer: Buffer;
  length = 0;
  #option = 0;

  constructor(bytes: number) {
    this.buffer = Buffer.allocUnsafeSlow(bytes);
  }

  /** Header and token, RFC 7252 3. The token's halves are those of `Message`. */
  begin(type: number, code: number, messageId: number, tokenLength: number, high: number, low: number): void {
    const buffer = this.buffer;
    buffer[0] = 0x40 | (type << 4) | tokenLength;
    buffer[1] = code;
    buffer[2] = messageId >>> 8;
    buffer[3] = messageId;
    for (let index = 0; index < tokenLength; index++) {
      buffer[4 + index] = index < 4 ? high >>> (24 - 8 * index) : low >>> (56 - 8 * index);
    }
    this.length = 4 + tokenLength;
    this.#option = 0;
  }

  /** An option of format uint in its shortest form. */
  uint(option: number, value: number): void {
    const length = value === 0 ? 0 : value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x1000000 ? 3 : 4;
    this.#head(option, length);
    for (let shift = 8 * (length - 1); shift >= 0; shift -= 8) this.buffer[this.length++] = value >>> shift;
  }

  /** An option of format opaque. */
  opaque(option: number, value: Buffer): void {
    this.#head(option, value.length);
    copyBytes(value, 0, this.buffer, this.length, value.length);
    this.length += value.length;
  }

  /** An option of format string. */
  string(option: number, value: string): void {
    this.#head(option, Buffer.byteLength(value));
    this.length += this.buffer.write(value, this.length);
  }

  /** The payload with its marker; nothing if it is empty. */
  payload(bytes: Buffer, start: number, end: number): void {
    if (start >= end) return;
    this.buffer[this.length++] = PAYLOAD_MARKER;
    copyBytes(bytes, start, this.buffer, this.length, end - start);
    this.length += end - start;
  }

  #head(option: number, length: number): void {
    const delta = option - this.#option;
    this.#option = option;
    const buffer = this.buffer;
    const at = this.length++;
    buffer[at] = (nibble(delta) << 4) | nibble(length);
    this.#extend(delta);
    this.#extend(length);
  }

  #extend(value: number): void {
    if (value < 13) return;
    if (value >= 269) this.buffer[this.length++] = (value - 269) >>> 8;
    this.buffer[this.length++] = value >= 269 ? value - 269 : value - 13;
  }
}

function nibble(value: number): number {
  return value < 13 ? value : value < 269 ? 13 : 14;
}

/** The most bytes that an option with a value of `length` bytes takes. */
export function optionRoom(length: number): number {
  return 5 + length;
}
