/** The client's handshake with raw public keys (RFC 7250, RFC 7252 9.1.3.2), with a server that shares no code with it, and the broker's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { ServerCertificate } from '../../../src/coap/dtls/server-certificate.js';
import type { CertificateCredential } from '../../../src/coap/dtls-client/certificate-exchange.js';
import { ServerCertificates } from '../../../src/coap/dtls-client/server-certificates.js';
import { CA, FROM } from './certificates.js';
import { ECDSA_CCM, ECDSA_CCM_8, ECDSA_GCM } from './client.js';
import { ClientBench } from './client-bench.js';
import { DEVICE_KEY, owner, RAW, RawKey, SERVER_KEY, X509 } from './raw-keys.js';
import type { DtlsServer, ServerOptions } from './server.js';

const NAME = { host: 'device.example', kind: 'name' } as const;
const KNOWN: CertificateCredential = { publicKey: SERVER_KEY.info, name: NAME };
/** The broker has a raw public key alone. */
const OWN = { certificate: new ServerCertificate({ key: DEVICE_KEY.privateKey }), identity: undefined };
const ECDSA_SHA256 = 0x0403;

function served(options: ServerOptions = {}, wanted = KNOWN): { bench: ClientBench; server: DtlsServer } {
  const bench = new ClientBench({ credential: () => wanted });
  const types = { server: RAW };
  const server = bench.server(1, { suite: ECDSA_CCM_8, certificate: SERVER_KEY.credential, types, ...options });
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
function refused(options: ServerOptions, wanted = KNOWN): { alert: number; words: string; counted: number } {
  const { bench, server } = served(options, wanted);
  assert.equal(server.alerts.length, 1);
  const [[epoch, level, alert]] = server.alerts;
  assert.deepEqual([epoch, level], [0, 2]);
  assert.deepEqual(server.data, []);
  assert.deepEqual(bench.dtls.tables, { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 });
  assert.equal(bench.dtls.counters.internalErrors, 0);
  return {
    alert,
    words: bench.told[0].replace('unreachable 1: ', ''),
    counted: bench.dtls.counters.certificatesRefused,
  };
}

for (const [suite, cipherSuite] of [
  [ECDSA_CCM_8, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8'],
  [ECDSA_CCM, 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM'],
  [ECDSA_GCM, 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
] as const) {
  for (const [how, options] of [
    ['nothing else', {}],
    ['a cookie', { cookie: Buffer.from('cookie') }],
    ['no extended master secret', { extendedMasterSecret: false }],
    ['small fragments', { fragment: 40 }],
    ['a Connection ID', { cid: Buffer.from('cid') }],
  ] as const satisfies readonly (readonly [string, ServerOptions])[]) {
    test(`${cipherSuite}, ${how}: the server is known by its raw public key, the client by none`, () => {
      const { bench, server } = served({ suite, ...options });
      assert.deepEqual(server.data, ['first']);
      assert.deepEqual(sessionOf(bench, server), { identity: undefined, proof: 'none', cipherSuite });
      assert.deepEqual([server.strange, server.clientChain], [0, undefined]);
    });
  }
}

test('RFC 7250 4.1: a device whose key is known is offered RawPublicKey and no certificate; own types are told if there are any', () => {
  const { server } = served();
  assert.deepEqual([server.extensions.get(20), server.extensions.get(19)], [Buffer.from([1, RAW]), undefined]);
  const withOwn = served({}, { ...KNOWN, own: OWN });
  assert.deepEqual(withOwn.server.extensions.get(19), Buffer.from([1, RAW]));
  const certified = new ServerCertificate(CA.issue({ names: ['portico'], usages: [2] }).credential);
  const withBoth = served({}, { ...KNOWN, own: { certificate: certified, identity: 'portico' } });
  assert.deepEqual(withBoth.server.extensions.get(19), Buffer.from([2, RAW, X509]));
});

test('a server that asks for a raw public key is shown that of the broker, with its signature', () => {
  const types = { server: RAW, client: RAW };
  const { bench, server } = served({ types, asks: [ECDSA_SHA256] }, { ...KNOWN, own: OWN });
  assert.deepEqual(server.data, ['first']);
  assert.deepEqual([server.clientChain, server.verified, server.strange], [[DEVICE_KEY.info], true, 0]);
  assert.equal(sessionOf(bench, server).proof, 'public-key');
});

test('a server that asks for a certificate beside its raw public key is shown that', () => {
  const broker = CA.issue({ names: ['portico'], usages: [2] });
  const own = { certificate: new ServerCertificate(broker.credential), identity: 'portico' };
  const types = { server: RAW, client: X509 };
  const { bench, server } = served({ types, asks: [ECDSA_SHA256] }, { ...KNOWN, own });
  assert.deepEqual([server.clientChain?.[0], server.verified], [broker.der, true]);
  assert.deepEqual([sessionOf(bench, server).proof, sessionOf(bench, server).identity], ['certificate', 'portico']);
});

test('a server that asks a broker without key gets an empty Certificate; what it does then is its affair', () => {
  const { server } = served({ asks: [ECDSA_SHA256] });
  assert.deepEqual([server.clientChain, server.verified, server.data], [[], false, ['first']]);
});

test('another key than the one known: certificate_unknown, counted, and the words have it as its line in the file would', () => {
  const other = new RawKey();
  const { alert, words, counted } = refused({ certificate: other.credential });
  assert.deepEqual([alert, counted], [46, 1]);
  assert.equal(words, `another raw public key: "${other.info.toString('base64')}"`);
});

test('a key that the server does not have: decrypt_error, counted', () => {
  const { alert, words, counted } = refused({
    certificate: { chain: [SERVER_KEY.info], key: new RawKey().privateKey },
  });
  assert.deepEqual([alert, counted], [51, 1]);
  assert.equal(words, 'the server does not have that key');
});

test('no key, a malformed one, one of another curve: each with its alert', () => {
  for (const [shown, alert, words] of [
    [Buffer.alloc(0), 40, 'no raw public key of the server'],
    [Buffer.from('not a key'), 42, 'malformed raw public key'],
    [new RawKey('secp384r1').info, 43, 'raw public key that is no uncompressed point of the curve P-256'],
  ] as const) {
    const refusal = refused({ certificate: { chain: [shown], key: SERVER_KEY.privateKey } });
    assert.deepEqual([refusal.alert, refusal.words, refusal.counted], [alert, words, 1]);
  }
});

test('RFC 7250 4.2: a server that knows certificates alone, or chooses what was not offered, is unsupported_certificate', () => {
  const device = CA.issue({ names: ['device'], hosts: ['device.example'], usages: [1] });
  for (const types of [{}, { server: X509 }, { server: 1 }, { server: RAW, client: 1 }, { server: RAW, client: RAW }]) {
    const { alert, words } = refused({ types, certificate: device.credential });
    assert.deepEqual([alert, words], [43, 'ServerHello deserves unsupported_certificate (43)'], JSON.stringify(types));
  }
});

test('a server that answers with types where none were offered is unsupported_extension', () => {
  const servers = new ServerCertificates({ ca: [CA.x509], now: () => FROM + 1 });
  assert.equal(refused({}, { servers, name: NAME }).alert, 110);
});

for (const known of [true, false]) {
  test(`the broker’s own server, ${known ? 'which knows' : 'which does not know'} the key of the broker that asks`, () => {
    const bench = new ClientBench({ credential: () => ({ ...KNOWN, own: OWN }) });
    bench.echo(1, {
      psk: undefined,
      certificate: { key: SERVER_KEY.privateKey },
      clientCertificates: { publicKeys: known ? owner : () => null, required: true },
    });
    bench.send('hello');
    bench.deliver();
    if (known) assert.deepEqual(bench.texts(), ['echo hello']);
    else
      assert.deepEqual(bench.told, [
        'unreachable 1: alert certificate_unknown (46) of the server: it may not take the raw public key of the broker',
      ]);
  });
}

test('every datagram of a handshake with raw public keys lost in turn', () => {
  for (let lost = 0; lost < 12; lost++) {
    const bench = new ClientBench({ credential: () => ({ ...KNOWN, own: OWN }) });
    bench.echo(1, {
      psk: undefined,
      certificate: { key: SERVER_KEY.privateKey },
      clientCertificates: { publicKeys: owner, required: true },
      limits: { handshakeDatagram: 120 },
    });
    bench.copies = (flown) => (flown === lost ? 0 : 1);
    bench.send('hello');
    for (let step = 0; step < 8; step++) {
      bench.deliver();
      bench.clock.advance(1_000);
    }
    bench.copies = () => 1;
    bench.send('again');
    bench.deliver();
    assert.ok(bench.texts().includes('echo again'), `without datagram ${lost}`);
  }
});
