/** The http listener by itself: what it serves, what it refuses, and that nothing that is sent to it does harm. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { HttpListener, type Page } from '../../src/listeners/http.js';
import { mulberry32 } from '../support/disk.js';
import { seeds } from '../support/seeds.js';

const page =
  (body: string, status = 200): Page =>
  async (accept) => ({ status, type: 'text/plain', body: body + accept });

let listener: HttpListener;
let requests: number;
let refused: string[];
let failures: string[];
let onRefused: () => void;
/** Ends the page `/slow`. */
let release: () => void;

beforeEach(async () => {
  requests = 0;
  refused = [];
  failures = [];
  onRefused = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  listener = new HttpListener('127.0.0.1', 0, {
    pages: new Map<string, Page>([
      ['/page', page('a page; ')],
      ['/ill', page('ill', 503)],
      ['/broken', () => Promise.reject(new Error('no page today'))],
      ['/slow', (accept) => released.then(() => page('slow')(accept))],
    ]),
    requested: () => requests++,
    refused: (remote, reason) => {
      assert.match(remote, /^127\.0\.0\.1:\d+$/);
      refused.push(reason);
      onRefused();
    },
    failed: (path, error) => failures.push(`${path}: ${String(error)}`),
  });
  await listener.listen();
});

afterEach(() => listener.close());

const get = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://${listener.address}${path}`, init);

async function open(): Promise<Socket> {
  const [host, port] = listener.address.split(':');
  const socket = connect(Number(port), host);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Everything that comes back for these bytes. */
async function say(bytes: string | Buffer): Promise<string> {
  const socket = await open();
  socket.write(bytes);
  return text(socket);
}

test('a page is served to GET with its type, its length, and to be kept by nobody', async () => {
  const response = await get('/page?x=y', { headers: { accept: 'this' } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/plain');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  assert.equal(await response.text(), 'a page; this');
  assert.equal(requests, 1);
});

test('HEAD gets the header alone', async () => {
  const answer = await say('HEAD /page HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(answer, /content-length: 8\r\n/);
  assert.ok(answer.endsWith('\r\n\r\n'));
});

test('the status of a page is passed on', async () => {
  assert.equal((await get('/ill')).status, 503);
});

test('any other path is 404', async () => {
  for (const path of ['/', '/pages', '/page/', '/../page', '//page', '/%70age']) {
    const answer = await say(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 404 Not Found\r\n/, path);
  }
});

test('any other method is 405, and what is sent with it is left alone', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const response = await get('/page', { method, ...(method === 'POST' ? { body: 'x'.repeat(100_000) } : {}) });
    assert.equal(response.status, 405, method);
    assert.equal(response.headers.get('allow'), 'GET, HEAD');
  }
});

test('a page that cannot be made is 500, told to the log and not to the reader', async () => {
  const response = await get('/broken');
  assert.equal(response.status, 500);
  assert.equal(await response.text(), 'Internal Server Error\n');
  assert.deepEqual(failures, ['/broken: Error: no page today']);
});

test('what is no HTTP is refused with 400, and told', async () => {
  for (const bytes of [
    '\r\n\r\nnonsense\r\n\r\n',
    Buffer.from([0x10, 12, 0, 4, 0x4d, 0x51]),
    'GET /page HTTP/9.9\r\n\r\n',
  ]) {
    assert.match(await say(bytes), /^HTTP\/1\.1 400 Bad Request\r\n/);
  }
  assert.equal(refused.length, 3);
  assert.equal(requests, 0);
});

test('a header of more than 8 KiB is refused with 431', async () => {
  const answer = await say(`GET /page HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(9000)}\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 431 /);
  assert.equal(refused.length, 1);
});

test('a request that does not end is refused with 408', async () => {
  assert.match(await say('GET /page HTTP/1.1\r\nHost:'), /^HTTP\/1\.1 408 /);
  assert.equal(refused.length, 1);
});

test('of many requests in one piece only the first is served', async () => {
  const answer = await say('GET /page HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1000));
  assert.equal(answer.match(/HTTP\/1\.1 200/g)?.length, 1);
  assert.equal(requests, 1);
});

test('random bytes, and requests with random changes, do no harm', async () => {
  for (const seed of seeds(3)) {
    const random = mulberry32(seed);
    for (let round = 0; round < 50; round++) {
      const bytes = Buffer.from('GET /page HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc');
      const changes = round % 2 === 0 ? bytes.length : 1 + random(5);
      for (let i = 0; i < changes; i++) bytes[random(bytes.length)] = random(256);
      const socket = await open();
      // Whatever it says, it says no more: nothing is waited for.
      socket.end(bytes);
      const answer = await text(socket);
      assert.match(answer, /^(?:HTTP\/1\.1 [2-5]\d\d |$)/, `seed ${seed}, round ${round}`);
    }
  }
  assert.equal((await get('/page')).status, 200);
});

test('a request to upgrade, and CONNECT, lead nowhere', async () => {
  assert.match(
    await say('GET /page HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'),
    /^HTTP\/1\.1 200/,
  );
  assert.equal(await say('CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n'), '');
});

test('a client that leaves before its answer does no harm', async () => {
  const socket = await open();
  socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
  const other = await get('/page');
  assert.equal(other.status, 200);
  assert.equal(requests, 2);
  socket.resetAndDestroy();
  await once(socket, 'close');
  release();
  assert.equal((await get('/page')).status, 200);
});

test('more than 64 connections are closed, and told; when some are gone there is room again', async () => {
  const sockets = await Promise.all(Array.from({ length: 64 }, open));
  const told = new Promise<void>((resolve) => {
    onRefused = resolve;
  });
  const one = await open();
  await Promise.all([told, once(one, 'close')]);
  assert.deepEqual(refused, ['more than 64 connections']);
  for (const socket of sockets) socket.end();
  await Promise.all(sockets.map((socket) => once(socket, 'close')));
  assert.equal((await get('/page')).status, 200);
});
