/** Anonymous CoAP devices are clients like any other: they are there, are counted, and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Instruments } from '../../src/monitor/reading.js';
import { type Device, Face } from '../support/coap-face.js';
import { number, OPT } from './harness.js';

/** EXCHANGE_LIFETIME of the default parameters, in seconds. */
const LIFETIME = 247;
const OBSERVE = { token: '0a', options: [[OPT.observe, 0]] } as const;

/** What `$SYS` says: clients, those that are connected, and those that do not speak MQTT. */
async function counts({ engine }: Face): Promise<number[]> {
  const { broker } = engine;
  const instruments = new Instruments({
    version: '',
    counters: broker.counters,
    retained: broker.router.retained,
    sessions: broker.sessions,
    connections: broker.connections,
    store: { failing: false, unwritten: 0 },
    plugins: () => [],
  });
  const { sessions, inProcess } = await instruments.read();
  return [sessions.all, sessions.connected, inProcess];
}

function names(face: Face): string[] {
  return [...face.engine.broker.sessions.strangers].map(({ id, transport }) => `${transport} ${id}`);
}

async function get(device: Device, uri = '/ps/a'): Promise<void> {
  assert.equal((await device.ask('get', uri)).code, '4.04');
}

test('an anonymous device is a client from its first request until nothing is heard of it for EXCHANGE_LIFETIME', async () => {
  const face = await Face.create();
  await face.engine.connect({ clientId: 'mqtt' });
  const device = face.device();
  assert.deepEqual(await counts(face), [1, 1, 0]);
  await get(device);
  await get(device);
  assert.deepEqual(await counts(face), [2, 2, 1]);
  assert.deepEqual(names(face), [`coap coap-192.0.2.1:${device.port}`]);
  await get(face.device());
  assert.deepEqual(await counts(face), [3, 3, 2]);
  face.pass(LIFETIME);
  await get(device);
  face.pass(2);
  assert.deepEqual(names(face), [`coap coap-192.0.2.1:${device.port}`], 'it has said something in between');
  face.pass(LIFETIME + 2);
  assert.deepEqual(await counts(face), [1, 1, 0]);
  await get(device);
  assert.deepEqual(await counts(face), [2, 2, 1], 'it comes back');
  await face.stop();
  assert.equal(face.engine.broker.sessions.strangers.size, 0);
});

test('coap.profile and its parameters say how long an anonymous device is there', async () => {
  const face = await Face.create({ max_latency: 1000 });
  await get(face.device());
  face.pass(2000);
  assert.equal(face.strangers.size, 1);
  face.pass(100);
  assert.equal(face.strangers.size, 0);
  await face.stop();
});

test('an anonymous device that observes is there for as long as it does', async () => {
  const face = await Face.create();
  const device = face.device();
  await device.ask('get', '/ps/a', OBSERVE);
  face.pass(10 * LIFETIME);
  assert.deepEqual(await counts(face), [1, 1, 1]);
  await device.ask('get', '/ps/a', { token: '0a', options: [[OPT.observe, 1]] });
  face.pass(LIFETIME + 2);
  assert.deepEqual(await counts(face), [0, 0, 0]);
  await face.stop();
});

test('a new name takes the place of the former one at its endpoint, unless that observes something', async () => {
  const face = await Face.create();
  const device = face.device();
  for (const name of ['one', 'two', 'three']) await get(device, `/ps/a?c=${name}`);
  assert.deepEqual(names(face), ['coap three']);
  await device.ask('get', '/ps/a', OBSERVE);
  await get(device, '/ps/a?c=four');
  assert.deepEqual(names(face), ['coap three', 'coap four']);
  await face.stop();
});

test('an anonymous device takes over nobody: neither a connection of its name nor another anonymous one', async () => {
  const face = await Face.create();
  const owner = face.device();
  assert.equal((await owner.ask('post', '/mqtt/connection?c=lamp')).code, '2.01');
  for (const device of [face.device(), face.device()]) await get(device, '/ps/a?c=lamp');
  assert.deepEqual(names(face), ['coap lamp', 'coap lamp']);
  assert.equal(face.connections.size, 1);
  assert.deepEqual(await counts(face), [3, 3, 3]);
  await face.stop();
});

test('anonymous devices take no place in limits.connections: addresses of UDP can be forged', async () => {
  const face = await Face.create({}, { session: { connections: 1 } });
  for (let i = 0; i < 3; i++) await get(face.device());
  assert.equal((await face.engine.connect({ clientId: 'mqtt' })).connack.returnCode, 0);
  await face.stop();
});

test('coap.clients: the anonymous device that has been silent longest goes for one too many; those that observe stay', async () => {
  const face = await Face.create({ clients: 2 });
  const observer = face.device();
  await observer.ask('get', '/ps/a', OBSERVE);
  const [second, third] = [face.device(), face.device()];
  await get(second);
  face.pass(1);
  await get(third);
  assert.deepEqual(
    names(face),
    [observer, third].map(({ port }) => `coap coap-192.0.2.1:${port}`),
  );
  await face.device().ask('post', '/ps/a?q=0', { payload: 'x' });
  assert.equal(String((await observer.next()).payload), 'x');
  await face.stop();
});

test('the client of an anonymous device over TCP goes with its connection', async () => {
  const face = await Face.create();
  const device = face.device(undefined, true);
  const first = await device.ask('get', '/ps/a', OBSERVE);
  assert.notEqual(number(first, OPT.observe), undefined);
  assert.deepEqual(await counts(face), [1, 1, 1]);
  device.leave();
  assert.deepEqual(await counts(face), [0, 0, 0]);
  await face.stop();
});
