/** A PUBLISH as offsets into the chunk that it arrived in. The parser reuses one view for all packets. */

import { wordsOf } from './output.js';
import type { Properties } from './packets.js';
import { decodeProperties } from './properties.js';
import type { QoS } from './protocol.js';
import { Reader } from './reader.js';
import { isValidUtf8 } from './utf8.js';
import { malformed, protocolError } from './wire-error.js';

const NO_WORDS = new DataView(new ArrayBuffer(0));
/** Bytes of properties up to which they are remembered. */
const MOST_REMEMBERED = 128;
const MOST_CHANGES = 16;

/** Offsets are into `buffer` and valid only while the parser's callback runs. */
export class PublishView {
  buffer: Buffer = Buffer.alloc(0);
  packetStart = 0;
  packetEnd = 0;
  dup = false;
  qos: QoS = 0;
  retain = false;
  topicStart = 0;
  topicEnd = 0;
  /** 0 for QoS 0. */
  packetId = 0;
  /** The properties without their length; empty before MQTT 5.0. */
  propertiesStart = 0;
  propertiesEnd = 0;
  payloadStart = 0;
  payloadEnd = 0;
  /** 0 for none. */
  topicAlias = 0;
  /** Seconds; -1 for none. */
  messageExpiryInterval = -1;
  payloadFormatIndicator = 0;
  /** Whether there is a Subscription Identifier: only from a server; its value is in the properties. */
  hasSubscriptionIdentifier = false;

  /** Properties that have been checked, and what they said: many clients send the same with every message. */
  #checked: DataView = NO_WORDS;
  #checkedExpiry = -1;
  #checkedFormat = 0;
  /** How often they changed more than they stayed. */
  #changes = 0;
  /** The packet's buffer as words. */
  #words: DataView = NO_WORDS;
  #wordsOf: Buffer | null = null;

