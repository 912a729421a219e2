/** Raw public keys on loopback with libcoap's client of GnuTLS, and with GnuTLS itself. That of OpenSSL has none. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import type { ServerCertificateOptions } from '../../../src/coap/dtls/server-certificate.js';
import { DtlsTransport } from '../../../src/coap/dtls/transport.js';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import { type Clock, SYSTEM_CLOCK } from '../../../src/coap/timers.js';
import { UdpTransport } from '../../../src/coap/transport.js';
import { checkout } from '../../support/checkout.js';
import { Resources } from '../resources.js';
import { CertificateFiles } from './certificate-files.js';

const run = promisify(execFile);
const GNUTLS = 'coap-client-gnutls';
const CCM_8 = 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8';
const KNOWN = { identity: 'meter', cipherSuite: CCM_8, proof: 'public-key' };
const NOBODY = { identity: undefined, cipherSuite: CCM_8, proof: 'none' };

const folder = mkdtempSync(join(tmpdir(), 'portico-raw-keys-'));
const path = (file: string): string => join(folder, file);
let files: CertificateFiles;

before(async () => {
  files = await CertificateFiles.make();
  for (const name of ['server', 'meter', 'stranger']) {
    await run('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path(`${name}.key`)]);
  }
  // The client takes a file with the private key alone, and one with both.
  await run('openssl', ['pkey', '-in', path('meter.key'), '-pubout', '-out', path('meter.pub')]);
  writeFileSync(path('both.pem'), Buffer.concat(['meter.pub', 'meter.key'].map((name) => readFileSync(path(name)))));
});

after(async () => {
  rmSync(folder, { recursive: true });
  await files?.remove();
});

function privateKey(name: string): KeyObject {
  return createPrivateKey(readFileSync(path(`${name}.key`)));
}

interface Wish {
  readonly required?: boolean;
  /** With an X.509 certificate too. */
  readonly certified?: boolean;
  readonly clock?: Clock;
}

/** The SubjectPublicKeyInfo of a key. */
function infoOf(name: string): Buffer {
  return createPublicKey(privateKey(name)).export({ type: 'spki', format: 'der' });
}

/** A CoAP server that knows the key of `meter`, on a port of its own. */
class Server {
  readonly sessions: DtlsSession[] = [];
  /** Of the last request. */
  port = 0;
  readonly events: string[] = [];
  readonly dtls: DtlsTransport;
  readonly uri: string;
  readonly endpoint: CoapEndpoint;

  private constructor(udp: UdpTransport, certificate: ServerCertificateOptions, { required = true, clock }: Wish) {
    const known = infoOf('meter');
    this.dtls = new DtlsTransport(udp, {
      certificate,
      clientCertificates: { publicKeys: (info) => (info.equals(known) ? 'meter' : null), required },
      ...(clock && { clock }),
      onEvent: (name, _remote, detail) => this.events.push(`${name}: ${detail}`),
    });
    this.uri = `coaps://127.0.0.1:${udp.port}`;
    const resources = new Resources((answer) => answer());
    this.endpoint = new CoapEndpoint(this.dtls, {
      handler: (request, exchange) => {
        this.sessions.push({ ...(request.remote.session as DtlsSession) });
        this.port = request.remote.port;
        resources.handler(request, exchange);
      },
    });
  }

  static async start(t: TestContext, wish: Wish = {}): Promise<Server> {
    const udp = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
    const own = wish.certified === true ? await files.credential('server') : { key: privateKey('server') };
    const server = new Server(udp, own, wish);
    t.after(() => server.endpoint.close());
    return server;
  }

