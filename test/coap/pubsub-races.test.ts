/** Topics of the publish-subscribe collection that come and go while `authorizePublish` takes its time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { number, OPT } from './harness.js';
import { type Ask, cbor, type Device, date, PUBSUB, Scene } from './pubsub-scene.js';
import { SlowHook } from './slow-hook.js';

const NAME = 'a';

function dataOf({ engine }: Scene, topic = NAME): string | undefined {
  return engine.broker.router.retained.get(topic)?.payload.toString();
}

/** The body of a creation. */
function topicOf(more: Readonly<Record<number, unknown>> = {}): Ask {
  return { format: PUBSUB, payload: cbor({ 0: NAME, 2: 'core.ps.data', ...more }) };
}

/** Keeps a value by MQTT, without asking a hook. */
function keep({ engine }: Scene, payload: string): void {
  engine.broker.publish({ topic: NAME, payload: Buffer.from(payload), qos: 1, retain: true } as const);
}

interface Started {
  readonly scene: Scene;
  readonly device: Device;
  readonly other: Device;
  readonly topic: string[];
  readonly data: string[];
  readonly hook: SlowHook;
}

/** A topic, with a value unless that is undefined, and from then on a slow hook. */
async function start(value?: string, more: Readonly<Record<number, unknown>> = {}): Promise<Started> {
  const scene = await Scene.create();
  const [device, other] = [scene.device(), scene.device()];
  const { topic, data } = await device.topic(NAME, more);
  if (value !== undefined) keep(scene, value);
  return { scene, device, other, topic, data, hook: new SlowHook(scene.engine.broker) };
}

test('a PUT that waits for a slow hook while its topic is deleted is 4.04, and publishes nothing', async () => {
  const { scene, device, other, topic, data, hook } = await start();
  const put = device.ask('put', data, { payload: 'late' });
  await hook.has(1);
  const gone = other.ask('delete', topic);
  await hook.has(2);
  hook.asked[1]();
  assert.equal((await gone).code, '2.02');
  hook.asked[0]();
  assert.equal((await put).code, '4.04');
  assert.equal(dataOf(scene), undefined);
  await scene.stop();
});

test('a PUT that waits for a slow hook is for the topic that it was sent to, not for one that has its name now', async () => {
  const { scene, device, other, topic, data, hook } = await start();
  const put = device.ask('put', data, { payload: 'late' });
  const gone = other.ask('delete', topic);
  await hook.has(2);
  hook.asked[1]();
  assert.equal((await gone).code, '2.02');
  const again = other.ask('post', ['pubsub'], topicOf());
  await hook.has(3);
  hook.asked[2]();
  assert.equal((await again).code, '2.01');
  hook.asked[0]();
  assert.equal((await put).code, '4.04');
  assert.equal(dataOf(scene), undefined);
  await scene.stop();
});

test('a PUT in a Content-Format that its topic does not take any more, after a slow hook, is 4.15', async () => {
  const { scene, device, other, topic, data, hook } = await start(undefined, { 3: 0 });
  const put = device.ask('put', data, { format: 0, payload: 'text' });
  const change = other.ask('ipatch', topic, { format: PUBSUB, payload: cbor({ 3: 60 }) });
  await hook.has(2);
  hook.asked[1]();
  assert.equal((await change).code, '2.04');
  hook.asked[0]();
  assert.equal((await put).code, '4.15');
  assert.equal(dataOf(scene), undefined);
  await scene.stop();
});

test('DELETE of data that waits for a slow hook while its topic is deleted and created again leaves the new data', async () => {
  const { scene, device, other, topic, data, hook } = await start('old');
  const clear = device.ask('delete', data);
  const gone = other.ask('delete', topic);
  await hook.has(2);
  hook.asked[1]();
  await hook.has(3);
  hook.asked[2]();
  assert.equal((await gone).code, '2.02');
  const again = other.ask('post', ['pubsub'], topicOf({ 3: 0, 8: Buffer.from('new') }));
  for (const question of [3, 4]) {
    await hook.has(question + 1);
    hook.asked[question]();
  }
  assert.equal((await again).code, '2.01');
  hook.asked[0]();
  assert.equal((await clear).code, '4.04');
  assert.equal(dataOf(scene), 'new');
  await scene.stop();
});

test('a topic keeps its name until a slow hook has let the clearing of its data through: no new topic loses its data to that', async () => {
  const { scene, device, other, topic, data, hook } = await start('old');
  const gone = device.ask('delete', topic);
  await hook.has(1);
  hook.asked[0]();
  await hook.has(2);
  // The hook is asked whether the data may be cleared.
  assert.equal((await other.ask('post', ['pubsub'], topicOf())).code, '4.00');
  assert.equal((await other.ask('get', data)).code, '2.05');
  hook.asked[1]();
  assert.equal((await gone).code, '2.02');
  assert.equal((await other.ask('get', data)).code, '4.04');
  assert.equal(dataOf(scene), undefined);
  await scene.stop();
});

