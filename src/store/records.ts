/**
 * Values of the store. Every value begins with a version byte; decoding an unknown version or a value that does not
 * parse throws `PORTICO_STORE_VALUE`.
 */
import { type Message, NO_PROPERTIES, type Source } from '../bus/message.js';
import { isLent, type Lent } from '../bus/party.js';
import { ErrorKinds, PorticoError } from '../errors.js';

const VERSION = 1;
/** Version 1 of a message that stands on the rights of its publisher, whose user name stands before its topic. */
const SOURCED_MESSAGE = 0x41;
/** The same of one that came by a listener with its own access control, which stands behind the user name. */
const PLACED_MESSAGE = 0x81;
/** Version 1 of a will whose client has a user name, which stands before the message. */
const NAMED_WILL = 0x41;
/** Version 1 of a will whose client has rights of a grant; these, and its user name, stand before the message. */
const LENT_WILL = 0x81;
/** Version of the whole store, under `versionKey()`. */
export const STORE_VERSION = 1;

function check(value: Buffer, what: string, least: number): void {
  if (value.length < least) throw new PorticoError(ErrorKinds.StoreValue, `${what} is cut short`);
  if (value[0] !== VERSION) throw new PorticoError(ErrorKinds.StoreValue, `${what} has unknown version ${value[0]}`);
}

/** Guards the readers against a damaged length inside a value. */
function guarded<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof PorticoError) throw error;
    throw new PorticoError(ErrorKinds.StoreValue, `${what} does not parse`, { cause: error });
  }
}

const MESSAGE_HEAD = 1 + 1 + 8 + 8 + 2 + 2 + 4;

/** Of its flags: it is retained; its publisher has a user name. */
const RETAIN = 4;
const NAMED = 8;

/**
 * version, flags, expiresAt, receivedAt, lengths of topic, publisher and properties, then those and the payload. With a
 * source, the length of its user name and that name stand before the topic, and behind them those of its listener if it has one.
 */
export function encodeMessage(message: Message): Buffer {
  const { source = null } = message;
  const username = source?.username ?? null;
  const name = username === null ? 0 : Buffer.byteLength(username);
  const listener = source?.listener ?? '';
  const place = listener === '' ? 0 : 2 + Buffer.byteLength(listener);
  const start = MESSAGE_HEAD + (source === null ? 0 : 2 + name + place);
  const topic = Buffer.byteLength(message.topic);
  const publisher = Buffer.byteLength(message.publisherId);
  const value = Buffer.allocUnsafe(start + topic + publisher + message.properties.length + message.payload.length);
  value[0] = source === null ? VERSION : place === 0 ? SOURCED_MESSAGE : PLACED_MESSAGE;
  value[1] = message.qos | (message.retain ? RETAIN : 0) | (username === null ? 0 : NAMED);
  value.writeDoubleBE(message.expiresAt, 2);
  value.writeDoubleBE(message.receivedAt, 10);
  value.writeUInt16BE(topic, 18);
  value.writeUInt16BE(publisher, 20);
  value.writeUInt32BE(message.properties.length, 22);
  if (source !== null) value.writeUInt16BE(name, MESSAGE_HEAD);
  if (username !== null) value.write(username, MESSAGE_HEAD + 2);
  if (place > 0) {
    value.writeUInt16BE(place - 2, start - place);
    value.write(listener, start - place + 2);
  }
  let at = start;
  at += value.write(message.topic, at);
  at += value.write(message.publisherId, at);
  at += message.properties.copy(value, at);
  message.payload.copy(value, at);
  return value;
}

export function decodeMessage(value: Buffer): Message {
  const sourced = value[0] === SOURCED_MESSAGE || value[0] === PLACED_MESSAGE;
  if (!sourced) check(value, 'a stored message', MESSAGE_HEAD);
  const nameEnd = sourced ? fieldEnd(value, MESSAGE_HEAD) : MESSAGE_HEAD;
  const start = value[0] === PLACED_MESSAGE ? fieldEnd(value, nameEnd) : nameEnd;
  const topicEnd = start + value.readUInt16BE(18);
  const publisherEnd = topicEnd + value.readUInt16BE(20);
  const propertiesEnd = publisherEnd + value.readUInt32BE(22);
  const qos = value[1] & 3;
  if (propertiesEnd > value.length || qos === 3) {
    throw new PorticoError(ErrorKinds.StoreValue, 'a stored message does not parse');
  }
  const publisherId = value.utf8Slice(topicEnd, publisherEnd);
  return {
    topic: value.utf8Slice(start, topicEnd),
    publisherId,
    properties:
      propertiesEnd === publisherEnd ? NO_PROPERTIES : Buffer.from(value.subarray(publisherEnd, propertiesEnd)),
    payload: Buffer.from(value.subarray(propertiesEnd)),
    qos: qos as 0 | 1 | 2,
    retain: (value[1] & RETAIN) !== 0,
    expiresAt: value.readDoubleBE(2),
    receivedAt: value.readDoubleBE(10),
    ...(sourced ? { source: sourceIn(value, publisherId, nameEnd, start) } : {}),
  };
}

