/** CoAP over TCP and TLS (RFC 8323): frames, signaling, the endpoint above it, and libcoap's client. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Code } from '../../src/coap/codes.js';
import { CoapEndpoint } from '../../src/coap/endpoint.js';
import type { Observation } from '../../src/coap/observe.js';
import { FrameHead, frameOf, Head, readHead } from '../../src/coap/tcp/frame.js';
import { type TcpOptions, TcpTransport } from '../../src/coap/tcp/transport.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';
import { LARGE, Resources } from './resources.js';

const run = promisify(execFile);
const CSM = '7.01';
const EMPTY = Buffer.alloc(0);

/** A frame as the other side of the wire sees it. */
interface Frame {
  readonly code: string;
  readonly token: string;
  /** Options and payload as they stand. */
  readonly rest: Buffer;
}

/** A frame written by hand. */
function frame(code: string, token = '', rest: Buffer = EMPTY): Buffer {
  const tokenBytes = Buffer.from(token, 'hex');
  const [group, detail] = code.split('.').map(Number);
  const { length } = rest;
  const head: number[] = [];
  if (length < 13) head.push((length << 4) | tokenBytes.length);
  else if (length < 269) head.push((13 << 4) | tokenBytes.length, length - 13);
  else if (length < 65_805) head.push((14 << 4) | tokenBytes.length, (length - 269) >> 8, (length - 269) & 255);
  else {
    const more = length - 65_805;
    head.push((15 << 4) | tokenBytes.length, more >>> 24, (more >>> 16) & 255, (more >>> 8) & 255, more & 255);
  }
  return Buffer.concat([Buffer.from([...head, (group! << 5) | detail!]), tokenBytes, rest]);
}

/** GET of a path of one short segment. */
function get(path: string, token: string): Buffer {
  return frame('0.01', token, Buffer.concat([Buffer.from([0xb0 | path.length]), Buffer.from(path)]));
}

function observe(path: string, token: string): Buffer {
  return frame('0.01', token, Buffer.concat([Buffer.from([0x60, 0x50 | path.length]), Buffer.from(path)]));
}

/** A connection by hand. */
class Peer {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  #rest = EMPTY;
  #wake: (() => void) | null = null;
  ended = false;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.socket.on('close', () => {
      this.ended = true;
      this.#wake?.();
    });
  }

  #take(chunk: Buffer): void {
    const bytes = Buffer.concat([this.#rest, chunk]);
    let at = 0;
    const head = new FrameHead();
    while (readHead(bytes, at, head) === Head.Whole) {
      const code = `${head.code >> 5}.${String(head.code & 31).padStart(2, '0')}`;
      const tokenEnd = head.tokenStart + head.tokenLength;
      this.frames.push({
        code,
        token: bytes.toString('hex', head.tokenStart, tokenEnd),
        rest: Buffer.from(bytes.subarray(tokenEnd, head.end)),
      });
      at = head.end;
    }
    this.#rest = bytes.subarray(at);
    this.#wake?.();
  }

  send(...frames: Buffer[]): this {
    this.socket.write(Buffer.concat(frames));
    return this;
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = null;
  }

  /** The next frame that answers a token. */
  async answer(token: string): Promise<Frame> {
    const found = (): Frame | undefined => this.frames.find((one) => one.token === token);
    await this.until(() => found() !== undefined || this.ended);
    const one = found();
    assert.ok(one !== undefined, 'the connection ended without an answer');
    this.frames.splice(this.frames.indexOf(one), 1);
    return one;
  }

  end(): void {
    this.socket.destroy();
  }
}

interface Server {
  readonly transport: TcpTransport;
  readonly endpoint: CoapEndpoint;
  readonly resources: Resources;
  peer(): Peer;
}

async function serve(context: TestContext, options: Partial<TcpOptions> = {}): Promise<Server> {
  const transport = await TcpTransport.bind({ address: '127.0.0.1', port: 0, ...options });
  const resources = new Resources((answer) => setImmediate(answer));
  const endpoint = new CoapEndpoint(transport, { handler: resources.handler });
  const peers: Peer[] = [];
  context.after(async () => {
    for (const peer of peers) peer.end();
    await endpoint.close();
  });
  return {
    transport,
    endpoint,
    resources,
    peer() {
      const peer = new Peer(transport.port);
      peers.push(peer);
      return peer;
    },
  };
}

