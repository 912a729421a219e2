/** draft-ietf-core-coap-pubsub-21: what is answered is durable, and topics are there again after a restart. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pluginKey } from '../../src/store/keys.js';
import { GatedStore } from '../store/gated-store.js';
import { LastingStore } from '../support/lasting-store.js';
import { number, OPT } from './harness.js';
import { cbor, date, mapOf, PUBSUB, pathOf, Scene } from './pubsub-scene.js';

test('topics, their changes and deletions, and data are there after a restart; the names of resources stay', async () => {
  const store = new LastingStore();
  const first = await Scene.create({ broker: { store } });
  const device = first.device();
  const kept = await device.topic('kept', { 3: 60, 4: 'temperature', 5: date(9_999_999_999), 6: 7, 7: 60 });
  await device.ask('put', kept.data, { format: 60, payload: 'value' });
  await device.ask('ipatch', kept.topic, { format: PUBSUB, payload: cbor({ 6: 8 }) });
  const half = await device.topic('half', { 3: 0, 8: Buffer.from('initial') });
  await device.ask('delete', half.data);
  const gone = await device.topic('gone');
  await device.ask('delete', gone.topic);
  const before = mapOf(await device.ask('get', kept.topic));
  await first.stop();

  const second = await Scene.create({ broker: { store } });
  const again = second.device();
  assert.deepEqual(mapOf(await again.ask('get', kept.topic)), before);
  assert.equal(before[6], 8);
  const data = await again.ask('get', kept.data);
  assert.deepEqual([data.code, String(data.payload), number(data, OPT.contentFormat)], ['2.05', 'value', 60]);
  assert.equal((await again.ask('get', half.data)).code, '4.04', 'initialize is not applied again');
  assert.equal((await again.ask('get', gone.topic)).code, '4.04');
  const taken = { format: PUBSUB, payload: cbor({ 0: 'kept', 2: 'core.ps.data' }) };
  assert.equal((await again.ask('post', ['pubsub'], taken)).code, '4.00');
  await second.stop();
});

test('a topic that has expired while the broker was away is deleted with its data', async () => {
  const store = new LastingStore();
  const first = await Scene.create({ broker: { store } });
  const device = first.device();
  const { data } = await device.topic('short', { 5: date(first.engine.clock.now() / 1000 + 60) });
  await device.ask('put', data, { payload: 'value' });
  await first.stop();
  first.engine.clock.advance(100);
  const second = await Scene.create({ broker: { store, clock: first.engine.clock } });
  second.pass(1);
  assert.equal((await second.device().ask('get', data)).code, '4.04');
  assert.equal(second.engine.broker.router.retained.get('short'), null);
  await second.stop();
  const third = await Scene.create({ broker: { store, clock: first.engine.clock } });
  assert.equal(String((await third.device().ask('get', ['pubsub'])).payload), '');
  await third.stop();
});

test('after coap.pubsub_path has changed, topics and their data are below the new path', async () => {
  const store = new LastingStore();
  const first = await Scene.create({ broker: { store } });
  const { topic, data } = await first.device().topic('moved');
  await first.device().create({ 0: 'far', 1: 'coap://other.example/far', 2: 'core.ps.data' });
  await first.stop();
  const second = await Scene.create({ broker: { store }, pubsub_path: 'x/y' });
  const device = second.device();
  const map = mapOf(await device.ask('get', ['x', 'y', topic[1]]));
  assert.deepEqual(pathOf(map[1]), ['x', 'y', 'data', data[2]]);
  assert.equal((await device.ask('put', pathOf(map[1]), { payload: 'value' })).code, '2.01');
  const links = await device.ask('get', ['x', 'y'], { query: ['rt=core.ps.data', 'href=coap:*'] });
  assert.equal(String(links.payload), '<coap://other.example/far>;rt="core.ps.data";obs');
  await second.stop();
});

test('a stored topic that does not decode is left out, the others are served', async () => {
  const store = new LastingStore();
  const first = await Scene.create({ broker: { store } });
  const { topic } = await first.device().topic('whole');
  await first.stop();
  const records = [Buffer.from([9, 0xa0]), Buffer.from([1, 0xa0]), Buffer.from([1]), Buffer.alloc(0)];
  await store.write(
    records.map((value, i) => ({ type: 'put', key: pluginKey('coap', `bad${i}`), value })),
    true,
  );
  const second = await Scene.create({ broker: { store } });
  const links = await second.device().ask('get', ['pubsub']);
  assert.equal(String(links.payload), `</${topic.join('/')}>;rt="core.ps.conf";ct=606`);
  assert.equal(second.engine.broker.sessions.damaged, records.length);
  await second.stop();
});

test('2.01, 2.04 and 2.02 leave after the commit', async () => {
  const store = new GatedStore();
  const scene = await Scene.create({ broker: { store } });
  const device = scene.device();
  const { topic, data } = await device.topic('before');
  const creation = cbor({ 0: 'new', 2: 'core.ps.data' });
  const initialized = cbor({ 0: 'initialized', 2: 'core.ps.data', 3: 0, 8: Buffer.from('x') });
  for (const [method, path, ask, code] of [
    ['post', ['pubsub'], { format: PUBSUB, payload: creation }, '2.01'],
    ['post', ['pubsub'], { format: PUBSUB, payload: initialized }, '2.01'],
    ['put', data, { payload: 'x' }, '2.01'],
    ['ipatch', topic, { format: PUBSUB, payload: cbor({ 6: 1 }) }, '2.04'],
    ['post', topic, { format: PUBSUB, payload: cbor({ 6: 2 }) }, '2.04'],
    ['delete', data, {}, '2.02'],
    ['delete', topic, {}, '2.02'],
  ] as const) {
    await scene.engine.broker.commit.settled();
    store.hold();
    const { length } = store.writes;
    let answered = false;
    const answer = device.ask(method, path, ask).then((message) => {
      answered = true;
      return message;
    });
    await store.arrived(length + 1);
    assert.equal(answered, false);
    device.client.none();
    store.letGo();
    assert.equal((await answer).code, code);
  }
  await scene.stop();
});

test('while the store takes nothing, changes are 5.03 with Max-Age and nothing changes; reading goes on', async () => {
  const store = new GatedStore();
  const scene = await Scene.create({
    broker: { store, commit: { sync: 'always', syncInterval: 1000, retryDelay: 1 } },
  });
  const device = scene.device();
  const { topic, data } = await device.topic('there', { 6: 1 });
  await device.ask('put', data, { payload: 'value' });
  store.broken = new Error('full');
  const { load } = scene.engine.broker.commit;
  const failing = new Promise<void>((resolve) => load.wait({ storeChanged: resolve }));
  scene.engine.broker.publish({ topic: 'other', payload: 'x', qos: 1, retain: true });
  await failing;
  for (const [method, path, ask] of [
    ['post', ['pubsub'], { format: PUBSUB, payload: cbor({ 0: 'new', 2: 'core.ps.data' }) }],
    ['ipatch', topic, { format: PUBSUB, payload: cbor({ 6: 2 }) }],
    ['delete', topic, {}],
    ['put', data, { payload: 'other' }],
  ] as const) {
    const answer = await device.ask(method, path, ask);
    assert.deepEqual([answer.code, number(answer, OPT.maxAge)], ['5.03', 10]);
  }
  assert.equal(mapOf(await device.ask('get', topic))[6], 1);
  assert.equal(String((await device.ask('get', data)).payload), 'value');
  const recovered = new Promise<void>((resolve) => load.wait({ storeChanged: resolve }));
  store.broken = null;
  await recovered;
  assert.equal((await device.ask('delete', topic)).code, '2.02');
  await scene.stop();
});
