/** Raw public keys (RFC 7250): what is agreed on, who a client is then, and whom the server refuses. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { test } from 'node:test';
import type { DtlsOptions } from '../../../src/coap/dtls/options.js';
import { RAW_PUBLIC_KEY_BYTES, rawPublicKeyOf } from '../../../src/coap/dtls/raw-public-key.js';
import { CA, SERVER } from './certificates.js';
import { bench, DEVICE, NOON, refused, SUITES, sessionOf } from './certified.js';
import {
  CCM_8,
  type ClientOptions,
  ECDSA_CCM,
  ECDSA_CCM_8,
  ECDSA_GCM,
  HANDSHAKE,
  int,
  P256,
  vector,
  whole,
  X25519,
} from './client.js';
import { ANONYMOUS, BOTH, DEVICE_KEY, owner, RAW, RawKey, raw, SERVER_KEY, X509 } from './raw-keys.js';

for (const [suite, name] of [
  [ECDSA_CCM_8, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8'],
  [ECDSA_CCM, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM'],
  [ECDSA_GCM, 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
] as const) {
  for (const extendedMasterSecret of [true, false]) {
    const how = extendedMasterSecret ? 'with' : 'without';
    test(`${name}, ${how} the extended master secret: raw public keys both ways; the name of the key is the identity`, () => {
      const server = raw();
      const client = server.client(1, { ...BOTH, suites: [suite], extendedMasterSecret }).connect();
      server.check(client);
      assert.equal(client.suite, suite);
      assert.deepEqual(client.chain, [SERVER_KEY.info]);
      assert.deepEqual(client.serverExtensions.get(20), Buffer.from([RAW]));
      assert.deepEqual(client.serverExtensions.get(19), Buffer.from([RAW]));
      assert.equal(client.messages.join(), '3,2,11,12,13,14,20');
      assert.deepEqual(sessionOf(server), { identity: 'device', cipherSuite: name, proof: 'public-key' });
      assert.deepEqual(server.events, ['established 1 device']);
    });
  }
}

test('the server’s raw public key alone: the client is nobody, and is not asked', () => {
  for (const groups of [[P256], [X25519, P256]]) {
    const server = bench({ certificate: { key: SERVER_KEY.privateKey } });
    const client = server.client(1, { ...BOTH, suites: SUITES, groups }).connect();
    server.check(client);
    assert.equal(client.request, undefined);
    assert.deepEqual([sessionOf(server).identity, sessionOf(server).proof], [undefined, 'none']);
  }
});

const CERTIFIED = { certificate: SERVER.credential };
const KEYED = { certificate: { key: SERVER_KEY.privateKey } };
const asking = (what: object, required = false): Partial<DtlsOptions> => ({
  clientCertificates: { ...what, required, now: () => NOON },
});
const CAS = { ca: [CA.x509] };
const KEYS = { publicKeys: owner };
const FAILURE = 40;
const UNSUPPORTED = 43;

/** The server, what the client can show, what it takes; what the server shows and asks for (RFC 7250 4.2), or the alert. */
type Row = [Partial<DtlsOptions>, number[] | undefined, number[] | undefined, [number, number | undefined] | number];
for (const [title, ...rows] of [
  [
    'the server shows the first type of the client’s list that it has; who says nothing means X.509',
    [CERTIFIED, undefined, undefined, [X509, undefined]],
    [CERTIFIED, undefined, [X509, RAW], [X509, undefined]],
    [CERTIFIED, undefined, [RAW, X509], [RAW, undefined]],
    [CERTIFIED, undefined, [1, 9, RAW], [RAW, undefined]],
    [CERTIFIED, undefined, [1, 9, X509], [X509, undefined]],
    [KEYED, undefined, [X509, RAW], [RAW, undefined]],
    [KEYED, undefined, [RAW, RAW], [RAW, undefined]],
  ],
  [
    'without a common type the server’s side ends with unsupported_certificate; for who says nothing, handshake_failure',
    [KEYED, undefined, [X509], UNSUPPORTED],
    [KEYED, undefined, [1], UNSUPPORTED],
    [CERTIFIED, undefined, [1, 3], UNSUPPORTED],
    [KEYED, undefined, undefined, FAILURE],
  ],
  [
    'the client is asked for the first type of its list that the server can verify',
    [{ ...CERTIFIED, ...asking(CAS) }, undefined, undefined, [X509, X509]],
    [{ ...CERTIFIED, ...asking(CAS) }, [RAW, X509], undefined, [X509, X509]],
    [{ ...CERTIFIED, ...asking(KEYS) }, [X509, RAW], undefined, [X509, RAW]],
    [{ ...CERTIFIED, ...asking({ ...CAS, ...KEYS }) }, [RAW, X509], [X509, RAW], [X509, RAW]],
    [{ ...CERTIFIED, ...asking({ ...CAS, ...KEYS }) }, [X509, RAW], [RAW], [RAW, X509]],
    [{ ...KEYED, ...asking({ ...CAS, ...KEYS }, true) }, [RAW], [RAW], [RAW, RAW]],
    [{ ...KEYED, ...asking({ ...CAS, ...KEYS }, true) }, undefined, [RAW], [RAW, X509]],
  ],
  [
    'without a common type the client is not asked where none is required, and refused where one is',
    [{ ...CERTIFIED, ...asking(KEYS) }, undefined, undefined, [X509, undefined]],
    [{ ...CERTIFIED, ...asking(KEYS) }, [X509], undefined, [X509, undefined]],
    [{ ...CERTIFIED, ...asking(CAS) }, [RAW], [RAW], [RAW, undefined]],
    [{ ...CERTIFIED, ...asking(CAS, true) }, [RAW], [RAW], UNSUPPORTED],
    [{ ...KEYED, ...asking(KEYS, true) }, [X509, 1], [RAW], UNSUPPORTED],
    [{ ...KEYED, ...asking(KEYS, true) }, undefined, [RAW], FAILURE],
  ],
] as [string, ...Row[]][]) {
  test(`RFC 7250 4.2: ${title}`, () => {
    for (const [options, clientTypes, serverTypes, outcome] of rows) {
      const asked = typeof outcome === 'number' ? undefined : outcome[1];
      const wish: ClientOptions = {
        ...(clientTypes && { clientTypes }),
        ...(serverTypes && { serverTypes }),
        credential: asked === X509 ? DEVICE.credential : DEVICE_KEY.credential,
      };
      if (typeof outcome === 'number') {
        const { alert, words } = refused(bench(options), wish);
        assert.equal(alert, outcome);
        assert.match(words, /^no common type of (server|client) certificates$/);
        continue;
      }
      const server = bench(options);
      const client = server.client(1, { ...wish, suites: SUITES }).connect();
      const [shown] = outcome;
      const told = (list: number[] | undefined, type: number | undefined): Buffer | undefined =>
        list === undefined || type === undefined ? undefined : Buffer.from([type]);
      // Answered only if the client has asked, and the client's only if it is asked for a certificate.
      assert.deepEqual(client.serverExtensions.get(20), told(serverTypes, shown));
      assert.deepEqual(client.serverExtensions.get(19), told(clientTypes, asked));
      assert.equal(client.request === undefined, asked === undefined);
      server.check(client);
      const proof = asked === undefined ? 'none' : asked === RAW ? 'public-key' : 'certificate';
      assert.equal(sessionOf(server).proof, proof);
    }
  });
}

