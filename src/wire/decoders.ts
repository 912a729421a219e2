/** Decoders of single packets that a client may send. Each throws `WireError` for a packet that breaks the protocol. */
import type {
  AuthPacket,
  ConnectPacket,
  DisconnectPacket,
  Properties,
  SubscribePacket,
  UnsubscribePacket,
  WillPacket,
} from './packets.js';
import { decodeProperties, type PropertyContext } from './properties.js';
import { PacketType, type ProtocolVersion, type QoS } from './protocol.js';
import { type PublishView, scanPublishProperties } from './publish-view.js';
import { Reader } from './reader.js';
import { ReasonCode } from './reason-codes.js';
import { checkTopicName } from './utf8.js';
import { malformed, protocolError, WireError } from './wire-error.js';

/** Property length and properties at the reader's place. */
export function readProperties(reader: Reader, context: PropertyContext): Properties {
  const length = reader.variableByteInteger();
  const end = reader.at + length;
  if (end > reader.end) malformed('a property length beyond the packet');
  const properties = decodeProperties(reader.buffer, reader.at, end, context);
  reader.at = end;
  return properties;
}

/** A packet identifier, which is not 0 [MQTT-2.2.1-3]. */
export function readPacketId(reader: Reader): number {
  const packetId = reader.uint16();
  if (packetId === 0) malformed('packet identifier 0 [MQTT-2.2.1-3]');
  return packetId;
}

/** Protocol name and level of a CONNECT. */
interface Protocol {
  readonly id: 'MQTT' | 'MQIsdp';
  readonly level: number;
  /** 0 for a level that there is not. */
  readonly version: 0 | ProtocolVersion;
  /** The level's high bit: a bridge of Mosquitto's kind, before MQTT 5.0. */
  readonly bridgeMode: boolean;
}

/** The beginning of CONNECT. Throws `WireError` 0x84 if the protocol is not MQTT at all [MQTT-3.1.2-1]. */
export function decodeProtocol(reader: Reader): Protocol {
  const id = reader.string();
  if (id !== 'MQTT' && id !== 'MQIsdp') {
    throw new WireError(ReasonCode.UnsupportedProtocolVersion, 'a protocol that is not MQTT [MQTT-3.1.2-1]');
  }
  const byte = reader.uint8();
  const level = byte & 0x7f;
  const bridgeMode = byte > 127;
  if (id === 'MQIsdp') return { id, level, version: level === 3 ? 3 : 0, bridgeMode };
  if (level === 5 && !bridgeMode) return { id, level, version: 5, bridgeMode };
  return { id, level, version: level === 4 ? 4 : 0, bridgeMode };
}

/** CONNECT after its protocol level: MQTT 3.1. */
export function decodeConnect(
  reader: Reader,
  protocolId: string,
  version: ProtocolVersion,
  bridgeMode: boolean,
): ConnectPacket {
  const flags = reader.uint8();
  // MQTT 3.1 disregards what the flags do not use: bit 0, and of the will when there is none (MQTT 3.1 3.1).
  const strict = version > 3;
  if (strict && (flags & 1) !== 0) malformed('the reserved connect flag [MQTT-3.1.2-3]');
  const hasWill = (flags & 4) !== 0;
  const willQos = (flags >>> 3) & 3;
  if (willQos === 3 && (strict || hasWill)) malformed('will QoS 3 [MQTT-3.1.2-12]');
  if (strict && !hasWill && (flags & 0x38) !== 0) malformed('will flags without a will [MQTT-3.1.2-11]');
  const hasUsername = (flags & 0x80) !== 0;
  const hasPassword = (flags & 0x40) !== 0;
  if (hasPassword && !hasUsername && version < 5) malformed('a password without a user name [MQTT-3.1.2-22]');
  const keepalive = reader.uint16();
  const packet: ConnectPacket = {
    cmd: 'connect',
    protocolId,
    protocolVersion: version,
    bridgeMode,
    clean: (flags & 2) !== 0,
    clientId: '',
    keepalive,
  };
  if (version === 5) {
    packet.properties = readProperties(reader, 'connect');
    if (packet.properties.authenticationData !== undefined && packet.properties.authenticationMethod === undefined) {
      protocolError('authentication data without a method');
    }
  }
  packet.clientId = reader.string();
  if (hasWill) packet.will = readWill(reader, version, willQos as QoS, (flags & 0x20) !== 0);
  // In MQTT 3.1 the Remaining Length has precedence over these two flags (MQTT 3.1 3.1).
  if (hasUsername && (strict || reader.at < reader.end)) packet.username = reader.string();
  if (hasPassword && (strict || reader.at < reader.end)) packet.password = reader.binary();
  if (reader.at !== reader.end) malformed('bytes after the end of CONNECT');
  return packet;
}

