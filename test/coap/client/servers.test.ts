/** The client over UDP on loopback against servers by others: libcoap's and npm coap's. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { createServer, type IncomingMessage, type OutgoingMessage, type Server } from 'coap';
import { CoapClient } from '../../../src/coap/client/client.js';
import type { ClientRequest } from '../../../src/coap/client/request.js';
import type { ClientResponse } from '../../../src/coap/client/response.js';
import { Code, Method } from '../../../src/coap/codes.js';
import { type DatagramAddress, UdpTransport } from '../../../src/coap/transport.js';
import { LARGE } from '../resources.js';

const SERVER = 'coap-server-notls';
const STOPPED = new Set(['closed', 'cancelled']);

let client: CoapClient;
let libcoap: ChildProcess;
let libcoapAddress: DatagramAddress;
let npm: Server;
let npmAddress: DatagramAddress;

function loopback(port: number): DatagramAddress {
  return { address: '127.0.0.1', port, family: 'IPv4' };
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

function ask(address: DatagramAddress, path: string, request: Partial<ClientRequest> = {}): Promise<ClientResponse> {
  const whole = { method: Method.Get, path: path === '' ? [] : path.split('/'), ...request };
  return new Promise((resolve, reject) => {
    client.request(address, whole, ({ response, failure }) => {
      if (response !== null) resolve(response);
      else reject(new Error(`${failure.reason} ${failure.detail}`));
    });
  });
}

/** States of a resource until `count` have come; then the observation is cancelled. */
function watch(address: DatagramAddress, path: string, count: number, confirmable = true): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const states: string[] = [];
    const observation = client.observe(
      address,
      { method: Method.Get, path: [path], confirmable },
      {
        onState: (response) => {
          states.push(response.payload.toString());
          if (states.length < count) return;
          observation.cancel();
          resolve(states);
        },
        onEnd: ({ reason, detail }) => {
          if (!STOPPED.has(reason)) reject(new Error(`${reason} ${detail}`));
        },
      },
    );
  });
}

before(async () => {
  const port = await freePort();
  libcoapAddress = loopback(port);
  libcoap = spawn(SERVER, ['-A', '127.0.0.1', '-p', `${port}`, '-d', '10'], { stdio: 'ignore' });
  await new Promise((resolve, reject) => {
    libcoap.once('spawn', resolve);
    libcoap.once('error', (cause) =>
      reject(new Error(`${SERVER} is missing; install it with: apt-get install -y libcoap3-bin`, { cause })),
    );
  });
  npm = createServer();
  npm.on('request', (request: IncomingMessage, response: OutgoingMessage) => {
    if (request.url === '/slow') setTimeout(() => response.end('slow'), 300);
    else if (request.url === '/missing') {
      response.code = '4.04';
      response.end();
    } else if (request.headers.Observe === 0) {
      let state = 0;
      const timer = setInterval(() => response.write(`state ${++state}`), 30);
      response.on('finish', () => clearInterval(timer));
      response.write('state 0');
    } else if (request.url === '/large') response.end(LARGE);
    else response.end(`${request.method} ${request.url} ${request.payload.length}`);
  });
  const npmPort = await freePort();
  npmAddress = loopback(npmPort);
  await new Promise<void>((resolve) => npm.listen(npmPort, '127.0.0.1', () => resolve()));
  client = new CoapClient(await UdpTransport.bind({ address: '127.0.0.1', port: 0 }));
  // The process has started; its socket is there when it answers.
  const patience = { ackTimeout: 50, maxRetransmit: 9, timeout: 30_000 };
  await ask(libcoapAddress, '', { transmission: patience });
});

after(async () => {
  await client?.close();
  if (npm !== undefined) await new Promise<void>((resolve) => npm.close(() => resolve()));
  if (libcoap?.pid !== undefined && libcoap.exitCode === null) {
    libcoap.kill();
    await once(libcoap, 'exit');
  }
});

test('libcoap: GET, Confirmable and Non-confirmable, and an error', async () => {
  for (const confirmable of [true, false]) {
    assert.match((await ask(libcoapAddress, '', { confirmable })).payload.toString(), /libcoap/);
    assert.equal((await ask(libcoapAddress, 'missing', { confirmable })).code, Code.NotFound);
  }
});

test('libcoap: PUT, GET and DELETE of a new resource', async () => {
  const payload = Buffer.from('by portico');
  assert.equal((await ask(libcoapAddress, 'fresh', { method: Method.Put, payload })).code, Code.Created);
  assert.equal((await ask(libcoapAddress, 'fresh')).payload.toString(), 'by portico');
  assert.equal((await ask(libcoapAddress, 'fresh', { method: Method.Delete })).code, Code.Deleted);
  assert.equal((await ask(libcoapAddress, 'fresh')).code, Code.NotFound);
});

test('libcoap: a separate response', async () => {
  const { separateResponses } = client.counters;
  const response = await ask(libcoapAddress, 'async', { query: ['1'] });
  assert.equal(response.payload.toString(), 'done');
  assert.equal(client.counters.separateResponses, separateResponses + 1);
});

for (const blockSize of [16, 64, 256, 1_024]) {
  test(`libcoap: a large body there and back in blocks of ${blockSize}`, async () => {
    const transmission = { blockSize, timeout: 30_000 };
    const put = await ask(libcoapAddress, 'example_data', { method: Method.Put, payload: LARGE, transmission });
    // The first body creates what libcoap takes for a new representation.
    assert.ok(put.code === Code.Created || put.code === Code.Changed);
    assert.deepEqual((await ask(libcoapAddress, 'example_data', { transmission })).payload, LARGE);
  });
}

test('libcoap: /time is observed, and cancelled', async () => {
  const states = await watch(libcoapAddress, 'time', 3);
  assert.equal(new Set(states).size, 3);
});

test('npm coap: every method that it knows, an error, and a separate response', async () => {
  for (const [method, name] of [
    [Method.Get, 'GET'],
    [Method.Delete, 'DELETE'],
    [Method.Put, 'PUT'],
    [Method.Post, 'POST'],
    [Method.Fetch, 'FETCH'],
    [Method.Patch, 'PATCH'],
    [Method.IPatch, 'iPATCH'],
  ] as const) {
    const payload = name === 'GET' || name === 'DELETE' ? Buffer.alloc(0) : Buffer.from('xyz');
    const response = await ask(npmAddress, 'a/b', { method, payload, contentFormat: 0, query: ['q=1'] });
    assert.equal(response.payload.toString(), `${name} /a/b?q=1 ${payload.length}`);
  }
  assert.equal((await ask(npmAddress, 'missing')).code, Code.NotFound);
  assert.equal((await ask(npmAddress, 'slow')).payload.toString(), 'slow');
  assert.equal((await ask(npmAddress, 'a', { confirmable: false })).payload.toString(), 'GET /a 0');
});

// A large PUT is no test: this server knows the blocks of one body by their token, which may differ (RFC 7959 2.5).
test('npm coap: a large GET goes blockwise', async () => {
  assert.deepEqual((await ask(npmAddress, 'large')).payload, LARGE);
});

test('npm coap: a resource is observed', async () => {
  assert.deepEqual(await watch(npmAddress, 'obs', 3), ['state 0', 'state 1', 'state 2']);
});

test('nobody listens: the request fails after its retransmissions', async () => {
  const address = loopback(await freePort());
  const transmission = { ackTimeout: 20, maxRetransmit: 1 };
  await assert.rejects(ask(address, 'x', { transmission }), /^Error: unacknowledged/);
});