test('with a pre-shared key no type is agreed on, whatever the client names', () => {
  const server = raw(true, { psk: () => Buffer.from('a key of sixteen') });
  const client = server.client(1, { clientTypes: [X509], serverTypes: [X509], suites: [CCM_8, ECDSA_CCM_8] }).connect();
  assert.equal(client.suite, CCM_8);
  assert.deepEqual([client.serverExtensions.has(19), client.serverExtensions.has(20)], [false, false]);
});

for (const type of [19, 20]) {
  test(`malformed ${type === 19 ? 'client' : 'server'}_certificate_type: decode_error; twice: illegal_parameter`, () => {
    const extensions = (...list: [number, Buffer][]): ClientOptions => ({
      extensions: [[10, Buffer.from('00020017', 'hex')], [13, Buffer.from('00020403', 'hex')], ...list],
    });
    for (const data of ['', '00', '02', '0202', '010202', 'ff02', '020200ff']) {
      assert.deepEqual(refused(raw(), extensions([type, Buffer.from(data, 'hex')])), {
        alert: 50,
        words: 'malformed ClientHello',
      });
    }
    const one: [number, Buffer] = [type, Buffer.from([1, RAW])];
    assert.equal(refused(raw(), extensions(one, one)).alert, 47);
  });
}

test('CertificateRequest for a raw public key names no CA', () => {
  const both = raw(true, asking({ ...CAS, ...KEYS }, true));
  const client = both.client(1, { ...BOTH, suites: SUITES }).connect();
  assert.equal(client.request!.toString('hex'), '01400004040304010000');
});

