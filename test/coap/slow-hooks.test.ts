/** If-Match and If-None-Match where `authorizePublish` takes its time: the condition holds when the value is written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Device, Face } from '../support/coap-face.js';
import { OPT, type OptionValue, values } from './harness.js';
import { Scene } from './pubsub-scene.js';
import { SlowHook } from './slow-hook.js';

const NONE_MATCH: [number, OptionValue][] = [[OPT.ifNoneMatch, '']];
const ANY_MATCH: [number, OptionValue][] = [[OPT.ifMatch, '']];

function retained({ engine }: Face, topic: string): string | undefined {
  return engine.broker.router.retained.get(topic)?.payload.toString();
}

/** Keeps a value by MQTT, without asking a hook. */
function keep({ engine }: Face, topic: string, payload: string): void {
  const message = { topic, payload: Buffer.from(payload), qos: 1, retain: true } as const;
  engine.broker.publish(message);
}

test('RFC 7252 5.10.8.2: of two PUT with If-None-Match that wait for a slow hook, the one that is decided on first creates', async () => {
  const face = await Face.create();
  const hook = new SlowHook(face.engine.broker);
  const subscriber = await face.engine.connect();
  await subscriber.subscribe('a', 0);
  const [first, second] = [face.device(), face.device()];
  const answers = [
    first.ask('put', '/ps/a', { payload: 'first', options: NONE_MATCH }),
    second.ask('put', '/ps/a', { payload: 'second', options: NONE_MATCH }),
  ];
  await hook.has(2);
  hook.asked[1]();
  assert.equal((await answers[1]).code, '2.01');
  hook.asked[0]();
  assert.equal((await answers[0]).code, '4.12');
  assert.equal(retained(face, 'a'), 'second');
  assert.equal(String((await subscriber.expect('publish')).payload), 'second');
  keep(face, 'a', 'later');
  assert.equal(String((await subscriber.expect('publish')).payload), 'later', 'what is refused is not delivered');
  await face.stop();
});

test('RFC 7252 5.10.8.1: If-Match on a value that changes while a slow hook is asked is 4.12, and the newer value stays', async () => {
  const face = await Face.create();
  keep(face, 'a', 'old');
  const device = face.device();
  const [etag] = values(await device.ask('get', '/ps/a'), OPT.etag);
  const hook = new SlowHook(face.engine.broker);
  const match = { options: [[OPT.ifMatch, etag]] as [number, OptionValue][] };
  for (const [method, more] of [
    ['put', { ...match, payload: 'by the device' }],
    ['delete', match],
  ] as const) {
    keep(face, 'a', 'old');
    const answer = device.ask(method, '/ps/a', more);
    await hook.has(1);
    keep(face, 'a', 'newer');
    hook.asked.splice(0)[0]();
    assert.equal((await answer).code, '4.12', method);
    assert.equal(retained(face, 'a'), 'newer');
  }
  await face.stop();
});

test('a value that is cleared while a slow hook is asked meets no If-Match', async () => {
  const face = await Face.create();
  keep(face, 'a', 'old');
  const hook = new SlowHook(face.engine.broker);
  const answer = face.device().ask('put', '/ps/a', { payload: 'new', options: ANY_MATCH });
  await hook.has(1);
  keep(face, 'a', '');
  hook.asked[0]();
  assert.equal((await answer).code, '4.12');
  assert.equal(retained(face, 'a'), undefined);
  await face.stop();
});

test('a condition that holds before and after a slow hook lets the request through; what the hook refuses is 4.03', async () => {
  const face = await Face.create();
  const hook = new SlowHook(face.engine.broker);
  const put = (device: Device, payload: string): Promise<{ code: string }> =>
    device.ask('put', '/ps/a', { payload, options: NONE_MATCH });
  const refused = put(face.device(), 'refused');
  await hook.has(1);
  hook.asked[0](new Error('not this one'));
  assert.equal((await refused).code, '4.03');
  const taken = put(face.device(), 'taken');
  await hook.has(2);
  hook.asked[1]();
  assert.equal((await taken).code, '2.01');
  await face.stop();
});

test('2.01 or 2.04 says what a PUT has found when a slow hook has let it through', async () => {
  const face = await Face.create();
  const hook = new SlowHook(face.engine.broker);
  const created = face.device().ask('put', '/ps/a', { payload: '1' });
  const changed = face.device().ask('put', '/ps/a', { payload: '2' });
  await hook.has(2);
  for (const answer of hook.asked) answer();
  assert.deepEqual([(await created).code, (await changed).code], ['2.01', '2.04']);
  await face.stop();
});

test('the same holds for data of the publish-subscribe collection', async () => {
  const scene = await Scene.create();
  const { data } = await scene.device().topic('a');
  const hook = new SlowHook(scene.engine.broker);
  const [first, second] = [scene.device(), scene.device()];
  const answers = [
    first.ask('put', data, { payload: 'first', more: NONE_MATCH }),
    second.ask('put', data, { payload: 'second', more: NONE_MATCH }),
  ];
  await hook.has(2);
  hook.asked[0]();
  hook.asked[1]();
  assert.deepEqual([(await answers[0]).code, (await answers[1]).code], ['2.01', '4.12']);
  const gone = [first.ask('delete', data), second.ask('delete', data)];
  await hook.has(4);
  hook.asked[2]();
  hook.asked[3]();
  assert.deepEqual([(await gone[0]).code, (await gone[1]).code], ['2.02', '4.04']);
  await scene.stop();
});
