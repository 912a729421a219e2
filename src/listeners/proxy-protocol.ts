/**
 * The header of the PROXY protocol, versions 1 and 2, that a proxy sends in front of a connection: where the client is, and
 * what it has shown over TLS. The specification is proxy-protocol.txt of HAProxy.
 */
import { isUtf8 } from 'node:buffer';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { isIdentity } from '../coap/common-name.js';
import { addressText } from '../session/remote.js';
import { crc32c } from '../store/leveldb/crc32c.js';

/** `any` is either of the two. */
export type ProxyVersions = 'v1' | 'v2' | 'any';

/** What a client has shown over TLS to the proxy (2.2.6). */
export interface ProxyTls {
  /** Whether it has shown a certificate that the proxy has verified. */
  readonly certificate: boolean;
  /** Common name of that certificate; null if it is not said, or cannot be a user name. */
  readonly commonName: string | null;
}

export interface ProxyHeader {
  /** Bytes of the header; the client's own begin behind it. */
  readonly length: number;
  /** The proxy speaks for itself, as it does to see whether the broker is there. */
  readonly local: boolean;
  /** `address:port` of the client; null if the proxy speaks for itself or does not know: then it is that of the connection. */
  readonly source: string | null;
  /** Null if the client does not speak TLS to the proxy, or nothing is said of it. */
  readonly tls: ProxyTls | null;
}

/** What is no header, in words. */
export class ProxyError extends Error {}

/** Bytes of the longest header of version 1, with CR LF (2.1). */
const LONGEST_V1 = 107;
/** Bytes of the longest header of version 2 that is taken: one with all TLVs of HAProxy is much shorter. */
const LONGEST_V2 = 4096;
const PREFIX_V1 = Buffer.from('PROXY ');
const SIGNATURE_V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const FIXED_V2 = 16;

/** Families and protocols of version 2 that have an address for us: bytes of the block of addresses, and of one address. */
const UNSPECIFIED = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;
const UNIX_STREAM = 0x31;
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [UNSPECIFIED, 0],
  [TCP4, 12],
  [TCP6, 36],
  [UNIX_STREAM, 216],
]);

const TLV_CRC32C = 0x03;
const TLV_SSL = 0x20;
const TLV_SSL_CN = 0x22;
/** Bits of the `client` byte of the TLV of TLS. */
const CLIENT_SSL = 1;
const CLIENT_CERTIFICATES = 2 | 4;
/** Bytes of that TLV before the TLVs in it. */
const SSL_FIXED = 5;
/** What the checksum counts as in itself. */
const NO_CHECKSUM = Buffer.alloc(4);
const TOO_EARLY = 'a PROXY header with a TLV that ends too early';

/**
 * Reads a header from the first bytes of a connection.
 * @returns null if more bytes are needed
 * @throws ProxyError for what is none, as soon as that can be told
 */
export function readProxyHeader(bytes: Buffer, versions: ProxyVersions): ProxyHeader | null {
  if (bytes.length === 0) return null;
  if (versions !== 'v2' && begins(bytes, PREFIX_V1)) return readV1(bytes);
  if (versions !== 'v1' && begins(bytes, SIGNATURE_V2)) return bytes.length < FIXED_V2 ? null : readV2(bytes);
  throw new ProxyError(versions === 'any' ? 'no PROXY header' : `no PROXY header of version ${versions.slice(1)}`);
}

/** Whether bytes begin with others, as far as they go. */
function begins(bytes: Buffer, prefix: Buffer): boolean {
  const length = Math.min(bytes.length, prefix.length);
  return bytes.compare(prefix, 0, length, 0, length) === 0;
}

// --- version 1, in words --------------------------------------------------------------------------------------------

function readV1(bytes: Buffer): ProxyHeader | null {
  const end = bytes.subarray(0, LONGEST_V1).indexOf('\r\n');
  if (end < 0) {
    if (bytes.length >= LONGEST_V1) throw new ProxyError('a PROXY header without an end');
    return null;
  }
  const length = end + 2;
  const words = bytes.latin1Slice(PREFIX_V1.length, end).split(' ');
  const [family, source, destination, sourcePort, destinationPort] = words;
  // What stands behind it is to be ignored.
  if (family === 'UNKNOWN') return { length, local: false, source: null, tls: null };
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIPv6 : null;
  if (isAddress === null) throw new ProxyError('a PROXY header of an unknown family');
  if (words.length !== 5 || !isAddress(source) || !isAddress(destination)) {
    throw new ProxyError('a PROXY header with addresses that are none');
  }
  const ports = [sourcePort, destinationPort].map((text) => (/^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : 65_536));
  if (ports.some((port) => port > 65_535)) throw new ProxyError('a PROXY header with ports that are none');
  const remote = addressText(family === 'TCP6' ? canonical(source) : source, ports[0]);
  return { length, local: false, source: remote, tls: null };
}

