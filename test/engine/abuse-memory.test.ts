/** Few bytes from a client, or many that no limit counts, do not become memory without bound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate } from 'mqtt-packet';
import { SubscriptionTree } from '../../src/bus/tree.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';

const KEPT = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 0xffffffff } } as const;

test('routes are forgotten before their topics take up much memory', async () => {
  const engine = await Engine.create();
  const client = await engine.connect();
  const long = 'x'.repeat(4000);
  for (let i = 0; i < 5000; i++) client.publish(`${i}/${long}`, '');
  await client.drain();
  const { router } = engine.broker;
  assert.equal(router.known(`0/${long}`), undefined);
  assert.ok(router.known(`4999/${long}`));
  client.publish(long + long, '');
  await client.drain();
  assert.equal(router.known(long + long), undefined, 'a very long one is not kept at all');
  await engine.stop();
});

test('limits.subscriptions_per_client also bounds the levels of the filters', async () => {
  const engine = await Engine.create({ session: { subscriptionsPerClient: 10 } });
  const client = await engine.connect({ protocolVersion: 5 });
  const deep = (name: string): string => name + '/'.repeat(49);
  const subscribe = async (topic: string): Promise<unknown> => {
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] });
    return (await client.expect('suback')).granted[0];
  };
  assert.deepEqual([await subscribe(deep('a')), await subscribe(deep('b'))], [0, 0]);
  assert.equal(await subscribe('c'), 0x97);
  assert.equal(await subscribe(deep('b')), 0, 'one that there is may be replaced');
  client.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [deep('a')] });
  await client.expect('unsuback');
  assert.equal(await subscribe('c'), 0);
  await engine.stop();
});

test('limits.retained_messages also bounds the levels of the topics', async () => {
  const engine = await Engine.create({ retained: { messages: 10_000, bytes: 2 ** 30 } });
  const { broker } = engine;
  const topic = (i: number): string => i + '/'.repeat(99);
  for (let i = 0; i < 1000; i++) broker.publish({ topic: topic(i), payload: 'x', retain: true });
  const { count } = broker.router.retained;
  assert.ok(count > 600 && count < 700, `${count} are kept`);
  assert.equal(broker.counters.droppedRetained, 1000 - count, 'the others are counted');
  broker.publish({ topic: topic(0), payload: '', retain: true });
  broker.publish({ topic: topic(1000), payload: 'x', retain: true });
  assert.ok(broker.router.retained.get(topic(1000)), 'one goes, one may come');
  await engine.stop();
});

test('limits.sessions refuses a session that would be one more, and no client that has one', async () => {
  const engine = await Engine.create({ session: { sessions: 2 } });
  for (const clientId of ['a', 'b']) await engine.cut(await engine.connect({ clientId, ...KEPT }));
  const third = await engine.connect({ clientId: 'c', ...KEPT });
  assert.equal(third.connack.reasonCode, 0x97);
  await third.end();
  assert.equal(engine.broker.counters.refusedConnections, 1);
  assert.equal((await engine.connect({ clientId: 'a', ...KEPT })).connack.reasonCode, 0);
  const ended = await engine.connect({ clientId: 'b', protocolVersion: 5, clean: true });
  assert.equal(ended.connack.reasonCode, 0);
  await engine.cut(ended);
  assert.equal((await engine.connect({ clientId: 'c', ...KEPT })).connack.reasonCode, 0);
  await engine.stop();
});

test('a client that retains messages faster than the store writes them is not read on', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store, session: { receiveMaximum: 10 } });
  const client = await engine.connect();
  await engine.broker.commit.settled();
  store.hold();
  const chunk = (from: number): Buffer =>
    Buffer.concat(
      Array.from({ length: 20 }, (_, i) =>
        generate({ cmd: 'publish', topic: `r/${from + i}`, payload: 'x', qos: 0, retain: true, dup: false }),
      ),
    );
  const { counters } = engine.broker;
  client.sendBytes(chunk(0));
  while (counters.publishReceived === 0) await new Promise((resolve) => setImmediate(resolve));
  client.sendBytes(chunk(20));
  client.send({ cmd: 'pingreq' });
  // Whatever is on its way has arrived by then.
  const bystander = engine.open();
  bystander.sendBytes(Buffer.from('c000', 'hex'));
  await bystander.end();
  assert.equal(counters.publishReceived, 20);
  store.letGo();
  await client.expect('pingresp');
  assert.equal(counters.publishReceived, 40, 'what has been written lets the next ones come');
  await engine.stop();
});

test('Subscription Identifiers of overlapping subscriptions are put together once, not anew for each', () => {
  const tree = new SubscriptionTree();
  const subscriber = { deliver() {} };
  const levels = 16;
  const all = 2 ** levels;
  for (let i = 0; i < all; i++) {
    const filter = Array.from({ length: levels }, (_, bit) => ((i >> bit) & 1 ? '+' : 'a')).join('/');
    const options = { qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
    tree.add({ subscriber, filter, ...options, identifier: i + 1 });
  }
  const [receiver] = tree.receivers(Array.from({ length: levels }, () => 'a').join('/'));
  assert.equal(new Set(receiver.identifiers).size, all);
});