  /** Whether the properties are the same as the last ones that were remembered; takes over what those said. */
  recall(): boolean {
    const checked = this.#checked;
    const { propertiesStart: start } = this;
    const length = this.propertiesEnd - start;
    if (length !== checked.byteLength) return false;
    if (this.#wordsOf !== this.buffer) {
      this.#wordsOf = this.buffer;
      this.#words = wordsOf(this.buffer);
    }
    const words = this.#words;
    const last = length - 4;
    for (let i = 0; i < last; i += 4) if (checked.getUint32(i) !== words.getUint32(start + i)) return false;
    if (checked.getUint32(last) !== words.getUint32(start + last)) return false;
    this.messageExpiryInterval = this.#checkedExpiry;
    this.payloadFormatIndicator = this.#checkedFormat;
    if (this.#changes > 0) this.#changes--;
    return true;
  }

  /**
   * Remembers properties that have been checked, unless they are long, belong to this packet alone, or come from a client
   * whose properties are never the same.
   */
  remember(): void {
    const { buffer, propertiesStart: start, propertiesEnd: end } = this;
    if (end - start < 4 || end - start > MOST_REMEMBERED || this.#changes === MOST_CHANGES) return;
    if (this.topicAlias > 0 || this.hasSubscriptionIdentifier) return;
    this.#changes++;
    this.#checked = wordsOf(new Uint8Array(buffer.subarray(start, end)));
    this.#checkedExpiry = this.messageExpiryInterval;
    this.#checkedFormat = this.payloadFormatIndicator;
  }
}

/**
 * Bytes of the properties of fixed length, identifier included: Payload Format Indicator, Message Expiry Interval and
 * Topic Alias (0x23).
 */
const PROPERTY_LENGTHS = new Uint8Array(256);
PROPERTY_LENGTHS.set([2, 5], 1);
PROPERTY_LENGTHS[35] = 3;

/** End of the length-prefixed field at `at`. */
function fieldEnd(buffer: Buffer, at: number, end: number): number {
  if (at + 2 > end) malformed('a property that ends too early');
  const next = at + 2 + ((buffer[at] << 8) | buffer[at + 1]);
  if (next > end) malformed('a property that ends too early');
  return next;
}

function stringEnd(buffer: Buffer, at: number, end: number): number {
  const next = fieldEnd(buffer, at, end);
  if (!isValidUtf8(buffer, at + 2, next)) malformed('a property that is not valid UTF-8');
  return next;
}

/** Checks the properties of a PUBLISH in place, and notes what the broker acts on. Throws `WireError`. */
export function scanPublishProperties(view: PublishView, fromServer: boolean): void {
  const { buffer, propertiesEnd: end } = view;
  let at = view.propertiesStart;
  let seen = 0;
  while (at < end) {
    const id = buffer[at];
    if (id !== 0x26 && id !== 0x0b) {
      if (id < 32 && (seen & (1 << id)) !== 0) protocolError('a property that stands twice');
      if (id === 0x23 && view.topicAlias > 0) protocolError('a Topic Alias that stands twice');
      if (id < 32) seen |= 1 << id;
    }
    const fixed = PROPERTY_LENGTHS[id];
    if (fixed > 0) {
      if (at + fixed > end) malformed('a property that ends too early');
      readFixed(view, id, at + 1);
      at += fixed;
      continue;
    }
    switch (id) {
      case 0x03:
        at = stringEnd(buffer, at + 1, end);
        break;
      case 0x08: {
        const next = stringEnd(buffer, at + 1, end);
        checkResponseTopic(buffer, at + 3, next);
        at = next;
        break;
      }
      case 0x09:
        at = fieldEnd(buffer, at + 1, end);
        break;
      case 0x0b:
        if (!fromServer) protocolError('a Subscription Identifier from a client [MQTT-3.3.4-6]');
        view.hasSubscriptionIdentifier = true;
        at = identifierEnd(buffer, at + 1, end);
        break;
      case 0x26:
        at = stringEnd(buffer, stringEnd(buffer, at + 1, end), end);
        break;
      default:
        rejectProperty(view, at);
    }
  }
}

function readFixed(view: PublishView, id: number, at: number): void {
  const { buffer } = view;
  if (id === 0x02) {
    view.messageExpiryInterval =
      ((buffer[at] << 24) | (buffer[at + 1] << 16) | (buffer[at + 2] << 8) | buffer[at + 3]) >>> 0;
  } else if (id === 0x23) {
    view.topicAlias = (buffer[at] << 8) | buffer[at + 1];
    if (view.topicAlias === 0) protocolError('Topic Alias 0 [MQTT-3.3.2-8]');
  } else {
    view.payloadFormatIndicator = buffer[at];
    if (buffer[at] > 1) protocolError('a Payload Format Indicator that is neither 0 nor 1');
  }
}

/** A Response Topic is a topic name [MQTT-3.3.2-14]. */
function checkResponseTopic(buffer: Buffer, start: number, end: number): void {
  for (let i = start; i < end; i++) {
    if (buffer[i] === 0x23 || buffer[i] === 0x2b) protocolError('a Response Topic with a wildcard [MQTT-3.3.2-14]');
  }
}

/** End of the Subscription Identifier at `at`, which is not 0 (MQTT 5.0 3.3.2.3.8). */
function identifierEnd(buffer: Buffer, at: number, end: number): number {
  const reader = new Reader(buffer, at, end);
  if (reader.variableByteInteger() === 0) protocolError('a Subscription Identifier of 0');
  return reader.at;
}

/** Known properties that are out of place are protocol errors; unknown ones are malformed. */
function rejectProperty(view: PublishView, at: number): never {
  decodeProperties(view.buffer, at, view.propertiesEnd, 'publish');
  return malformed('a malformed property');
}

/**
 * The properties to forward, of properties that `scanPublishProperties` has accepted: without Topic Alias and
 * Subscription Identifier, which belong to the connection, and without Message Expiry Interval, which is counted down.
 * A view of the packet when nothing has to be cut out, a copy otherwise.
 */
export function forwardableProperties(buffer: Buffer, start: number, end: number): Buffer {
  const all = buffer.subarray(start, end);
  let kept: Buffer | null = null;
  let length = 0;
  for (let at = start; at < end; ) {
    const id = buffer[at];
    const next = propertyEnd(buffer, at, end);
    if (id === 0x02 || id === 0x0b || id === 0x23) {
      if (kept === null) {
        kept = Buffer.from(all);
        length = at - start;
      }
    } else if (kept !== null) length += buffer.copy(kept, length, at, next);
    at = next;
  }
  return kept === null ? all : kept.subarray(0, length);
}

/** End of a property that `scanPublishProperties` has accepted. */
function propertyEnd(buffer: Buffer, at: number, end: number): number {
  const id = buffer[at];
  const fixed = PROPERTY_LENGTHS[id];
  if (fixed > 0) return at + fixed;
  if (id === 0x0b) return identifierEnd(buffer, at + 1, end);
  const first = fieldEnd(buffer, at + 1, end);
  return id === 0x26 ? fieldEnd(buffer, first, end) : first;
}

/** Properties that `forwardableProperties` returned, as an object. */
export function decodeForwardedProperties(raw: Buffer): Properties {
  return decodeProperties(raw, 0, raw.length, 'publish');
}
