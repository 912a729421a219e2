/**
 * The PUBLISH writer. It is apart from the other writers because it is the hot path: it works on offsets, copies the
 * publisher's own bytes where the receiver may have them as they are, and allocates nothing.
 */
import { type Output, putVariableByteInteger, variableByteIntegerSize } from './output.js';

/** What a PUBLISH carries, wherever it came from. */
export interface PublishSource {
  /** Topic name, UTF-8. */
  readonly topicBytes: Buffer;
  /** Holds the payload, and the whole packet body if `bodyStart >= 0`. */
  readonly buffer: Buffer;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  /** Raw MQTT 5.0 properties to forward, without Message Expiry Interval, Topic Alias and Subscription Identifier. */
  readonly properties: Buffer;
  /**
   * Offset of the topic length in `buffer` when topic, packet identifier, property length and payload stand there in
   * one run and may be copied as they are; -1 if not.
   */
  readonly bodyStart: number;
  /** Whether that run contains a packet identifier. */
  readonly bodyHasPacketId: boolean;
  /** Whether that run contains an MQTT 5.0 property length. */
  readonly bodyHasProperties: boolean;
}

/** A PUBLISH that goes on in the moment in which it came. */
export interface LiveSource extends PublishSource {
  /**
   * Offset in `buffer` of the MQTT 5.0 properties as they came, Message Expiry Interval included, that stand before the
   * payload and may be forwarded as they are; -1 if there are none.
   */
  readonly propertiesStart: number;
}

const NO_IDENTIFIERS: readonly number[] = [];

/** Bytes of a Topic Alias property. */
const ALIAS_BYTES = 3;
/** What a Topic Alias adds to a packet at most: itself, and a longer Property Length and Remaining Length. */
export const MOST_ALIAS_BYTES = 5;

function propertiesLength(source: PublishSource, expiry: number, identifiers: readonly number[]): number {
  let length = source.properties.length + (expiry >= 0 ? 5 : 0);
  for (let i = 0; i < identifiers.length; i++) length += 1 + variableByteIntegerSize(identifiers[i]);
  return length;
}

/**
 * Bytes of the PUBLISH packet that `writePublish` would write without a Topic Alias; one adds at most
 * `MOST_ALIAS_BYTES`.
 * @param version5 whether the receiver speaks MQTT 5.0
 * @param qos QoS of the delivery
 * @param expiry remaining Message Expiry Interval in seconds, -1 for none
 */
export function publishSize(
  source: PublishSource,
  version5: boolean,
  qos: number,
  expiry: number,
  identifiers: readonly number[] | null,
): number {
  let remaining = 2 + source.topicBytes.length + (qos > 0 ? 2 : 0) + source.payloadEnd - source.payloadStart;
  if (version5) {
    const length = propertiesLength(source, expiry, identifiers ?? NO_IDENTIFIERS);
    remaining += variableByteIntegerSize(length) + length;
  }
  return 1 + variableByteIntegerSize(remaining) + remaining;
}

/**
 * Appends a PUBLISH packet for MQTT 5.0 with the properties as they came.
 * @param flags as for `writePublish`
 * @param source with `propertiesStart` of 0 or more
 */
export function writeLive(
  out: Output,
  source: LiveSource,
  flags: number,
  packetId: number,
  identifiers: readonly number[] | null,
): void {
  const hasPacketId = (flags & 6) !== 0;
  if (identifiers === null && source.bodyStart >= 0 && source.bodyHasPacketId === hasPacketId) {
    writeBody(out, source, flags, packetId);
    return;
  }
  const ids = identifiers ?? NO_IDENTIFIERS;
  const { topicBytes, propertiesStart, payloadStart, payloadEnd } = source;
  const topicLength = topicBytes.length;
  let propertyLength = payloadStart - propertiesStart;
  for (let i = 0; i < ids.length; i++) propertyLength += 1 + variableByteIntegerSize(ids[i]);
  const head = 2 + topicLength + (hasPacketId ? 2 : 0) + variableByteIntegerSize(propertyLength);
  const remaining = head + propertyLength + payloadEnd - payloadStart;
  out.reserve(5 + remaining);
  const { buffer } = out;
  let at = out.length;
  buffer[at++] = 0x30 | flags;
  at = putVariableByteInteger(buffer, at, remaining);
  buffer[at] = topicLength >>> 8;
  buffer[at + 1] = topicLength & 0xff;
  out.length = at + 2;
  if (source.bodyStart < 0) out.writeBytes(topicBytes, 0, topicLength);
  else out.writeBytes(source.buffer, source.bodyStart + 2, source.bodyStart + 2 + topicLength);
  at = out.length;
  if (hasPacketId) {
    buffer[at++] = packetId >>> 8;
    buffer[at++] = packetId & 0xff;
  }
  at = putVariableByteInteger(buffer, at, propertyLength);
  for (let i = 0; i < ids.length; i++) {
    buffer[at++] = 0x0b;
    at = putVariableByteInteger(buffer, at, ids[i]);
  }
  out.length = at;
  out.writeBytes(source.buffer, propertiesStart, payloadEnd);
}

