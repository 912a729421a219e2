/** The DTLS client on loopback against servers by others: libcoap's with OpenSSL and with GnuTLS, and OpenSSL's own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { Code, Method } from '../../../src/coap/codes.js';
import { DtlsClientTransport } from '../../../src/coap/dtls-client/transport.js';
import { UdpTransport } from '../../../src/coap/transport.js';
import { LARGE } from '../resources.js';
import {
  children,
  clients,
  device,
  endAll,
  freePorts,
  KEY,
  libcoap,
  PATIENT,
  restart,
  SERVERS,
  start,
} from './foreign-servers.js';

afterEach(endAll);

for (const server of SERVERS) {
  test(`${server}: GET, PUT, blocks and a separate response over one association, close_notify at the end`, async () => {
    const { dtls, ask, client } = await device(await libcoap(server));
    const put = await ask({ method: Method.Put, path: ['fresh'], payload: LARGE, contentFormat: 0 });
    assert.equal(put.response?.code, Code.Created);
    const got = await ask({ method: Method.Get, path: ['fresh'] });
    assert.deepEqual(got.response?.payload, LARGE);
    const separate = await ask({ method: Method.Get, path: ['async'], query: ['1'] });
    assert.equal(separate.response?.payload.toString(), 'done');
    assert.equal(client.counters.separateResponses, 1);
    assert.equal(dtls.counters.handshakesCompleted, 1);
    assert.equal(dtls.counters.badRecords + dtls.counters.droppedRecords, 0);
  });

  test(`${server}: an observed resource`, async () => {
    const { client, remote } = await device(await libcoap(server));
    const states: string[] = [];
    await new Promise<void>((resolve, reject) => {
      client.observe(
        remote,
        { method: Method.Get, path: ['time'] },
        {
          onState: ({ payload }) => {
            states.push(payload.toString());
            if (states.length === 3) resolve();
          },
          onEnd: ({ reason, detail }) => reject(new Error(`${reason} ${detail}`)),
        },
      );
    });
    assert.equal(new Set(states).size, 3);
  });

  test(`${server}: a wrong key ends in a failure that says so`, async () => {
    const { ask, dtls } = await device(await libcoap(server), 'not sesame', 'portico', undefined, 4_000);
    const { failure } = await ask({ method: Method.Get, path: ['time'] });
    assert.equal(failure?.reason, 'handshake');
    assert.match(failure?.detail ?? '', /identity or key may be wrong/);
    assert.deepEqual(dtls.tables, { associations: 0, handshakes: 0, waitingBytes: 0, timers: 0 });
  });

  test(`${server}: each of the first datagrams may be lost`, async () => {
    const port = await libcoap(server);
    await Promise.all(
      // The last of them is ChangeCipherSpec: libcoap with GnuTLS never repeats the Finished behind it.
      Array.from({ length: 8 }, async (_, lost) => {
        const { ask } = await device(port, KEY, 'portico', (number) => number === lost);
        const { response } = await ask({ method: Method.Get, path: ['time'] });
        assert.equal(response?.code, Code.Content, `without datagram ${lost}`);
      }),
    );
  });

  test(`${server}: after a time in which all is lost the next request makes a new association, which the server has not expected`, async () => {
    let outage = false;
    const { ask, dtls } = await device(await libcoap(server), KEY, 'portico', () => outage);
    const request = { method: Method.Get, path: ['time'] };
    assert.equal((await ask(request)).failure, null);
    outage = true;
    const { failure } = await ask({ ...request, transmission: { ...PATIENT, timeout: 2_500 } });
    assert.equal(failure?.reason, 'timeout');
    outage = false;
    assert.equal((await ask(request)).failure, null);
    assert.equal(dtls.counters.handshakesCompleted, 2);
  });

  test(`${server}: it begins anew and knows nothing: one request is lost, the next one is answered`, async () => {
    const port = await libcoap(server);
    const { ask, dtls } = await device(port);
    const request = { method: Method.Get, path: ['time'] };
    assert.equal((await ask(request)).failure, null);
    const [child] = children.splice(0);
    const exited = once(child, 'exit');
    // Killed, so that it says nothing.
    child.kill('SIGKILL');
    await exited;
    await restart(server, port - 1);
    const { failure } = await ask({ ...request, transmission: { ...PATIENT, timeout: 3_000 } });
    assert.equal(failure?.reason, 'timeout');
    assert.equal((await ask(request)).failure, null);
    assert.equal(dtls.counters.associationsLost, 1);
    assert.equal(dtls.counters.handshakesCompleted, 2);
  });
}

test('coap-server-openssl: an identity that it does not know', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'portico-identities-'));
  try {
    const file = join(folder, 'identities');
    await writeFile(file, 'a hint,known,another\n');
    const port = await libcoap('coap-server-openssl', '-i', file);
    const known = await device(port, 'another', 'known');
    assert.equal((await known.ask({ method: Method.Get, path: ['time'] })).failure, null);
    const unknown = await device(port, 'another', 'unknown', undefined, 4_000);
    const { failure } = await unknown.ask({ method: Method.Get, path: ['time'] });
    assert.equal(failure?.reason, 'handshake');
  } finally {
    await rm(folder, { recursive: true });
  }
});

for (const [cipher, name, more] of [
  ['PSK-AES128-CCM8', 'TLS_PSK_WITH_AES_128_CCM_8', []],
  ['PSK-AES128-CCM', 'TLS_PSK_WITH_AES_128_CCM', ['-listen']],
  ['PSK-AES128-GCM-SHA256', 'TLS_PSK_WITH_AES_128_GCM_SHA256', ['-mtu', '256']],
] as const) {
  test(`openssl s_server: ${name} ${more}: data both ways, close_notify`, async () => {
    const port = await freePorts();
    const key = Buffer.from(KEY).toString('hex');
    const options = ['-psk', key, '-psk_hint', 'hint', '-nocert', '-cipher', `${cipher}:@SECLEVEL=0`, ...more];
    const server = await start('openssl', ['s_server', '-dtls1_2', '-accept', `127.0.0.1:${port}`, ...options]);
    const udp = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
    const sessions: object[] = [];
    const dtls = new DtlsClientTransport(udp, {
      credential: () => ({ identity: 'Client_identity', key: Buffer.from(KEY) }),
    });
    clients.push(dtls);
    let output = '';
    let closed = (): void => {};
    const told = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const hello = Buffer.from('hello of the client\n');
    const answered = new Promise<string>((resolve) => {
      dtls.onDatagram = (bytes, { session }) => {
        sessions.push({ ...session });
        resolve(bytes.toString());
      };
    });
    let said = false;
    server.stdout?.on('data', (chunk) => {
      output += String(chunk);
      if (/DONE|CLOSED/.test(output)) closed();
      if (said || !output.includes(hello.toString())) return;
      said = true;
      server.stdin?.write('hello of the server\n');
    });
    dtls.send(hello, 0, hello.length, { address: '127.0.0.1', port, family: 'IPv4' });
    assert.equal(await answered, 'hello of the server\n');
    assert.deepEqual(sessions, [{ identity: 'Client_identity', proof: 'psk', cipherSuite: name }]);
    // Its close_notify.
    await dtls.close();
    await told;
  });
}
