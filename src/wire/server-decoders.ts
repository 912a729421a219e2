/** Decoders of the packets that only a server sends. Each throws `WireError` for a packet that breaks the protocol. */
import { readPacketId, readProperties } from './decoders.js';
import type { ConnackPacket, SubackPacket, UnsubackPacket } from './packets.js';
import type { ProtocolVersion } from './protocol.js';
import { Reader } from './reader.js';
import { malformed, protocolError } from './wire-error.js';

/** MQTT 5.0 table 3-1. */
const CONNACK_REASONS = new Set([
  0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b,
  0x9c, 0x9d, 0x9f,
]);
/** MQTT 5.0 table 3-8. */
const SUBACK_REASONS = new Set([0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]);
/** MQTT 3.1.1 3.9.3 [MQTT-3.9.3-2]. */
const SUBACK_RETURN_CODES = new Set([0x00, 0x01, 0x02, 0x80]);
/** MQTT 5.0 table 3-9. */
const UNSUBACK_REASONS = new Set([0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]);

/** CONNACK: MQTT 3.2. */
export function decodeConnack(buffer: Buffer, start: number, end: number, version: ProtocolVersion): ConnackPacket {
  const reader = new Reader(buffer, start, end);
  const flags = reader.uint8();
  const reasonCode = reader.uint8();
  // The byte was reserved and not used in MQTT 3.1.
  if (version > 3 && flags > 1) malformed('reserved CONNACK flags [MQTT-3.2.2-1]');
  const sessionPresent = version > 3 && flags === 1;
  if (version === 5 ? !CONNACK_REASONS.has(reasonCode) : reasonCode > 5) {
    protocolError('a reason code that CONNACK does not have');
  }
  if (sessionPresent && reasonCode !== 0) protocolError('a refusal with a session present [MQTT-3.2.2-6]');
  const packet: ConnackPacket = { cmd: 'connack', sessionPresent, reasonCode };
  if (version === 5) packet.properties = readProperties(reader, 'connack');
  if (reader.at !== end) malformed('bytes after the end of CONNACK');
  return packet;
}

/** SUBACK: MQTT 3.9. */
export function decodeSuback(buffer: Buffer, start: number, end: number, version: ProtocolVersion): SubackPacket {
  const reader = new Reader(buffer, start, end);
  const packet: SubackPacket = { cmd: 'suback', messageId: readPacketId(reader), granted: [] };
  if (version === 5) packet.properties = readProperties(reader, 'suback');
  readReasonCodes(reader, packet.granted, version === 5 ? SUBACK_REASONS : SUBACK_RETURN_CODES);
  return packet;
}

/** UNSUBACK: MQTT 3.11. */
export function decodeUnsuback(buffer: Buffer, start: number, end: number, version: ProtocolVersion): UnsubackPacket {
  const reader = new Reader(buffer, start, end);
  const packet: UnsubackPacket = { cmd: 'unsuback', messageId: readPacketId(reader), granted: [] };
  if (version === 5) {
    packet.properties = readProperties(reader, 'unsuback');
    readReasonCodes(reader, packet.granted, UNSUBACK_REASONS);
  } else if (reader.at !== end) {
    malformed('bytes after the end of UNSUBACK');
  }
  return packet;
}

/** The rest of a packet: one reason code for each filter that was asked for, of which there was at least one. */
function readReasonCodes(reader: Reader, codes: number[], allowed: ReadonlySet<number>): void {
  if (reader.at === reader.end) protocolError('an acknowledgement without a reason code');
  while (reader.at < reader.end) {
    const code = reader.uint8();
    if (!allowed.has(code)) protocolError('a reason code that this acknowledgement does not have');
    codes.push(code);
  }
}