test('an unknown key: certificate_unknown, and the words have the key as its line in a file would', () => {
  const stranger = new RawKey();
  const server = raw();
  assert.deepEqual(refused(server, { ...BOTH, credential: stranger.credential }), {
    alert: 46,
    words: `unknown raw public key "${stranger.info.toString('base64')}"`,
  });
  const { publicKeysRefused, certificatesRefused, handshakesUnauthentic } = server.dtls.counters;
  assert.deepEqual([publicKeysRefused, certificatesRefused, handshakesUnauthentic], [1, 0, 1]);
  // Also where none is required: who shows one is who it says, or nobody is served.
  assert.equal(refused(raw(false), { ...BOTH, credential: stranger.credential }).alert, 46);
});

const other = (kind: 'rsa' | 'ed25519' | 'p384'): Buffer => {
  const { publicKey } =
    kind === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 1024 })
      : kind === 'ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
  return publicKey.export({ type: 'spki', format: 'der' });
};
const { info } = DEVICE_KEY;
const point = info.subarray(26);
/** The same algorithm with another point. */
const withPoint = (bytes: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from([0x30, 24 + bytes.length]),
    info.subarray(2, 23),
    Buffer.from([3, bytes.length + 1, 0]),
    bytes,
  ]);

for (const [title, bytes] of [
  ['a key of RSA', other('rsa')],
  ['a key of Ed25519', other('ed25519')],
  ['a key of another curve', other('p384')],
  ['a compressed point', withPoint(Buffer.concat([Buffer.from([2 + (point[64]! & 1)]), point.subarray(1, 33)]))],
  ['a hybrid point', withPoint(Buffer.concat([Buffer.from([6 + (point[64]! & 1)]), point.subarray(1)]))],
  ['a key for ECDH alone', Buffer.from(info.toString('hex').replace('2a8648ce3d0201', '2b8104010c0001'), 'hex')],
] as [string, Buffer][]) {
  test(`RFC 7252 9.1.3.2: ${title} as raw public key: unsupported_certificate`, () => {
    assert.deepEqual(refused(raw(), { ...BOTH, credential: { chain: [bytes], key: DEVICE_KEY.privateKey } }), {
      alert: UNSUPPORTED,
      words: 'raw public key that is no uncompressed point of the curve P-256',
    });
  });
}

