/** Certificates on loopback with libcoap's clients, of OpenSSL and of GnuTLS, and with openssl's own. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { DtlsTransport } from '../../../src/coap/dtls/transport.js';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import { UdpTransport } from '../../../src/coap/transport.js';
import { Resources } from '../resources.js';
import { CertificateFiles } from './certificate-files.js';

const run = promisify(execFile);
const CLIENTS = ['coap-client-openssl', 'coap-client-gnutls'] as const;
const CCM_8 = 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8';

let files: CertificateFiles;

before(async () => {
  files = await CertificateFiles.make();
});

after(() => files?.remove());

/** A CoAP server with certificates, on a port of its own. */
class Server {
  readonly sessions: DtlsSession[] = [];
  readonly events: string[] = [];
  readonly dtls: DtlsTransport;
  readonly uri: string;
  readonly #endpoint: CoapEndpoint;

  private constructor(dtls: DtlsTransport, events: string[], port: number) {
    this.dtls = dtls;
    this.events = events;
    this.uri = `coaps://127.0.0.1:${port}`;
    const resources = new Resources((answer) => answer());
    this.#endpoint = new CoapEndpoint(dtls, {
      handler: (request, exchange) => {
        this.sessions.push(request.remote.session as DtlsSession);
        resources.handler(request, exchange);
      },
    });
  }

  /** @param asks whether clients are asked for certificates, and must have one */
  static async start(t: TestContext, certificate: string, asks?: 'optional' | 'required'): Promise<Server> {
    const udp = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
    const events: string[] = [];
    const ca = [await files.x509('ca')];
    const dtls = new DtlsTransport(udp, {
      psk: (identity) => (identity === 'password' ? Buffer.from('sesame') : null),
      certificate: await files.credential(certificate),
      ...(asks === undefined ? {} : { clientCertificates: { ca, required: asks === 'required' } }),
      onEvent: (name, _remote, detail) => events.push(`${name}: ${detail}`),
    });
    const server = new Server(dtls, events, udp.port);
    t.after(() => server.#endpoint.close());
    return server;
  }

  /** Its clients have gone, with close_notify, and nothing is left of them. */
  async end(): Promise<void> {
    while (this.dtls.tables.associations > 0) await setImmediate();
    assert.equal(this.dtls.counters.internalErrors, 0);
    assert.deepEqual(this.dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
  }
}

/** Runs libcoap's client to its end; all that it says. */
async function client(name: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(name, ['-v', '6', '-B', '20', ...args], { timeout: 60_000 });
  return stdout + stderr;
}

/** The options for a certificate of its own, and the CA that the server's must be of. */
const own = (name: string): string[] => ['-c', files.path(`${name}.pem`), '-j', files.path(`${name}.key`)];
const trust = (option: '-C' | '-R', name = 'ca'): string[] => [option, files.path(`${name}.pem`)];

for (const name of CLIENTS) {
  test(`${name}: the server’s certificate is verified, the client is nobody`, async (t) => {
    const server = await Server.start(t, 'server');
    assert.match(await client(name, ...trust('-R'), `${server.uri}/test`), /'a test'/);
    assert.deepEqual({ ...server.sessions[0] }, { identity: undefined, cipherSuite: CCM_8, proof: 'none' });
    assert.doesNotMatch(await client(name, ...trust('-R', 'other-ca'), `${server.uri}/test`), /'a test'/);
    assert.equal(server.sessions.length, 1);
    await server.end();
  });

  for (const asks of ['required', 'optional'] as const) {
    test(`${name}: both certificates, the client’s ${asks}`, async (t) => {
      const server = await Server.start(t, 'server', asks);
      assert.match(await client(name, ...own('device'), ...trust('-C'), `${server.uri}/test`), /'a test'/);
      assert.deepEqual({ ...server.sessions[0] }, { identity: 'device', cipherSuite: CCM_8, proof: 'certificate' });
      const said = await client(name, ...trust('-R'), `${server.uri}/test`);
      if (asks === 'optional') assert.match(said, /'a test'/);
      else assert.match(said, /handshake failure|Handshake failed/);
      assert.deepEqual(
        server.sessions.slice(1).map(({ proof }) => proof),
        asks === 'optional' ? ['none'] : [],
      );
      await server.end();
    });
  }

  test(`${name}: certificates of a wrong CA and expired ones are refused, with the alert that says so`, async (t) => {
    const server = await Server.start(t, 'server', 'required');
    // GnuTLS sends no certificate whose CA has not been named.
    const stranger = name.includes('gnutls')
      ? ([/Handshake failed/, 'handshake-failed: no client certificate'] as const)
      : ([/unknown ca/, 'handshake-failed: unknown CA "CN=other-ca"'] as const);
    for (const [certificate, alert, event] of [
      ['stranger', ...stranger],
      ['forged', /unknown ca|CA is unknown/i, 'handshake-failed: unknown CA "CN=ca"'],
      ['expired', /certificate (is )?expired/i, 'handshake-failed: certificate expired "CN=expired"'],
    ] as const) {
      const said = await client(name, ...own(certificate), ...trust('-R'), `${server.uri}/test`);
      assert.match(said, alert);
      assert.equal(server.events.at(-1), event);
    }
    assert.equal(server.sessions.length, 0);
    assert.equal(server.dtls.counters.certificatesRefused, 3);
    await server.end();
  });

  test(`${name}: certificates larger than a datagram, both ways`, async (t) => {
    const server = await Server.start(t, 'large', 'required');
    assert.match(await client(name, ...own('large'), ...trust('-C'), `${server.uri}/test`), /'a test'/);
    assert.equal(server.sessions[0].identity, 'large');
    await server.end();
  });

  test(`${name}: both certificates while the client loses its first ClientHello, and that with the cookie`, async (t) => {
    const server = await Server.start(t, 'server', 'required');
    const said = await client(name, ...own('device'), ...trust('-C'), '-l', '1,3', `${server.uri}/test`);
    assert.match(said, /'a test'/);
    assert.equal(server.sessions[0].identity, 'device');
    await server.end();
  });

  test(`${name}: a pre-shared key where certificates are served too`, async (t) => {
    const server = await Server.start(t, 'server', 'required');
    assert.match(await client(name, '-u', 'password', '-k', 'sesame', `${server.uri}/test`), /'a test'/);
    assert.deepEqual([server.sessions[0].identity, server.sessions[0].proof], ['password', 'psk']);
    await server.end();
  });
}

for (const [cipher, suite, groups, certificate, handshakeDatagram] of [
  ['ECDHE-ECDSA-AES128-CCM8', CCM_8, 'P-256', 'server', 1232],
  ['ECDHE-ECDSA-AES128-CCM', 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM', 'X25519:P-256', 'server', 256],
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'P-256:X25519', 'large', 1232],
] as const) {
  test(`openssl s_client: ${suite}, ${groups}, both certificates, datagrams of ${handshakeDatagram} bytes`, async () => {
    const udp = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
    const dtls = new DtlsTransport(udp, {
      certificate: await files.credential(certificate),
      clientCertificates: { ca: [await files.x509('ca')], required: true },
      limits: { handshakeDatagram },
    });
    const sessions: DtlsSession[] = [];
    dtls.onDatagram = (bytes, source) => {
      sessions.push(source.session as DtlsSession);
      dtls.send(Buffer.concat([Buffer.from('echo '), bytes]), 0, 5 + bytes.length, source);
    };
    const keys = ['-cert', files.path('device.pem'), '-key', files.path('device.key'), '-CAfile', files.path('ca.pem')];
    const options = ['-cipher', `${cipher}:@SECLEVEL=0`, '-groups', groups, '-verify_return_error', ...keys];
    const openssl = spawn('openssl', ['s_client', '-dtls1_2', '-connect', `127.0.0.1:${udp.port}`, ...options]);
    const exited = once(openssl, 'exit');
    let output = '';
    let said = false;
    for await (const chunk of openssl.stdout) {
      output += String(chunk);
      if (!said && output.includes('Extended master secret')) {
        said = true;
        openssl.stdin.write('hello\n');
      }
      // At the end of its input it says close_notify.
      if (output.includes('echo hello\n')) openssl.stdin.end('Q\n');
    }
    await exited;
    assert.match(output, new RegExp(`Cipher is ${cipher}\n`));
    assert.match(output, /Verify return code: 0 \(ok\)/);
    assert.match(output, groups.startsWith('X25519') ? /Server Temp Key: X25519/ : /Server Temp Key: ECDH, prime256v1/);
    assert.match(output, /CN = ca\n.*Client Certificate Types: ECDSA sign/s);
    assert.deepEqual(
      sessions.map((session) => ({ ...session })),
      [{ identity: 'device', cipherSuite: suite, proof: 'certificate' }],
    );
    while (dtls.tables.associations > 0) await setImmediate();
    assert.equal(dtls.counters.associationsClosed, 1);
    await dtls.close();
  });
}
