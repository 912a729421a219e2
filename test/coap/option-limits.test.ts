/** The limits of CoAP that are options: each acts, counts by itself, and is told to the log by the option's name. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import type { CoapCounters } from '../../src/coap/counters.js';
import { CoapTopics } from '../../src/plugins/coap-topics/plugin.js';
import { FACE_OPTIONS, faceContext } from '../support/coap-face.js';
import { Engine } from '../support/engine.js';
import { Bench, type Decoded, decode, encode, NON, number, OPT } from './harness.js';

let engine: Engine;
let plugin: CoapTopics;
let limits: string[];
let mid = 1;

before(async () => {
  engine = await Engine.create({ retained: { messages: 2, bytes: 1e6, payload: 50 } });
  limits = [];
  plugin = new CoapTopics({ ...FACE_OPTIONS, max_payload: 100, observers: 3, observers_per_client: 2 });
  const context = faceContext(engine.broker, { limit: (_party, option) => limits.push(option) });
  await plugin.start(context);
});

after(async () => {
  await plugin.stop();
  await engine.stop();
});

async function device(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.connect(Number(plugin.describe()[0].split(':')[1]), '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

async function ask(socket: Socket, wire: Parameters<typeof encode>[0]): Promise<Decoded> {
  socket.send(encode({ ...wire, mid: mid++ }));
  const [bytes] = (await once(socket, 'message')) as [Buffer];
  return decode(bytes);
}

/** The limit has acted: its own counter says how many times, and the log has named its option. */
function reached(option: string, counter: keyof CoapCounters, times: number): void {
  assert.equal(plugin.counters()[counter], times);
  assert.deepEqual(limits.splice(0), new Array(times).fill(option));
}

test('coap.observers and coap.observers_per_client: one observation too many is answered without Observe', async () => {
  const sockets = [await device(), await device()];
  const observe = async (socket: Socket, token: string): Promise<boolean> => {
    const answer = await ask(socket, {
      type: NON,
      code: '0.01',
      token,
      path: ['ps', 't'],
      options: [[OPT.observe, 0]],
    });
    const observes = number(answer, OPT.observe) !== undefined;
    assert.equal(answer.code, observes ? '2.05' : '4.04', 'as GET, where there is no value');
    return observes;
  };
  assert.deepEqual([await observe(sockets[0], '01'), await observe(sockets[0], '02')], [true, true]);
  assert.equal(await observe(sockets[0], '03'), false);
  reached('coap.observers_per_client', 'observersRefusedPerRemote', 1);
  assert.deepEqual([await observe(sockets[1], '01'), await observe(sockets[1], '02')], [true, false]);
  reached('coap.observers', 'observersRefused', 1);
  for (const socket of sockets) socket.close();
});

test('coap.max_payload: a larger payload is answered with 4.13, whole or in blocks', async () => {
  const socket = await device();
  const put = { code: '0.03', path: ['ps', 't'] };
  assert.equal((await ask(socket, { ...put, payload: Buffer.alloc(101) })).code, '4.13');
  // Block 7 of 16 bytes, with more to come.
  const block = { ...put, options: [[OPT.block1, (7 << 4) | 8]] as [number, number][], payload: Buffer.alloc(16) };
  assert.equal((await ask(socket, block)).code, '4.13');
  reached('coap.max_payload', 'block1TooLarge', 2);
  socket.close();
});

test('a value that a limit keeps from being retained is told: 4.13 if it is too large, 4.29 if there are too many', async () => {
  const socket = await device();
  const put = { code: '0.03', payload: Buffer.from('x') };
  assert.equal((await ask(socket, { ...put, path: ['ps', 'large'], payload: Buffer.alloc(51) })).code, '4.13');
  for (const topic of ['one', 'two']) assert.equal((await ask(socket, { ...put, path: ['ps', topic] })).code, '2.01');
  const full = await ask(socket, { ...put, path: ['ps', 'three'] });
  assert.deepEqual([full.code, number(full, OPT.maxAge)], ['4.29', 10]);
  assert.equal((await ask(socket, { ...put, code: '0.02', path: ['ps', 'three'] })).code, '2.04', 'POST keeps nothing');
  for (const topic of ['one', 'two'])
    assert.equal((await ask(socket, { code: '0.04', path: ['ps', topic] })).code, '2.02');
  socket.close();
});

test('coap.deduplication_bytes: the oldest requests are forgotten, which is told once a second', () => {
  const events: string[] = [];
  const bench = new Bench((_request, exchange) => exchange.respond({ code: 0x45 }), {
    limits: { deduplicationBytes: 262_144 },
    onEvent: (name, _remote, detail) => events.push(`${name} ${detail}`),
  });
  bench.transport.keep = false;
  const flood = (port: number): void => {
    for (let i = 0; i < 20_000; i++) bench.transport.receive(encode({ code: '0.01', mid: i, path: ['x'] }), port);
  };
  flood(1);
  assert.ok(bench.endpoint.counters.deduplicationEvictions > 0);
  assert.equal(bench.endpoint.counters.requests, 20_000, 'nothing is refused for it');
  assert.deepEqual(events, ['limit deduplicationBytes']);
  bench.clock.advance(1000);
  flood(2);
  assert.deepEqual(events, ['limit deduplicationBytes', 'limit deduplicationBytes']);
});
