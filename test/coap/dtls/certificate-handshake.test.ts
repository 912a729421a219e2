/** Handshakes with certificates: what is agreed on, who a client is then, and whom the server refuses. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import type { DtlsOptions } from '../../../src/coap/dtls/options.js';
import { CA, SERVER } from './certificates.js';
import { asking, bench, DEVICE, refused, SUITES, sessionOf } from './certified.js';
import {
  CCM_8,
  type ClientOptions,
  DtlsBench,
  type DtlsClient,
  ECDSA_CCM,
  ECDSA_CCM_8,
  ECDSA_GCM,
  GCM,
  P256,
  X25519,
} from './client.js';

for (const [suite, name] of [
  [ECDSA_CCM_8, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8'],
  [ECDSA_CCM, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM'],
  [ECDSA_GCM, 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
] as const) {
  for (const extendedMasterSecret of [true, false]) {
    const how = extendedMasterSecret ? 'with' : 'without';
    test(`${name}, ${how} the extended master secret: the server is shown, the client is nobody`, () => {
      const server = bench();
      const client = server.client(1, { suites: [suite], extendedMasterSecret }).connect();
      server.check(client);
      assert.equal(client.suite, suite);
      assert.deepEqual(client.chain, [SERVER.der]);
      assert.equal(client.messages.join(), '3,2,11,12,14,20');
      // RFC 8422 5.2: the point format is answered.
      assert.deepEqual(client.serverExtensions.get(11), Buffer.from([1, 0]));
      assert.deepEqual(sessionOf(server), { identity: undefined, cipherSuite: name, proof: 'none' });
    });

    test(`${name}, ${how} the extended master secret: the identity is the common name of the client’s certificate`, () => {
      const server = asking();
      const options = { suites: [suite], extendedMasterSecret, credential: DEVICE.credential };
      const client = server.client(1, options).connect();
      server.check(client);
      assert.equal(client.messages.join(), '3,2,11,12,13,14,20');
      assert.deepEqual(sessionOf(server), { identity: 'device', cipherSuite: name, proof: 'certificate' });
      assert.deepEqual(server.events, ['established 1 device']);
    });
  }
}

test('x25519 is used if the client names it first; the order of groups is the client’s', () => {
  for (const groups of [
    [X25519, P256],
    [0x6399, P256, X25519],
  ]) {
    const server = bench();
    server.check(server.client(1, { suites: SUITES, groups }).connect());
  }
});

test('the order of suites is the server’s: pre-shared keys, then CCM_8, CCM, GCM', () => {
  const both = new DtlsBench({ certificate: SERVER.credential });
  assert.equal(both.client(1, { suites: [ECDSA_GCM, ECDSA_CCM_8, GCM] }).connect().suite, GCM);
  assert.equal(both.client(2, { suites: [ECDSA_GCM, ECDSA_CCM, ECDSA_CCM_8] }).connect().suite, ECDSA_CCM_8);
  assert.equal(both.client(3, { suites: [ECDSA_GCM, ECDSA_CCM] }).connect().suite, ECDSA_CCM);
  assert.equal(
    bench()
      .client(4, { suites: [ECDSA_GCM, CCM_8] })
      .connect().suite,
    ECDSA_GCM,
  );
});

test('who comes with a pre-shared key is not asked for a certificate', () => {
  const server = asking(true, { psk: () => Buffer.from('a key of sixteen') });
  const client = server.client(1).connect();
  server.check(client);
  assert.equal(client.request, undefined);
  assert.equal(sessionOf(server).proof, 'psk');
});

test('CertificateRequest: ECDSA keys, SHA-256, and the names of the CAs', () => {
  const client = asking().client(1, { suites: SUITES, credential: DEVICE.credential }).connect();
  const name = client.request!.subarray(12);
  assert.equal(client.request!.toString('hex', 0, 8), '0140000404030401');
  assert.ok(CA.der.includes(name) && name.includes('the CA'));
});

test('a certificate is asked for and not required: a client without one is nobody', () => {
  const server = asking(false);
  server.check(server.client(1, { suites: SUITES }).connect());
  assert.deepEqual([sessionOf(server).identity, sessionOf(server).proof], [undefined, 'none']);
  server.check(server.client(2, { suites: SUITES, credential: DEVICE.credential }).connect());
  assert.deepEqual([sessionOf(server).identity, sessionOf(server).proof], ['device', 'certificate']);
});

for (const [title, options] of [
  ['no P-256, which the certificate is of', { groups: [X25519] }],
  ['no ecdsa_secp256r1_sha256', { schemes: [0x0401, 0x0503] }],
  ['no suite but those with keys, which the server has none of', { suites: [CCM_8] }],
  // Then only SHA-1 could be meant (RFC 5246 7.4.1.4.1).
  ['no signature_algorithms', { extensions: [[10, Buffer.from('00020017', 'hex')]] }],
] as [string, ClientOptions][]) {
  test(`RFC 8422 5.1: ${title}: handshake_failure`, () => {
    assert.deepEqual(refused(bench(), options), { alert: 40, words: 'no common cipher suite' });
  });
}

for (const [title, type, data, alert] of [
  ['RFC 8422 5.1.2: no uncompressed points: illegal_parameter', 11, '0101', 47],
  ['malformed ec_point_formats: decode_error', 11, '0200', 50],
  ['malformed supported_groups: decode_error', 10, '0003001700', 50],
  ['malformed signature_algorithms: decode_error', 13, '000404', 50],
  ['empty supported_groups: decode_error', 10, '0000', 50],
] as [string, number, string, number][]) {
  test(title, () => {
    assert.equal(refused(bench(), { extensions: [[type, Buffer.from(data, 'hex')]] }).alert, alert);
  });
}

/** The body of ClientKeyExchange in the place of the right one. */
const share = (change: (point: Buffer) => Buffer) => (type: number, body: Buffer) => {
  if (type !== 16) return body;
  const point = change(Buffer.from(body.subarray(1)));
  return Buffer.concat([Buffer.from([point.length]), point]);
};