function readWill(reader: Reader, version: ProtocolVersion, qos: QoS, retain: boolean): WillPacket {
  const properties = version === 5 ? readProperties(reader, 'will') : undefined;
  const length = reader.uint16();
  const start = reader.at;
  if (start + length > reader.end) malformed('a will topic that ends too early');
  const reason = checkTopicName(reader.buffer, start, start + length);
  if (reason !== 0) throw new WireError(reason, 'a will topic that is not allowed');
  reader.at = start + length;
  const topic = reader.buffer.utf8Slice(start, start + length);
  const will: WillPacket = { topic, payload: reader.binary(), qos, retain };
  if (properties !== undefined) will.properties = properties;
  return will;
}

/**
 * PUBLISH: MQTT 3.3, into a view. The topic's characters are checked by whoever keeps the result per topic.
 * @param fromServer whether Subscription Identifiers are allowed [MQTT-3.3.4-6]
 */
export function decodePublish(
  view: PublishView,
  buffer: Buffer,
  start: number,
  body: number,
  end: number,
  version: ProtocolVersion,
  fromServer: boolean,
): void {
  const first = buffer[start];
  const qos = (first >>> 1) & 3;
  if (qos === 3) malformed('QoS 3 [MQTT-3.3.1-4]');
  if (qos === 0 && (first & 8) !== 0) malformed('DUP with QoS 0 [MQTT-3.3.1-2]');
  if (end - body < 2) malformed('a PUBLISH that ends too early');
  const topicStart = body + 2;
  const topicEnd = topicStart + ((buffer[body] << 8) | buffer[body + 1]);
  let at = topicEnd;
  let packetId = 0;
  if (qos > 0) {
    at += 2;
    if (at > end) malformed('a PUBLISH that ends too early');
    packetId = (buffer[topicEnd] << 8) | buffer[topicEnd + 1];
    if (packetId === 0) protocolError('packet identifier 0 [MQTT-2.2.1-3]');
  } else if (at > end) malformed('a PUBLISH that ends too early');
  view.buffer = buffer;
  view.packetStart = start;
  view.packetEnd = end;
  view.dup = (first & 8) !== 0;
  view.qos = qos as QoS;
  view.retain = (first & 1) !== 0;
  view.topicStart = topicStart;
  view.topicEnd = topicEnd;
  view.packetId = packetId;
  view.topicAlias = 0;
  view.messageExpiryInterval = -1;
  view.payloadFormatIndicator = 0;
  view.hasSubscriptionIdentifier = false;
  view.payloadEnd = end;
  if (version === 5) {
    decodePublishProperties(view, at, fromServer);
  } else {
    view.propertiesStart = at;
    view.propertiesEnd = at;
    view.payloadStart = at;
  }
  if (topicStart === topicEnd && view.topicAlias === 0) {
    if (version === 5) protocolError('a PUBLISH with neither topic nor Topic Alias (MQTT 5.0 3.3.2.1)');
    protocolError('an empty topic [MQTT-4.7.3-1]');
  }
}

function decodePublishProperties(view: PublishView, from: number, fromServer: boolean): void {
  const { buffer, payloadEnd: end } = view;
  let at = from;
  let length = 0;
  if (at < end && buffer[at] < 128) {
    length = buffer[at++];
  } else {
    const reader = new Reader(buffer, at, end);
    length = reader.variableByteInteger();
    at = reader.at;
  }
  if (at + length > end) malformed('a property length beyond the packet');
  view.propertiesStart = at;
  view.propertiesEnd = at + length;
  view.payloadStart = at + length;
  if (length === 0 || view.recall()) return;
  scanPublishProperties(view, fromServer);
  view.remember();
}

/** Reason codes that each acknowledgement may have. */
const PUBLISH_REASONS = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);
const RELEASE_REASONS = new Set([0x00, 0x92]);

/** PUBACK, PUBREC, PUBREL, PUBCOMP: returns the reason code. The packet identifier is the first two bytes. */
export function decodeAcknowledgement(
  type: number,
  buffer: Buffer,
  start: number,
  end: number,
  version: ProtocolVersion,
): number {
  const length = end - start;
  if (length < 2 || (version < 5 && length !== 2)) malformed('an acknowledgement of the wrong length');
  if (buffer[start] === 0 && buffer[start + 1] === 0) protocolError('packet identifier 0 [MQTT-2.2.1-3]');
  if (length === 2) return 0;
  const reason = buffer[start + 2];
  const isAnswer = type === PacketType.PUBACK || type === PacketType.PUBREC;
  const allowed = isAnswer ? PUBLISH_REASONS : RELEASE_REASONS;
  if (!allowed.has(reason)) protocolError('a reason code that this acknowledgement does not have');
  if (length > 3) {
    const reader = new Reader(buffer, start + 3, end);
    readProperties(reader, 'acknowledgement');
    if (reader.at !== end) malformed('bytes after the end of an acknowledgement');
  }
  return reason;
}

/**
 * SUBSCRIBE: MQTT 3.8. A bridge of Mosquitto's kind cannot say in MQTT 3.1 and 3.1.1 what it means: not to get back what
 * it sent, and to see RETAIN as it was published.
 */
