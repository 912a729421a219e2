/** Headers of the PROXY protocol as proxies write them, byte by byte. */

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** Families and protocols of version 2. */
export const TCP4 = 0x11;
export const TCP6 = 0x21;
export const UNSPECIFIED = 0x00;
export const UDP4 = 0x12;
export const UNIX = 0x31;

export const LOCAL = 0x20;
export const PROXY = 0x21;

export function tlv(type: number, value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([type, bytes.length >> 8, bytes.length & 255]), bytes]);
}

/** The TLV of TLS: `client` and `verify` as in 2.2.6. */
export function tlsTlv(client: number, verify: number, ...inner: Buffer[]): Buffer {
  const fixed = Buffer.alloc(5);
  fixed[0] = client;
  fixed.writeUInt32BE(verify, 1);
  return tlv(0x20, Buffer.concat([fixed, ...inner]));
}

export function v2(command: number, family: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([SIGNATURE, Buffer.from([command, family, body.length >> 8, body.length & 255]), body]);
}

/** Addresses and ports of a client of IPv4. */
export function addresses4(address: string, port: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.set(address.split('.').map(Number));
  bytes.set([127, 0, 0, 1], 4);
  bytes.writeUInt16BE(port, 8);
  bytes.writeUInt16BE(1883, 10);
  return bytes;
}

/** The same of IPv6. @param groups all eight, in hexadecimal */
export function addresses6(groups: string, port: number): Buffer {
  const bytes = Buffer.alloc(36);
  for (const [i, group] of groups.split(':').entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i);
  bytes.writeUInt16BE(port, 32);
  return bytes;
}