const join = (...parts: (number | Buffer)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : part)));

for (const [title, groups, change] of [
  ['a point off the curve', [P256], (point) => join(4, point.subarray(1).fill(7))],
  ['coordinates that are too large', [P256], (point) => join(4, point.subarray(1).fill(0xff))],
  ['the point at infinity', [P256], () => join(0)],
  ['a compressed point', [P256], (point) => join(2 + (point[64] & 1), point.subarray(1, 33))],
  ['a hybrid point', [P256], (point) => join(6 + (point[64] & 1), point.subarray(1))],
  ['no point', [P256], () => join()],
  ['x25519: a point that leads to zero', [X25519, P256], () => Buffer.alloc(32)],
  ['x25519: a point of small order', [X25519, P256], () => join(1, Buffer.alloc(31))],
  ['x25519: 31 bytes', [X25519, P256], (point) => point.subarray(1)],
] as [string, number[], (point: Buffer) => Buffer][]) {
  test(`RFC 8422 5.11: ${title}: illegal_parameter`, () => {
    assert.deepEqual(refused(bench(), { groups, change: share(change) }), {
      alert: 47,
      words: 'a public key that is not of the group',
    });
  });
}

test('a malformed ClientKeyExchange: decode_error', () => {
  for (const body of ['05', '0104ff', '4104']) {
    const change = (type: number, right: Buffer): Buffer => (type === 16 ? Buffer.from(body, 'hex') : right);
    assert.equal(refused(bench(), { change }).alert, 50);
  }
});

test('bytes that are no certificate: bad_certificate; a list that is none: decode_error', () => {
  const { key } = DEVICE.credential;
  const pem = Buffer.from(DEVICE.x509.toString());
  const longer = Buffer.concat([DEVICE.der, Buffer.alloc(1)]);
  for (const der of [Buffer.from('no certificate'), pem, longer, DEVICE.der.subarray(0, -1)]) {
    assert.deepEqual(refused(asking(), { credential: { chain: [der], key } }), {
      alert: 42,
      words: 'malformed certificate',
    });
  }
  for (const body of ['0000', '000001', '00000100', '000003000000', '000004000002aa', '00000000']) {
    const change = (type: number, right: Buffer): Buffer => (type === 11 ? Buffer.from(body, 'hex') : right);
    assert.deepEqual(refused(asking(), { credential: DEVICE.credential, change }), {
      alert: 50,
      words: 'malformed Certificate',
    });
  }
});

test('RFC 5246 7.4.6: no certificate where one is required: handshake_failure', () => {
  assert.deepEqual(refused(asking(), {}), { alert: 40, words: 'no client certificate' });
});

