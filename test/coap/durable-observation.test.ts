/** Durable observations: messages wait in a session while the device is away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode as decodeCbor } from 'cborg';
import { Face } from '../support/coap-face.js';
import { LastingStore } from '../support/lasting-store.js';
import { CON, type Decoded, number, OPT } from './harness.js';

const OBSERVE = { token: '0f', options: [[OPT.observe, 0]] } as const;

function payloads(message: Decoded): string[] {
  return decodeCbor(message.payload).map(({ payload }: { payload: Uint8Array }) => Buffer.from(payload).toString());
}

/** Lets every retransmission pass without an acknowledgement. */
function vanish(face: Face): void {
  face.bench.clock.advance(200_000);
  face.bench.transport.sent.splice(0);
}

test('each message is a confirmable notification of its own, and the next one waits for its acknowledgement', async () => {
  const face = await Face.create();
  const [device, publisher] = [face.device(), face.device()];
  await publisher.ask('put', '/ps/a/1', { payload: 'retained' });
  const first = await device.ask('get', '/ps/a/+?c=dev&session=s', OBSERVE);
  assert.notEqual(number(first, OPT.observe), undefined);
  assert.deepEqual(payloads(first), ['retained'], 'a new session gets what is retained');
  for (const payload of ['1', '2', '3']) await publisher.ask('post', '/ps/a/1', { payload });
  for (const payload of ['1', '2', '3']) {
    const notification = await device.next();
    assert.deepEqual([notification.type, payloads(notification)], [CON, [payload]]);
    await device.none();
    device.acknowledge(notification);
  }
  await device.none();
  await face.stop();
});

test('messages for a device that is away wait, and come in order when it observes again, from any address', async () => {
  const face = await Face.create();
  const [device, publisher] = [face.device(), face.device()];
  await device.ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  await publisher.ask('post', '/ps/a', { payload: '1' });
  assert.deepEqual(payloads(await device.next()), ['1']);
  vanish(face);
  for (const payload of ['2', '3']) await publisher.ask('post', '/ps/a', { payload });
  const moved = face.device();
  const again = await moved.ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  assert.deepEqual(payloads(again), [], 'a session that was there gets what waits for it');
  for (const payload of ['1', '2', '3']) {
    const notification = await moved.next();
    assert.deepEqual(payloads(notification), [payload]);
    moved.acknowledge(notification);
  }
  await moved.none();
  await face.stop();
});

test('what waits outlives the broker', async () => {
  const store = new LastingStore();
  const before = await Face.create({}, { store });
  await before.device().ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  vanish(before);
  await before.device().ask('post', '/ps/a', { payload: '1' });
  vanish(before);
  await before.stop();
  const face = await Face.create({}, { store, clock: before.engine.clock });
  await face.device().ask('post', '/ps/a', { payload: '2' });
  const device = face.device();
  assert.deepEqual(payloads(await device.ask('get', '/ps/a?c=dev&session=s', OBSERVE)), []);
  for (const payload of ['1', '2']) {
    const notification = await device.next();
    assert.deepEqual(payloads(notification), [payload]);
    device.acknowledge(notification);
  }
  await face.stop();
});

test('who observes the session from elsewhere takes it over; the former observation ends with 4.01', async () => {
  const face = await Face.create();
  const [former, device, publisher] = [face.device(), face.device(), face.device()];
  await former.ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  await device.ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  assert.equal((await former.next()).code, '4.01');
  await publisher.ask('post', '/ps/a', { payload: '1' });
  assert.deepEqual(payloads(await device.next()), ['1']);
  await face.stop();
});

test('deregistering ends the session; so does coap.session_expiry without an observer, but not with one', async () => {
  const face = await Face.create({ session_expiry: 100 });
  const { sessions } = face.engine.broker;
  const device = face.device();
  await device.ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  assert.equal(sessions.size, 1);
  await device.ask('get', '/ps/a?c=dev&session=s', { token: '0f', options: [[OPT.observe, 1]] });
  assert.equal(sessions.size, 0);
  await device.ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  face.pass(1000);
  assert.equal(sessions.size, 1);
  await face.device().ask('post', '/ps/a', { payload: '1' });
  await device.next();
  vanish(face);
  face.pass(99);
  assert.equal(sessions.size, 1);
  face.pass(2);
  assert.equal(sessions.size, 0);
  await face.stop();
});

test('an MQTT client that takes over the session by its name is served, and the observation ends with 4.01', async () => {
  const face = await Face.create();
  const device = face.device();
  await device.ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  const client = await face.engine.connect({ clientId: 'coap client dev s', clean: false });
  assert.equal(client.connack.sessionPresent, true);
  assert.equal((await device.next()).code, '4.01');
  assert.equal((await face.device().ask('get', '/ps/a?c=dev&session=s', OBSERVE)).code, '4.03', 'it is its now');
  await face.device().ask('post', '/ps/a', { payload: '1' });
  assert.equal(String((await client.expect('publish')).payload), '1');
  await face.stop();
});

test('a session needs a user name or a clientid: 4.00; limits.sessions refuses one too many: 4.29', async () => {
  const face = await Face.create({}, { session: { sessions: 1 } });
  const device = face.device();
  assert.equal((await device.ask('get', '/ps/a?session=s', OBSERVE)).code, '4.00');
  assert.equal((await device.ask('get', '/ps/a?c=dev&session=1', OBSERVE)).code, '2.05');
  const full = await face.device().ask('get', '/ps/a?c=dev&session=2', OBSERVE);
  assert.deepEqual([full.code, number(full, OPT.maxAge)], ['4.29', 10]);
  assert.equal(face.engine.broker.counters.refusedAtSessions, 1);
  await face.stop();
});

test('the end of a connection ends its durable observation, whose messages go on waiting', async () => {
  const face = await Face.create();
  const device = face.device();
  const token = String((await device.ask('post', '/mqtt/connection?c=dev')).payload);
  await device.ask('get', `/ps/a?t=${token}&session=s`, OBSERVE);
  assert.equal((await device.ask('delete', `/mqtt/connection?t=${token}`)).code, '2.02');
  assert.equal((await device.next()).code, '4.01');
  await face.device().ask('post', '/ps/a', { payload: '1' });
  const other = face.device();
  await other.ask('get', '/ps/a?c=dev&session=s', OBSERVE);
  assert.deepEqual(payloads(await other.next()), ['1']);
  await face.stop();
});
