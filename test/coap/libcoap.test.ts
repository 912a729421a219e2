/** libcoap's client against the endpoint over UDP on loopback: an implementation by others. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { CoapEndpoint } from '../../src/coap/endpoint.js';
import type { TransmissionParameters } from '../../src/coap/limits.js';
import { type DatagramAddress, type DatagramTransport, UdpTransport } from '../../src/coap/transport.js';
import { LARGE, Resources } from './resources.js';

const CLIENT = 'coap-client-notls';
const run = promisify(execFile);

interface Server {
  readonly endpoint: CoapEndpoint;
  readonly resources: Resources;
  readonly uri: string;
}

/** Loses every fourth datagram that the server sends. */
class LossyTransport implements DatagramTransport {
  readonly #below: DatagramTransport;
  #sent = 0;
  lost = 0;

  constructor(below: DatagramTransport) {
    this.#below = below;
    below.onDatagram = (bytes, source) => this.onDatagram?.(bytes, source);
  }

  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    this.#sent++;
    if (this.#sent % 4 === 1) this.lost++;
    else this.#below.send(bytes, offset, length, remote);
  }

  close(): Promise<void> {
    return this.#below.close();
  }
}

/** Makes clients of this machine look like one that is somewhere else. */
class DistantTransport implements DatagramTransport {
  readonly #below: DatagramTransport;

  constructor(below: DatagramTransport) {
    this.#below = below;
    below.onDatagram = (bytes, source) => this.onDatagram?.(bytes, { ...source, address: '192.0.2.1' });
  }

  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    this.#below.send(bytes, offset, length, { ...remote, address: '127.0.0.1' });
  }

  close(): Promise<void> {
    return this.#below.close();
  }
}

async function serve(
  wrap: (udp: UdpTransport) => DatagramTransport = (udp) => udp,
  transmission: Partial<TransmissionParameters> = {},
  echo = false,
): Promise<Server> {
  const udp = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
  const resources = new Resources((answer) => setTimeout(answer, 120));
  return {
    endpoint: new CoapEndpoint(wrap(udp), { handler: resources.handler, transmission, echo }),
    resources,
    uri: `coap://127.0.0.1:${udp.port}`,
  };
}

/** Runs the client to its end; its output without the newline that it adds. */
async function client(...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(CLIENT, args, { timeout: 60_000, maxBuffer: 1024 * 1024 });
  assert.equal(stderr.trim(), '');
  return stdout.replace(/\n$/, '');
}

/** The client's report of a failed request, such as "4.04". */
async function failure(...args: string[]): Promise<string> {
  const { stderr } = await run(CLIENT, args, { timeout: 60_000 });
  return stderr.trim().split(/\s/)[0];
}

/** Waits until the output of an observing client has `pattern`. */
async function output(child: ChildProcess, pattern: RegExp): Promise<string> {
  let text = '';
  assert.ok(child.stdout !== null);
  for await (const chunk of child.stdout) {
    text += String(chunk);
    if (pattern.test(text)) return text;
  }
  assert.fail(`the client ended with ${JSON.stringify(text)}`);
}

let server: Server;
let folder: string;
let body: string;

