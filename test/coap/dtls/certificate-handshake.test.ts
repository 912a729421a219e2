/** Handshakes with certificates: what is agreed on, who a client is then, and whom the server refuses. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import type { DtlsOptions } from '../../../src/coap/dtls/transport.js';
import { Random } from '../../support/random.js';
import { seeds } from '../../support/seeds.js';
import { CA, FROM, Made, SERVER, TO, type Wish } from './certificates.js';
import {
  CCM_8,
  type ClientOptions,
  DtlsBench,
  ECDSA_CCM,
  ECDSA_CCM_8,
  ECDSA_GCM,
  GCM,
  P256,
  X25519,
} from './client.js';

const NOON = FROM + 86_400_000;
const SUITES = [ECDSA_CCM_8, ECDSA_CCM, ECDSA_GCM] as const;
const DEVICE = CA.issue();

/** A server with certificates and no keys. */
function bench(more: Partial<DtlsOptions> = {}): DtlsBench {
  return new DtlsBench({ psk: undefined, certificate: SERVER.credential, ...more });
}

/** One that asks its clients for certificates. */
function asking(required = true, more: Partial<DtlsOptions> = {}): DtlsBench {
  return bench({ clientCertificates: { ca: [CA.x509], required, now: () => NOON }, ...more });
}

function sessionOf(server: DtlsBench): DtlsSession {
  return { ...(server.received.at(-1)!.source.session as DtlsSession) };
}

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

