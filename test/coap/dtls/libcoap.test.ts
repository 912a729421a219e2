/** libcoap's clients with OpenSSL and with GnuTLS over DTLS on loopback: implementations by others. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { DtlsSession } from '../../../src/coap/dtls/association.js';
import { DtlsTransport } from '../../../src/coap/dtls/transport.js';
import { CoapEndpoint } from '../../../src/coap/endpoint.js';
import { UdpTransport } from '../../../src/coap/transport.js';
import { LARGE, Resources } from '../resources.js';

const run = promisify(execFile);
const CLIENTS = ['coap-client-openssl', 'coap-client-gnutls'] as const;
const KEY = ['-u', 'password', '-k', 'sesame'];

let dtls: DtlsTransport;
let endpoint: CoapEndpoint;
let resources: Resources;
let uri: string;
let folder: string;
let body: string;
const sessions: DtlsSession[] = [];
const events: string[] = [];

before(async () => {
  for (const client of CLIENTS) {
    try {
      await run(client, ['-h', '/dev/null'], { timeout: 5_000 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        throw new Error(`${client} is missing; install it with: apt-get install -y libcoap3-bin`, { cause: error });
      }
    }
  }
  const udp = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
  resources = new Resources((answer) => setTimeout(answer, 120));
  dtls = new DtlsTransport(udp, {
    psk: (identity) => (identity === 'password' ? Buffer.from('sesame') : null),
    identityHint: 'a hint',
    onEvent: (name, _remote, detail) => events.push(`${name}: ${detail}`),
  });
  endpoint = new CoapEndpoint(dtls, {
    handler: (request, exchange) => {
      sessions.push(request.remote.session as DtlsSession);
      resources.handler(request, exchange);
    },
  });
  uri = `coaps://127.0.0.1:${udp.port}`;
  folder = await mkdtemp(join(tmpdir(), 'portico-libcoap-dtls-'));
  body = join(folder, 'body');
  await writeFile(body, LARGE);
});

after(async () => {
  await endpoint?.close();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

/** Runs a client to its end; its output without the newline that it adds. */
async function client(name: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(name, args, { timeout: 60_000, maxBuffer: 1024 * 1024 });
  assert.equal(stderr.trim(), '');
  return stdout.replace(/\n$/, '');
}

for (const name of CLIENTS) {
  test(`${name}: TD_COAP_DTLS_01: GET and PUT with a pre-shared key and TLS_PSK_WITH_AES_128_CCM_8`, async () => {
    assert.equal(await client(name, ...KEY, `${uri}/test`), 'a test');
    assert.equal(await client(name, ...KEY, '-m', 'put', '-e', `by ${name}`, `${uri}/fresh`), '');
    assert.equal(await client(name, ...KEY, `${uri}/fresh`), `by ${name}`);
    assert.equal(await client(name, ...KEY, `${uri}/separate`), 'separate');
    assert.equal(sessions.at(-1)?.identity, 'password');
    assert.equal(sessions.at(-1)?.cipherSuite, 'TLS_PSK_WITH_AES_128_CCM_8');
  });

  test(`${name}: a large PUT and a large GET, blockwise`, async () => {
    resources.change('/large-update', 'small as yet');
    assert.equal(await client(name, ...KEY, '-m', 'put', '-b', '256', '-f', body, `${uri}/large-update`), '');
    assert.deepEqual(resources.resource('/large-update').payload, LARGE);
    assert.equal(await client(name, ...KEY, '-b', '1024', `${uri}/large`), LARGE.toString());
  });

  test(`${name}: TD_COAP_DTLS_02: a wrong key and an unknown identity end alike, with nothing served`, async () => {
    const served = sessions.length;
    const told: string[] = [];
    for (const [identity, key] of [
      ['password', 'not sesame'],
      ['nobody', 'sesame'],
    ]) {
      const { stdout, stderr } = await run(name, ['-v', '6', '-B', '5', '-u', identity, '-k', key, `${uri}/test`]);
      assert.doesNotMatch(stdout, /a test/);
      told.push(/decrypt.error/i.exec(stdout + stderr)?.[0] ?? stdout + stderr);
    }
    assert.match(told[0], /^decrypt.error$/i);
    assert.equal(told[1], told[0]);
    assert.equal(sessions.length, served);
    assert.deepEqual(events.slice(-2), ['handshake-failed: bad record', 'handshake-failed: bad record']);
  });

  test(`${name}: TD_COAP_DTLS_03: the handshake and the request while the client loses its first two flights`, async () => {
    // GnuTLS speaks of a flight that came twice.
    assert.match(await client(name, ...KEY, '-l', '1,3,5', `${uri}/test`), /a test$/);
  });
}

test('both: every association ended with close_notify, and nothing was dropped for a fault', async () => {
  // The last client has said so before it ended; the datagram is on its way.
  while (dtls.tables.associations > 0) await setImmediate();
  assert.equal(dtls.counters.internalErrors, 0);
  assert.equal(dtls.counters.badRecords, 2 * CLIENTS.length);
  assert.deepEqual(dtls.tables, { associations: 0, handshakes: 0, timers: 0 });
});
