/**
 * What the Aedes persistence contract stores, and its stored form: a version byte and a structured clone
 * (`node:v8`), so that whatever fields a caller adds come back with their types, Buffers and undefined ones included.
 */
import { deserialize, serialize } from 'node:v8';
import { type ErrorKind, ErrorKinds, PorticoError } from '../errors.js';

/** What the contract reads and writes of a broker. */
export interface AedesBroker {
  readonly id: string;
  /** `brokerCounter` of the last packet that the broker made. */
  counter: number;
}

/** What the contract reads of a client. */
export interface AedesClient {
  /** Client identifier. */
  readonly id: string;
}

/** A packet that is asked for, updated or deleted is not there. */
const NoSuchPacket: ErrorKind = { code: 'PORTICO_NO_SUCH_PACKET' };

export function noSuchPacket(): PorticoError {
  return new PorticoError(NoSuchPacket, 'no such packet');
}

/** A packet of the contract. Fields that are not named here round-trip in retained messages and wills. */
export interface AedesPacket {
  cmd?: string | undefined;
  topic?: string | undefined;
  payload?: Buffer | string | undefined;
  qos?: number | undefined;
  retain?: boolean | undefined;
  dup?: boolean | undefined;
  /** Packet Identifier. */
  messageId?: number | undefined;
  /** The broker that first took the message; with `brokerCounter` it identifies the message everywhere. */
  brokerId?: string | undefined;
  brokerCounter?: number | undefined;
  /** Client identifier of the publisher. */
  clientId?: string | undefined;
  /** No Local: not to be sent to its publisher. */
  nl?: boolean | undefined;
  /** MQTT 5.0 properties. */
  properties?: object | undefined;
  /** Milliseconds since the epoch at which the message expires. */
  messageExpiry?: number | undefined;
}

/** A subscription as SUBSCRIBE carries it. */
export interface AedesSubscription {
  readonly topic: string;
  readonly qos: number;
  /** Retain Handling. */
  readonly rh?: number | undefined;
  /** Retain As Published. */
  readonly rap?: boolean | undefined;
  /** No Local. */
  readonly nl?: boolean | undefined;
  readonly subscriptionIdentifier?: number | undefined;
}

const VERSION = Buffer.from([1]);

/** @throws PorticoError `PORTICO_STORE_VALUE` if the value holds a function or something else that cannot be cloned */
function encodeValue(value: unknown): Buffer {
  try {
    return Buffer.concat([VERSION, serialize(value)]);
  } catch (error) {
    throw new PorticoError(ErrorKinds.StoreValue, 'a value cannot be stored', { cause: error });
  }
}

/** @throws PorticoError `PORTICO_STORE_VALUE` */
function decodeValue(value: Buffer, what: string): unknown {
  if (value.length < 2) throw new PorticoError(ErrorKinds.StoreValue, `${what} is cut short`);
  if (value[0] !== VERSION[0]) {
    throw new PorticoError(ErrorKinds.StoreValue, `${what} has unknown version ${value[0]}`);
  }
  try {
    // A copy, because decoded Buffers are views of the bytes that they are read from.
    return deserialize(Buffer.from(value.subarray(1)));
  } catch (error) {
    throw new PorticoError(ErrorKinds.StoreValue, `${what} does not parse`, { cause: error });
  }
}

function decodeObject(value: Buffer, what: string): object {
  const object = decodeValue(value, what);
  // A clone may be a date, a map or a list just as well.
  if (typeof object !== 'object' || object === null || Object.getPrototypeOf(object) !== Object.prototype) {
    throw new PorticoError(ErrorKinds.StoreValue, `${what} is not an object`);
  }
  return object;
}

/** A packet as it is, without the functions that Aedes hangs on packets in flight. */
export function encodePacket(packet: AedesPacket): Buffer {
  return encodeValue(Object.fromEntries(Object.entries(packet).filter(([, field]) => typeof field !== 'function')));
}

/** @throws PorticoError `PORTICO_STORE_VALUE` */
export function decodePacket(value: Buffer): AedesPacket {
  return decodeObject(value, 'a stored packet');
}

/**
 * What a queue keeps of a packet: the fields of the contract's packet, with its defaults, and no Packet Identifier
 * yet [MQTT-2.2.1-4].
 */
export function queuedPacket(packet: AedesPacket): AedesPacket {
  const queued: AedesPacket = {};
  if (Object.hasOwn(packet, 'clientId')) queued.clientId = packet.clientId;
  if (Object.hasOwn(packet, 'nl')) queued.nl = packet.nl;
  if (Object.hasOwn(packet, 'properties')) queued.properties = packet.properties;
  if (Object.hasOwn(packet, 'messageExpiry')) queued.messageExpiry = packet.messageExpiry;
  queued.cmd = packet.cmd || 'publish';
  queued.brokerId = packet.brokerId;
  queued.brokerCounter = packet.brokerCounter || 0;
  queued.topic = packet.topic;
  queued.payload = packet.payload || Buffer.alloc(0);
  queued.qos = packet.qos || 0;
  queued.retain = packet.retain || false;
  queued.dup = packet.dup || false;
  if (queued.qos > 0 || queued.cmd !== 'publish') queued.messageId = undefined;
  return queued;
}

/** A subscription without its filter, which is in the key. */
export function encodeAedesSubscription(subscription: AedesSubscription): Buffer {
  const { topic: _, ...rest } = subscriptionOf(subscription.topic, subscription);
  return encodeValue(rest);
}

/** @throws PorticoError `PORTICO_STORE_VALUE` */
export function decodeAedesSubscription(topic: string, value: Buffer): AedesSubscription {
  const stored = decodeObject(value, 'a stored subscription');
  if (!('qos' in stored) || typeof stored.qos !== 'number') {
    throw new PorticoError(ErrorKinds.StoreValue, 'a stored subscription has no QoS');
  }
  return subscriptionOf(topic, { ...stored, qos: stored.qos });
}

/** The contract's fields of a subscription, and only a Subscription Identifier that is there. */
export function subscriptionOf(topic: string, from: Omit<AedesSubscription, 'topic'>): AedesSubscription {
  const { qos, rh, rap, nl, subscriptionIdentifier } = from;
  if (subscriptionIdentifier === undefined) return { topic, qos, rh, rap, nl };
  return { topic, qos, rh, rap, nl, subscriptionIdentifier };
}

/** A Packet Identifier or a counter. */
export function encodeNumber(number: number): Buffer {
  return encodeValue(number);
}

/** @throws PorticoError `PORTICO_STORE_VALUE` */
export function decodeNumber(value: Buffer): number {
  const number = decodeValue(value, 'a stored number');
  if (typeof number !== 'number') throw new PorticoError(ErrorKinds.StoreValue, 'a stored number is none');
  return number;
}