test('RFC 5246 7.4.8: a certificate without its key: decrypt_error, and no other signature helps', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const words = 'bad signature, certificate of "device"';
  assert.deepEqual(refused(asking(), { credential: { chain: DEVICE.chain, key: privateKey } }), { alert: 51, words });
  const signature = sign('sha256', Buffer.from('another handshake'), DEVICE.keys.privateKey);
  for (const other of [signature, Buffer.alloc(0), Buffer.alloc(70, 1)]) {
    const head = Buffer.from([4, 3, other.length >> 8, other.length]);
    const change = (type: number, body: Buffer): Buffer => (type === 15 ? Buffer.concat([head, other]) : body);
    assert.deepEqual(refused(asking(), { credential: DEVICE.credential, change }), { alert: 51, words });
  }
});

test('CertificateVerify: another algorithm is illegal_parameter, a malformed one decode_error', () => {
  const verify = (change: (body: Buffer) => Buffer): number =>
    refused(asking(), {
      credential: DEVICE.credential,
      change: (type, body) => (type === 15 ? change(body) : body),
    }).alert;
  assert.equal(
    verify((body) => join(2, body.subarray(1))),
    47,
  );
  assert.equal(
    verify((body) => body.subarray(0, -1)),
    50,
  );
  assert.equal(
    verify(() => Buffer.alloc(1)),
    50,
  );
});

test('no message can be left out: neither Certificate nor CertificateVerify', () => {
  for (const left of [11, 15]) {
    const server = asking();
    const change = (type: number, body: Buffer): Buffer | undefined => (type === left ? undefined : body);
    const client = server.client(1, { suites: SUITES, credential: DEVICE.credential, change });
    client.start();
    server.deliver();
    assert.ok(!client.connected);
    assert.equal(server.dtls.tables.associations, 0);
    // Without Certificate another message stands in its place; without CertificateVerify its number does not come.
    assert.deepEqual(client.alerts, left === 11 ? [[0, 2, 10]] : []);
  }
});

test('clients without an identity take the place of each other, not of those that have shown one', () => {
  const server = asking(false, { limits: { associations: 2 } });
  const known = (port: number): DtlsClient =>
    server.client(port, { suites: SUITES, credential: DEVICE.credential }).connect();
  const stranger = (port: number): DtlsClient => server.client(port, { suites: SUITES }).connect();
  const first = known(1);
  server.clock.advance(10);
  const second = stranger(2);
  const third = stranger(3);
  assert.deepEqual(second.alerts, [[1, 1, 0]]);
  server.check(first);
  server.check(third);
  const fourth = known(4);
  assert.deepEqual(third.alerts, [[1, 1, 0]]);
  // Now there is nobody to take the place of.
  assert.deepEqual(stranger(5).alerts, [[1, 1, 0]]);
  server.check(first);
  server.check(fourth);
  known(6);
  assert.deepEqual(first.alerts, [[1, 1, 0]]);
  assert.equal(server.dtls.counters.associationEvictions, 4);
  assert.equal(server.dtls.tables.associations, 2);
  assert.equal(server.events.filter((event) => event.startsWith('limit')).length, 4);
  server.clock.advance(2 * 86_400_000);
  assert.deepEqual(server.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
});

test('what can never serve is refused at the start', () => {
  const { chain, key } = SERVER.credential;
  const start = (options: Partial<DtlsOptions>) => () => bench(options);
  assert.throws(start({ certificate: undefined }), /psk or certificate is needed/);
  assert.throws(start({ certificate: { chain: [], key } }), /chain is empty/);
  assert.throws(start({ certificate: { chain: [Buffer.from('x')], key } }), /no certificate in DER/);
  assert.throws(start({ certificate: { chain: [...chain, Buffer.alloc(9)], key } }), /no certificate in DER/);
  assert.throws(start({ certificate: { chain, key: DEVICE.keys.privateKey } }), /not that of the certificate/);
  assert.throws(start({ certificate: { chain, key: SERVER.keys.publicKey } }), /not a private key/);
  const other = CA.issue({ curve: 'secp384r1' }).credential;
  assert.throws(start({ certificate: other }), /curve P-256/);
  const clients = { ca: [SERVER.x509], required: true };
  assert.throws(start({ clientCertificates: clients }), /not a CA: "CN=server"/);
  assert.throws(start({ clientCertificates: { ca: [], required: true } }), /need a CA/);
  assert.throws(
    () => new DtlsBench({ clientCertificates: { ca: [CA.x509], required: true } }),
    /clientCertificates need certificate/,
  );
});