for (const [title, bytes] of [
  ['a point off the curve', withPoint(Buffer.concat([point.subarray(0, 64), Buffer.from([point[64]! ^ 1])]))],
  ['coordinates that are too large', withPoint(Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 0xff)]))],
  ['a byte more', Buffer.concat([info, Buffer.alloc(1)])],
  ['a byte less', info.subarray(0, -1)],
  ['one byte', Buffer.from([0x30])],
  ['no DER', Buffer.from('no key at all')],
  ['PEM', Buffer.from(`-----BEGIN PUBLIC KEY-----\n${info.toString('base64')}\n-----END PUBLIC KEY-----\n`)],
  ['a certificate', DEVICE.der],
  ['a list of keys, as of certificates', vector(info, 3)],
  ['4,000 bytes', Buffer.alloc(4000, 0x30)],
] as [string, Buffer][]) {
  test(`${title} as raw public key: bad_certificate`, () => {
    assert.deepEqual(refused(raw(), { ...BOTH, credential: { chain: [bytes], key: DEVICE_KEY.privateKey } }), {
      alert: 42,
      words: 'malformed raw public key',
    });
  });
}

test('a Certificate message that is none: decode_error; a raw public key where a certificate was agreed on: the same', () => {
  for (const body of ['00', '0000', '000001', '00000000', '000002aa', '000001aaaa']) {
    const change = (type: number, right: Buffer): Buffer => (type === 11 ? Buffer.from(body, 'hex') : right);
    assert.deepEqual(refused(raw(), { ...BOTH, change }), { alert: 50, words: 'malformed Certificate' });
  }
  const certified = bench({ ...CERTIFIED, ...asking(CAS) });
  const change = (type: number, right: Buffer): Buffer => (type === 11 ? vector(info, 3) : right);
  assert.equal(refused(certified, { credential: DEVICE_KEY.credential, change }).alert, 50);
});

test('no raw public key: handshake_failure where one is required; elsewhere the client is nobody', () => {
  const none = { clientTypes: [RAW], serverTypes: [RAW] };
  assert.deepEqual(refused(raw(), none), { alert: 40, words: 'no raw public key of the client' });
  const server = raw(false);
  server.check(server.client(1, { ...none, suites: SUITES }).connect());
  assert.deepEqual([sessionOf(server).identity, sessionOf(server).proof], [undefined, 'none']);
  server.check(server.client(2, { ...ANONYMOUS, suites: SUITES }).connect());
  server.check(server.client(3, { ...BOTH, suites: SUITES }).connect());
  assert.deepEqual([sessionOf(server).identity, sessionOf(server).proof], ['device', 'public-key']);
});

test('RFC 5246 7.4.8: a known key that the client does not have: decrypt_error, and no other signature helps', () => {
  const words = 'bad signature, raw public key of "device"';
  const credential = { chain: [info], key: new RawKey().privateKey };
  const server = raw();
  assert.deepEqual(refused(server, { ...BOTH, credential }), { alert: 51, words });
  assert.deepEqual([server.dtls.counters.publicKeysRefused, server.dtls.counters.certificatesRefused], [1, 0]);
  const signed = sign('sha256', Buffer.from('another handshake'), DEVICE_KEY.privateKey);
  for (const signature of [signed, Buffer.alloc(0), Buffer.alloc(70, 1)]) {
    const verify = Buffer.concat([int(0x0403, 2), vector(signature, 2)]);
    const change = (type: number, body: Buffer): Buffer => (type === 15 ? verify : body);
    assert.deepEqual(refused(raw(), { ...BOTH, change }), { alert: 51, words });
  }
});