/** What becomes of a client that is not to be served: its one alert, and the words for the operator. */
function refused(server: DtlsBench, options: ClientOptions): { alert: number; words: string } {
  const client = server.client(1, { suites: SUITES, ...options });
  client.start();
  server.deliver();
  assert.ok(!client.connected);
  assert.equal(client.alerts.length, 1);
  const [[epoch, level, alert]] = client.alerts;
  assert.deepEqual([epoch, level], [0, 2]);
  assert.deepEqual(server.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.equal(server.dtls.counters.handshakesFailed, 1);
  assert.equal(server.dtls.counters.internalErrors, 0);
  assert.equal(server.events.length, 1);
  return { alert, words: server.events[0].replace('handshake-failed 1 ', '') };
}

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

const OTHER_CA = new Made({ names: ['another CA'], ca: true });
/** The same name, another key. */
const FALSE_CA = new Made({ names: ['the CA'], ca: true });
const MIDDLE = CA.issue({ names: ['middle'], ca: true });

test('a chain with CAs in between, and with the CA itself', () => {
  const low = MIDDLE.issue({ names: ['low'], ca: true, pathLength: 0 });
  const device = low.issue({ names: ['deep device'] });
  for (const chain of [device.chain, [...device.chain, CA.der]]) {
    const server = asking();
    server.check(server.client(1, { suites: SUITES, credential: { ...device.credential, chain } }).connect());
    assert.equal(sessionOf(server).identity, 'deep device');
  }
});

const changed = Buffer.from(DEVICE.der);
changed[changed.indexOf('device')] ^= 1;

for (const [title, device, alert, words] of [
  ['of another CA', OTHER_CA.issue(), 48, 'unknown CA "CN=another CA"'],
  ['that signs itself', new Made({ names: ['device'] }), 48, 'unknown CA "CN=device"'],
  ['of a CA that only has the right name', FALSE_CA.issue(), 42, 'bad signature of a certificate'],
  ['that was changed', undefined, 42, 'bad signature of a certificate'],
  ['that has expired', CA.issue({ to: NOON - 1000 }), 45, 'certificate expired "CN=device"'],
  ['of tomorrow', CA.issue({ from: NOON + 1000 }), 45, 'certificate not valid yet "CN=device"'],
  ['for servers only', CA.issue({ usages: [1] }), 43, 'certificate not for clients "CN=device"'],
  ['that may not sign', CA.issue({ keyUsage: 0x08 }), 43, 'certificate not for signatures "CN=device"'],
  [
    'with a critical extension that is unknown',
    CA.issue({ critical: '2a03' }),
    43,
    /^unknown critical extension 2a03 /,
  ],
  ['of another curve', CA.issue({ curve: 'secp384r1' }), 43, /^certificate of another kind of key/],
  ['without a common name', CA.issue({ names: [] }), 42, /^no common name that could be an identity/],
  ['with two common names', CA.issue({ names: ['a', 'b'] }), 42, /^no common name/],
  ['with an empty common name', CA.issue({ names: [''] }), 42, /^no common name/],
  ['with a NUL in its common name', CA.issue({ names: ['admin\0.device'] }), 42, /^no common name/],
  ['with a long common name', CA.issue({ names: ['x'.repeat(129)] }), 42, /^no common name/],
  ['below one that is no CA', DEVICE.issue({ names: ['child'] }), 42, /^not a CA "CN=device"/],
  [
    'below a CA whose certificate has expired',
    CA.issue({ names: ['old'], ca: true, to: NOON - 1000 }).issue(),
    45,
    'certificate expired "CN=old"',
  ],
  [
    'too deep below a CA',
    CA.issue({ names: ['top'], ca: true, pathLength: 0 })
      .issue({ names: ['low'], ca: true })
      .issue(),
    42,
    'path too long for "CN=top"',
  ],
  [
    'below a CA for servers',
    CA.issue({ names: ['ca'], ca: true, usages: [1] }).issue(),
    43,
    /^certificate not for clients/,
  ],
  [
    'below CAs without end',
    MIDDLE.issue({ ca: true }).issue({ ca: true }).issue({ ca: true }).issue(),
    42,
    'chain too long',
  ],
] as [string, Made | undefined, number, string | RegExp][]) {
  test(`RFC 5280 6: a certificate ${title} is refused`, () => {
    const { chain, der, keys } = device ?? { chain: [changed], der: changed, keys: DEVICE.keys };
    const server = asking();
    const credential = { chain: chain.length === 0 ? [der] : chain, key: keys.privateKey };
    const result = refused(server, { credential });
    assert.equal(result.alert, alert, result.words);
    if (typeof words === 'string') assert.equal(result.words, words);
    else assert.match(result.words, words);
    assert.equal(server.dtls.counters.certificatesRefused, 1);
    assert.equal(server.dtls.counters.handshakesUnauthentic, 1);
  });
}

test('usages that are fine: for clients, for signatures', () => {
  const server = asking();
  const wishes: Wish[] = [{ usages: [1, 2] }, { keyUsage: 0x80 }, { keyUsage: 0xc0, usages: [2], to: NOON }];
  for (const wish of wishes) {
    server.check(server.client(1, { suites: SUITES, credential: CA.issue(wish).credential }).connect());
  }
});

test('a chain with a gap, and one with a stranger in between, lead to no CA', () => {
  const device = MIDDLE.issue();
  for (const chain of [[device.der], [device.der, OTHER_CA.der], [device.der, DEVICE.der, MIDDLE.der]]) {
    assert.equal(refused(asking(), { credential: { ...device.credential, chain } }).alert, 48);
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
  assert.ok(new X509Certificate(CA.der).ca && TO > NOON);
});

/** Certificates that no datagram holds: 1,500 bytes and more, both ways. */
const LARGE_SERVER = CA.issue({ names: ['large'], ca: true }).issue({ names: ['server'], padding: 1500 });
const LARGE_DEVICE = MIDDLE.issue({ padding: 1500 });

test('RFC 6347 4.2.3: large certificates go in fragments, both ways, and no datagram is larger than asked for', () => {
  for (const handshakeDatagram of [100, 500, 1232]) {
    const server = asking(true, { certificate: LARGE_SERVER.credential, limits: { handshakeDatagram } });
    const client = server.client(1, { suites: SUITES, credential: LARGE_DEVICE.credential, fragment: 200 }).connect();
    server.check(client);
    assert.deepEqual(client.chain, LARGE_SERVER.chain);
    assert.ok(Math.max(...server.fromServer.map(({ length }) => length)) <= handshakeDatagram);
    assert.ok(server.fromServer.length > 2 + 2000 / handshakeDatagram);
  }
});

test('RFC 6347 4.2.1: nothing large goes out before the cookie has come back', () => {
  const server = asking(true, { certificate: LARGE_SERVER.credential });
  const client = server.client(1, { suites: SUITES });
  for (let time = 0; time < 20; time++) client.start();
  const [before] = [server.flown];
  server.copies = (flown) => (flown >= before ? 0 : 1);
  server.deliver();
  assert.ok(server.fromServer.every(({ length }) => length < 100));
  assert.equal(server.dtls.tables.handshakes, 0);
});

test('every datagram of a mutual handshake lost in turn, and every two of them', () => {
  const options = { certificate: LARGE_SERVER.credential };
  const lossless = asking(true, options);
  lossless.client(1, { suites: SUITES, credential: DEVICE.credential, fragment: 300 }).connect();
  const total = lossless.flown;
  assert.ok(total > 10);
  for (let first = 0; first < total; first++) {
    for (let second = first; second < total + 2; second++) {
      const server = asking(true, options);
      server.copies = (flown) => (flown === first || flown === second ? 0 : 1);
      const client = server.client(1, { suites: SUITES, credential: DEVICE.credential, fragment: 300 });
      client.start();
      server.deliver();
      for (let seconds = 0; !client.connected && seconds < 10; seconds++) {
        if ((first + second) % 2 === 0) client.repeat();
        server.clock.advance(1_000);
        server.deliver();
        if ((first + second) % 2 === 1 && !client.connected) client.repeat();
        server.deliver();
      }
      assert.ok(client.connected, `without datagrams ${first} and ${second}`);
      server.copies = () => 1;
      server.check(client);
      assert.deepEqual([server.dtls.tables.associations, server.dtls.tables.handshakes], [1, 0]);
      assert.deepEqual(client.alerts, []);
    }
  }
});

for (const seed of seeds(40)) {
  test(`a network that loses, doubles and reorders the fragments of certificates (SEED=${seed})`, () => {
    const random = new Random(seed);
    const limits = { handshakeDatagram: random.pick([200, 500, 1232]) };
    const server = asking(random.oneIn(2), { certificate: LARGE_SERVER.credential, limits });
    const cid = random.oneIn(2) ? Buffer.from('theirs') : undefined;
    server.copies = () => (random.oneIn(8) ? 0 : random.oneIn(8) ? 2 : 1);
    server.pick = (waiting) => random.below(waiting);
    const groups = random.pick([[P256], [X25519, P256]]);
    const options = { suites: [random.pick(SUITES)], groups, credential: DEVICE.credential };
    const client = server.client(1, { ...options, fragment: 150, ...(cid === undefined ? {} : { cid }) });
    client.start();
    for (let turn = 0; turn < 40 && !client.connected; turn++) {
      // The network gets better, or no handshake could be sure to end.
      if (turn === 8) server.copies = () => 1;
      server.deliver();
      server.clock.advance(500);
      if (turn % 3 === 2) client.repeat();
    }
    server.copies = () => 1;
    server.deliver();
    assert.ok(client.connected);
    assert.deepEqual(client.alerts, []);
    server.pick = () => 0;
    server.check(client);
    assert.equal(sessionOf(server).identity, 'device');
    assert.deepEqual([server.dtls.counters.internalErrors, server.dtls.tables.handshakes], [0, 0]);
  });
}
