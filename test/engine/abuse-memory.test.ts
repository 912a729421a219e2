/** Few bytes from a client, or many that no limit counts, do not become memory without bound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate } from 'mqtt-packet';
import { TextMap } from '../../src/bus/text-map.js';
import { SubscriptionTree } from '../../src/bus/tree.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine, type RawClient } from '../support/engine.js';

const KEPT = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 0xffffffff } } as const;

test('routes are forgotten before their topics take up much memory', async () => {
  const engine = await Engine.create();
  const client = await engine.connect();
  const long = 'x'.repeat(4000);
  const { router } = engine.broker;
  client.publish(`0/${long}`, '');
  await client.drain();
  assert.equal(router.known(`0/${long}`), undefined, 'a topic that has come once');
  for (let i = 0; i < 5000; i++) for (let time = 0; time < 2; time++) client.publish(`${i}/${long}`, '');
  await client.drain();
  assert.equal(router.known(`0/${long}`), undefined);
  assert.ok(router.known(`4999/${long}`));
  for (let time = 0; time < 2; time++) client.publish(long + long, '');
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

/** Sends SUBSCRIBE for one filter; resolves to what SUBACK says. */
async function granted(client: RawClient, topic: string): Promise<unknown> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] });
  return (await client.expect('suback')).granted[0];
}

test('limits.memory: a client with too many bytes of filters gets no further subscription; another one does', async () => {
  const engine = await Engine.create({ session: { memory: 1_000_000 } });
  const { counters, environment } = engine.broker;
  const before = environment.heap.used;
  const client = await engine.connect({ clientId: 'client', protocolVersion: 5 });
  let most = 0;
  while ((await granted(client, `${most}/${'x'.repeat(50_000)}`)) === 0) most++;
  assert.ok(most > 8 && most < 12, `${most} filters of 100,000 bytes`);
  assert.equal(counters.overMemory, 1);
  const other = await engine.connect({ clientId: 'other', protocolVersion: 5 });
  assert.equal(await granted(other, 'x'), 0);
  client.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [`0/${'x'.repeat(50_000)}`] });
  await client.expect('unsuback');
  assert.equal(await granted(client, 'x'), 0, 'what is ended makes room');
  await engine.cut(client);
  await engine.cut(other);
  assert.equal(environment.heap.used, before);
  await engine.stop();
});

test('limits.memory: a session that is to be kept and finds no room is refused with 0x97; one that ends is not', async () => {
  const engine = await Engine.create({ session: { memory: 10_000 } });
  const codes: unknown[] = [];
  for (let i = 0; i < 10; i++) codes.push((await engine.connect({ clientId: `k${i}`, ...KEPT })).connack.reasonCode);
  assert.deepEqual([codes[0], codes[9]], [0, 0x97]);
  assert.equal(engine.broker.counters.refusedAtMemory, codes.filter((code) => code === 0x97).length);
  assert.equal((await engine.connect({ clientId: 'k0', ...KEPT })).connack.reasonCode, 0, 'it has one');
  assert.equal((await engine.connect({ clientId: 'ends', protocolVersion: 5 })).connack.reasonCode, 0);
  await engine.stop();
});

test('limits.memory: of clients that do not finish their packets, the one that stands still longest is disconnected', async () => {
  const engine = await Engine.create({ session: { memory: 100_000 } });
  const { counters, environment } = engine.broker;
  // A PUBLISH of 200,000 bytes.
  const head = Buffer.from([0x30, 0xc0, 0x9a, 0x0c, 0, 1, 0x74]);
  const clients: RawClient[] = [];
  for (let i = 0; i < 3; i++) {
    const client = await engine.connect({ clientId: `c${i}`, protocolVersion: 5 });
    client.sendBytes(Buffer.concat([head, Buffer.alloc(29_993)]));
    clients.push(client);
  }
  const [first, second, third] = clients;
  first.sendBytes(Buffer.alloc(5000));
  first.sendBytes(Buffer.alloc(10_000));
  assert.equal((await second.expect('disconnect')).reasonCode, 0x97);
  assert.deepEqual([counters.overMemory, environment.arriving.used], [1, 75_000]);
  first.sendBytes(Buffer.alloc(155_004));
  assert.deepEqual(await first.drain(), [], 'one that goes on comes to its end');
  assert.deepEqual([counters.publishReceived, environment.arriving.used], [1, 30_000]);
  await engine.cut(third);
  assert.equal(environment.arriving.used, 0);
  await engine.stop();
});