test('RFC 8323 3.2: lengths of 0 to 12, 13, 269 and 65,805 bytes and more are written and read in their shortest form', () => {
  const head = new FrameHead();
  for (const length of [0, 1, 12, 13, 268, 269, 65_804, 65_805, 100_000]) {
    for (const tokenLength of [0, 1, 8]) {
      const rest = Buffer.alloc(length, 7);
      const token = Buffer.alloc(tokenLength, 9);
      const datagram = Buffer.concat([Buffer.from([0x40 | tokenLength, 0x45, 1, 2]), token, rest]);
      const bytes = frameOf(datagram, 0, datagram.length);
      assert.deepEqual(bytes, frame('2.05', token.toString('hex'), rest));
      assert.equal(readHead(bytes, 0, head), Head.Whole);
      assert.equal(head.end, bytes.length);
      for (let end = 0; end < Math.min(bytes.length, 16); end++) {
        assert.equal(readHead(bytes.subarray(0, end), 0, head), Head.Unfinished);
      }
    }
  }
  for (let tokenLength = 9; tokenLength < 16; tokenLength++) {
    assert.equal(readHead(Buffer.from([tokenLength, 1]), 0, head), Head.Malformed);
  }
});

test('RFC 8323 5.3: both sides begin with CSM; ours says Block-Wise-Transfer and no larger messages', async (context) => {
  const { peer } = await serve(context);
  const client = peer();
  const { code, rest } = await client.answer('');
  assert.equal(code, CSM);
  assert.deepEqual(rest, Buffer.from([0x40]));
  client.send(frame(CSM), get('test', '0a'));
  assert.match((await client.answer('0a')).rest.toString('latin1'), /a test$/);
});

test('RFC 8323 5.3: a request before CSM ends the connection with Abort', async (context) => {
  const { peer, transport, resources } = await serve(context);
  const client = peer().send(get('test', '0a'));
  await client.until(() => client.ended);
  assert.deepEqual(
    client.frames.map(({ code }) => code),
    [CSM, '7.05'],
  );
  assert.equal(transport.counters.abortedConnections, 1);
  assert.deepEqual(resources.handled, []);
});

test('whoever sends no CSM is disconnected', async (context) => {
  const { peer } = await serve(context, { limits: { openTime: 20 } });
  const client = peer();
  await client.until(() => client.ended);
  assert.deepEqual(client.frames.at(-1)?.code, '7.05');
});

test('RFC 8323 5.4: Ping is answered with Pong and its token; 3.4: an Empty message is ignored', async (context) => {
  const { peer } = await serve(context);
  const client = peer().send(frame(CSM), frame('0.00'), frame('7.02', 'abcdef'));
  assert.equal((await client.answer('abcdef')).code, '7.03');
});

test('RFC 8323 5.5: Release ends the connection behind the answers to what came before', async (context) => {
  const { peer } = await serve(context);
  const client = peer().send(frame(CSM), get('test', '01'), frame('7.04'));
  assert.equal((await client.answer('01')).code, '2.05');
  await client.until(() => client.ended);
});

test('RFC 8323 5.2: a critical option that is not known ends the connection, and Abort names it; elective ones are ignored', async (context) => {
  const { peer } = await serve(context);
  const polite = peer().send(frame(CSM, '', Buffer.from([0x60])), get('test', '01'));
  assert.equal((await polite.answer('01')).code, '2.05');
  const client = peer().send(frame(CSM, '', Buffer.from([0x70])));
  await client.until(() => client.ended);
  const { code, rest } = client.frames.at(-1)!;
  assert.equal(code, '7.05');
  assert.deepEqual(rest.subarray(0, 2), Buffer.from([0x21, 7]));
});

test('a frame that is too large, or has no form, ends the connection and not the others', async (context) => {
  const { peer, resources } = await serve(context, { limits: { messageBytes: 2000 } });
  const bad = [
    frame('0.03', '', Buffer.alloc(3000)).subarray(0, 10),
    Buffer.from([0xf0, 0xff, 0xff, 0xff, 0xff, 1]),
    Buffer.from([0x0f, 1]),
    frame('0.01', '', Buffer.from([0xff])),
    frame('7.02', '', Buffer.from([0xf0])),
  ];
  const other = peer().send(frame(CSM));
  for (const bytes of bad) {
    const client = peer().send(frame(CSM), bytes);
    await client.until(() => client.ended);
    assert.equal(client.frames.at(-1)?.code, '7.05', bytes.toString('hex'));
  }
  assert.deepEqual(resources.handled, []);
  other.send(get('test', '01'));
  assert.equal((await other.answer('01')).code, '2.05');
});

