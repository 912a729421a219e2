/** The DTLS client with certificates on loopback: libcoap's servers, with OpenSSL and with GnuTLS, and OpenSSL's own. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Code, Method } from '../../../src/coap/codes.js';
import { ServerCertificate } from '../../../src/coap/dtls/server-certificate.js';
import type { CertificateCredential } from '../../../src/coap/dtls-client/certificate-exchange.js';
import { ServerCertificates, type ServerName } from '../../../src/coap/dtls-client/server-certificates.js';
import { DtlsClientTransport } from '../../../src/coap/dtls-client/transport.js';
import { UdpTransport } from '../../../src/coap/transport.js';
import { LARGE } from '../resources.js';
import { CertificateFiles } from './certificate-files.js';
import { clients, deviceWith, endAll, freePorts, libcoapWith, SERVERS, start } from './foreign-servers.js';

const LOCAL: ServerName = { host: '127.0.0.1', kind: 'IPv4' };
const TIME = { method: Method.Get, path: ['time'] };
let files: CertificateFiles;

before(async () => {
  files = await CertificateFiles.make();
});
after(() => files?.remove());
afterEach(endAll);

async function credential(name = LOCAL, own?: string, ca = 'ca'): Promise<CertificateCredential> {
  const servers = new ServerCertificates({ ca: [await files.x509(ca)] });
  if (own === undefined) return { servers, name };
  return { servers, name, own: { certificate: new ServerCertificate(await files.credential(own)), identity: own } };
}

/** Options of libcoap's server. @param ca of clients; without it no client is asked */
function serves(name: string, ca?: string): string[] {
  const own = ['-c', files.path(`${name}.pem`), '-j', files.path(`${name}.key`)];
  return ca === undefined ? [...own, '-n'] : [...own, '-C', files.path(`${ca}.pem`)];
}

for (const server of SERVERS) {
  test(`${server}: GET, PUT, blocks, over an association with its certificate`, async () => {
    const { ask, dtls } = await deviceWith(await credential(), await libcoapWith(server, serves('server')));
    const put = await ask({ method: Method.Put, path: ['fresh'], payload: LARGE, contentFormat: 0 });
    assert.equal(put.response?.code, Code.Created, put.failure?.detail);
    assert.deepEqual((await ask({ method: Method.Get, path: ['fresh'] })).response?.payload, LARGE);
    assert.equal(dtls.counters.handshakesCompleted, 1);
    assert.equal(dtls.counters.badRecords + dtls.counters.droppedRecords, 0);
  });

  test(`${server}: it asks for a certificate, and takes ours, or ends the handshake with an alert`, async () => {
    const port = await libcoapWith(server, serves('server', 'ca'));
    const known = await deviceWith(await credential(LOCAL, 'device'), port);
    const { response, failure: none } = await known.ask(TIME);
    assert.equal(response?.code, Code.Content, none?.detail);
    const stranger = await deviceWith(await credential(LOCAL, 'stranger'), port, undefined, 4_000);
    const { failure } = await stranger.ask(TIME);
    assert.match(`${failure?.reason} ${failure?.detail}`, /^handshake .*it may not take the certificate of the broker/);
  });

  test(`${server}: a name that its certificate does not have, and a CA that is another one, end the handshake in words`, async () => {
    const port = await libcoapWith(server, serves('server'));
    for (const [bad, words] of [
      [
        await credential({ host: 'boiler.example', kind: 'name' }),
        /^certificate of another name than boiler\.example: "CN=server"$/,
      ],
      [await credential(LOCAL, undefined, 'other-ca'), /^unknown CA "CN=ca"$/],
      [await credential(LOCAL, undefined, 'false-ca'), /^unknown CA "CN=ca"$/],
    ] as const) {
      const { ask, dtls } = await deviceWith(bad, port);
      const { failure } = await ask(TIME);
      assert.equal(failure?.reason, 'handshake');
      assert.match(failure?.detail ?? '', words);
      assert.equal(dtls.counters.certificatesRefused, 1);
      assert.deepEqual(dtls.tables, { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 });
    }
    const named = await deviceWith(await credential({ host: 'localhost', kind: 'name' }), port);
    assert.equal((await named.ask(TIME)).failure, null);
  });

  test(`${server}: a certificate that has expired is refused`, async () => {
    const { ask } = await deviceWith(await credential(), await libcoapWith(server, serves('expired-server')));
    assert.match((await ask(TIME)).failure?.detail ?? '', /^certificate expired "CN=expired-server"$/);
  });

  test(`${server}: a certificate that no datagram holds, and each of the first datagrams lost`, async () => {
    const port = await libcoapWith(server, serves('large', 'ca'));
    const shown = await credential(LOCAL, 'large');
    await Promise.all(
      Array.from({ length: 8 }, async (_, lost) => {
        const { ask } = await deviceWith(shown, port, (number) => number === lost);
        const { response, failure } = await ask(TIME);
        assert.equal(response?.code, Code.Content, `without datagram ${lost}: ${failure?.detail}`);
      }),
    );
  });
}

for (const [cipher, name] of [
  ['ECDHE-ECDSA-AES128-CCM8', 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8'],
  ['ECDHE-ECDSA-AES128-CCM', 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM'],
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
] as const) {
  test(`openssl s_server: ${name}, with certificates of both`, async () => {
    const port = await freePorts();
    const own = ['-cert', files.path('server.pem'), '-key', files.path('server.key')];
    const asks = ['-Verify', '2', '-verify_return_error', '-CAfile', files.path('ca.pem')];
    const options = [...own, ...asks, '-cipher', `${cipher}:@SECLEVEL=0`, '-listen'];
    const server = await start('openssl', ['s_server', '-dtls1_2', '-accept', `127.0.0.1:${port}`, ...options]);
    const known = await credential(LOCAL, 'device');
    const dtls = new DtlsClientTransport(await UdpTransport.bind({ address: '127.0.0.1', port: 0 }), {
      credential: () => known,
    });
    clients.push(dtls);
    const answered = new Promise((resolve, reject) => {
      dtls.onDatagram = (bytes, { session }) => resolve({ text: bytes.toString(), ...session });
      dtls.onUnreachable = (_remote, words) => reject(new Error(words));
    });
    const hello = Buffer.from('hello of the client\n');
    let output = '';
    server.stdout?.on('data', (chunk) => {
      const before = output;
      output += String(chunk);
      if (output.includes('hello') && !before.includes('hello')) server.stdin?.write('hello of the server\n');
    });
    dtls.send(hello, 0, hello.length, { address: '127.0.0.1', port, family: 'IPv4' });
    const expected = { text: 'hello of the server\n', identity: 'device', proof: 'certificate', cipherSuite: name };
    assert.deepEqual(await answered, expected);
  });
}