/** Where a text that stands behind its length ends. */
function fieldEnd(value: Buffer, at: number): number {
  if (value.length < at + 2) throw new PorticoError(ErrorKinds.StoreValue, 'a stored message is cut short');
  return at + 2 + value.readUInt16BE(at);
}

/** @param end of the listener, which begins with its length behind the user name; an empty one is none */
function sourceIn(value: Buffer, id: string, nameEnd: number, end: number): Source {
  const username = (value[1] & NAMED) === 0 ? null : value.utf8Slice(MESSAGE_HEAD + 2, nameEnd);
  return { id, username, ...(end > nameEnd + 2 ? { listener: value.utf8Slice(nameEnd + 2, end) } : {}) };
}

/** What a session is, apart from its subscriptions and messages. */
export interface SessionRecord {
  readonly number: number;
  /** Session Expiry Interval in seconds; 0xFFFFFFFF for never. */
  readonly expiryInterval: number;
  /** Whether a client was connected when this was written. */
  readonly connected: boolean;
  /** Milliseconds since the epoch of the last disconnection, 0 if connected. */
  readonly disconnectedAt: number;
  /** MQTT protocol version of the last connection: 3, 4 or 5. */
  readonly version: number;
  /** Whether it has, or had, a shared subscription. */
  readonly sharing: boolean;
}

const CONNECTED = 1;
const SHARING = 2;

export function encodeSession(session: SessionRecord): Buffer {
  const value = Buffer.allocUnsafe(21);
  value[0] = VERSION;
  value.writeUIntBE(session.number, 1, 6);
  value.writeUInt32BE(session.expiryInterval, 7);
  value[11] = (session.connected ? CONNECTED : 0) | (session.sharing ? SHARING : 0);
  value[12] = session.version;
  value.writeDoubleBE(session.disconnectedAt, 13);
  return value;
}

export function decodeSession(value: Buffer): SessionRecord {
  check(value, 'a stored session', 21);
  return {
    number: value.readUIntBE(1, 6),
    expiryInterval: value.readUInt32BE(7),
    connected: (value[11] & CONNECTED) !== 0,
    sharing: (value[11] & SHARING) !== 0,
    version: value[12],
    disconnectedAt: value.readDoubleBE(13),
  };
}

/** The number of a stored session, null if it does not decode. */
export function sessionNumberIn(value: Buffer): number | null {
  try {
    return decodeSession(value).number;
  } catch {
    return null;
  }
}

export interface SubscriptionRecord {
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  readonly identifier: number;
}

export function encodeSubscription(subscription: SubscriptionRecord): Buffer {
  const value = Buffer.allocUnsafe(6);
  value[0] = VERSION;
  value[1] =
    subscription.qos |
    (subscription.noLocal ? 4 : 0) |
    (subscription.retainAsPublished ? 8 : 0) |
    (subscription.retainHandling << 4);
  value.writeUInt32BE(subscription.identifier, 2);
  return value;
}

export function decodeSubscription(value: Buffer): SubscriptionRecord {
  check(value, 'a stored subscription', 6);
  return {
    qos: Math.min(value[1] & 3, 2) as 0 | 1 | 2,
    noLocal: (value[1] & 4) !== 0,
    retainAsPublished: (value[1] & 8) !== 0,
    retainHandling: Math.min((value[1] >> 4) & 3, 2) as 0 | 1 | 2,
    identifier: value.readUInt32BE(2),
  };
}

/** The flow state of a session: which messages it is done with, and which QoS 2 publications it has taken. */
export interface FlowRecord {
  /** All messages below are done. */
  readonly base: number;
  /** No message from here on has been sent, as far as was known. */
  readonly sent: number;
  /** Number of the next message when this was written. */
  readonly tail: number;
  /** Numbers below may have been used until the next record is written. */
  readonly reserved: number;
  /** Messages in `[droppedStart, droppedEnd)` have been dropped. */
  readonly droppedStart: number;
  readonly droppedEnd: number;
  /** Of those that were dropped: how many were taken for messages that had expired. */
  readonly assumedGone: number;
  /** Messages from `base` on that are done or released: sequence number and state. */
  readonly exceptions: readonly { readonly sequence: number; readonly state: number }[];
  /** Packet identifiers of QoS 2 publications that await PUBREL. */
  readonly inbound: readonly number[];
}

const FLOW_HEAD = 1 + 7 * 6 + 2 + 2;

