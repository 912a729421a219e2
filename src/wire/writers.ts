/**
 * Writers of all packets but PUBLISH, which `publish-writer.ts` has. They append to an `Output`, and throw `WireError`
 * before they write anything if a field has no room for its value or a property is not allowed in the packet.
 */
import { binarySize, stringSize, writeBinary, writeString } from './fields.js';
import { type Output, variableByteIntegerSize } from './output.js';
import type { ConnectPacket, Properties, SubscribePacket, UnsubscribePacket, WillPacket } from './packets.js';
import { encodeProperties, type PropertyContext, propertiesSize } from './properties.js';
import { PacketType, type ProtocolVersion } from './protocol.js';
import { connackReturnCode } from './reason-codes.js';

/** Bytes of property length and properties; 0 before MQTT 5.0. */
function sizeOf(version: ProtocolVersion, properties: Properties | undefined, context: PropertyContext): number {
  if (version !== 5) return 0;
  const size = propertiesSize(properties, context);
  return variableByteIntegerSize(size) + size;
}

/** Reserves room for the whole packet and writes its fixed header. */
function begin(out: Output, first: number, remaining: number): void {
  out.reserve(5 + remaining);
  out.writeUInt8(first);
  out.writeVariableByteInteger(remaining);
}

/** CONNACK: MQTT 3.2. Before MQTT 5.0 the reason code becomes a return code, and only 0 may say session present. */
export function writeConnack(
  out: Output,
  version: ProtocolVersion,
  sessionPresent: boolean,
  reasonCode: number,
  properties?: Properties,
): void {
  begin(out, PacketType.CONNACK << 4, 2 + sizeOf(version, properties, 'connack'));
  // MQTT 3.1 has no session present flag: the byte is reserved there.
  out.writeUInt8(sessionPresent && reasonCode === 0 && version > 3 ? 1 : 0);
  out.writeUInt8(version === 5 ? reasonCode : connackReturnCode(reasonCode));
  if (version === 5) encodeProperties(out, properties, 'connack');
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP: MQTT 3.4 to 3.7. */
export function writeAcknowledgement(
  out: Output,
  version: ProtocolVersion,
  type: number,
  packetId: number,
  reasonCode: number,
  properties?: Properties,
): void {
  const long = version === 5 && (reasonCode !== 0 || properties !== undefined);
  const flags = type === PacketType.PUBREL ? 2 : 0;
  const tail = !long ? 0 : properties === undefined ? 1 : 1 + sizeOf(version, properties, 'acknowledgement');
  begin(out, (type << 4) | flags, 2 + tail);
  out.writeUInt16(packetId);
  if (!long) return;
  out.writeUInt8(reasonCode);
  if (properties !== undefined) encodeProperties(out, properties, 'acknowledgement');
}

/** SUBACK: MQTT 3.9. */
export function writeSuback(
  out: Output,
  version: ProtocolVersion,
  packetId: number,
  reasonCodes: readonly number[],
  properties?: Properties,
): void {
  begin(out, PacketType.SUBACK << 4, 2 + sizeOf(version, properties, 'suback') + reasonCodes.length);
  out.writeUInt16(packetId);
  if (version === 5) encodeProperties(out, properties, 'suback');
  for (const code of reasonCodes) out.writeUInt8(code);
}

/** UNSUBACK: MQTT 3.11. Before MQTT 5.0 it has no reason codes. */
export function writeUnsuback(
  out: Output,
  version: ProtocolVersion,
  packetId: number,
  reasonCodes: readonly number[],
  properties?: Properties,
): void {
  const codes = version === 5 ? reasonCodes : [];
  begin(out, PacketType.UNSUBACK << 4, 2 + sizeOf(version, properties, 'unsuback') + codes.length);
  out.writeUInt16(packetId);
  if (version === 5) encodeProperties(out, properties, 'unsuback');
  for (const code of codes) out.writeUInt8(code);
}

/** PINGREQ: MQTT 3.12. */
export function writePingreq(out: Output): void {
  begin(out, PacketType.PINGREQ << 4, 0);
}

/** PINGRESP: MQTT 3.13. */
export function writePingresp(out: Output): void {
  begin(out, PacketType.PINGRESP << 4, 0);
}

/** Reason code and properties, left out from the end where that says the same (MQTT 5.0 3.14.2.1). */
function writeReasoned(
  out: Output,
  type: number,
  reasonCode: number,
  properties: Properties | undefined,
  context: PropertyContext,
): void {
  if (reasonCode === 0 && properties === undefined) {
    begin(out, type << 4, 0);
    return;
  }
  begin(out, type << 4, 1 + (properties === undefined ? 0 : sizeOf(5, properties, context)));
  out.writeUInt8(reasonCode);
  if (properties !== undefined) encodeProperties(out, properties, context);
}

/** DISCONNECT: MQTT 3.14. Before MQTT 5.0 it has no content. */
export function writeDisconnect(
  out: Output,
  version: ProtocolVersion,
  reasonCode: number,
  properties?: Properties,
): void {
  if (version === 5) writeReasoned(out, PacketType.DISCONNECT, reasonCode, properties, 'disconnect');
  else begin(out, PacketType.DISCONNECT << 4, 0);
}

/** AUTH: MQTT 5.0 3.15. */
export function writeAuth(out: Output, reasonCode: number, properties?: Properties): void {
  writeReasoned(out, PacketType.AUTH, reasonCode, properties, 'auth');
}

/** CONNECT: MQTT 3.1. */
export function writeConnect(out: Output, packet: ConnectPacket): void {
  const { protocolVersion: version, will, username, password } = packet;
  let size =
    stringSize(packet.protocolId) + 4 + sizeOf(version, packet.properties, 'connect') + stringSize(packet.clientId);
  if (will !== undefined) {
    size += sizeOf(version, will.properties, 'will') + stringSize(will.topic) + binarySize(will.payload);
  }
  if (username !== undefined) size += stringSize(username);
  if (password !== undefined) size += binarySize(password);
  begin(out, PacketType.CONNECT << 4, size);
  writeString(out, packet.protocolId);
  out.writeUInt8(version | (packet.bridgeMode ? 0x80 : 0));
  out.writeUInt8(
    (packet.clean ? 2 : 0) |
      (will === undefined ? 0 : 4 | (will.qos << 3) | (will.retain ? 0x20 : 0)) |
      (password === undefined ? 0 : 0x40) |
      (username === undefined ? 0 : 0x80),
  );
  out.writeUInt16(packet.keepalive);
  if (version === 5) encodeProperties(out, packet.properties, 'connect');
  writeString(out, packet.clientId);
  if (will !== undefined) writeWill(out, version, will);
  if (username !== undefined) writeString(out, username);
  if (password !== undefined) writeBinary(out, password);
}

function writeWill(out: Output, version: ProtocolVersion, will: WillPacket): void {
  if (version === 5) encodeProperties(out, will.properties, 'will');
  writeString(out, will.topic);
  writeBinary(out, will.payload);
}

/** SUBSCRIBE: MQTT 3.8. */
export function writeSubscribe(out: Output, version: ProtocolVersion, packet: SubscribePacket): void {
  let size = 2 + sizeOf(version, packet.properties, 'subscribe');
  for (const { topic } of packet.subscriptions) size += stringSize(topic) + 1;
  begin(out, (PacketType.SUBSCRIBE << 4) | 2, size);
  out.writeUInt16(packet.messageId);
  if (version === 5) encodeProperties(out, packet.properties, 'subscribe');
  for (const { topic, qos, nl, rap, rh } of packet.subscriptions) {
    writeString(out, topic);
    out.writeUInt8(version === 5 ? qos | (nl ? 4 : 0) | (rap ? 8 : 0) | (rh << 4) : qos);
  }
}

/** UNSUBSCRIBE: MQTT 3.10. */
export function writeUnsubscribe(out: Output, version: ProtocolVersion, packet: UnsubscribePacket): void {
  let size = 2 + sizeOf(version, packet.properties, 'unsubscribe');
  for (const filter of packet.unsubscriptions) size += stringSize(filter);
  begin(out, (PacketType.UNSUBSCRIBE << 4) | 2, size);
  out.writeUInt16(packet.messageId);
  if (version === 5) encodeProperties(out, packet.properties, 'unsubscribe');
  for (const filter of packet.unsubscriptions) writeString(out, filter);
}
