/** Retained messages on their way to a new subscription: nothing stops them, nothing multiplies them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate, type IPublishPacket, type Packet } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';

/** Acknowledges a delivery. */
function take(client: RawClient, packet: IPublishPacket): number {
  client.send({ cmd: 'puback', messageId: packet.messageId as number });
  return 1;
}

const DURABLE = { protocolVersion: 5, clean: false } as const;

test('a retained message that is too large for its receiver does not stop those behind it', async () => {
  const engine = await Engine.create();
  engine.broker.publish({ topic: 'r/1', payload: Buffer.alloc(500), qos: 2, retain: true });
  engine.broker.publish({ topic: 'r/2', payload: 'small', qos: 2, retain: true });
  const client = await engine.connect({
    clientId: 'c',
    ...DURABLE,
    properties: { sessionExpiryInterval: 100, maximumPacketSize: 100 },
  });
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/#', qos: 2 }] });
  await client.expect('suback');
  assert.equal((await client.expect('publish')).topic, 'r/2');
  await engine.stop();
});

test('QoS 2 retained messages for a kept session fill its window', async () => {
  const engine = await Engine.create();
  for (let i = 0; i < 20; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', qos: 2, retain: true });
  const client = await engine.connect({
    clientId: 'c',
    ...DURABLE,
    properties: { sessionExpiryInterval: 100, receiveMaximum: 5 },
  });
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/#', qos: 2 }] });
  await client.expect('suback');
  // Without an acknowledgement, as many as the client takes at a time.
  for (let i = 0; i < 5; i++) await client.expect('publish');
  await engine.broker.commit.settled();
  assert.deepEqual(await client.drain(), []);
  await engine.stop();
});

test('No Local holds for retained messages too [MQTT-3.8.3-3]', async () => {
  const engine = await Engine.create();
  const client = await engine.connect({ clientId: 'c', protocolVersion: 5 });
  const other = await engine.connect({ clientId: 'o', protocolVersion: 5 });
  client.publish('r/own', 'x', { retain: true });
  other.publish('r/other', 'x', { retain: true });
  await client.drain();
  await other.drain();
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/+', qos: 0, nl: true }] });
  await client.expect('suback');
  assert.equal((await client.expect('publish')).topic, 'r/other');
  assert.deepEqual(await client.drain(), []);
  await engine.stop();
});

test('QoS 2 retained messages for a kept session share their commits', async () => {
  const engine = await Engine.create();
  const count = 100;
  for (let i = 0; i < count; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', qos: 2, retain: true });
  const client = await engine.connect({ clientId: 'c', clean: false });
  const { counters } = engine.broker;
  const before = counters.commits;
  await client.subscribe('r/#', 2);
  for (let i = 0; i < count; i++) await client.expect('publish');
  assert.ok(counters.commits - before < 10, `${counters.commits - before} commits`);
  await engine.stop();
});

test('a filter that is unsubscribed while its subscription is being stored gets no retained messages', async () => {
  const engine = await Engine.create();
  engine.broker.publish({ topic: 'r', payload: 'x', retain: true });
  const client = await engine.connect({ clientId: 'c', clean: false });
  const subscribe: Packet = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r', qos: 1 }] };
  const unsubscribe: Packet = { cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['r'] };
  client.sendBytes(Buffer.concat([generate(subscribe), generate(unsubscribe)]));
  const answers = [(await client.next()).cmd, (await client.next()).cmd];
  assert.deepEqual(answers.sort(), ['suback', 'unsuback']);
  assert.deepEqual(await client.drain(), []);
  await engine.stop();
});

test('QoS 0 retained messages do not wait for an acknowledgement that never comes, however small limits.output_buffer', async () => {
  const engine = await Engine.create({ session: { outputBuffer: 1024 } });
  for (let i = 0; i < 50; i++) engine.broker.publish({ topic: `r/${i}`, payload: Buffer.alloc(200), retain: true });
  const client = await engine.connect({ clientId: 'c' });
  await client.subscribe('r/#', 0);
  for (let i = 0; i < 50; i++) await client.expect('publish');
  await engine.stop();
});

test('an unsubscribed filter gets no more of its retained messages [MQTT-3.10.4-2]', async () => {
  const engine = await Engine.create({ session: { maxInflight: 2 } });
  for (let i = 0; i < 10; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', qos: 1, retain: true });
  const client = await engine.connect({ clientId: 'c' });
  await client.subscribe('r/#', 1);
  const first = await client.expect('publish');
  const second = await client.expect('publish');
  client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['r/#'] });
  await client.expect('unsuback');
  for (const { messageId } of [first, second]) client.send({ cmd: 'puback', messageId: messageId as number });
  assert.deepEqual(await client.drain(), []);
  await engine.stop();
});

test('a filter that is subscribed again and again has its retained messages waiting once', async () => {
  const engine = await Engine.create({ session: { maxInflight: 1 } });
  for (let i = 0; i < 10; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', qos: 1, retain: true });
  const client = await engine.connect({ clientId: 'c' });
  const subscribe: Packet = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/#', qos: 1 }] };
  client.sendBytes(Buffer.concat(new Array(100).fill(generate(subscribe))));
  let received = 0;
  for (let acknowledged = 0; acknowledged < 100; ) {
    const packet = await client.next();
    if (packet.cmd === 'suback') acknowledged++;
    else if (packet.cmd === 'publish') received += take(client, packet);
  }
  for (let quiet = false; !quiet; ) {
    const packets = await client.drain();
    for (const packet of packets) if (packet.cmd === 'publish') received += take(client, packet);
    quiet = packets.length === 0;
  }
  assert.ok(received < 30, `${received} messages for ten topics`);
  await engine.stop();
});

test('retained messages whose time is over make room for others', async () => {
  const engine = await Engine.create({ retained: { messages: 2, bytes: 1e6 } });
  const retain = (topic: string): void =>
    engine.broker.publish({
      topic,
      payload: 'x',
      retain: true,
      properties: { messageExpiryInterval: 5 },
    } as Parameters<typeof engine.broker.publish>[0]);
  retain('r/1');
  retain('r/2');
  engine.pass(6);
  retain('r/3');
  assert.equal(engine.broker.counters.droppedRetained, 0);
  assert.deepEqual(engine.broker.router.retained.topics('r/#'), ['r/3']);
  await engine.stop();
});

test('a long SUBSCRIBE whose connection ends behind SUBACK: a kept session is owed what every filter brings', async () => {
  const engine = await Engine.create();
  const count = 4000;
  for (let i = 0; i < count; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', qos: 1, retain: true });
  const kept = { clientId: 'c', protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 100 } } as const;
  const client = await engine.connect(kept);
  const subscriptions = Array.from({ length: count }, (_, i) => ({ topic: `r/${i}`, qos: 1 as const }));
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  const session = engine.broker.sessions.get('c');
  // The connection ends in the turn in which SUBACK leaves.
  const { counters } = engine.broker;
  const before = counters.packetsSent;
  while (counters.packetsSent === before) await new Promise((resolve) => setImmediate(resolve));
  engine.broker.clients.c.close();
  while ((session?.load ?? count) < count) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(session?.load, count);
  await engine.stop();
});

/** Reads until this many PUBLISH packets have come; returns their topics. */
async function topicsOf(client: RawClient, count: number): Promise<string[]> {
  const topics: string[] = [];
  while (topics.length < count) topics.push((await client.expect('publish')).topic);
  return topics;
}

test('others are served while a subscription gets thousands of retained messages', async () => {
  const engine = await Engine.create();
  const count = 5000;
  for (let i = 0; i < count; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', retain: true });
  const reader = await engine.connect({ clientId: 'reader' });
  const other = await engine.connect({ clientId: 'other' });
  await other.subscribe('other', 0);
  await reader.subscribe('r/#', 0);
  let arrived = 0;
  const all = topicsOf(reader, count).finally(() => {
    arrived = count;
  });
  for (let i = 0; i < 5; i++) {
    other.publish('other', 'x');
    await other.expect('publish');
    assert.equal(arrived, 0, 'the retained messages are still on their way');
  }
  assert.equal(new Set(await all).size, count);
  await engine.stop();
});

test('subscriptions of several clients get their retained messages side by side', async () => {
  const engine = await Engine.create();
  const count = 2000;
  for (let i = 0; i < count; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', retain: true });
  const order: number[] = [];
  const readers = [];
  for (let i = 0; i < 3; i++) {
    const client = await engine.connect({ clientId: `reader-${i}` });
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/#', qos: 0 }] });
    readers.push(client);
  }
  await Promise.all(
    readers.map(async (client, i) => {
      await client.expect('suback');
      for (let half = 0; half < 2; half++) {
        await topicsOf(client, count / 2);
        order.push(i);
      }
    }),
  );
  // Nobody has all before somebody else has half.
  assert.deepEqual(order.slice(0, 3).toSorted(), [0, 1, 2]);
  await engine.stop();
});

test('retained messages that change while a subscription gets them: each that stays comes once, with a value it had', async () => {
  const engine = await Engine.create();
  const count = 3000;
  const retain = (i: number, payload: string): void => {
    engine.broker.publish({ topic: `r/${i % 30}/${i}`, payload, retain: true });
  };
  for (let i = 0; i < count; i++) retain(i, 'old');
  const reader = await engine.connect({ clientId: 'reader', protocolVersion: 5 });
  const writer = await engine.connect({ clientId: 'writer' });
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/#', qos: 0 }] });
  await reader.expect('suback');
  // Every third goes, every third has a new value, and topics come that were not there.
  for (let i = 0; i < count; i += 3) {
    writer.publish(`r/${i % 30}/${i}`, '', { retain: true });
    writer.publish(`r/${(i + 1) % 30}/${i + 1}`, 'new', { retain: true });
    writer.publish(`r/new/${i}`, 'new', { retain: true });
    if (i % 300 === 0) await writer.drain();
  }
  await writer.drain();
  const retained = new Map<string, string[]>();
  const live: string[] = [];
  let stayed = 0;
  const take = ({ topic, payload, retain: isRetained }: IPublishPacket): void => {
    if (!isRetained) {
      live.push(String(payload));
      return;
    }
    retained.set(topic, [...(retained.get(topic) ?? []), String(payload)]);
    if (Number(topic.slice(topic.lastIndexOf('/') + 1)) % 3 > 0) stayed++;
  };
  while (live.length < count || stayed < (count / 3) * 2) take(await reader.expect('publish'));
  for (const packet of await reader.drain()) if (packet.cmd === 'publish') take(packet);
  assert.equal(live.length, count);
  assert.equal(stayed, (count / 3) * 2);
  for (const [topic, values] of retained) {
    assert.equal(values.length, 1, `${topic} came ${values.length} times as a retained message`);
    assert.ok(values[0] === 'old' || values[0] === 'new', topic);
    assert.ok(!topic.startsWith('r/new/'), 'no news from before the subscription');
  }
  await engine.stop();
});
