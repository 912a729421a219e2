/** `limits.retained_payload` and `limits.payload` where CoAP writes: 4.13 with Size1 (RFC 7959 2.9.3), counted and told as for MQTT. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Face } from '../support/coap-face.js';
import { limitsOf } from '../support/limits.js';
import { blockValue, CON, type Decoded, NON, number, OPT } from './harness.js';
import { Scene } from './pubsub-scene.js';

const RETAINED = { messages: 100, bytes: 1e6, payload: 50 };
const LARGE = Buffer.alloc(51, 'x');

function assertTooLarge(answer: Decoded): void {
  assert.deepEqual([answer.code, number(answer, OPT.size1)], ['4.13', 50]);
}

test('RFC 7959 2.9.3: a value larger than limits.retained_payload is 4.13 with Size1; it is delivered, and the former one stays', async () => {
  const face = await Face.create({}, { retained: RETAINED });
  const { engine } = face;
  const reached = limitsOf(engine);
  const subscriber = await engine.connect();
  await subscriber.subscribe('a', 0);
  const device = face.device();
  assert.equal((await device.ask('put', '/ps/a', { payload: LARGE.subarray(1) })).code, '2.01', 'as large as may be');
  await subscriber.expect('publish');
  for (const [method, uri, type] of [
    ['put', '/ps/a', CON],
    ['put', '/ps/a', NON],
    ['post', '/ps/a?retain=true', CON],
  ] as const) {
    assertTooLarge(await device.ask(method, uri, { type, payload: LARGE }));
    assert.equal((await subscriber.expect('publish')).payload?.length, 51);
  }
  assert.equal((await device.ask('get', '/ps/a')).payload.length, 50);
  // By MQTT: the same counter, and the same line.
  subscriber.publish('a', LARGE, { retain: true });
  await subscriber.expect('publish');
  assert.equal(engine.broker.counters.droppedRetainedPayload, 4);
  assert.deepEqual(reached, new Array(4).fill('limits.retained_payload'));
  await face.stop();
});

test('limits.retained_payload does not matter for what is not to be retained', async () => {
  const face = await Face.create({}, { retained: RETAINED });
  const device = face.device();
  assert.equal((await device.ask('post', '/ps/a', { payload: LARGE })).code, '2.04');
  assert.equal((await device.ask('put', '/ps/a?retain=false', { payload: LARGE })).code, '2.04');
  assert.equal(face.engine.broker.counters.droppedRetainedPayload, 0);
  await face.stop();
});

test('limits.retained_payload: a value in blocks is answered as one in a single message', async () => {
  const face = await Face.create({}, { retained: RETAINED });
  const device = face.device();
  const put = (block: number, more: boolean, payload: Buffer): Promise<Decoded> =>
    device.ask('put', '/ps/a', { payload, options: [[OPT.block1, blockValue(block, more, 32)]] });
  assert.equal((await put(0, true, LARGE.subarray(0, 32))).code, '2.31');
  assertTooLarge(await put(1, false, LARGE.subarray(32)));
  await face.stop();
});

test('limits.retained_payload: data of the publish-subscribe collection that is too large is 4.13 with Size1', async () => {
  const scene = await Scene.create({ broker: { retained: RETAINED } });
  const device = scene.device();
  const { data } = await device.topic('a');
  assertTooLarge(await device.ask('put', data, { payload: LARGE }));
  assert.equal((await device.ask('get', data)).code, '4.04', 'HALF CREATED');
  assert.equal(scene.engine.broker.counters.droppedRetainedPayload, 1);
  await scene.stop();
});

test('limits.retained_payload: so is what comes by a mapping; the value as it is kept counts', async () => {
  const mapping = { methods: ['PUT', 'POST', 'GET'], convert: 'none' } as const;
  const face = await Face.create(
    {
      mappings: [
        { ...mapping, path: '/m/{a}', topic: 'm/{a}' },
        { ...mapping, path: '/log', topic: 'log', retain: true },
        { ...mapping, path: '/json', topic: 'json', convert: 'json-to-cbor' },
      ],
    },
    { retained: RETAINED },
  );
  const device = face.device();
  assertTooLarge(await device.ask('put', '/m/a', { payload: LARGE }));
  assertTooLarge(await device.ask('post', '/log', { payload: LARGE }));
  // CBOR needs no spaces, and so takes less.
  assert.equal((await device.ask('put', '/json', { payload: `1${' '.repeat(60)}` })).code, '2.01');
  assert.equal(face.engine.broker.counters.droppedRetainedPayload, 2);
  await face.stop();
});

test('limits.retained_payload: an asynchronous authorizePublish changes nothing', async () => {
  const face = await Face.create({}, { retained: RETAINED });
  face.engine.broker.authorizePublish = (_client, _packet, answer) => setImmediate(answer, null);
  assertTooLarge(await face.device().ask('put', '/ps/a', { payload: LARGE }));
  assert.equal(face.engine.broker.counters.droppedRetainedPayload, 1);
  await face.stop();
});

test('limits.payload: a larger payload reaches nobody, and is 4.13 with Size1, retained or not', async () => {
  const face = await Face.create({}, { retained: { ...RETAINED, payload: 100 }, session: { maxPayload: 50 } });
  const { engine } = face;
  const reached = limitsOf(engine);
  const subscriber = await engine.connect();
  await subscriber.subscribe('a', 0);
  const device = face.device();
  assertTooLarge(await device.ask('put', '/ps/a', { payload: LARGE }));
  assertTooLarge(await device.ask('post', '/ps/a', { payload: LARGE }));
  assert.equal(engine.broker.counters.largePayloads, 2);
  assert.deepEqual(reached, ['limits.payload', 'limits.payload']);
  assert.equal((await device.ask('put', '/ps/a', { payload: LARGE.subarray(1) })).code, '2.01', 'as large as may be');
  assert.equal((await subscriber.expect('publish')).payload?.length, 50);
  await face.stop();
});
