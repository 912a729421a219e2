/**
 * Keys of the store: built and parsed here and nowhere else. The first byte is the family. Numbers are big-endian so
 * that byte order is number order; a variable part always stands last, so that no key is a prefix of a neighbour's
 * range.
 */
import { ErrorKinds, PorticoError } from '../errors.js';
import type { KeyRange } from './store.js';

export const Family = {
  /** Version of the whole store, and who wrote it (upgrade.ts). */
  Version: 0x01,
  /** `topic` -> retained message. */
  Retained: 0x10,
  /** `client identifier` -> session. */
  Session: 0x20,
  /** `session number, filter` -> subscription. */
  Subscription: 0x21,
  /** `session number` -> flow state of QoS 1 and 2, both ways. */
  Flow: 0x22,
  /** `session number, first sequence number, count, bytes, earliest expiry` -> queued messages. */
  Queue: 0x23,
  /** `client identifier` -> will. */
  Will: 0x30,
  /** Records of the Aedes persistence contract: `kind, ...`. */
  Aedes: 0x40,
  /** `plugin name, key` -> what a plugin keeps. */
  Plugin: 0x50,
} as const;

const NUMBER_BYTES = 6;
/** Latest expiry that a Queue key can tell, in seconds since the epoch. */
const MAX_SECONDS = 0xffff_ffff;
/** Largest session or sequence number. */
export const MAX_NUMBER: number = 2 ** 48 - 1;

function withText(family: number, text: string): Buffer {
  const key = Buffer.allocUnsafe(1 + Buffer.byteLength(text));
  key[0] = family;
  key.write(text, 1);
  return key;
}

function withNumber(family: number, number: number, extra = 0): Buffer {
  const key = Buffer.allocUnsafe(1 + NUMBER_BYTES + extra);
  key[0] = family;
  key.writeUIntBE(number, 1, NUMBER_BYTES);
  return key;
}

/** Every key there is: no family is 0xff. */
export function everything(): KeyRange {
  return { gte: Buffer.from([0]), lt: Buffer.from([0xff]) };
}

/** Everything of one family. */
export function familyRange(family: number): KeyRange {
  return { gte: Buffer.from([family]), lt: Buffer.from([family + 1]) };
}

/** The smallest key behind everything of one family that belongs to one session. */
function behind(family: number, session: number): Buffer {
  return session < MAX_NUMBER ? withNumber(family, session + 1) : familyRange(family).lt;
}

/** Everything of one family that belongs to one session. */
export function sessionRange(family: number, session: number): KeyRange {
  return { gte: withNumber(family, session), lt: behind(family, session) };
}

/** The text after the family byte: the topic or client identifier. */
export function textOf(key: Buffer): string {
  return key.utf8Slice(1);
}

/**
 * The session number of a Subscription, Flow or Queue key.
 * @throws PorticoError `PORTICO_STORE_VALUE` if the key is too short
 */
export function sessionOf(key: Buffer): number {
  if (key.length < 1 + NUMBER_BYTES) throw new PorticoError(ErrorKinds.StoreValue, 'a stored key is cut short');
  return key.readUIntBE(1, NUMBER_BYTES);
}

export function versionKey(): Buffer {
  return Buffer.from([Family.Version]);
}

export function retainedKey(topic: string): Buffer {
  return withText(Family.Retained, topic);
}

export function sessionKey(clientId: string): Buffer {
  return withText(Family.Session, clientId);
}

export function willKey(clientId: string): Buffer {
  return withText(Family.Will, clientId);
}

export function flowKey(session: number): Buffer {
  return withNumber(Family.Flow, session);
}

export function subscriptionKey(session: number, filter: string): Buffer {
  const key = withNumber(Family.Subscription, session, Buffer.byteLength(filter));
  key.write(filter, 1 + NUMBER_BYTES);
  return key;
}

export function filterOf(key: Buffer): string {
  return key.utf8Slice(1 + NUMBER_BYTES);
}

/** What a Queue key says of its segment, so that a scan of keys alone restores the queue's length. */
export interface SegmentKey {
  readonly session: number;
  /** Sequence number of the first message. */
  readonly first: number;
  /** Number of messages. */
  readonly count: number;
  /** Bytes of all records. */
  readonly bytes: number;
  /** Milliseconds since the epoch before which none of its messages expires, in whole seconds; 0 if none does. */
  readonly expiresAt: number;
}

export function queueKey(session: number, first: number, count: number, bytes: number, expiresAt: number): Buffer {
  const key = withNumber(Family.Queue, session, NUMBER_BYTES + 12);
  key.writeUIntBE(first, 1 + NUMBER_BYTES, NUMBER_BYTES);
  key.writeUInt32BE(count, 1 + 2 * NUMBER_BYTES);
  key.writeUInt32BE(bytes, 5 + 2 * NUMBER_BYTES);
  key.writeUInt32BE(Math.min(Math.floor(expiresAt / 1000), MAX_SECONDS), 9 + 2 * NUMBER_BYTES);
  return key;
}

