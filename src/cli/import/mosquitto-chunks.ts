/**
 * The chunks of a `mosquitto.db`, the persistence file of Mosquitto: a header of 15 bytes of magic, 4 of a checksum that
 * is never set and 4 of the format's version, and then chunks, each with its type (4 bytes), the length of its body (4)
 * and the body. A body is a structure of fixed length and what its lengths announce. Lengths, identifiers of packets and
 * intervals are big-endian; times and the numbers of messages stand in the byte order of the machine that wrote them.
 */
import { isUtf8 } from 'node:buffer';
import type { Source } from '../../bus/message.js';
import { decodeProperties } from '../../wire/properties.js';
import { forwardableProperties } from '../../wire/publish-view.js';
import { Reader } from '../../wire/reader.js';
import { malformed } from '../../wire/wire-error.js';

export const MAGIC: Buffer = Buffer.from('\0\u{b5}\0mosquitto db', 'latin1');
/** Magic, checksum, version. */
export const FILE_HEAD_BYTES: number = MAGIC.length + 4 + 4;
/** Type and length. */
export const CHUNK_HEAD_BYTES = 8;

export const ChunkType = {
  Configuration: 1,
  /** A message: retained, queued or both. */
  Message: 2,
  /** That a message is in flight from or to a client, or waits for it. */
  ClientMessage: 3,
  /** That a message is retained. */
  Retained: 4,
  Subscription: 5,
  Client: 6,
} as const;

/** Versions that are read. */
export type FormatVersion = 5 | 6;

/** Bytes of the fixed structures. Clients are shorter in version 5. */
const FIXED_BYTES: readonly number[] = [0, 12, 32, 16, 8, 12, 20];
const CLIENT_BYTES_5 = 16;
/** Bytes behind the structures of configuration and client where C aligns numbers of 64 bits to 8 bytes; else none. */
const PADDING = 4;
/** Longest payload that MQTT can carry. */
const MAX_PAYLOAD = 268_435_455;

/** Length of a structure; 0 for a type that is not known. */
export function fixedBytes(type: number, version: FormatVersion): number {
  if (type === ChunkType.Client && version === 5) return CLIENT_BYTES_5;
  return FIXED_BYTES[type] ?? 0;
}

/**
 * Whether the lengths in a structure agree with the length of its body.
 * @param fixed the structure
 */
export function agrees(type: number, version: FormatVersion, fixed: Buffer, length: number): boolean {
  const rest = length - fixed.length;
  switch (type) {
    case ChunkType.Configuration:
      return rest === 0 || rest === PADDING;
    case ChunkType.Retained:
      return rest === 0;
    case ChunkType.Message: {
      const payload = fixed.readUInt32BE(16);
      const topic = fixed.readUInt16BE(26);
      const texts = fixed.readUInt16BE(22) + fixed.readUInt16BE(24) + topic;
      return topic > 0 && payload <= MAX_PAYLOAD && fixed[30] <= 2 && rest >= texts + payload;
    }
    case ChunkType.ClientMessage:
      return fixed.readUInt16BE(10) > 0 && fixed[12] <= 2 && fixed[15] <= 1 && rest >= fixed.readUInt16BE(10);
    case ChunkType.Subscription: {
      const [client, filter] = [fixed.readUInt16BE(4), fixed.readUInt16BE(6)];
      return client > 0 && filter > 0 && rest === client + filter;
    }
    case ChunkType.Client: {
      const client = fixed.readUInt16BE(14);
      if (version === 5) return client > 0 && rest === client;
      const padding = rest - client - fixed.readUInt16BE(18);
      return client > 0 && (padding === 0 || padding === PADDING);
    }
    default:
      return false;
  }
}

/** Bytes of the names of a message: its publisher, its user, its topic. */
export function namesBytes(fixed: Buffer): number {
  return fixed.readUInt16BE(22) + fixed.readUInt16BE(24) + fixed.readUInt16BE(26);
}