/** Copies the run at `bodyStart`, which has a packet identifier exactly if the flags ask for one. */
function writeBody(out: Output, source: PublishSource, flags: number, packetId: number): void {
  const length = source.payloadEnd - source.bodyStart;
  out.reserve(5 + length);
  out.buffer[out.length++] = 0x30 | flags;
  out.writeVariableByteInteger(length);
  const start = out.length + 2;
  out.writeBytes(source.buffer, source.bodyStart, source.payloadEnd);
  if ((flags & 6) === 0) return;
  const at = start + source.topicBytes.length;
  out.buffer[at] = packetId >>> 8;
  out.buffer[at + 1] = packetId & 0xff;
}

/**
 * Appends a PUBLISH packet.
 * @param flags the low four bits of the fixed header: DUP 8, QoS 2/4, RETAIN 1
 * @param packetId 1 to 65,535; ignored for QoS 0
 * @param expiry remaining Message Expiry Interval in seconds, -1 for none; only sent to MQTT 5.0
 * @param identifiers Subscription Identifiers; only sent to MQTT 5.0
 * @param alias Topic Alias, 0 for none; only for MQTT 5.0
 * @param known whether the receiver knows the alias, so that the topic name is left out
 */
export function writePublish(
  out: Output,
  source: PublishSource,
  version5: boolean,
  flags: number,
  packetId: number,
  expiry: number,
  identifiers: readonly number[] | null,
  alias = 0,
  known = false,
): void {
  const hasPacketId = (flags & 6) !== 0;
  if (
    alias === 0 &&
    source.bodyStart >= 0 &&
    source.bodyHasPacketId === hasPacketId &&
    source.bodyHasProperties === version5 &&
    expiry < 0 &&
    identifiers === null
  ) {
    writeBody(out, source, flags, packetId);
    return;
  }
  const ids = identifiers ?? NO_IDENTIFIERS;
  const topicLength = known ? 0 : source.topicBytes.length;
  let remaining = 2 + topicLength + (hasPacketId ? 2 : 0) + source.payloadEnd - source.payloadStart;
  let propertyLength = 0;
  if (version5) {
    propertyLength = propertiesLength(source, expiry, ids) + (alias > 0 ? ALIAS_BYTES : 0);
    remaining += variableByteIntegerSize(propertyLength) + propertyLength;
  }
  out.reserve(5 + remaining);
  out.buffer[out.length++] = 0x30 | flags;
  out.writeVariableByteInteger(remaining);
  out.writeUInt16(topicLength);
  out.writeBytes(source.topicBytes, 0, topicLength);
  if (hasPacketId) out.writeUInt16(packetId);
  if (version5) {
    out.writeVariableByteInteger(propertyLength);
    if (expiry >= 0) {
      out.buffer[out.length++] = 0x02;
      out.writeUInt32(expiry);
    }
    if (alias > 0) {
      out.buffer[out.length++] = 0x23;
      out.writeUInt16(alias);
    }
    for (let i = 0; i < ids.length; i++) {
      out.buffer[out.length++] = 0x0b;
      out.writeVariableByteInteger(ids[i]);
    }
    out.writeBytes(source.properties, 0, source.properties.length);
  }
  out.writeBytes(source.buffer, source.payloadStart, source.payloadEnd);
}