export function decodeSubscribe(
  buffer: Buffer,
  start: number,
  end: number,
  version: ProtocolVersion,
  bridgeMode: boolean,
  maximumFilters = Number.POSITIVE_INFINITY,
): SubscribePacket {
  const reader = new Reader(buffer, start, end);
  const packet: SubscribePacket = { cmd: 'subscribe', messageId: readPacketId(reader), subscriptions: [] };
  if (version === 5) packet.properties = readProperties(reader, 'subscribe');
  if (reader.at === end) protocolError('a SUBSCRIBE without a filter [MQTT-3.8.3-2]');
  while (reader.at < end) {
    if (packet.subscriptions.length === maximumFilters) tooManyFilters();
    const topic = reader.string();
    const options = reader.uint8();
    const qos = options & 3;
    if (qos === 3) return protocolError('a subscription with QoS 3 [MQTT-3.8.3-4]');
    const rh = (options >>> 4) & 3;
    const reserved = version === 5 ? 0xc0 : 0xfc;
    if ((options & reserved) !== 0) malformed('reserved subscription options [MQTT-3.8.3-5]');
    if (version === 5 && rh === 3) protocolError('Retain Handling 3');
    packet.subscriptions.push({
      topic,
      qos: qos as QoS,
      nl: bridgeMode || (options & 4) !== 0,
      rap: bridgeMode || (options & 8) !== 0,
      rh: rh as 0 | 1 | 2,
    });
  }
  return packet;
}

/** UNSUBSCRIBE: MQTT 3.10. */
export function decodeUnsubscribe(
  buffer: Buffer,
  start: number,
  end: number,
  version: ProtocolVersion,
  maximumFilters = Number.POSITIVE_INFINITY,
): UnsubscribePacket {
  const reader = new Reader(buffer, start, end);
  const packet: UnsubscribePacket = { cmd: 'unsubscribe', messageId: readPacketId(reader), unsubscriptions: [] };
  if (version === 5) packet.properties = readProperties(reader, 'unsubscribe');
  if (reader.at === end) protocolError('an UNSUBSCRIBE without a filter [MQTT-3.10.3-2]');
  while (reader.at < end) {
    if (packet.unsubscriptions.length === maximumFilters) tooManyFilters();
    packet.unsubscriptions.push(reader.string());
  }
  return packet;
}

function tooManyFilters(): never {
  throw new WireError(ReasonCode.QuotaExceeded, 'too many filters in one packet');
}

/** Reason codes in DISCONNECT of a client and of a server: MQTT 5.0 table 3-10. */
const CLIENT_DISCONNECT_REASONS = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
]);
const SERVER_DISCONNECT_REASONS = new Set([
  0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
  0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
]);

/** DISCONNECT: MQTT 3.14. */
export function decodeDisconnect(
  buffer: Buffer,
  start: number,
  end: number,
  version: ProtocolVersion,
  fromServer: boolean,
): DisconnectPacket {
  const packet: DisconnectPacket = { cmd: 'disconnect', reasonCode: 0 };
  if (version < 5) {
    if (start !== end) malformed('DISCONNECT with content');
    return packet;
  }
  readReasoned(packet, buffer, start, end, 'disconnect');
  const allowed = fromServer ? SERVER_DISCONNECT_REASONS : CLIENT_DISCONNECT_REASONS;
  if (!allowed.has(packet.reasonCode)) protocolError('a reason code that DISCONNECT does not have');
  const { properties } = packet;
  if (fromServer && properties?.sessionExpiryInterval !== undefined) {
    protocolError('a Session Expiry Interval from a server [MQTT-3.14.2-2]');
  }
  if (!fromServer && properties?.serverReference !== undefined) protocolError('a Server Reference from a client');
  return packet;
}

/** AUTH: MQTT 5.0 3.15. Only a client may ask to authenticate again (table 3-11). */
export function decodeAuth(buffer: Buffer, start: number, end: number, fromServer: boolean): AuthPacket {
  const packet: AuthPacket = { cmd: 'auth', reasonCode: 0 };
  readReasoned(packet, buffer, start, end, 'auth');
  const { reasonCode, properties } = packet;
  const known =
    reasonCode === ReasonCode.ContinueAuthentication ||
    reasonCode === (fromServer ? ReasonCode.Success : ReasonCode.ReAuthenticate);
  if (!known) protocolError('a reason code that this AUTH does not have');
  const bare = reasonCode === ReasonCode.Success && properties === undefined;
  if (!bare && properties?.authenticationMethod === undefined) {
    protocolError('AUTH without an Authentication Method (MQTT 5.0 3.15.2.2.2)');
  }
  return packet;
}

/** A reason code and properties, either of which may be left out from the end. */
function readReasoned(
  packet: DisconnectPacket | AuthPacket,
  buffer: Buffer,
  start: number,
  end: number,
  context: PropertyContext,
): void {
  if (start === end) return;
  const reader = new Reader(buffer, start, end);
  packet.reasonCode = reader.uint8();
  if (reader.at < end) packet.properties = readProperties(reader, context);
  if (reader.at !== end) malformed('bytes after the end of the packet');
}
