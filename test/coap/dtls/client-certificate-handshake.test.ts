/** The client's handshake with certificates (RFC 7252 9.1.3.3, RFC 8422), with a server that shares no code with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { ServerCertificate } from '../../../src/coap/dtls/server-certificate.js';
import type { CertificateCredential } from '../../../src/coap/dtls-client/certificate-exchange.js';
import { ServerCertificates, type ServerName } from '../../../src/coap/dtls-client/server-certificates.js';
import { CA, FROM, Made, type Wish } from './certificates.js';
import { CCM_8, ECDSA_CCM, ECDSA_CCM_8, ECDSA_GCM, IDENTITY, KEY } from './client.js';
import { at, ClientBench } from './client-bench.js';
import type { DtlsServer, ServerOptions } from './server.js';

const NOON = FROM + 86_400_000;
const NAME: ServerName = { host: 'device.example', kind: 'name' };
const DEEPER: ServerName = { host: 'one.device.example', kind: 'name' };
const DEVICE = CA.issue({ names: ['device'], hosts: ['device.example', '192.0.2.1'], usages: [1] });
const BROKER = CA.issue({ names: ['portico'], usages: [2] });
const OWN = { certificate: new ServerCertificate(BROKER.credential), identity: 'portico' };
const ECDSA_SHA256 = 0x0403;

function credential(name = NAME, more: Partial<CertificateCredential> = {}): CertificateCredential {
  return { servers: new ServerCertificates({ ca: [CA.x509], now: () => NOON }), name, ...more };
}

function served(options: ServerOptions = {}, wanted = credential()): { bench: ClientBench; server: DtlsServer } {
  const bench = new ClientBench({ credential: () => wanted });
  const server = bench.server(1, { suite: ECDSA_CCM_8, certificate: DEVICE.credential, ...options });
  bench.send('first');
  bench.deliver();
  return { bench, server };
}

function sessionOf(bench: ClientBench, server: DtlsServer): DtlsSession {
  server.say('answer');
  bench.deliver();
  return { ...(bench.received[0].source.session as DtlsSession) };
}

/** What ends a handshake: the alert that the server hears, and the words for whoever asked. */
function refused(options: ServerOptions, wanted = credential()): { alert: number; words: string; counted: number } {
  const { bench, server } = served(options, wanted);
  assert.equal(server.alerts.length, 1);
  const [[epoch, level, alert]] = server.alerts;
  assert.deepEqual([epoch, level], [0, 2]);
  assert.deepEqual(server.data, []);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 });
  const { handshakesFailed, certificatesRefused, internalErrors } = bench.dtls.counters;
  assert.deepEqual([handshakesFailed, internalErrors], [1, 0]);
  return { alert, words: bench.told[0].replace('unreachable 1: ', ''), counted: certificatesRefused };
}

