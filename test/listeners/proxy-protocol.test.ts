/** The PROXY header by itself: what it says, when it is complete, and what is none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxyError, readProxyHeader } from '../../src/listeners/proxy-protocol.js';
import {
  addresses4,
  addresses6,
  LOCAL,
  PROXY,
  TCP4,
  TCP6,
  tlsTlv,
  tlv,
  UDP4,
  UNIX,
  UNSPECIFIED,
  v2,
} from './proxy-headers.js';

const SOURCES: readonly [title: string, header: Buffer, source: string | null][] = [
  ['TCP4', Buffer.from('PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n'), '192.0.2.7:4711'],
  ['TCP6', Buffer.from('PROXY TCP6 2001:db8::7 ::1 4711 1883\r\n'), '[2001:db8::7]:4711'],
  ['TCP6 that is written at length', Buffer.from('PROXY TCP6 2001:DB8:0:0:0:0:0:7 ::1 1 2\r\n'), '[2001:db8::7]:1'],
  [
    'TCP6 with an address of IPv4 in it',
    Buffer.from('PROXY TCP6 ::FFFF:192.0.2.7 ::1 4711 1883\r\n'),
    '192.0.2.7:4711',
  ],
  ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), null],
  ['UNKNOWN with words behind it', Buffer.from('PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n'), null],
  ['version 2, TCP4', v2(PROXY, TCP4, addresses4('192.0.2.7', 4711)), '192.0.2.7:4711'],
  ['version 2, TCP6', v2(PROXY, TCP6, addresses6('2001:db8:0:0:0:0:0:7', 4711)), '[2001:db8::7]:4711'],
  ['version 2, IPv4 mapped to IPv6', v2(PROXY, TCP6, addresses6('0:0:0:0:0:ffff:c000:207', 1)), '192.0.2.7:1'],
  ['version 2, LOCAL', v2(LOCAL, UNSPECIFIED), null],
  ['version 2, LOCAL with bytes to ignore', v2(LOCAL, 0xff, Buffer.from('whatever')), null],
  ['version 2, no family', v2(PROXY, UNSPECIFIED, tlv(0x04, 'padding')), null],
  ['version 2, a Unix socket', v2(PROXY, UNIX, Buffer.alloc(216)), null],
];

for (const [title, header, source] of SOURCES) {
  test(`${title}: the address is read once all of the header is there, and the client's bytes stay`, () => {
    for (let end = 0; end < header.length; end++) assert.equal(readProxyHeader(header.subarray(0, end), 'any'), null);
    const bytes = Buffer.concat([header, Buffer.from([0x10, 0x00])]);
    const local = title.includes('LOCAL');
    assert.deepEqual(readProxyHeader(bytes, 'any'), { length: header.length, local, source, tls: null });
  });
}

const client = addresses4('192.0.2.7', 4711);
const LONGEST = 'x'.repeat(128);
const NAMED: readonly [title: string, tlvs: Buffer[], commonName: string | null, certificate: boolean][] = [
  ['a verified certificate', [tlsTlv(7, 0, tlv(0x21, 'TLSv1.3'), tlv(0x22, 'device 7'))], 'device 7', true],
  ['a certificate of an earlier connection', [tlsTlv(5, 0, tlv(0x22, 'device 7'))], 'device 7', true],
  ['TLVs of other types around it', [tlv(1, 'mqtt'), tlsTlv(3, 0, tlv(0x22, 'é')), tlv(0xee, '')], 'é', true],
  ['no certificate', [tlsTlv(1, 0, tlv(0x21, 'TLSv1.3'))], null, false],
  ['a certificate that was not verified', [tlsTlv(3, 10, tlv(0x22, 'device 7'))], null, false],
  ['a name without a certificate', [tlsTlv(1, 0, tlv(0x22, 'device 7'))], null, false],
  ['a certificate of which it does not say the name', [tlsTlv(3, 0)], null, true],
  ['a name that is no UTF-8', [tlsTlv(3, 0, tlv(0x22, Buffer.from([0xff])))], null, true],
  ['a name with a line break', [tlsTlv(3, 0, tlv(0x22, 'a\nb'))], null, true],
  ['the longest name', [tlsTlv(3, 0, tlv(0x22, LONGEST))], LONGEST, true],
  ['a name longer than names are', [tlsTlv(3, 0, tlv(0x22, `${LONGEST}x`))], null, true],
];

for (const [title, tlvs, commonName, certificate] of NAMED) {
  test(`TLS with ${title}: the common name is ${JSON.stringify(commonName)}`, () => {
    const header = readProxyHeader(v2(PROXY, TCP4, client, ...tlvs), 'v2');
    assert.deepEqual(header?.tls, { certificate, commonName });
  });
}

test('a TLV of TLS that says that the client does not speak it is none', () => {
  assert.equal(readProxyHeader(v2(PROXY, TCP4, client, tlsTlv(0, 0)), 'v2')?.tls, null);
  assert.equal(readProxyHeader(v2(PROXY, TCP4, client, tlv(4, '')), 'v2')?.tls, null);
});

test('a checksum that is there has to be right: CRC32C of the header, with zeros in its own place', () => {
  for (const [before, behind] of [
    [[], []],
    [[tlv(1, 'mqtt')], [tlsTlv(3, 0, tlv(0x22, 'device 7'))]],
  ]) {
    const header = v2(PROXY, TCP4, client, ...before, tlv(3, Buffer.alloc(4)), ...behind);
    const at = 16 + client.length + Buffer.concat(before).length + 3;
    header.writeUInt32BE(checksum(header), at);
    assert.equal(readProxyHeader(header, 'v2')?.source, '192.0.2.7:4711');
    for (const wrong of [16, at, header.length - 1]) {
      const damaged = Buffer.from(header);
      damaged[wrong] ^= 1;
      assert.throws(() => readProxyHeader(damaged, 'v2'), /whose checksum is wrong|ends too early/, `byte ${wrong}`);
    }
  }
  assert.throws(() => readProxyHeader(v2(PROXY, TCP4, client, tlv(3, 'abc')), 'v2'), /ends too early/);
});

/** CRC32C bit by bit, as RFC 3720 defines it. */
function checksum(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

const V1 = 'PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n';
const REFUSED: readonly [bytes: Buffer | string, versions: 'v1' | 'v2' | 'any', words: RegExp][] = [
  [Buffer.from([0x10]), 'any', /^no PROXY header$/],
  ['PROXZ', 'any', /^no PROXY header$/],
  ['proxy TCP4 ', 'any', /^no PROXY header$/],
  ['GET / HTTP/1.1\r\n', 'v1', /of version 1$/],
  [V1.slice(0, 1), 'v2', /of version 2$/],
  ['\r', 'v1', /of version 1$/],
  [`PROXY ${'x'.repeat(101)}`, 'v1', /without an end/],
  [`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`, 'v1', /without an end/],
  ['PROXY \r\n', 'any', /unknown family/],
  ['PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n', 'any', /unknown family/],
  ['PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n', 'any', /addresses that are none/],
  ['PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n', 'any', /addresses that are none/],
  ['PROXY TCP4 1.2.3.4  1 2\r\n', 'any', /addresses that are none/],
  ['PROXY TCP4 ::1 ::1 1 2\r\n', 'any', /addresses that are none/],
  ['PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n', 'any', /addresses that are none/],
  ['PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n', 'any', /addresses that are none/],
  ['PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n', 'any', /ports that are none/],
  ['PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n', 'any', /ports that are none/],
  ['PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n', 'any', /ports that are none/],
  [v2(0x11, TCP4, client), 'any', /version or command/],
  [v2(0x22, TCP4, client), 'any', /version or command/],
  [v2(PROXY, UDP4, client), 'any', /family or protocol/],
  [v2(PROXY, TCP4, client.subarray(1)), 'any', /too short for its addresses/],
  [v2(PROXY, TCP6, client), 'any', /too short for its addresses/],
  [v2(PROXY, TCP4, client, Buffer.from([1, 0])), 'any', /ends too early/],
  [v2(PROXY, TCP4, client, Buffer.from([1, 0, 9, 1])), 'any', /ends too early/],
  [v2(PROXY, TCP4, client, tlv(0x20, 'abcd')), 'any', /ends too early/],
  [v2(PROXY, TCP4, client, tlsTlv(3, 0, Buffer.from([0x22, 0, 9]))), 'any', /ends too early/],
  [v2(PROXY, TCP4, client, Buffer.alloc(4096)).subarray(0, 16), 'any', /more than 4096 bytes/],
];

test('what is no header is refused in words', () => {
  for (const [bytes, versions, words] of REFUSED) {
    assert.throws(
      () => readProxyHeader(Buffer.from(bytes), versions),
      (error) => error instanceof ProxyError && words.test(error.message),
      JSON.stringify(bytes.toString('latin1')),
    );
  }
});
