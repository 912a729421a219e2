/** The DTLS client on loopback against servers by others: libcoap's with OpenSSL and with GnuTLS, and OpenSSL's own. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { CoapClient } from '../../../src/coap/client/client.js';
import type { Outcome } from '../../../src/coap/client/outcome.js';
import type { ClientRequest } from '../../../src/coap/client/request.js';
import { Code, Method } from '../../../src/coap/codes.js';
import { DtlsClientTransport } from '../../../src/coap/dtls-client/transport.js';
import { type DatagramAddress, type DatagramTransport, UdpTransport } from '../../../src/coap/transport.js';
import { UdpPorts } from '../../../src/coap/udp-ports.js';
import { LARGE } from '../resources.js';

const SERVERS = ['coap-server-openssl', 'coap-server-gnutls'] as const;
const KEY = 'sesame';
/** Milliseconds; datagrams are lost on purpose. */
const PATIENT = { ackTimeout: 500, ackRandomFactor: 1, maxRetransmit: 10, timeout: 30_000, blockSize: 1024 };

const children: ChildProcess[] = [];
const clients: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  for (const child of children.splice(0)) {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
});

async function isFree(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  const bound = Promise.race([once(socket, 'listening').then(() => true), once(socket, 'error').then(() => false)]);
  socket.bind(port, '127.0.0.1');
  const free = await bound;
  if (free) await new Promise<void>((resolve) => socket.close(() => resolve()));
  return free;
}

/** Two ports in a row. */
async function freePorts(): Promise<number> {
  for (;;) {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    await new Promise<void>((resolve) => socket.close(() => resolve()));
    if (port < 65_535 && (await isFree(port + 1))) return port;
  }
}

function start(command: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  return new Promise((resolve, reject) => {
    child.once('spawn', () => {
      children.push(child);
      resolve(child);
    });
    child.once('error', (cause) =>
      reject(new Error(`${command} is missing; install it with: apt-get install -y libcoap3-bin openssl`, { cause })),
    );
  });
}

/** Whether a datagram is lost. */
type Loss = (number: number) => boolean;

/** Loses datagrams by their number, counted over both ways, on purpose. */
class Lossy implements DatagramTransport {
  onDatagram: DatagramTransport['onDatagram'];
  readonly #below: DatagramTransport;
  readonly #lost: Loss;
  #number = 0;

  constructor(below: DatagramTransport, lost: Loss) {
    this.#below = below;
    this.#lost = lost;
    below.onDatagram = (bytes, source) => {
      if (!this.#lost(this.#number++)) this.onDatagram?.(bytes, source);
    };
  }

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    if (!this.#lost(this.#number++)) this.#below.send(bytes, offset, length, remote);
  }

  renew(remote: DatagramAddress): void {
    this.#below.renew?.(remote);
  }

  close(): Promise<void> {
    return this.#below.close();
  }
}

interface Device {
  readonly dtls: DtlsClientTransport;
  readonly client: CoapClient;
  readonly remote: DatagramAddress;
  ask(request: ClientRequest): Promise<Outcome>;
}

async function device(
  port: number,
  key = KEY,
  identity = 'portico',
  lost: Loss = () => false,
  handshakeTime = 30_000,
): Promise<Device> {
  const udp = await UdpPorts.bind('127.0.0.1');
  const dtls = new DtlsClientTransport(new Lossy(udp, lost), {
    credential: () => ({ identity, key: Buffer.from(key) }),
    limits: { handshakeTime },
  });
  const client = new CoapClient(dtls);
  clients.push(client);
  const remote: DatagramAddress = { address: '127.0.0.1', port, family: 'IPv4' };
  return {
    dtls,
    client,
    remote,
    ask: (request) => new Promise((resolve) => client.request(remote, { transmission: PATIENT, ...request }, resolve)),
  };
}

/** Starts libcoap's server; resolves with its port of DTLS when it answers without. */
async function libcoap(server: string, ...args: readonly string[]): Promise<number> {
  const port = await freePorts();
  await restart(server, port, args);
  return port + 1;
}

async function restart(server: string, port: number, args: readonly string[]): Promise<void> {
  await start(server, ['-A', '127.0.0.1', '-p', `${port}`, '-d', '10', '-k', KEY, '-h', 'a hint', ...args]);
  const plain = new CoapClient(await UdpTransport.bind({ address: '127.0.0.1', port: 0 }));
  const remote: DatagramAddress = { address: '127.0.0.1', port, family: 'IPv4' };
  const transmission = { ...PATIENT, ackTimeout: 50 };
  const { failure } = await new Promise<Outcome>((resolve) =>
    plain.request(remote, { method: Method.Get, path: ['time'], transmission }, resolve),
  );
  await plain.close();
  assert.equal(failure, null, `${server} answers`);
}

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
    await restart(server, port - 1, []);
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
