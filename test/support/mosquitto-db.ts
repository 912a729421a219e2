/** Files of Mosquitto, written from their layout: src/cli/import/mosquitto-chunks.ts describes it. */

/** Magic, checksum and version. */
export function head(version: number): Buffer {
  const bytes = Buffer.alloc(23);
  bytes.write('\0\u{b5}\0mosquitto db', 'latin1');
  bytes.writeUInt32BE(version, 19);
  return bytes;
}

export function chunk(type: number, ...parts: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(type);
  bytes.writeUInt32BE(body.length, 4);
  return Buffer.concat([bytes, body]);
}

export function configuration(): Buffer {
  const fixed = Buffer.alloc(16);
  fixed.writeBigUInt64LE(1n);
  fixed.set([1, 8], 8);
  return chunk(1, fixed);
}

export interface MessageFields {
  readonly id: number;
  readonly topic: string | Buffer;
  readonly payload?: string;
  readonly qos?: number;
  readonly retain?: boolean;
  /** Seconds since the epoch. */
  readonly expiresAt?: number;
  readonly publisher?: string;
  readonly user?: string;
  /** Port of the listener. */
  readonly port?: number;
  /** With their length. */
  readonly properties?: Buffer;
  /** Times and numbers as a big-endian machine writes them. */
  readonly bigEndian?: boolean;
}

export function message(fields: MessageFields): Buffer {
  const { id, topic, payload = '', qos = 1, retain = false, expiresAt = 0, publisher = '', user = '' } = fields;
  const fixed = Buffer.alloc(32);
  writeNumber(fixed, id, 0, fields.bigEndian);
  writeNumber(fixed, expiresAt, 8, fields.bigEndian);
  fixed.writeUInt32BE(Buffer.byteLength(payload), 16);
  fixed.writeUInt16BE(Buffer.byteLength(publisher), 22);
  fixed.writeUInt16BE(Buffer.byteLength(user), 24);
  fixed.writeUInt16BE(Buffer.byteLength(topic), 26);
  fixed.writeUInt16BE(fields.port ?? 0, 28);
  fixed.set([qos, retain ? 1 : 0], 30);
  return chunk(2, fixed, publisher, user, topic, payload, fields.properties ?? '');
}

export interface ClientMessageFields {
  readonly id: number;
  readonly client: string;
  readonly packetId?: number;
  readonly qos?: number;
  readonly state: number;
  readonly dup?: boolean;
  readonly retain?: boolean;
  readonly incoming?: boolean;
  /** With their length. */
  readonly properties?: Buffer;
}

export function clientMessage(fields: ClientMessageFields): Buffer {
  const { id, client, packetId = 0, qos = 1, state, dup = false, retain = false, incoming = false } = fields;
  const fixed = Buffer.alloc(16);
  writeNumber(fixed, id, 0);
  fixed.writeUInt16BE(packetId, 8);
  fixed.writeUInt16BE(Buffer.byteLength(client), 10);
  fixed.set([qos, state, (retain ? 16 : 0) | (dup ? 1 : 0), incoming ? 0 : 1], 12);
  return chunk(3, fixed, client, fields.properties ?? '');
}

export function retained(id: number): Buffer {
  const fixed = Buffer.alloc(8);
  writeNumber(fixed, id, 0);
  return chunk(4, fixed);
}

export function subscription(client: string, filter: string, qos: number, options = 0, identifier = 0): Buffer {
  const fixed = Buffer.alloc(12);
  fixed.writeUInt32BE(identifier);
  fixed.writeUInt16BE(Buffer.byteLength(client), 4);
  fixed.writeUInt16BE(Buffer.byteLength(filter), 6);
  fixed.set([qos, options], 8);
  return chunk(5, fixed, client, filter);
}

/**
 * @param version of the format: in 5 there is no user and no port of a listener
 * @param padding bytes behind the structure in version 6, none on a machine of 32 bits
 */
export function client(
  version: 5 | 6,
  id: string,
  expiryInterval = 0xffff_ffff,
  expiresAt = 0,
  user = '',
  padding = 4,
): Buffer {
  const fixed = Buffer.alloc(version === 5 ? 16 : 20 + padding);
  writeNumber(fixed, expiresAt, 0);
  fixed.writeUInt32BE(expiryInterval, 8);
  fixed.writeUInt16BE(Buffer.byteLength(id), 14);
  if (version === 6) {
    fixed.writeUInt16BE(1883, 16);
    fixed.writeUInt16BE(Buffer.byteLength(user), 18);
  }
  return chunk(6, fixed, id, version === 6 ? user : '');
}

function writeNumber(bytes: Buffer, value: number, at: number, bigEndian = false): void {
  if (bigEndian) bytes.writeBigInt64BE(BigInt(value), at);
  else bytes.writeBigInt64LE(BigInt(value), at);
}
