/** Rows of the packet table, and the few words in which their bytes are written. */
import type {
  AuthPacket,
  ConnackPacket,
  ConnectPacket,
  DisconnectPacket,
  Properties,
  SubackPacket,
  SubscribePacket,
  UnsubackPacket,
  UnsubscribePacket,
} from '../../../src/wire/packets.js';
import type { ProtocolVersion, QoS } from '../../../src/wire/protocol.js';

/** A PUBLISH taken out of its view. Topic Alias and Message Expiry Interval are among the properties. */
export interface PublishPacket {
  cmd: 'publish';
  topic: string;
  payload: Buffer;
  qos: QoS;
  retain: boolean;
  dup: boolean;
  /** 0 for QoS 0. */
  messageId: number;
  properties?: Properties;
}

/** An acknowledgement as the parser tells of it: without its properties, which carry nothing that is acted on. */
export interface AcknowledgementPacket {
  cmd: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp';
  messageId: number;
  reasonCode: number;
}

export interface PingPacket {
  cmd: 'pingreq' | 'pingresp';
}

export type AnyPacket =
  | AcknowledgementPacket
  | AuthPacket
  | ConnackPacket
  | ConnectPacket
  | DisconnectPacket
  | PingPacket
  | PublishPacket
  | SubackPacket
  | SubscribePacket
  | UnsubackPacket
  | UnsubscribePacket;

/** One packet of the table. */
export interface PacketRow {
  /** Unique. */
  readonly name: string;
  readonly version: ProtocolVersion;
  /** Who sends it. */
  readonly direction: 'client' | 'server';
  /** Whether it opens the connection. Every other row follows an accepted CONNECT and its CONNACK. */
  readonly opens: boolean;
  readonly bytes: Buffer;
  /** The normative statement or section that the row is about. */
  readonly tag: string;
  /** What a valid packet says. */
  readonly packet?: AnyPacket;
  /** The MQTT 5.0 reason code for which a packet is refused, in all versions. */
  readonly reasonCode?: number;
  /** Valid bytes for which a writer has a shorter form, or another order. */
  readonly otherForm?: boolean;
}

/** A part of a packet: bytes, or hexadecimal digits with blanks where they help. */
type Part = Buffer | string;

/** Bytes as they are written. */
export function raw(...parts: Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part.replaceAll(' ', ''), 'hex') : part)),
  );
}

/** Variable Byte Integer. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest % 128) + (rest > 127 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** First byte, Remaining Length and body. */
export function framed(first: number, ...parts: Part[]): Buffer {
  const body = raw(...parts);
  return raw(Buffer.from([first]), varint(body.length), body);
}

/** UTF-8 Encoded String, or Binary Data. */
export function str(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text);
  return raw(Buffer.from([bytes.length >>> 8, bytes.length & 0xff]), bytes);
}

/** Property length and properties. */
export function props(...parts: Part[]): Buffer {
  const bytes = raw(...parts);
  return raw(varint(bytes.length), bytes);
}

type Versions = ProtocolVersion | readonly ProtocolVersion[];
type Options = Pick<Partial<PacketRow>, 'direction' | 'opens' | 'otherForm'>;

const NAMES: Readonly<Record<ProtocolVersion, string>> = { 3: 'MQTT 3.1', 4: 'MQTT 3.1.1', 5: 'MQTT 5.0' };

function rows(versions: Versions, row: Omit<PacketRow, 'version'>): PacketRow[] {
  const list = typeof versions === 'number' ? [versions] : versions;
  return list.map((version) => ({ ...row, version, name: `${NAMES[version]}: ${row.name}` }));
}

/** Rows of a valid packet, one for each version. */
export function valid(
  name: string,
  tag: string,
  versions: Versions,
  bytes: Buffer,
  packet: AnyPacket,
  options: Options = {},
): PacketRow[] {
  return rows(versions, { name, tag, bytes, packet, direction: 'client', opens: false, ...options });
}

/** Rows of a packet that is refused, one for each version. */
export function refused(
  name: string,
  tag: string,
  versions: Versions,
  bytes: Buffer,
  reasonCode: number,
  options: Options = {},
): PacketRow[] {
  return rows(versions, { name, tag, bytes, reasonCode, direction: 'client', opens: false, ...options });
}