test('requests in any pieces, many in one chunk: each is answered once under its token, none is remembered', async (context) => {
  for (const seed of seeds(3)) {
    const { peer, endpoint } = await serve(context);
    const random = new Random(seed);
    const client = peer();
    const count = 500;
    const all = Buffer.concat([
      frame(CSM),
      ...Array.from({ length: count }, (_, i) => get('test', i.toString(16).padStart(4, '0'))),
    ]);
    for (let at = 0; at < all.length; ) {
      const end = Math.min(all.length, at + 1 + random.below(random.pick([3, 200])));
      client.socket.write(all.subarray(at, end));
      at = end;
      if (random.oneIn(5)) await turn();
    }
    await client.until(() => client.frames.length === count + 1);
    const tokens = new Set(client.frames.slice(1).map(({ token }) => token));
    assert.equal(tokens.size, count);
    assert.equal(endpoint.counters.duplicates, 0);
    assert.equal(endpoint.counters.requests, count);
  }
});

test('RFC 8323 7: notifications come in order without acknowledgements; a connection that ends takes its observations along', async (context) => {
  const { peer, resources, endpoint } = await serve(context);
  const client = peer().send(frame(CSM), observe('obs', '0b'));
  assert.match((await client.answer('0b')).rest.toString('latin1'), /state 0$/);
  for (let state = 1; state <= 20; state++) {
    resources.change('/obs', `state ${state}`);
    const { code, rest } = await client.answer('0b');
    assert.equal(code, '2.05');
    assert.match(rest.toString('latin1'), new RegExp(`state ${state}$`));
  }
  assert.equal(endpoint.counters.retransmissions, 0);
  client.end();
  const { observers, ended } = resources.resource('/obs');
  while (observers.size > 0) await turn();
  assert.deepEqual(ended, ['closed']);
  assert.equal(endpoint.tables.observers, 0);
});

test('an observer that does not read gets the newest state, once, when it reads again', async (context) => {
  const observations: Observation[] = [];
  const transport = await TcpTransport.bind({ address: '127.0.0.1', port: 0 });
  const payload = Buffer.alloc(1000);
  const endpoint = new CoapEndpoint(transport, {
    handler: (_request, exchange) => {
      const observation = exchange.observe(() => {});
      if (observation !== undefined) observations.push(observation);
      exchange.respond({ code: Code.Content, payload });
    },
  });
  const client = new Peer(transport.port).send(frame(CSM), observe('x', '01'));
  context.after(() => {
    client.end();
    return endpoint.close();
  });
  await client.answer('01');
  client.socket.pause();
  const last = 30_000;
  for (let state = 1; state <= last; state++) {
    observations[0]?.notify({ code: Code.Content, payload: Buffer.from(String(state).padStart(1000)) }, true);
    if (state % 10 === 0) await turn();
  }
  client.socket.resume();
  const newest = (): boolean => client.frames.at(-1)?.rest.toString('latin1').endsWith(` ${last}`) === true;
  await client.until(newest);
  const states = client.frames.filter(({ token }) => token === '01').map(({ rest }) => Number(rest.subarray(-10)));
  assert.ok(states.length < last, 'states between were left out');
  assert.deepEqual(
    states,
    states.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(states).size, states.length);
});

test('whoever does not take its answers is not read on; the others are served', async (context) => {
  const { peer, endpoint } = await serve(context, { limits: { outputBytes: 16_384 } });
  const deaf = peer().send(frame(CSM));
  deaf.socket.pause();
  const requests = 20_000;
  const large = (token: number): Buffer => get('large', (token & 0xffff).toString(16).padStart(4, '0'));
  deaf.send(...Array.from({ length: requests }, (_, i) => large(i)));
  const other = peer().send(frame(CSM));
  for (let i = 0; i < 20; i++) {
    other.send(get('test', '01'));
    assert.equal((await other.answer('01')).code, '2.05');
  }
  assert.ok(endpoint.counters.requests < requests, 'it is not read to its end');
  deaf.socket.resume();
  await deaf.until(() => deaf.frames.length === requests + 1);
});

