/** The DTLS client with raw public keys on loopback: libcoap's server of GnuTLS. That of OpenSSL has none. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, afterEach, before, test } from 'node:test';
import { Code, Method } from '../../../src/coap/codes.js';
import { ServerCertificate } from '../../../src/coap/dtls/server-certificate.js';
import type { CertificateCredential } from '../../../src/coap/dtls-client/certificate-exchange.js';
import { LARGE } from '../resources.js';
import { CertificateFiles } from './certificate-files.js';
import { deviceWith, endAll, libcoapWith } from './foreign-servers.js';
import { DEVICE_KEY, RawKey, SERVER_KEY } from './raw-keys.js';

const GNUTLS = 'coap-server-gnutls';
const TIME = { method: Method.Get, path: ['time'] };
const NAME = { host: '127.0.0.1', kind: 'IPv4' } as const;
const OWN = { certificate: new ServerCertificate({ key: DEVICE_KEY.privateKey }), identity: undefined };
let files: CertificateFiles;

before(async () => {
  files = await CertificateFiles.make();
  await writeFile(files.path('raw.pem'), SERVER_KEY.privateKey.export({ type: 'sec1', format: 'pem' }));
});
after(() => files?.remove());
afterEach(endAll);

function known(more: Partial<CertificateCredential> = {}): CertificateCredential {
  return { publicKey: SERVER_KEY.info, name: NAME, ...more };
}

test(`${GNUTLS}: GET, PUT, blocks, with raw public keys both ways`, async () => {
  const port = await libcoapWith(GNUTLS, ['-M', files.path('raw.pem')]);
  const { ask, dtls } = await deviceWith(known({ own: OWN }), port);
  const put = await ask({ method: Method.Put, path: ['fresh'], payload: LARGE, contentFormat: 0 });
  assert.equal(put.response?.code, Code.Created, put.failure?.detail);
  assert.deepEqual((await ask({ method: Method.Get, path: ['fresh'] })).response?.payload, LARGE);
  assert.equal(dtls.counters.handshakesCompleted, 1);
  assert.equal(dtls.counters.badRecords + dtls.counters.droppedRecords, 0);
});

test(`${GNUTLS}: another raw public key than the one known ends the handshake in words`, async () => {
  const port = await libcoapWith(GNUTLS, ['-M', files.path('raw.pem')]);
  const { ask, dtls } = await deviceWith(known({ publicKey: new RawKey().info, own: OWN }), port);
  const { failure } = await ask(TIME);
  assert.equal(failure?.reason, 'handshake');
  assert.equal(failure?.detail, `another raw public key: "${SERVER_KEY.info.toString('base64')}"`);
  assert.equal(dtls.counters.certificatesRefused, 1);
});

test(`${GNUTLS}: a device that has a certificate where its raw public key is known is refused`, async () => {
  const serves = ['-c', files.path('server.pem'), '-j', files.path('server.key'), '-n'];
  const { ask } = await deviceWith(known(), await libcoapWith(GNUTLS, serves), undefined, 4_000);
  const { response, failure } = await ask(TIME);
  assert.equal(response, null);
  assert.equal(failure?.reason, 'handshake', failure?.detail);
});

test(`${GNUTLS}: each of the first datagrams of a handshake with raw public keys lost`, async () => {
  const port = await libcoapWith(GNUTLS, ['-M', files.path('raw.pem')]);
  await Promise.all(
    Array.from({ length: 8 }, async (_, lost) => {
      const { ask } = await deviceWith(known({ own: OWN }), port, (number) => number === lost);
      const { response, failure } = await ask(TIME);
      assert.equal(response?.code, Code.Content, `without datagram ${lost}: ${failure?.detail}`);
    }),
  );
});