before(async () => {
  try {
    await run(CLIENT, ['-h', '/dev/null'], { timeout: 5_000 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new Error(`${CLIENT} is missing; install it with: apt-get install -y libcoap3-bin`, { cause: error });
    }
  }
  server = await serve();
  folder = await mkdtemp(join(tmpdir(), 'portico-libcoap-'));
  body = join(folder, 'body');
  await writeFile(body, LARGE);
});

after(async () => {
  await server?.endpoint.close();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

test('libcoap: GET, PUT, POST and DELETE, as CON and as NON', async () => {
  const { uri, resources } = server;
  for (const type of [[], ['-N']]) {
    assert.equal(await client(...type, '-m', 'put', '-e', 'by libcoap', `${uri}/fresh`), '');
    assert.equal(await client(...type, '-m', 'get', `${uri}/fresh`), 'by libcoap');
    assert.equal(await client(...type, '-m', 'post', '-e', 'posted', `${uri}/fresh`), '');
    assert.equal(resources.lastBody.toString(), 'posted');
    assert.equal(await client(...type, '-m', 'delete', `${uri}/fresh`), '');
    assert.equal(await failure(...type, '-m', 'get', `${uri}/fresh`), '4.04');
  }
});

test('libcoap: TD_COAP_CORE_09, 13, 14, 17, 20: separate, segments, queries, Accept', async () => {
  const { uri } = server;
  assert.equal(await client(`${uri}/separate`), 'separate');
  assert.equal(await client('-N', `${uri}/separate`), 'separate');
  assert.equal(await client(`${uri}/seg1/seg2/seg3`), 'three segments');
  assert.equal(await failure(`${uri}/seg1%2Fseg2/seg3`), '4.04');
  assert.equal(await client(`${uri}/query?first=1&second=2`), 'first=1&second=2');
  assert.equal(await client('-A', '41', `${uri}/multi-format`), '<xml/>');
  assert.equal(await failure('-A', '50', `${uri}/multi-format`), '4.06');
});

test('libcoap: TD_COAP_LINK: /.well-known/core, whole and filtered', async () => {
  const { uri } = server;
  assert.match(await client(`${uri}/.well-known/core`), /^<\/test>;rt="Type1";ct=0,/);
  assert.equal(
    await client(`${uri}/.well-known/core?if=If*`),
    '</link1>;rt="Type1 Type2";if="If1",</link2>;rt="Type2 Type3";if="If2"',
  );
});

for (const size of ['16', '32', '64', '128', '256', '512', '1024']) {
  test(`libcoap: TD_COAP_BLOCK_01-06 with blocks of ${size} bytes: GET, PUT, POST with an answer of as many blocks`, async () => {
    const { uri, resources } = server;
    const text = LARGE.toString();
    assert.equal(await client('-b', size, `${uri}/large`), text);
    assert.equal(await client('-m', 'put', '-b', size, '-f', body, `${uri}/large-update`), '');
    assert.deepEqual(resources.lastBody, LARGE);
    assert.equal(await client('-m', 'post', '-b', size, '-f', body, `${uri}/large-create`), '');
    assert.deepEqual(resources.lastBody, LARGE);
    const reversed = Buffer.from(LARGE).reverse().toString();
    assert.equal(await client('-m', 'post', '-b', size, '-f', body, `${uri}/large-post`), reversed);
  });
}

test('libcoap: GET without a block size gets a large body whole', async () => {
  assert.equal(await client(`${server.uri}/large`), LARGE.toString());
});

/**
 * Observes for `seconds`; each of the states 1 to `last` is set once the client has shown the one before. Returns what it
 * has shown, when it is gone.
 */
async function observe(from: Server, path: string, last: number, seconds: number, ...args: string[]): Promise<string> {
  const child = spawn(CLIENT, [...args, '-w', '-s', String(seconds), `${from.uri}${path}`]);
  const exited = once(child, 'exit');
  let state = 0;
  let text = '';
  for await (const chunk of child.stdout) {
    text += String(chunk);
    if (state < last && text.includes(`state ${state}\n`)) {
      state++;
      from.resources.change(path, `state ${state}`);
    }
  }
  assert.deepEqual(await exited, [0, null]);
  return text.trimEnd();
}

function states(last: number): string {
  return Array.from({ length: last + 1 }, (_, index) => `state ${index}`).join('\n');
}

for (const [name, type, path] of [
  ['TD_COAP_OBS_01: CON', [], '/obs'],
  ['TD_COAP_OBS_02: NON', ['-N'], '/obs-non'],
] as const) {
  test(`libcoap: ${name} observation, then deregistration (OBS_12)`, async () => {
    const resource = server.resources.resource(path);
    assert.equal(await observe(server, path, 20, 2, ...type), states(20));
    assert.equal(resource.observers.size, 0);
    assert.deepEqual(resource.ended, ['cancelled']);
  });
}

test('libcoap: TD_COAP_OBS_11: observation while the client loses acknowledgements', async (context) => {
  const lossy = await serve((udp) => udp, { ackTimeout: 300 });
  context.after(() => lossy.endpoint.close());
  assert.equal(await observe(lossy, '/obs', 3, 3, '-l', '2,4'), states(3));
  // One for each loss at least: this client does not acknowledge a repetition again.
  assert.ok(lossy.endpoint.counters.retransmissions >= 2);
  assert.deepEqual(lossy.resources.resource('/obs').ended, ['cancelled']);
});

test('libcoap: TD_COAP_OBS_13: large notifications are fetched whole', async () => {
  const { uri, resources } = server;
  const child = spawn(CLIENT, ['-w', '-s', '1', `${uri}/obs-large`]);
  const exited = once(child, 'exit');
  const next = Buffer.alloc(2_500, 'z');
  let changed = false;
  let text = '';
  for await (const chunk of child.stdout) {
    text += String(chunk);
    if (!changed && text.includes('line 039')) {
      changed = true;
      resources.change('/obs-large', next);
    }
  }
  assert.deepEqual(await exited, [0, null]);
  assert.ok(text.includes(next.toString()), 'the whole new state arrived');
});

test('libcoap: TD_COAP_OBS_07: the observer of a deleted resource is told 4.04', async () => {
  const { uri, resources } = server;
  await client('-m', 'put', '-e', 'short-lived', `${uri}/short-lived`);
  const child = spawn(CLIENT, ['-w', '-s', '3', `${uri}/short-lived`]);
  const exited = once(child, 'exit');
  await output(child, /short-lived/);
  assert.equal(resources.resource('/short-lived').observers.size, 1);
  const told = once(child.stderr, 'data');
  await client('-m', 'delete', `${uri}/short-lived`);
  assert.match(String((await told)[0]), /^4\.04/);
  child.kill();
  await exited;
});

test('libcoap: RFC 9175 2.4: the client answers a demand for Echo by itself; who asks for blocks needs none', async (context) => {
  const { uri, resources, endpoint } = await serve((udp) => new DistantTransport(udp), {}, true);
  context.after(() => endpoint.close());
  assert.equal(await client(`${uri}/large`), LARGE.toString());
  assert.equal(endpoint.counters.echoDemanded, 1);
  assert.equal(endpoint.counters.echoVerified, 1);
  assert.equal(await client('-b', '1024', `${uri}/large`), LARGE.toString());
  assert.equal(await client('-m', 'put', '-b', '256', '-f', body, `${uri}/large-update`), '');
  assert.deepEqual(resources.resource('/large-update').payload, LARGE);
  assert.equal(endpoint.counters.echoDemanded, 1);
});

// Every fourth datagram of the client is lost, the first one among them.
const LOSS = ['-l', '1,5,9,13,17,21'];

test('libcoap: TD_COAP_CORE_15, 16 and BLOCK while the client loses one datagram in four', async (context) => {
  const { uri, resources, endpoint } = await serve();
  context.after(() => endpoint.close());
  const [get, separate, put, large] = await Promise.all([
    client(...LOSS, `${uri}/test`),
    client(...LOSS, `${uri}/separate`),
    client(...LOSS, '-m', 'put', '-b', '1024', '-f', body, `${uri}/large-update`),
    client(...LOSS, '-b', '1024', `${uri}/large`),
  ]);
  assert.deepEqual([get, separate, put], ['a test', 'separate', '']);
  assert.equal(large, LARGE.toString());
  assert.deepEqual(resources.resource('/large-update').payload, LARGE);
  // The body was handled once, whatever was repeated.
  assert.equal(resources.handled.filter((path) => path === '/large-update').length, 1);
});

test('libcoap: TD_COAP_CORE_15, 16 while the server loses one datagram in four', async (context) => {
  let lossy: LossyTransport | undefined;
  const { uri, resources, endpoint } = await serve((udp) => {
    lossy = new LossyTransport(udp);
    return lossy;
  });
  context.after(() => endpoint.close());
  const answers = await Promise.all([
    client('-m', 'post', '-e', 'x', `${uri}/location-path`),
    client(`${uri}/separate`),
    client(`${uri}/test`),
    client(`${uri}/query?x`),
    client('-m', 'put', '-e', 'y', `${uri}/test`),
  ]);
  assert.deepEqual(answers.slice(0, 4), ['', 'separate', 'a test', 'x']);
  assert.ok(lossy !== undefined && lossy.lost > 0);
  assert.equal(resources.handled.length, 5);
  assert.ok(endpoint.counters.duplicates > 0);
});