/** An IPv6 address as the system writes it, so that one client has one address. */
function canonical(address: string): string {
  return new SocketAddress({ address, family: 'ipv6' }).address;
}

/** An IPv6 address without a zone, which would mean something on the proxy only. */
function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

// --- version 2, in bytes --------------------------------------------------------------------------------------------

function readV2(bytes: Buffer): ProxyHeader | null {
  const [version, command] = [bytes[12] >> 4, bytes[12] & 15];
  if (version !== 2 || command > 1) throw new ProxyError('a PROXY header of an unknown version or command');
  const length = FIXED_V2 + bytes.readUInt16BE(14);
  if (length > LONGEST_V2) throw new ProxyError(`a PROXY header of more than ${LONGEST_V2} bytes`);
  if (bytes.length < length) return null;
  // LOCAL: the rest is to be ignored.
  if (command === 0) return { length, local: true, source: null, tls: null };
  const family = bytes[13];
  const addresses = ADDRESS_BYTES.get(family);
  if (addresses === undefined) throw new ProxyError('a PROXY header of an unknown family or protocol');
  const tlvs = FIXED_V2 + addresses;
  if (tlvs > length) throw new ProxyError('a PROXY header that is too short for its addresses');
  const tls = readTlvs(bytes.subarray(0, length), tlvs);
  return { length, local: false, source: sourceOf(bytes, family), tls };
}

function sourceOf(bytes: Buffer, family: number): string | null {
  if (family === TCP4) return addressText(bytes.subarray(16, 20).join('.'), bytes.readUInt16BE(24));
  if (family !== TCP6) return null;
  const groups: string[] = [];
  for (let at = 16; at < 32; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  return addressText(canonical(groups.join(':')), bytes.readUInt16BE(48));
}

/** Each TLV from a place on, and where its value begins; one that ends too early is a fault. */
function* tlvsOf(bytes: Buffer, from: number): Generator<readonly [type: number, value: Buffer, start: number]> {
  for (let at = from; at < bytes.length; ) {
    const start = at + 3;
    const end = start <= bytes.length ? start + bytes.readUInt16BE(at + 1) : Number.POSITIVE_INFINITY;
    if (end > bytes.length) throw new ProxyError(TOO_EARLY);
    yield [bytes[at], bytes.subarray(start, end), start];
    at = end;
  }
}

/** What the TLVs of a header say of TLS. Those of other types are skipped but for the checksum. */
function readTlvs(header: Buffer, from: number): ProxyTls | null {
  let tls: ProxyTls | null = null;
  for (const [type, value, start] of tlvsOf(header, from)) {
    if (type === TLV_SSL) tls = readTls(value) ?? tls;
    else if (type === TLV_CRC32C) checkSum(header, value, start);
  }
  return tls;
}

/** The checksum counts as zeros in itself (2.2.3). */
function checkSum(header: Buffer, value: Buffer, at: number): void {
  if (value.length !== NO_CHECKSUM.length) throw new ProxyError(TOO_EARLY);
  const before = crc32c(header, 0, at);
  const behind = at + NO_CHECKSUM.length;
  const sum = crc32c(header, behind, header.length, crc32c(NO_CHECKSUM, 0, NO_CHECKSUM.length, before));
  if (sum !== value.readUInt32BE(0)) throw new ProxyError('a PROXY header whose checksum is wrong');
}

/** Null if the client does not speak TLS. */
function readTls(value: Buffer): ProxyTls | null {
  if (value.length < SSL_FIXED) throw new ProxyError(TOO_EARLY);
  const [client] = value;
  const certificate = (client & CLIENT_CERTIFICATES) !== 0 && value.readUInt32BE(1) === 0;
  let commonName: string | null = null;
  for (const [type, name] of tlvsOf(value, SSL_FIXED)) {
    if (type === TLV_SSL_CN && certificate) commonName = nameOf(name);
  }
  return (client & CLIENT_SSL) === 0 ? null : { certificate, commonName };
}

/** A common name that can be a user name; null for what cannot. */
function nameOf(bytes: Buffer): string | null {
  const name = isUtf8(bytes) ? bytes.utf8Slice() : '';
  return isIdentity(name) ? name : null;
}