for (const [suite, cipherSuite] of [
  [ECDSA_CCM_8, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8'],
  [ECDSA_CCM, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM'],
  [ECDSA_GCM, 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
] as const) {
  for (const [how, options] of [
    ['a cookie', { cookie: Buffer.from('cookie') }],
    ['no extended master secret', { extendedMasterSecret: false }],
    ['small fragments', { fragment: 99 }],
    ['a Connection ID', { cid: Buffer.from('cid') }],
    [
      'point formats and the name in ServerHello',
      {
        extensions: [
          [11, Buffer.from([1, 0])],
          [0, Buffer.alloc(0)],
        ],
      },
    ],
  ] as const satisfies readonly (readonly [string, ServerOptions])[]) {
    test(`${cipherSuite}, ${how}: the server is known by its certificate, the client by none`, () => {
      const { bench, server } = served({ suite, ...options });
      assert.deepEqual(server.data, ['first']);
      assert.deepEqual(sessionOf(bench, server), { identity: undefined, proof: 'none', cipherSuite });
      assert.deepEqual([server.strange, server.clientChain], [0, undefined]);
    });
  }
}

test('ClientHello offers the suites with certificates, P-256, uncompressed points, SHA-256 with ECDSA and RSA, and the name of the host', () => {
  const { server } = served();
  assert.deepEqual(server.suites, [ECDSA_CCM_8, ECDSA_CCM, ECDSA_GCM, 0x00ff]);
  assert.deepEqual(
    [...server.extensions].map(([type, data]) => [type, data.toString('hex')]),
    [
      [23, ''],
      [54, '00'],
      [10, '00020017'],
      [11, '0100'],
      [13, '000404030401'],
      [0, `0011${'00000e'}${Buffer.from('device.example').toString('hex')}`],
    ],
  );
  const { server: other } = served({}, credential({ host: '192.0.2.1', kind: 'IPv4' }));
  assert.equal(other.extensions.has(0), false, 'an address is no name (RFC 6066 3)');
});

test('RFC 5246 7.4.6, 7.4.8: a server that asks gets the certificate with its chain, and the signature that shows its key', () => {
  const { bench, server } = served({ asks: [0x0401, ECDSA_SHA256] }, credential(NAME, { own: OWN }));
  assert.deepEqual(server.messages, [1, 11, 16, 15, 20]);
  assert.deepEqual(server.clientChain, BROKER.chain);
  assert.equal(server.verified, true);
  const cipherSuite = 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8';
  assert.deepEqual(sessionOf(bench, server), { identity: 'portico', proof: 'certificate', cipherSuite });
});

for (const [why, wanted, asks] of [
  ['has no certificate', credential(), [ECDSA_SHA256]],
  ['has none that the server takes', credential(NAME, { own: OWN }), [0x0401]],
] as const) {
  test(`RFC 5246 7.4.6: a client that ${why} says so with an empty Certificate, and signs nothing`, () => {
    const { bench, server } = served({ asks }, wanted);
    assert.deepEqual(server.messages, [1, 11, 16, 20]);
    assert.deepEqual(server.clientChain, []);
    assert.deepEqual(server.data, ['first']);
    assert.equal(sessionOf(bench, server).proof, 'none');
  });
}

test('a server that says nothing more after it has asked for a certificate: the words say what may be wrong', () => {
  for (const [wanted, words] of [
    [credential(), 'it asks for a certificate, and the broker has none for it'],
    [credential(NAME, { own: OWN }), 'it may not take the certificate of the broker'],
  ] as const) {
    const { bench } = served(
      { asks: [ECDSA_SHA256], change: (type, right) => (type === 20 ? undefined : right) },
      wanted,
    );
    bench.clock.advance(30_100);
    assert.deepEqual(bench.told, [`unreachable 1: no answer to Finished: ${words} within 30000 ms`]);
  }
});

const named = (name: ServerName, wish: Wish): string | undefined => {
  const { bench, server } = served({ certificate: CA.issue(wish).credential }, credential(name));
  return server.connected ? undefined : bench.told[0];
};

for (const [what, name, wish] of [
  ['a dNSName', NAME, { hosts: ['other.example', 'DEVICE.example'] }],
  ['a dNSName with a wildcard for the first level', DEEPER, { hosts: ['*.device.example'] }],
  ['an iPAddress', { host: '192.0.2.1', kind: 'IPv4' }, { hosts: ['192.0.2.1'] }],
  ['the endpoint name as dNSName', { host: '192.0.2.1', kind: 'IPv4', endpoint: 'node1' }, { hosts: ['node1'] }],
  [
    'the endpoint name as common name',
    { host: '192.0.2.1', kind: 'IPv4', endpoint: 'urn:x:1' },
    { names: ['urn:x:1'] },
  ],
  [
    'its address, though it has an endpoint name',
    { host: '192.0.2.1', kind: 'IPv4', endpoint: 'x' },
    { hosts: ['192.0.2.1'] },
  ],
] as const satisfies readonly (readonly [string, ServerName, Wish])[]) {
  test(`a server is known by ${what}`, () => assert.equal(named(name, wish), undefined));
}

for (const [what, name, wish] of [
  ['another name', NAME, { hosts: ['other.example'] }],
  ['the host as common name alone (RFC 6125 6.4.4)', NAME, { names: ['device.example'] }],
  ['a wildcard for two levels', DEEPER, { hosts: ['*.example'] }],
  ['a wildcard within a level', DEEPER, { hosts: ['on*.device.example'] }],
  ['its address as a dNSName', { host: '192.0.2.1', kind: 'IPv4' }, { names: ['192.0.2.1'] }],
  ['another address', { host: '192.0.2.1', kind: 'IPv4' }, { hosts: ['192.0.2.2'] }],
  ['a wildcard for an endpoint name', { host: '192.0.2.1', kind: 'IPv4', endpoint: 'a.b.c' }, { hosts: ['*.b.c'] }],
  ['two common names', { host: '192.0.2.1', kind: 'IPv4', endpoint: 'node1' }, { names: ['node1', 'node2'] }],
] as const satisfies readonly (readonly [string, ServerName, Wish])[]) {
  test(`a server is not known by ${what}`, () =>
    assert.match(named(name, wish) ?? '', /certificate of another name than /));
}

test('a certificate of another name is bad_certificate; the words say which name was asked for, and what the certificate says', () => {
  const certificate = CA.issue({ names: ['evil'], hosts: ['evil.example'] }).credential;
  const words = 'certificate of another name than device.example: "CN=evil"';
  assert.deepEqual(refused({ certificate }), { alert: 42, words, counted: 1 });
  const endpoint = refused({ certificate }, credential({ host: '192.0.2.1', kind: 'IPv4', endpoint: 'node1' }));
  assert.equal(endpoint.words, 'certificate of another name than 192.0.2.1 nor node1: "CN=evil"');
});

const hosts = ['device.example'];
const OTHER_CA = new Made({ names: ['another CA'], ca: true });
for (const [what, made, alert, words] of [
  ['another CA', OTHER_CA.issue({ hosts }), 48, /^unknown CA "CN=another CA"$/],
  [
    'a CA that only has the name',
    new Made({ names: ['the CA'], ca: true }).issue({ hosts }),
    42,
    /^bad signature of a certificate$/,
  ],
  ['a certificate that has expired', CA.issue({ hosts, to: NOON - 1000 }), 45, /^certificate expired "CN=device"$/],
  ['one that is not valid yet', CA.issue({ hosts, from: NOON + 1000 }), 45, /^certificate not valid yet "CN=device"$/],
  ['one for clients', CA.issue({ hosts, usages: [2] }), 43, /^certificate not for servers "CN=device"$/],
  ['one that may not sign', CA.issue({ hosts, keyUsage: 0x20 }), 43, /^certificate not for signatures /],
  ['one with a key of P-384', CA.issue({ hosts, curve: 'secp384r1' }), 43, /^certificate of another kind of key /],
  ['one of a certificate that is no CA', CA.issue({ names: ['no CA'] }).issue({ hosts }), 42, /^not a CA "CN=no CA"$/],
] as const) {
  test(`${what} is answered with alert ${alert}, counted, and told in words`, () => {
    const end = refused({ certificate: made.credential });
    assert.deepEqual([end.alert, end.counted], [alert, 1]);
    assert.match(end.words, words);
  });
}

const change = (which: number, make: (right: Buffer) => Buffer | undefined): ServerOptions => ({
  asks: [ECDSA_SHA256],
  change: (type, right) => (type === which ? make(right) : right),
});
const put = (right: Buffer, place: number, ...bytes: number[]): Buffer => {
  const body = Buffer.from(right);
  Buffer.from(bytes).copy(body, place);
  return body;
};

for (const [what, options, alert, words] of [
  [
    'a certificate whose key the server does not have',
    { certificate: { chain: DEVICE.chain, key: BROKER.keys.privateKey } },
    51,
    /does not have the key/,
  ],
  ['parameters that were changed', change(12, (right) => put(right, 20, right[20] ^ 1)), 51, /does not have the key/],
  ['a curve that was not offered', change(12, (right) => put(right, 1, 0, 24)), 47, /group that was not offered/],
  ['parameters that are no named curve', change(12, (right) => put(right, 0, 1)), 50, /malformed ServerKeyExchange/],
  [
    'a signature scheme that was not offered',
    change(12, (right) => put(right, 69, 2, 3)),
    47,
    /signature scheme 0x203/,
  ],
  [
    'a ServerKeyExchange that is too short',
    change(12, (right) => right.subarray(0, 70)),
    50,
    /malformed ServerKeyExchange/,
  ],
  ['no certificate in Certificate', change(11, () => Buffer.alloc(3)), 40, /no certificate of the server/],
  ['a malformed Certificate', change(11, (right) => right.subarray(0, 9)), 50, /malformed Certificate/],
  ['what is no certificate', change(11, () => Buffer.from('000004000001ff', 'hex')), 42, /malformed certificate/],
  ['no Certificate', change(11, () => undefined), 10, /unexpected handshake message 12/],
  ['no ServerKeyExchange', change(12, () => undefined), 10, /unexpected handshake message 13/],
  ['a malformed CertificateRequest', change(13, (right) => right.subarray(0, 3)), 50, /malformed CertificateRequest/],
  ['a suite with a key', { suite: CCM_8 }, 47, /illegal_parameter/],
  ['compressed points alone', { extensions: [[11, Buffer.from([1, 1])]] }, 47, /illegal_parameter/],
  ['malformed point formats', { extensions: [[11, Buffer.from([9])]] }, 50, /decode_error/],
  ['a server_name with content', { extensions: [[0, Buffer.from([1])]] }, 50, /decode_error/],
  ['groups in ServerHello', { extensions: [[10, Buffer.from([0, 2, 0, 23])]] }, 110, /unsupported_extension/],
] as const satisfies readonly (readonly [string, ServerOptions, number, RegExp])[]) {
  test(`${what} is answered with alert ${alert}, and the requester is told`, () => {
    const end = refused(options, credential(NAME, { own: OWN }));
    assert.equal(end.alert, alert);
    assert.match(end.words, words);
  });
}

test('RFC 8422 5.11: a point that is not on the curve is illegal_parameter, though it is signed', () => {
  const point = Buffer.alloc(65, 7);
  point[0] = 4;
  const end = refused({ point });
  assert.deepEqual([end.alert, end.words], [47, 'a public key that is not of the group']);
});

test("the broker's own server, which asks for a certificate: each datagram may be lost once", () => {
  const wanted = credential(NAME, { own: OWN });
  const options = {
    psk: undefined,
    certificate: DEVICE.credential,
    clientCertificates: { ca: [CA.x509], required: true, now: () => NOON },
  };
  const run = (lost: number): ClientBench => {
    const bench = new ClientBench({ credential: () => wanted, limits: { handshakeDatagram: 400 } });
    bench.echo(1, options);
    bench.copies = (flown) => (flown === lost ? 0 : 1);
    bench.send('hello');
    for (let tries = 0; tries < 10 && bench.dtls.tables.associations === 0; tries++) {
      bench.deliver();
      bench.clock.advance(1_100);
    }
    bench.deliver();
    return bench;
  };
  const all = run(-1).flown;
  for (let lost = 0; lost < all - 2; lost++) assert.deepEqual(run(lost).texts(), ['echo hello'], `without ${lost}`);
});

test('each server has its own credential: one a key, another a certificate', () => {
  const bench = new ClientBench({
    credential: ({ port }) => (port === 1 ? { identity: IDENTITY, key: KEY } : credential()),
  });
  const one = bench.server(1);
  const two = bench.server(2, { suite: ECDSA_GCM, certificate: DEVICE.credential });
  bench.send('to one', at(1));
  bench.send('to two', at(2));
  bench.deliver();
  assert.deepEqual([one.data, two.data], [['to one'], ['to two']]);
});