/** @throws PorticoError `PORTICO_STORE_VALUE` if the key is not of that length */
export function parseQueueKey(key: Buffer): SegmentKey {
  if (key.length !== 13 + 2 * NUMBER_BYTES) {
    throw new PorticoError(ErrorKinds.StoreValue, 'the key of a queue segment does not parse');
  }
  return {
    session: sessionOf(key),
    first: key.readUIntBE(1 + NUMBER_BYTES, NUMBER_BYTES),
    count: key.readUInt32BE(1 + 2 * NUMBER_BYTES),
    bytes: key.readUInt32BE(5 + 2 * NUMBER_BYTES),
    expiresAt: key.readUInt32BE(9 + 2 * NUMBER_BYTES) * 1000,
  };
}

/** The segments of a session whose first sequence number is at least `first`. */
export function queueRangeFrom(session: number, first: number): KeyRange {
  const gte = withNumber(Family.Queue, session, NUMBER_BYTES);
  gte.writeUIntBE(first, 1 + NUMBER_BYTES, NUMBER_BYTES);
  return { gte, lt: behind(Family.Queue, session) };
}

/** Kinds of Aedes records, with the parts of their keys. */
export const AedesKind = {
  /** `topic` */
  Retained: 1,
  /** `client identifier, filter` */
  Subscription: 2,
  /** `client identifier, sequence number, broker counter, broker id` */
  Outgoing: 3,
  /** `client identifier, sequence number` -> Packet Identifier, apart so that sending does not rewrite the packet. */
  OutgoingId: 4,
  /** `client identifier, Packet Identifier` */
  Incoming: 5,
  /** `client identifier` */
  Will: 6,
  /** `broker id` -> a broker counter that no packet in the store exceeds */
  Counter: 7,
} as const;

/** A key of the Aedes persistence contract: a kind and length-prefixed parts. */
export function aedesKey(kind: number, ...parts: string[]): Buffer {
  const pieces: Buffer[] = [Buffer.from([Family.Aedes, kind])];
  for (const part of parts) {
    const bytes = Buffer.from(part);
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(bytes.length);
    pieces.push(length, bytes);
  }
  return Buffer.concat(pieces);
}

/** Everything below an Aedes key prefix. */
export function aedesRange(kind: number, ...parts: string[]): KeyRange {
  const gte = aedesKey(kind, ...parts);
  // The prefix plus one, as a number: the smallest key that does not begin with it.
  const lt = Buffer.from(gte);
  for (let i = lt.length - 1; i >= 0; i--) {
    if (lt[i] < 0xff) {
      lt[i]++;
      return { gte, lt: lt.subarray(0, i + 1) };
    }
  }
  return { gte, lt: familyRange(Family.Aedes).lt };
}

/**
 * The parts that `aedesKey` was given.
 * @throws PorticoError `PORTICO_STORE_VALUE` if the key is not of that form
 */
export function aedesParts(key: Buffer): string[] {
  const parts: string[] = [];
  for (let at = 2; at < key.length; ) {
    const end = at + 4 + (at + 4 <= key.length ? key.readUInt32BE(at) : 0);
    if (end > key.length) throw new PorticoError(ErrorKinds.StoreValue, 'a stored key does not parse');
    parts.push(key.utf8Slice(at + 4, end));
    at = end;
  }
  return parts;
}

/** A number from 0 to `MAX_NUMBER` as a part of an Aedes key whose byte order is number order. */
export function numberPart(number: number): string {
  return number.toString(16).padStart(2 * NUMBER_BYTES, '0');
}

/** The number that `numberPart` was given. */
export function numberOfPart(part: string): number {
  return Number.parseInt(part, 16);
}

/**
 * A key of what a plugin keeps.
 * @param plugin its name, up to 255 bytes
 */
export function pluginKey(plugin: string, key: string): Buffer {
  return Buffer.concat([pluginPrefix(plugin), Buffer.from(key)]);
}

/** Everything that one plugin keeps. */
export function pluginRange(plugin: string): KeyRange {
  const gte = pluginPrefix(plugin);
  // UTF-8 has no byte 0xff, so the last one can be one more.
  const lt = Buffer.from(gte);
  lt[lt.length - 1]++;
  return { gte, lt };
}

function pluginPrefix(plugin: string): Buffer {
  const name = Buffer.from(plugin);
  return Buffer.concat([Buffer.from([Family.Plugin, name.length]), name]);
}

/**
 * The plugin and the key that `pluginKey` was given.
 * @throws PorticoError `PORTICO_STORE_VALUE` if the key is not of that form
 */
export function pluginParts(key: Buffer): [plugin: string, key: string] {
  const end = 2 + (key[1] ?? 0);
  if (key.length < end || end === 2) throw new PorticoError(ErrorKinds.StoreValue, 'a stored key does not parse');
  return [key.utf8Slice(2, end), key.utf8Slice(end)];
}