  /** Its clients have gone, with close_notify, and nothing is left of them. */
  async end(): Promise<void> {
    while (this.dtls.tables.associations > 0) await setImmediate();
    assert.equal(this.dtls.counters.internalErrors, 0);
    assert.deepEqual(this.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  }
}

/**
 * Four times as slow as others: the client is the one who repeats. If a flight of the server comes again just when the client's
 * own time is over, that client repeats nothing any more.
 */
const SLOW: Clock = {
  now: () => SYSTEM_CLOCK.now() / 4,
  setTimer: (callback, delay) => SYSTEM_CLOCK.setTimer(callback, 4 * delay),
  clearTimer: SYSTEM_CLOCK.clearTimer,
};

/** Runs libcoap's client to its end; all that it says. */
async function client(name: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(name, ['-v', '6', '-B', '20', ...args], { timeout: 60_000 });
  return stdout + stderr;
}

test(`${GNUTLS}: TD_COAP_DTLS_04: raw public keys both ways with ${CCM_8}`, async (t) => {
  const server = await Server.start(t);
  for (const file of ['meter.key', 'both.pem']) {
    const said = await client(GNUTLS, '-M', path(file), `${server.uri}/test`);
    assert.match(said, /CN 'RPK' presented by server/);
    assert.match(said, /'a test'/);
  }
  assert.deepEqual(server.sessions, [KNOWN, KNOWN]);
  await server.end();
});

test(`${GNUTLS}: a client that has no key takes the server’s, and is nobody`, async (t) => {
  const server = await Server.start(t, { required: false });
  assert.match(await client(GNUTLS, '-n', `${server.uri}/test`), /CN 'RPK' presented by server.*'a test'/s);
  assert.deepEqual(server.sessions, [NOBODY]);
  await server.end();
});

test(`${GNUTLS}: TD_COAP_DTLS_06: a key that the server does not know is refused with certificate_unknown, and nothing is served`, async (t) => {
  const server = await Server.start(t);
  const said = await client(GNUTLS, '-M', path('stranger.key'), `${server.uri}/test`);
  assert.match(said, /Alert '46'/);
  assert.doesNotMatch(said, /'a test'/);
  const unknown = infoOf('stranger').toString('base64');
  assert.deepEqual(server.events, [`handshake-failed: unknown raw public key "${unknown}"`]);
  assert.match(await client(GNUTLS, '-n', `${server.uri}/test`), /Alert '40'/);
  assert.equal(server.events[1], 'handshake-failed: no common type of client certificates');
  assert.deepEqual([server.sessions.length, server.dtls.counters.publicKeysRefused], [0, 1]);
  await server.end();
});

// Its datagrams: two ClientHellos, Certificate, ClientKeyExchange, CertificateVerify, ChangeCipherSpec, Finished.
for (const lost of ['1', '2', '3', '4', '5', '6', '7', '2,4', '1,3']) {
  test(`${GNUTLS}: TD_COAP_DTLS_07: raw public keys while the client loses datagram ${lost}`, async (t) => {
    const server = await Server.start(t, { clock: SLOW });
    assert.match(await client(GNUTLS, '-M', path('meter.key'), '-l', lost, `${server.uri}/test`), /'a test'/);
    assert.deepEqual(server.sessions, [KNOWN]);
    await server.end();
  });
}

test(`${GNUTLS}: beside a certificate: the client prefers that of the server, and shows its own raw public key`, async (t) => {
  const server = await Server.start(t, { certified: true });
  const said = await client(GNUTLS, '-M', path('meter.key'), '-R', files.path('ca.pem'), `${server.uri}/test`);
  assert.match(said, /'a test'/);
  assert.doesNotMatch(said, /CN 'RPK'/);
  assert.deepEqual(server.sessions, [KNOWN]);
  await server.end();
});

test(`${GNUTLS}: the same device begins anew from the same port, and the former association makes place`, async (t) => {
  const server = await Server.start(t);
  // A client that is killed says no close_notify.
  const observer = execFile(GNUTLS, ['-v', '6', '-s', '60', '-M', path('meter.key'), `${server.uri}/obs`]);
  while (server.sessions.length === 0) await setImmediate();
  const port = String(server.port);
  const exited = new Promise((resolve) => observer.once('exit', resolve));
  observer.kill('SIGKILL');
  await exited;
  assert.match(await client(GNUTLS, '-p', port, '-M', path('meter.key'), `${server.uri}/test`), /'a test'/);
  assert.equal(server.dtls.counters.associationsReplaced, 1);
  assert.deepEqual(server.sessions, [KNOWN, KNOWN]);
  await server.end();
});

/** GnuTLS itself, which takes one key of the server only; libcoap's client takes any. */
async function pinning(port: number, name: string): Promise<object> {
  const script = join(checkout, 'test/interop/python/gnutls_pin.py');
  const args = [script, String(port), path('meter.pub'), path('meter.key'), infoOf(name).toString('base64')];
  const { stdout } = await run('/usr/bin/python3', args, { timeout: 60_000 });
  return JSON.parse(stdout) as object;
}

test('GnuTLS: TD_COAP_DTLS_05: a client that does not take the server’s key says so, and nothing is served', async (t) => {
  const udp = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
  const dtls = new DtlsTransport(udp, {
    certificate: { key: privateKey('server') },
    clientCertificates: { publicKeys: (info) => (info.equals(infoOf('meter')) ? 'meter' : null), required: true },
  });
  t.after(() => dtls.close());
  const sessions: DtlsSession[] = [];
  dtls.onDatagram = (bytes, source) => {
    sessions.push({ ...(source.session as DtlsSession) });
    dtls.send(Buffer.concat([Buffer.from('echo '), bytes]), 0, 5 + bytes.length, source);
  };
  const GNUTLS_E_CERTIFICATE_ERROR = -43;
  assert.deepEqual(await pinning(udp.port, 'stranger'), { handshake: GNUTLS_E_CERTIFICATE_ERROR });
  while (dtls.tables.handshakes > 0) await setImmediate();
  assert.deepEqual([dtls.counters.handshakesAbandoned, sessions.length], [1, 0]);
  assert.deepEqual(await pinning(udp.port, 'server'), { handshake: 0, suite: CCM_8, answer: 'echo hello' });
  assert.deepEqual(sessions, [KNOWN]);
  while (dtls.tables.associations > 0) await setImmediate();
  assert.deepEqual(dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
});

test('coap-client-openssl says that it has no raw public keys; a listener for both serves it with its certificate', async (t) => {
  const server = await Server.start(t, { required: false, certified: true });
  await assert.rejects(client('coap-client-openssl', '-M', path('meter.key'), `${server.uri}/test`), {
    stdout: /RPK Support not available in OpenSSL/,
  });
  assert.equal(server.dtls.counters.datagramsReceived, 0);
  const certified = ['-R', files.path('ca.pem'), `${server.uri}/test`];
  assert.match(await client('coap-client-openssl', ...certified), /'a test'/);
  assert.deepEqual(server.sessions, [NOBODY]);
  await server.end();
});