export function encodeFlow(flow: FlowRecord): Buffer {
  const value = Buffer.allocUnsafe(FLOW_HEAD + flow.exceptions.length * 3 + flow.inbound.length * 2);
  value[0] = VERSION;
  value.writeUIntBE(flow.base, 1, 6);
  value.writeUIntBE(flow.sent, 7, 6);
  value.writeUIntBE(flow.tail, 13, 6);
  value.writeUIntBE(flow.reserved, 19, 6);
  value.writeUIntBE(flow.droppedStart, 25, 6);
  value.writeUIntBE(flow.droppedEnd, 31, 6);
  value.writeUIntBE(flow.assumedGone, 37, 6);
  value.writeUInt16BE(flow.exceptions.length, 43);
  value.writeUInt16BE(flow.inbound.length, 45);
  let at = FLOW_HEAD;
  for (const { sequence, state } of flow.exceptions) {
    at = value.writeUInt16BE(sequence - flow.base, at);
    value[at++] = state;
  }
  for (const packetId of flow.inbound) at = value.writeUInt16BE(packetId, at);
  return value;
}

export function decodeFlow(value: Buffer): FlowRecord {
  check(value, 'a stored flow state', FLOW_HEAD);
  return guarded('a stored flow state', () => {
    const base = value.readUIntBE(1, 6);
    const exceptions: { sequence: number; state: number }[] = [];
    const inbound: number[] = [];
    let at = FLOW_HEAD;
    for (let left = value.readUInt16BE(43); left > 0; left--, at += 3) {
      exceptions.push({ sequence: base + value.readUInt16BE(at), state: value.readUInt8(at + 2) });
    }
    for (let left = value.readUInt16BE(45); left > 0; left--, at += 2) inbound.push(value.readUInt16BE(at));
    return {
      base,
      sent: value.readUIntBE(7, 6),
      tail: value.readUIntBE(13, 6),
      reserved: value.readUIntBE(19, 6),
      droppedStart: value.readUIntBE(25, 6),
      droppedEnd: value.readUIntBE(31, 6),
      assumedGone: value.readUIntBE(37, 6),
      exceptions,
      inbound,
    };
  });
}

/** A will as it waits for its client to be gone. */
export interface WillRecord {
  /** Will Delay Interval in seconds. */
  readonly delay: number;
  /** Session Expiry Interval of the session, in seconds, which may end the delay early [MQTT-3.1.2-8]. */
  readonly sessionExpiry: number;
  readonly message: Message;
  /** Of the client; null or absent for none. */
  readonly username?: string | null;
  /** What a back-end has lent the client; null or absent for nothing. */
  readonly grant?: Lent | null;
}

/** Of a lent will: its client has a user name; access control lists are not asked about it. */
const WILL_NAMED = 1;
const WILL_SUPERUSER = 2;

/** A length and as many bytes. */
function textField(text: string): Buffer {
  const value = Buffer.allocUnsafe(2 + Buffer.byteLength(text));
  value.writeUInt16BE(value.length - 2);
  value.write(text, 2);
  return value;
}

export function encodeWill(will: WillRecord): Buffer {
  const { username = null, grant = null } = will;
  const lent = isLent(grant) ? grant : null;
  const head = Buffer.allocUnsafe(9);
  head[0] = lent !== null ? LENT_WILL : username === null ? VERSION : NAMED_WILL;
  head.writeUInt32BE(will.delay, 1);
  head.writeUInt32BE(will.sessionExpiry, 5);
  const message = encodeMessage(will.message);
  if (lent !== null) {
    const flags = (username === null ? 0 : WILL_NAMED) | (lent.superuser ? WILL_SUPERUSER : 0);
    const counts = Buffer.from([flags, lent.groups.length >> 8, lent.groups.length & 0xff]);
    return Buffer.concat([head, counts, textField(username ?? ''), ...lent.groups.map(textField), message]);
  }
  return Buffer.concat(username === null ? [head, message] : [head, textField(username), message]);
}

/** Version, flags, number of groups, user name and groups, each with its length; then the message. */
function decodeLentWill(value: Buffer): WillRecord {
  const flags = value.readUInt8(9);
  let at = 12;
  const next = (): string => {
    const start = at + 2;
    at = start + value.readUInt16BE(at);
    if (at > value.length) throw new PorticoError(ErrorKinds.StoreValue, 'a stored will is cut short');
    return value.utf8Slice(start, at);
  };
  const username = next();
  const groups = Array.from({ length: value.readUInt16BE(10) }, next);
  return {
    delay: value.readUInt32BE(1),
    sessionExpiry: value.readUInt32BE(5),
    message: decodeMessage(value.subarray(at)),
    ...((flags & WILL_NAMED) === 0 ? {} : { username }),
    grant: { groups, superuser: (flags & WILL_SUPERUSER) !== 0 },
  };
}

export function decodeWill(value: Buffer): WillRecord {
  if (value[0] === LENT_WILL) return guarded('a stored will', () => decodeLentWill(value));
  const named = value[0] === NAMED_WILL;
  if (!named) check(value, 'a stored will', 9);
  else if (value.length < 11) throw new PorticoError(ErrorKinds.StoreValue, 'a stored will is cut short');
  const messageAt = named ? 11 + value.readUInt16BE(9) : 9;
  return {
    delay: value.readUInt32BE(1),
    sessionExpiry: value.readUInt32BE(5),
    message: decodeMessage(value.subarray(messageAt)),
    ...(named ? { username: value.utf8Slice(11, messageAt) } : {}),
  };
}