test('DELETE of a topic whose data a hook does not let go is 4.03, and topic and data stay', async () => {
  const { scene, device, topic, data, hook } = await start('old');
  const gone = device.ask('delete', topic);
  await hook.has(1);
  hook.asked[0]();
  await hook.has(2);
  hook.asked[1](new Error('not this'));
  assert.equal((await gone).code, '4.03');
  assert.equal((await device.ask('get', topic)).code, '2.05');
  assert.equal(String((await device.ask('get', data)).payload), 'old');
  await scene.stop();
});

test('of two DELETE of one topic that wait for a slow hook, the second is 4.04', async () => {
  const { scene, device, other, topic, hook } = await start('old');
  const both = [device.ask('delete', topic), other.ask('delete', topic)];
  await hook.has(2);
  hook.asked[0]();
  hook.asked[1]();
  await hook.has(4);
  hook.asked[3]();
  hook.asked[2]();
  assert.deepEqual([(await both[0]).code, (await both[1]).code], ['4.04', '2.02']);
  await scene.stop();
});

test('a change of a topic that is deleted while a slow hook is asked is 4.04', async () => {
  const { scene, device, other, topic, hook } = await start();
  const change = device.ask('ipatch', topic, { format: PUBSUB, payload: cbor({ 4: 'temperature' }) });
  const gone = other.ask('delete', topic);
  await hook.has(2);
  hook.asked[1]();
  assert.equal((await gone).code, '2.02');
  hook.asked[0]();
  assert.equal((await change).code, '4.04');
  await scene.stop();
});

test('a topic with first data is there once a slow hook has let the data through: nobody deletes it before', async () => {
  const { scene, device, other, topic, hook } = await start();
  const gone = device.ask('delete', topic);
  await hook.has(1);
  hook.asked[0]();
  assert.equal((await gone).code, '2.02');
  const create = device.ask('post', ['pubsub'], topicOf({ 3: 0, 8: Buffer.from('first') }));
  await hook.has(2);
  hook.asked[1]();
  await hook.has(3);
  // Its path follows from its name.
  assert.equal((await other.ask('get', topic)).code, '4.04');
  assert.equal((await other.ask('delete', topic)).code, '4.04');
  hook.asked[2]();
  assert.equal((await create).code, '2.01');
  assert.equal(dataOf(scene), 'first');
  await scene.stop();
});

test('of two creations with first data that wait for a slow hook, the second is 4.00, and its data is not published', async () => {
  const scene = await Scene.create();
  const hook = new SlowHook(scene.engine.broker);
  const create = (data: string): ReturnType<Device['ask']> =>
    scene.device().ask('post', ['pubsub'], topicOf({ 3: 0, 8: Buffer.from(data) }));
  const both = [create('one'), create('two')];
  await hook.has(2);
  hook.asked[0]();
  hook.asked[1]();
  await hook.has(4);
  hook.asked[3]();
  hook.asked[2]();
  assert.deepEqual([(await both[0]).code, (await both[1]).code], ['4.00', '2.01']);
  assert.equal(dataOf(scene), 'two');
  await scene.stop();
});

test('an expired topic goes once a slow hook has answered, and is not asked about twice; also if the hook keeps its data', async () => {
  for (const refusal of [undefined, new Error('not this')]) {
    const scene = await Scene.create();
    const device = scene.device();
    const end = Math.floor(scene.engine.clock.now() / 1000) + 100;
    const { topic } = await device.topic(NAME, { 5: date(end) });
    keep(scene, 'old');
    const hook = new SlowHook(scene.engine.broker);
    scene.pass(101);
    scene.pass(1);
    assert.equal(hook.asked.length, 1);
    hook.asked[0](refusal);
    assert.equal((await device.ask('get', topic)).code, '4.04');
    assert.equal(dataOf(scene), refusal && 'old');
    await scene.stop();
  }
});

test('DELETE of a topic beyond limits.messages_per_second is 4.29 with Max-Age, and topic and data stay together', async () => {
  const scene = await Scene.create({ broker: { session: { messagesPerSecond: 1 } } });
  const device = scene.device();
  const { topic, data } = await device.topic(NAME);
  assert.equal((await device.ask('put', data, { payload: 'one' })).code, '2.01');
  const refused = await device.ask('delete', topic);
  assert.deepEqual([refused.code, number(refused, OPT.maxAge)], ['4.29', 1]);
  assert.equal(String((await device.ask('get', data)).payload), 'one');
  scene.pass(1);
  assert.equal((await device.ask('delete', topic)).code, '2.02');
  assert.equal(dataOf(scene), undefined);
  await scene.stop();
});