test('RFC 5246 7.2.2: in each state of the handshake every message but the one that is due is unexpected_message', () => {
  const order = [11, 16, 15];
  for (const [place, due] of order.entries()) {
    for (const type of [2, 11, 12, 14, 15, 16, 20, 99]) {
      if (type === due) continue;
      const server = raw();
      // The client says what belongs before this state, and Finished, which is protected and waits.
      const change = (kind: number, body: Buffer): Buffer | undefined =>
        order.indexOf(kind) < place ? body : undefined;
      const client = server.client(1, { ...BOTH, suites: SUITES, change });
      client.start();
      server.deliver();
      assert.deepEqual(client.alerts, []);
      client.raw(client.plain(HANDSHAKE, whole({ type, sequence: 2 + place, body: Buffer.alloc(40) })));
      server.deliver();
      assert.deepEqual(client.alerts, [[0, 2, 10]], `${type} in the place of ${due}`);
      assert.deepEqual(server.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
    }
  }
});

test('TD_COAP_DTLS_05: a client that does not take the server’s key says so, and nothing is served', () => {
  const server = raw();
  const options = { ...BOTH, suites: SUITES, pinned: new RawKey().info };
  const client = server.client(1, options);
  client.start();
  server.deliver();
  assert.ok(client.refused && !client.connected);
  assert.equal(server.dtls.counters.handshakesAbandoned, 1);
  assert.deepEqual(server.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  assert.deepEqual([server.received.length, server.events.length], [0, 0]);
  server.check(server.client(2, { ...options, pinned: SERVER_KEY.info }).connect());
});

test('RFC 6347 4.2.8: a device with a raw public key begins anew at its address; once its key is withdrawn it cannot', () => {
  let known = true;
  const server = raw(true, asking({ publicKeys: (key: Buffer) => (known ? owner(key) : null) }, true));
  const first = server.client(1, { ...BOTH, suites: SUITES }).connect();
  server.check(first);
  const second = server.client(1, { ...BOTH, suites: SUITES }).connect();
  server.check(second);
  assert.deepEqual([server.dtls.counters.associationsReplaced, server.dtls.tables.associations], [1, 1]);
  known = false;
  const third = server.client(1, { ...BOTH, suites: SUITES });
  third.start();
  server.deliver();
  assert.deepEqual([third.connected, third.alerts], [false, [[0, 2, 46]]]);
  assert.equal(server.dtls.tables.associations, 1, 'what stands is left alone');
  assert.equal(
    server.dtls.endAssociations(({ identity, proof }) => identity === 'device' && proof === 'public-key'),
    1,
  );
});

test('a look-up that fails is internal_error, in words, and costs this handshake alone', () => {
  const fail = (): never => {
    throw new Error('no look-up');
  };
  const server = raw(true, asking({ publicKeys: fail }, true));
  assert.deepEqual(refused(server, BOTH), { alert: 80, words: 'the raw public key could not be looked up' });
});

test('both flights are one datagram of 1,232 bytes, far below what certificates take', () => {
  const server = raw();
  const client = server.client(1, { ...BOTH, suites: SUITES }).connect();
  assert.equal(server.flown, 6);
  assert.ok(Math.max(...server.fromServer.map(({ length }) => length)) < 500);
  server.check(client);
});

test('the server’s raw public key has one form, whatever its file looked like', () => {
  const forms: KeyObject[] = [
    SERVER_KEY.privateKey,
    generateKeyPairSync('ec', { namedCurve: 'prime256v1', paramEncoding: 'explicit' }).privateKey,
  ];
  for (const key of forms) {
    const bytes = rawPublicKeyOf(key);
    assert.equal(bytes.length, RAW_PUBLIC_KEY_BYTES);
    assert.deepEqual(bytes.subarray(0, 27), SERVER_KEY.info.subarray(0, 27));
  }
  assert.deepEqual(rawPublicKeyOf(SERVER_KEY.privateKey), SERVER_KEY.info);
});

test('what can never serve is refused at the start', () => {
  const start = (options: Partial<DtlsOptions>) => () => bench(options);
  assert.throws(start({ certificate: { key: new RawKey('secp384r1').privateKey } }), /curve P-256/);
  assert.throws(start({ ...KEYED, clientCertificates: { required: true } }), /need a CA or public keys/);
  assert.throws(
    start({ certificate: undefined, psk: () => null, clientCertificates: { ...KEYS, required: true } }),
    /clientCertificates need certificate/,
  );
});
