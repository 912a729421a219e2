/** Topic Aliases in both directions: MQTT 5.0 3.3.2.3.4. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate, type IPublishPacket } from 'mqtt-packet';
import { OutboundAliases } from '../../src/session/topic-aliases.js';
import { Engine, type RawClient } from '../support/engine.js';

const V5 = { protocolVersion: 5 } as const;

function publishAlias(client: RawClient, topic: string, topicAlias: number, payload: string, messageId = 0): void {
  const packet: IPublishPacket = {
    cmd: 'publish',
    topic,
    payload,
    qos: messageId > 0 ? 1 : 0,
    retain: false,
    dup: false,
    properties: { topicAlias, contentType: 'text/plain' },
  };
  if (messageId > 0) packet.messageId = messageId;
  client.sendBytes(generate(packet, V5));
}

test('a client sets an alias, uses it, and gives it to another topic [MQTT-3.3.2-12]', async () => {
  const engine = await Engine.create({ session: { topicAliasMaximum: 2 } });
  const subscriber = await engine.connect({ clientId: 's', ...V5 });
  await subscriber.subscribe('#', 1);
  const publisher = await engine.connect({ clientId: 'p', ...V5 });
  assert.equal(publisher.connack.properties?.topicAliasMaximum, 2);
  publishAlias(publisher, 'a/b', 1, '1');
  publishAlias(publisher, '', 1, '2');
  publishAlias(publisher, 'c/d', 1, '3', 7);
  publishAlias(publisher, '', 1, '4', 8);
  publishAlias(publisher, 'a/b', 2, '5');
  for (const [topic, payload] of [
    ['a/b', '1'],
    ['a/b', '2'],
    ['c/d', '3'],
    ['c/d', '4'],
    ['a/b', '5'],
  ]) {
    const packet = await subscriber.expect('publish');
    assert.deepEqual([packet.topic, String(packet.payload)], [topic, payload]);
    // The alias is the publisher's own [MQTT-3.3.2-7]; the other properties are forwarded.
    assert.deepEqual({ ...packet.properties }, { contentType: 'text/plain' });
  }
  await engine.stop();
});

test('an alias survives a flood of other topics through the cache of routes, and new subscriptions', async () => {
  const engine = await Engine.create();
  const publisher = await engine.connect({ clientId: 'p', ...V5 });
  publishAlias(publisher, 'kept', 1, '1');
  await publisher.drain();
  for (let i = 0; i <= 50_000; i++) engine.broker.router.routeOf(`t/${i}`);
  const subscriber = await engine.connect({ clientId: 's', ...V5 });
  await subscriber.subscribe('kept', 0);
  publishAlias(publisher, '', 1, '2');
  assert.equal(String((await subscriber.expect('publish')).payload), '2');
  await engine.stop();
});

test('an alias above the Topic Alias Maximum is 0x94 [MQTT-3.3.2-9], one that was never set 0x82', async () => {
  const engine = await Engine.create({ session: { topicAliasMaximum: 2 } });
  for (const [topic, alias, code] of [
    ['t', 3, 0x94],
    ['t', 0xffff, 0x94],
    ['', 2, 0x82],
  ] as const) {
    const client = await engine.connect({ clientId: 'p', ...V5 });
    publishAlias(client, topic, alias, 'x');
    assert.equal((await client.expect('disconnect')).reasonCode, code);
  }
  const none = await Engine.create({ session: { topicAliasMaximum: 0 } });
  const client = await none.connect({ clientId: 'p', ...V5 });
  assert.equal(client.connack.properties?.topicAliasMaximum, undefined);
  publishAlias(client, 't', 1, 'x');
  assert.equal((await client.expect('disconnect')).reasonCode, 0x94);
  await none.stop();
  await engine.stop();
});

test('an alias ends with its connection, also if the session goes on [MQTT-3.3.2-7]', async () => {
  const engine = await Engine.create();
  const kept = { clientId: 'p', clean: false, ...V5, properties: { sessionExpiryInterval: 100 } };
  const first = await engine.connect(kept);
  publishAlias(first, 't', 1, 'x');
  await first.drain();
  await engine.cut(first);
  const second = await engine.connect(kept);
  publishAlias(second, '', 1, 'x');
  assert.equal((await second.expect('disconnect')).reasonCode, 0x82);
  await engine.stop();
});

test('the broker sends a topic once with an alias and then the alias alone, to a client that takes aliases', async () => {
  const engine = await Engine.create();
  const plain = await engine.connect({ clientId: 'plain', ...V5 });
  await plain.subscribe('sensors/+', 1);
  const aliased = await engine.connect({ clientId: 'aliased', ...V5, properties: { topicAliasMaximum: 1 } });
  await aliased.subscribe('sensors/+', 1);
  for (const topic of ['sensors/a', 'sensors/a', 'sensors/b', 'sensors/b', 'sensors/a'])
    engine.broker.publish({ topic, payload: 'x', qos: 1 });
  const seen: [string, number | undefined][] = [];
  for (let i = 0; i < 5; i++) {
    const { topic, properties } = await aliased.expect('publish');
    seen.push([topic, properties?.topicAlias]);
    assert.equal((await plain.expect('publish')).properties?.topicAlias, undefined);
  }
  // With one alias, the second topic takes it when the first one's credit of two uses is gone.
  assert.deepEqual(seen, [
    ['sensors/a', 1],
    ['', 1],
    ['sensors/b', undefined],
    ['sensors/b', undefined],
    ['', 1],
  ]);
  await engine.stop();
});

test('a QoS 2 message comes with its topic: MQTT.js 5 would lose it', async () => {
  const engine = await Engine.create();
  const client = await engine.connect({ clientId: 's', ...V5, properties: { topicAliasMaximum: 10 } });
  await client.subscribe('some/topic', 2);
  for (const qos of [1, 1, 2] as const) engine.broker.publish({ topic: 'some/topic', payload: 'x', qos });
  const topics: string[] = [];
  for (let i = 0; i < 3; i++) topics.push((await client.expect('publish')).topic);
  assert.deepEqual(topics, ['some/topic', '', 'some/topic']);
  await engine.stop();
});

test('a message that comes again after a reconnect names its topic', async () => {
  const engine = await Engine.create();
  const kept = {
    clientId: 's',
    clean: false,
    ...V5,
    properties: { sessionExpiryInterval: 100, topicAliasMaximum: 10 },
  };
  const first = await engine.connect(kept);
  await first.subscribe('some/topic', 1);
  for (let i = 0; i < 2; i++) engine.broker.publish({ topic: 'some/topic', payload: 'x', qos: 1 });
  await first.expect('publish');
  assert.equal((await first.expect('publish')).topic, '');
  await engine.cut(first);
  const second = await engine.connect(kept);
  assert.equal((await second.expect('publish')).topic, 'some/topic');
  assert.equal((await second.expect('publish')).topic, '');
  await engine.stop();
});

test('a packet with a new alias is within the client’s Maximum Packet Size', async () => {
  const engine = await Engine.create();
  const size = 40;
  const client = await engine.connect({
    clientId: 's',
    ...V5,
    properties: { topicAliasMaximum: 10, maximumPacketSize: size },
  });
  await client.subscribe('topic', 0);
  for (let payload = size - 16; payload <= size; payload++) {
    engine.broker.publish({ topic: 'topic', payload: Buffer.alloc(payload) });
  }
  const received = (await client.drain()).length;
  // Fixed header 2, topic 7, property length 1: what fits without an alias arrives.
  assert.equal(received, size - 10 - (size - 16) + 1);
  assert.ok(client.bytes.every((chunk) => chunk.length <= size * 30));
  assert.equal(engine.broker.counters.droppedPacketTooLarge, 10);
  await engine.stop();
});

test('topics that come once do not drive out those that are used most', () => {
  const aliases = new OutboundAliases(2);
  const told = { hot: 0, cold: 0 };
  for (let i = 0; i < 1000; i++) {
    for (const hot of ['one', 'two']) if (aliases.assign(hot) > 0 && !aliases.isNew) told.hot++;
    if (aliases.assign(`cold/${i}`) > 0) told.cold++;
  }
  assert.deepEqual(told, { hot: 1998, cold: 0 });
});
