/** What crosses the border between CoAP and MQTT 5.0, besides topic and payload. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Face } from '../support/coap-face.js';
import { NON, number, OPT } from './harness.js';

test('limits.messages_per_second: a device that publishes too fast gets 4.29 with Max-Age until it has waited', async () => {
  const face = await Face.create({}, { session: { messagesPerSecond: 2 } });
  const [device, other] = [face.device(), face.device()];
  const codes = [];
  for (let i = 0; i < 3; i++) codes.push((await device.ask('post', '/ps/a', { payload: 'x' })).code);
  assert.deepEqual(codes, ['2.04', '2.04', '4.29']);
  const refused = await device.ask('put', '/ps/a', { payload: 'x' });
  assert.deepEqual([refused.code, number(refused, OPT.maxAge)], ['4.29', 1]);
  assert.equal(
    (await device.ask('get', '/ps/a')).code,
    '4.04',
    'what was refused is not retained, and reading is free',
  );
  assert.equal((await other.ask('post', '/ps/a', { payload: 'x' })).code, '2.04', 'nobody else is held up');
  assert.equal(face.engine.broker.counters.throttledMessages, 2);
  face.pass(1);
  assert.equal((await device.ask('post', '/ps/a', { payload: 'x' })).code, '2.04');
  await face.stop();
});

test('limits.bytes_per_second: a device that has sent too much gets 4.29 with Max-Age until it has waited', async () => {
  const face = await Face.create({}, { session: { bytesPerSecond: 100 } });
  const device = face.device();
  assert.equal((await device.ask('post', '/ps/a', { payload: Buffer.alloc(350) })).code, '2.04');
  const refused = await device.ask('post', '/ps/a', { type: NON, payload: 'x' });
  assert.deepEqual([refused.code, number(refused, OPT.maxAge)], ['4.29', 3]);
  assert.equal(face.engine.broker.counters.throttledBytes, 1);
  face.pass(3);
  assert.equal((await device.ask('post', '/ps/a', { payload: 'x' })).code, '2.04');
  await face.stop();
});