test('more connections than the limit are refused, and counted', async (context) => {
  const events: string[] = [];
  const { peer, transport } = await serve(context, {
    limits: { connections: 2 },
    onEvent: (event, _peer, detail) => events.push(`${event} ${detail}`),
  });
  const first = peer().send(frame(CSM), get('test', '01'));
  const second = peer().send(frame(CSM), get('test', '01'));
  await Promise.all([first.answer('01'), second.answer('01')]);
  const third = peer();
  await third.until(() => third.ended);
  assert.equal(transport.counters.refusedConnections, 1);
  assert.deepEqual(events, ['limit connections']);
  first.end();
  while (transport.size > 1) await turn();
  assert.equal((await peer().send(frame(CSM), get('test', '01')).answer('01')).code, '2.05');
});

test('random bytes end nothing but their own connection', async (context) => {
  const { peer } = await serve(context);
  for (const seed of seeds(40)) {
    const random = new Random(seed);
    const client = peer();
    if (random.oneIn(2)) client.send(frame(CSM));
    client.send(random.bytes(random.below(300)));
    client.socket.end();
    await client.until(() => client.ended);
  }
  assert.equal((await peer().send(frame(CSM), get('test', '01')).answer('01')).code, '2.05');
});

// --- libcoap -------------------------------------------------------------------------------------------------------------

const CLIENT = 'coap-client-openssl';
let folder: string;
let body: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'portico-coap-tcp-'));
  body = join(folder, 'body');
  writeFileSync(body, LARGE);
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  const made = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem'), '-days', '2'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await run('openssl', ['req', '-x509', ...kind, ...made, ...subject]);
});

after(() => rmSync(folder, { recursive: true }));

async function libcoap(...args: string[]): Promise<string> {
  const { stdout } = await run(CLIENT, args, { timeout: 30_000, maxBuffer: 1024 * 1024 });
  return stdout.replace(/\n$/, '');
}

for (const scheme of ['coap+tcp', 'coaps+tcp']) {
  test(`libcoap over ${scheme}: GET, PUT, separate and large bodies, observation`, async (context) => {
    const secure = scheme === 'coaps+tcp';
    const tls = { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) };
    const { transport, resources } = await serve(context, secure ? { tls } : {});
    const uri = `${scheme}://127.0.0.1:${transport.port}`;
    const trust = secure ? ['-R', join(folder, 'cert.pem')] : [];
    assert.equal(await libcoap(...trust, `${uri}/test`), 'a test');
    assert.equal(await libcoap(...trust, `${uri}/separate`), 'separate');
    assert.equal(await libcoap(...trust, '-m', 'put', '-e', 'by libcoap', `${uri}/fresh`), '');
    assert.equal(resources.lastBody.toString(), 'by libcoap');
    assert.equal(await libcoap(...trust, `${uri}/large`), LARGE.toString());
    await libcoap(...trust, '-m', 'put', '-b', '512', '-f', body, `${uri}/large-update`);
    assert.deepEqual(resources.lastBody, LARGE);
    const child = spawn(CLIENT, [...trust, '-w', '-s', '1', `${uri}/obs`]);
    const exited = once(child, 'exit');
    let text = '';
    let state = 0;
    for await (const chunk of child.stdout) {
      text += String(chunk);
      if (state < 10 && text.includes(`state ${state}\n`)) {
        state++;
        resources.change('/obs', `state ${state}`);
      }
    }
    assert.deepEqual(await exited, [0, null]);
    assert.equal(text.trimEnd(), Array.from({ length: 11 }, (_, i) => `state ${i}`).join('\n'));
  });
}

test('a TLS handshake that fails costs nobody else anything', async (context) => {
  const tls = { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) };
  const { transport } = await serve(context, { tls });
  const socket = connect(transport.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.end('no handshake');
  await once(socket, 'close');
  const uri = `coaps+tcp://127.0.0.1:${transport.port}`;
  assert.equal(await libcoap('-R', join(folder, 'cert.pem'), `${uri}/test`), 'a test');
  assert.equal(transport.counters.handshakesFailed, 1);
});
