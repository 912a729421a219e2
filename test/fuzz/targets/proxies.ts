/** What proxies say of their clients: the PROXY header, whatever comes in which pieces, and X-Forwarded-For. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import {
  ProxyError,
  type ProxyHeader,
  type ProxyVersions,
  readProxyHeader,
} from '../../../src/listeners/proxy-protocol.js';
import { TrustedProxies } from '../../../src/listeners/trusted-proxies.js';
import {
  addresses4,
  addresses6,
  LOCAL,
  PROXY,
  TCP4,
  TCP6,
  tlsTlv,
  tlv,
  UNSPECIFIED,
  v2,
} from '../../listeners/proxy-headers.js';
import { input, type Target } from '../target.js';

const VERSIONS: readonly ProxyVersions[] = ['v1', 'v2', 'any'];
/** A client's own bytes. */
const BEHIND = Buffer.from('PROXY TCP4 ');

/** A header, null if more bytes are needed, or why it is none. */
function read(bytes: Buffer, versions: ProxyVersions): ProxyHeader | string | null {
  try {
    return readProxyHeader(bytes, versions);
  } catch (error) {
    if (error instanceof ProxyError) return error.message;
    throw error;
  }
}

/** The address of `address:port`. */
function addressOf(remote: string): string {
  return remote.slice(0, remote.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
}

function runHeader(bytes: Buffer): string {
  const versions = VERSIONS[(bytes[0] ?? 0) % VERSIONS.length];
  const rest = bytes.subarray(1);
  const header = read(rest, versions);
  if (header === null) return 'unfinished';
  const length = typeof header === 'string' ? rest.length : header.length;
  assert.ok(length <= rest.length && length <= 4096 + (typeof header === 'string' ? bytes.length : 0));
  // Byte by byte it is the same, as early as can be: no prefix of a header is one, or is refused.
  if (typeof header !== 'string') {
    for (let end = 0; end < length; end += end < 64 ? 1 : 97) assert.equal(read(rest.subarray(0, end), versions), null);
    assert.deepEqual(read(Buffer.concat([rest.subarray(0, length), BEHIND]), versions), header);
  }
  if (typeof header === 'string') return header;
  const { source, tls } = header;
  if (source !== null) {
    assert.notEqual(isIP(addressOf(source)), 0, source);
    assert.match(source, /:\d{1,5}$/);
  }
  if (tls?.commonName != null) {
    assert.match(tls.commonName, /^[^\p{Cc}]+$/u);
    assert.ok(tls.certificate && Buffer.byteLength(tls.commonName) <= 128);
  }
  return `${source === null ? 'none' : isIP(addressOf(source))} ${tls === null ? 'plain' : tls.commonName !== null}`;
}

const address = addresses4('192.0.2.7', 4711);

export const proxyHeader: Target = {
  name: 'proxy-header',
  scope: ['/src/listeners/proxy-protocol'],
  longest: 400,
  words: [
    'PROXY ',
    'TCP4 ',
    'TCP6 ',
    'UNKNOWN',
    '\r\n',
    '::ffff:',
    '65535',
    v2(PROXY, TCP4),
    Buffer.from([0x20, 0, 5]),
  ],
  seeds: () => [
    input(0, 'PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n'),
    input(2, 'PROXY TCP6 2001:db8::7 ::ffff:1.2.3.4 4711 1883\r\n', 'behind'),
    input(2, 'PROXY UNKNOWN\r\n'),
    input(2, v2(PROXY, TCP4, address, tlv(1, 'mqtt'), tlsTlv(7, 0, tlv(0x21, 'TLSv1.3'), tlv(0x22, 'device')))),
    input(1, v2(PROXY, TCP6, addresses6('2001:db8:0:0:0:0:0:7', 1))),
    input(1, v2(PROXY, TCP4, address, tlv(3, Buffer.alloc(4)))),
    input(1, v2(LOCAL, UNSPECIFIED, Buffer.alloc(20))),
    input(2, v2(PROXY, 0x31, Buffer.alloc(216))),
  ],
  run: runHeader,
};

const trusted = new TrustedProxies(['10.0.0.0/8', '2001:db8::/32', '127.0.0.1']);

function runForwarded(bytes: Buffer): string {
  const field = bytes.latin1Slice();
  const client = trusted.clientOf({ headers: { 'x-forwarded-for': field } } as unknown as IncomingMessage);
  if (client === null) return 'none';
  const found = addressOf(client);
  assert.notEqual(isIP(found), 0, client);
  assert.match(client, /:0$/);
  assert.doesNotMatch(found, /^10\./);
  // Whatever a client puts in front of what its proxies write changes nothing.
  const forged = { headers: { 'x-forwarded-for': `203.0.113.9, ${field}` } } as unknown as IncomingMessage;
  assert.equal(trusted.clientOf(forged), client);
  return String(isIP(found));
}

export const forwardedFor: Target = {
  name: 'forwarded-for',
  scope: ['/src/listeners/trusted-proxies'],
  longest: 200,
  words: [
    '10.0.0.1',
    '2001:db8::1',
    '203.0.113.7',
    '[2001:db9::1]:80',
    '::ffff:1.2.3.4',
    ', ',
    ':443',
    'unknown',
    '%1',
  ],
  seeds: () =>
    ['203.0.113.7', '6.6.6.6, 203.0.113.7:80, 10.0.0.1', '[2001:db9::1]:80', ''].map((text) => Buffer.from(text)),
  run: runForwarded,
};