export interface StoredMessage {
  /** Names it in this file. */
  readonly id: string;
  /** Milliseconds since the epoch, 0 for never. */
  readonly expiresAt: number;
  readonly publisherId: string;
  /** Null for the broker. */
  readonly source: Source | null;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

/** @param body the structure and the names behind it at least */
export function messageIn(body: Buffer): StoredMessage {
  const publisherEnd = 32 + body.readUInt16BE(22);
  const topicStart = publisherEnd + body.readUInt16BE(24);
  const publisherId = textIn(body, 32, publisherEnd);
  const port = body.readUInt16BE(28);
  const username = topicStart === publisherEnd ? null : textIn(body, publisherEnd, topicStart);
  return {
    id: idAt(body, 0),
    expiresAt: secondsAt(body, 8) * 1000,
    publisherId,
    // By the port of its listener, as listeners with rules of their own are called here too; 0 if it is not known.
    source:
      publisherId === '' ? null : { id: publisherId, username, ...(port === 0 ? {} : { listener: String(port) }) },
    topic: textIn(body, topicStart, topicStart + body.readUInt16BE(26)),
    qos: Math.min(body[30], 2) as 0 | 1 | 2,
    retain: body[31] !== 0,
  };
}

/** @param body all of the chunk */
export function payloadIn(body: Buffer): Buffer {
  const start = 32 + namesBytes(body);
  return body.subarray(start, start + body.readUInt32BE(16));
}

/**
 * The MQTT 5.0 properties of a message, to forward.
 * @param body all of the chunk
 * @throws WireError if they do not parse
 */
export function propertiesIn(body: Buffer): Buffer {
  const start = propertiesStart(body, 32 + namesBytes(body) + body.readUInt32BE(16));
  decodeProperties(body, start, body.length, 'publish');
  return forwardableProperties(body, start, body.length);
}

/** Where properties begin that stand behind their length at the end of a body. */
function propertiesStart(body: Buffer, at: number): number {
  if (at === body.length) return at;
  const reader = new Reader(body, at, body.length);
  const length = reader.variableByteInteger();
  if (reader.at + length !== body.length) malformed('a property length that is not theirs');
  return reader.at;
}

/** What a message is to a client: `mosquitto_msg_state` of its source. */
export const MessageState = {
  PublishQos1: 2,
  AwaitsPuback: 3,
  PublishQos2: 4,
  AwaitsPubrec: 5,
  ResendPubrel: 6,
  AwaitsPubrel: 7,
  ResendPubcomp: 8,
  AwaitsPubcomp: 9,
  SendPubrec: 10,
  Queued: 11,
} as const;

export interface ClientMessage {
  readonly clientId: string;
  /** Of the `StoredMessage`. */
  readonly id: string;
  readonly packetId: number;
  readonly qos: 0 | 1 | 2;
  readonly state: number;
  readonly retain: boolean;
  readonly dup: boolean;
  /** From the client, not to it. */
  readonly incoming: boolean;
}

export function clientMessageIn(body: Buffer): ClientMessage {
  const end = 16 + body.readUInt16BE(10);
  return {
    clientId: textIn(body, 16, end),
    id: idAt(body, 0),
    packetId: body.readUInt16BE(8),
    qos: body[12] as 0 | 1 | 2,
    state: body[13],
    retain: body[14] >> 4 !== 0,
    dup: (body[14] & 15) !== 0,
    incoming: body[15] === 0,
  };
}

/**
 * The Subscription Identifiers by which a client gets a message, null for none.
 * @throws WireError if the properties do not parse
 */
export function identifiersIn(body: Buffer): readonly number[] | null {
  const start = propertiesStart(body, 16 + body.readUInt16BE(10));
  const { subscriptionIdentifier } = decodeProperties(body, start, body.length, 'publish');
  return subscriptionIdentifier === undefined ? null : [subscriptionIdentifier].flat();
}

export interface StoredSubscription {
  readonly clientId: string;
  readonly filter: string;
  readonly qos: number;
  /** Subscription Options of MQTT 5.0 3.8.3.1. */
  readonly options: number;
  /** 0 for none. */
  readonly identifier: number;
}

export function subscriptionIn(body: Buffer): StoredSubscription {
  const end = 12 + body.readUInt16BE(4);
  return {
    clientId: textIn(body, 12, end),
    filter: textIn(body, end, end + body.readUInt16BE(6)),
    qos: body[8],
    options: body[9],
    identifier: body.readUInt32BE(0),
  };
}

export interface StoredClient {
  readonly clientId: string;
  /** Seconds since the epoch at which the session ends; 0 if that was not known. */
  readonly expiresAt: number;
  /** Session Expiry Interval in seconds; 0xFFFFFFFF for never. */
  readonly expiryInterval: number;
}

/** @param body all of the chunk */
export function clientIn(body: Buffer, version: FormatVersion): StoredClient {
  const end = body.length - (version === 5 ? 0 : body.readUInt16BE(18));
  return {
    clientId: textIn(body, end - body.readUInt16BE(14), end),
    expiresAt: secondsAt(body, 0),
    expiryInterval: body.readUInt32BE(8),
  };
}

/** The number of a message, in whatever byte order: it is only compared. */
export function idAt(body: Buffer, at: number): string {
  return body.latin1Slice(at, at + 8);
}

/** Empty if it is no UTF-8. */
function textIn(body: Buffer, start: number, end: number): string {
  return isUtf8(body.subarray(start, end)) ? body.utf8Slice(start, end) : '';
}

/** Times after this one stand in the other byte order: seconds since the epoch of the year 36,812. */
const FARTHEST = 2n ** 40n;

/** A time in the byte order of the machine that wrote it. */
function secondsAt(body: Buffer, at: number): number {
  const little = body.readBigInt64LE(at);
  if (little >= 0n && little < FARTHEST) return Number(little);
  const big = body.readBigInt64BE(at);
  return big >= 0n && big < FARTHEST ? Number(big) : 0;
}