test('limits.memory: a client whose Topic Aliases take too much memory is disconnected with 0x97', async () => {
  const engine = await Engine.create({ session: { memory: 1_000_000 } });
  const { heap } = engine.broker.environment;
  const before = heap.used;
  const client = await engine.connect({ clientId: 'client', protocolVersion: 5 });
  const named = (topic: string, topicAlias: number) =>
    client.sendBytes(
      generate(
        { cmd: 'publish', topic, payload: '', qos: 0, retain: false, dup: false, properties: { topicAlias } },
        { protocolVersion: 5 },
      ),
    );
  for (let i = 0; i < 50; i++) named(`${i}/${'x'.repeat(50_000)}`, 1);
  assert.deepEqual(await client.drain(), [], 'a topic that loses its alias is forgotten');
  for (let alias = 1; alias <= 12; alias++) named(`${alias}/${'x'.repeat(50_000)}`, alias);
  assert.equal((await client.expect('disconnect')).reasonCode, 0x97);
  assert.deepEqual([engine.broker.counters.overMemory, heap.used], [1, before]);
  await engine.stop();
});

test('limits.memory: QoS 2 publications that nobody releases count, in a session that is kept too', async () => {
  const engine = await Engine.create({ session: { memory: 50_000 } });
  const client = await engine.connect({ clientId: 'client', clean: false });
  const chunk = Array.from({ length: 4096 }, (_, i) =>
    generate({ cmd: 'publish', topic: 't', payload: '', qos: 2, messageId: i + 1, retain: false, dup: false }),
  );
  client.sendBytes(Buffer.concat(chunk));
  await client.end();
  assert.equal(engine.broker.counters.overMemory, 1);
  await engine.stop();
});

test('a long topic gets no Topic Alias: each connection would have to remember it', async () => {
  const engine = await Engine.create();
  const properties = { topicAliasMaximum: 10 };
  const client = await engine.connect({ clientId: 'client', protocolVersion: 5, properties });
  await client.subscribe('#', 0);
  for (const [length, alias] of [
    [256, 1],
    [257, undefined],
  ] as const) {
    engine.broker.publish({ topic: 'x'.repeat(length), payload: '' });
    assert.equal((await client.expect('publish')).properties?.topicAlias, alias);
  }
  await engine.stop();
});

test('a map by text finds long keys that differ only at their end', () => {
  const map = new TextMap<number>();
  const long = 'x'.repeat(20_000);
  const keys = ['short', `${long}1`, `${long}2`, `${long}ä`];
  for (const [index, key] of keys.entries()) map.set(key, index);
  assert.deepEqual([map.size, [...map.keys()], [...map.values()]], [4, keys, [0, 1, 2, 3]]);
  assert.deepEqual(
    keys.map((key) => [map.get(key), map.has(key)]),
    [0, 1, 2, 3].map((value) => [value, true]),
  );
  assert.deepEqual([map.get(`${long}3`), map.has(`${long}3`), map.delete(`${long}3`)], [undefined, false, false]);
  assert.deepEqual([map.delete(`${long}1`), map.delete('short'), map.size], [true, true, 2]);
  assert.deepEqual(
    [...map],
    keys.slice(2).map((key, index) => [key, index + 2]),
  );
  map.clear();
  assert.deepEqual([map.size, [...map]], [0, []]);
});
