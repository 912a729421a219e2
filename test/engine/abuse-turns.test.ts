/** A client that asks for a lot of work with few bytes keeps nobody else waiting until all of it is done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate, type Packet } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';
import { limitsOf } from '../support/limits.js';

const bytes = (packet: Packet): Buffer => generate(packet, { protocolVersion: 5 });
const repeated = (times: number, ...packets: Packet[]): Buffer =>
  Buffer.concat(Array.from({ length: times }, () => Buffer.concat(packets.map(bytes))));
const subscribe = (...filters: string[]): Packet => ({
  cmd: 'subscribe',
  messageId: 1,
  subscriptions: filters.map((topic) => ({ topic, qos: 0 })),
});
const publish = (topic: string): Packet => ({ cmd: 'publish', topic, payload: 'x', qos: 0, retain: false, dup: false });

/** Runs with a client that will misbehave, and one that only sends PINGREQ. */
async function withClients(run: (engine: Engine, client: RawClient, bystander: RawClient) => Promise<void>) {
  const engine = await Engine.create();
  try {
    const client = await engine.connect({ clientId: 'client', protocolVersion: 5 });
    await run(engine, client, await engine.connect({ clientId: 'bystander' }));
  } finally {
    await engine.stop();
  }
}

/** What the counter says when a PINGREQ is answered that was sent right behind the client's chunk. */
async function whenServed(client: RawClient, chunk: Buffer, bystander: RawClient, counter: () => number) {
  client.sendBytes(chunk);
  bystander.send({ cmd: 'pingreq' });
  await bystander.expect('pingresp');
  return counter();
}

test('messages in one chunk that each reach thousands of shared subscriptions', async () => {
  await withClients(async (engine, client, bystander) => {
    client.send(subscribe(...Array.from({ length: 2000 }, (_, i) => `$share/${i}/t`)));
    await client.expect('suback');
    const publisher = await engine.connect({ clientId: 'publisher', protocolVersion: 5 });
    client.stall();
    const { counters } = engine.broker;
    const served = await whenServed(publisher, repeated(200, publish('t')), bystander, () => counters.publishReceived);
    assert.ok(served < 100, `${served} of 200 came first`);
    await publisher.drain();
    assert.equal(counters.publishReceived, 200, 'none is forgotten');
  });
});

test('messages in many chunks of one turn', async () => {
  await withClients(async (engine, client, bystander) => {
    client.send(subscribe(...Array.from({ length: 500 }, (_, i) => `$share/${i}/t`)));
    await client.expect('suback');
    client.stall();
    const publisher = await engine.connect({ clientId: 'publisher', protocolVersion: 5 });
    const { counters } = engine.broker;
    const before = counters.publishReceived;
    const transport = [...engine.broker.connections].find(({ id }) => id === 'publisher')?.transportLayer;
    // As the system hands them over when a client has sent more than one reading takes.
    for (let i = 0; i < 32; i++) transport?.handler?.onData(repeated(8, publish('t')));
    const served = counters.publishReceived - before;
    assert.ok(served < 128, `${served} of 256 came first`);
    bystander.send({ cmd: 'pingreq' });
    await bystander.expect('pingresp');
    await publisher.drain();
    assert.equal(counters.publishReceived - before, 256, 'none is forgotten');
  });
});

test('messages in one chunk for a group of many members, with each strategy', async () => {
  for (const sharedStrategy of ['round_robin', 'least_in_flight', 'sticky', 'topic_hash'] as const) {
    const engine = await Engine.create({ session: { sharedStrategy } });
    const durable = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 100 } } as const;
    for (let i = 0; i < 200; i++) {
      const member = await engine.connect({ clientId: `m${i}`, ...durable });
      await member.subscribe('$share/g/t', 0);
      // Of those that are away none is ready, so that all are looked at.
      await engine.cut(member);
    }
    const publisher = await engine.connect({ clientId: 'publisher', protocolVersion: 5 });
    const bystander = await engine.connect({ clientId: 'bystander' });
    const { counters } = engine.broker;
    const served = await whenServed(publisher, repeated(1000, publish('t')), bystander, () => counters.publishReceived);
    assert.ok(served < 500, `${sharedStrategy}: ${served} of 1000 came first`);
    await publisher.drain();
    assert.equal(counters.publishReceived, 1000);
    await engine.stop();
  }
});

test('subscriptions that make a topic with many of them be matched again and again', async () => {
  await withClients(async (engine, client, bystander) => {
    // All filters of twelve levels `a` or `+`.
    const filters = Array.from({ length: 4096 }, (_, i) =>
      Array.from({ length: 12 }, (_level, bit) => ((i >> bit) & 1 ? '+' : 'a')).join('/'),
    );
    client.send(subscribe(...filters));
    await client.expect('suback');
    const topic = Array.from({ length: 12 }, () => 'a').join('/');
    const { counters } = engine.broker;
    const chunk = repeated(100, subscribe('other/+'), publish(topic));
    const served = await whenServed(client, chunk, bystander, () => counters.publishReceived);
    assert.ok(served < 50, `${served} of 100 came first`);
    while ((await client.next()).cmd !== 'publish');
  });
});

test('a chunk of SUBSCRIBE and UNSUBSCRIBE', async () => {
  await withClients(async (engine, client, bystander) => {
    const { counters } = engine.broker;
    const before = counters.packetsReceived;
    const chunk = repeated(5000, subscribe('#'), { cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['#'] });
    const served = await whenServed(client, chunk, bystander, () => counters.packetsReceived - before);
    assert.ok(served < 8000, `${served} of 10000 packets came first`);
    await client.drain();
    assert.equal(counters.packetsReceived - before, 10_002, 'none is forgotten');
  });
});

test('one SUBSCRIBE with many filters; what stands behind it finds it done', async () => {
  await withClients(async (engine, client, bystander) => {
    const filters = Array.from({ length: 20_000 }, (_, i) => `f/${i}`);
    const chunk = Buffer.concat([bytes(subscribe(...filters)), bytes(publish('f/19999'))]);
    const { counters } = engine.broker;
    const served = await whenServed(client, chunk, bystander, () => counters.subscriptions);
    assert.ok(served < filters.length, `${served} came first`);
    assert.equal((await client.expect('suback')).granted.length, filters.length);
    assert.equal((await client.expect('publish')).topic, 'f/19999');
  });
});

test('filters that look at all retained messages and match none', async () => {
  await withClients(async (engine, client, bystander) => {
    for (let i = 0; i < 20_000; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', retain: true });
    const { work } = engine.broker.router;
    const before = work.done;
    const chunk = bytes(subscribe('+/+/none', '+/+/no', '+/+/nothing'));
    client.stall();
    const served = await whenServed(client, chunk, bystander, () => work.done - before);
    assert.ok(served > 0 && served < 15_000, `${served} steps came first`);
  });
});

test('a filter that stands in a SUBSCRIBE a thousand times is owed its retained messages once', async () => {
  await withClients(async (engine, client) => {
    const count = 2000;
    for (let i = 0; i < count; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', retain: true });
    const { work } = engine.broker.router;
    const before = work.done;
    client.send(subscribe(...Array.from({ length: 1000 }, () => 'r/#')));
    await client.expect('suback');
    const topics = new Set<string>();
    for (let i = 0; i < count; i++) topics.add((await client.expect('publish')).topic);
    assert.equal(topics.size, count);
    assert.deepEqual(await client.drain(), []);
    assert.ok(work.done - before < 100_000, `${work.done - before} steps`);
  });
});

test('retained messages that a session is still owed when its connection ends are queued step by step', async () => {
  const engine = await Engine.create();
  const count = 20_000;
  for (let i = 0; i < count; i++) engine.broker.publish({ topic: `r/${i}`, payload: 'x', qos: 1, retain: true });
  const bystander = await engine.connect({ clientId: 'bystander' });
  const kept = { clientId: 'c', protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 100 } } as const;
  const client = await engine.connect(kept);
  await client.subscribe('r/#', 1);
  const session = engine.broker.sessions.get('c');
  await engine.cut(client);
  bystander.send({ cmd: 'pingreq' });
  await bystander.expect('pingresp');
  assert.ok((session?.load ?? count) < count, 'the bystander was served meanwhile');
  while ((session?.load ?? count) < count) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(session?.load, count);
  await engine.stop();
});

test('one UNSUBSCRIBE with many filters; what stands behind it finds it done', async () => {
  await withClients(async (engine, client, bystander) => {
    const filters = Array.from({ length: 20_000 }, (_, i) => `f/${i}`);
    client.send(subscribe(...filters));
    await client.expect('suback');
    const unsubscribe: Packet = { cmd: 'unsubscribe', messageId: 2, unsubscriptions: filters };
    const chunk = Buffer.concat([bytes(unsubscribe), bytes(publish('f/19999')), bytes({ cmd: 'pingreq' })]);
    const { counters } = engine.broker;
    const served = await whenServed(client, chunk, bystander, () => counters.subscriptions);
    assert.ok(served > 0, 'the bystander was served before the last one was removed');
    assert.equal((await client.expect('unsuback')).granted.length, filters.length);
    await client.expect('pingresp');
  });
});

for (const [name, packet] of [
  ['SUBSCRIBE', subscribe(...Array<string>(1001).fill('f'))],
  ['UNSUBSCRIBE', { cmd: 'unsubscribe', messageId: 1, unsubscriptions: Array<string>(1001).fill('f') }],
] as const) {
  test(`a ${name} with more filters than limits.subscriptions_per_client, and than 1000, ends the connection with 0x97`, async () => {
    const engine = await Engine.create({ session: { subscriptionsPerClient: 10 } });
    const limits = limitsOf(engine);
    const client = await engine.connect({ protocolVersion: 5 });
    client.send(packet);
    assert.equal((await client.expect('disconnect')).reasonCode, 0x97);
    await client.end();
    assert.equal(engine.broker.counters.refusedSubscriptions, 1);
    assert.deepEqual(limits, ['limits.subscriptions_per_client']);
    await engine.stop();
  });
}

test('a SUBSCRIBE of 1000 filters is answered filter by filter, however few the client may have', async () => {
  const engine = await Engine.create({ session: { subscriptionsPerClient: 10 } });
  const client = await engine.connect({ protocolVersion: 5 });
  client.send(subscribe(...Array.from({ length: 1000 }, (_, i) => `f/${i}`)));
  const { granted } = await client.expect('suback');
  assert.deepEqual(granted, [...Array<number>(10).fill(0), ...Array<number>(990).fill(0x97)]);
  await engine.stop();
});

test('messages that many Subscription Identifiers of one client go with', async () => {
  await withClients(async (engine, client, bystander) => {
    for (let i = 0; i < 4096; i++) {
      const filter = Array.from({ length: 12 }, (_, level) => ((i >> level) & 1 ? '+' : 'a')).join('/');
      const properties = { subscriptionIdentifier: 1 + i };
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 0 }], properties });
    }
    await client.drain();
    const publisher = await engine.connect({ clientId: 'publisher', protocolVersion: 5 });
    const { counters } = engine.broker;
    client.stall();
    const chunk = repeated(3000, publish(new Array<string>(12).fill('a').join('/')));
    const before = counters.publishReceived;
    const served = await whenServed(publisher, chunk, bystander, () => counters.publishReceived - before);
    assert.ok(served > 0 && served < 1000, `${served} of 3000 came first`);
    await publisher.drain();
    assert.equal(counters.publishReceived - before, 3000, 'none is forgotten');
  });
});

for (const [name, packet] of [
  ['PUBREC', [0x50, 2, 0, 9]],
  ['PUBREL', [0x62, 2, 0, 9]],
] as const) {
  test(`${name} of messages that nobody knows`, async () => {
    await withClients(async (engine, client, bystander) => {
      const { counters } = engine.broker;
      const before = counters.unknownPacketIds;
      const chunk = Buffer.concat(new Array<Buffer>(100_000).fill(Buffer.from(packet)));
      const served = await whenServed(client, chunk, bystander, () => counters.unknownPacketIds - before);
      assert.ok(served > 0 && served < 50_000, `${served} of 100000 came first`);
      await client.drain();
      assert.equal(counters.unknownPacketIds - before, 100_000, 'none is forgotten');
    });
  });
}

test('many clients together cause no more work in a turn than one; whoever sends little does not wait for them', async () => {
  await withClients(async (engine, _client, bystander) => {
    const { counters } = engine.broker;
    const chunk = Buffer.concat(new Array<Buffer>(10_000).fill(Buffer.from([0x50, 2, 0, 9])));
    const clients: RawClient[] = [];
    for (let i = 0; i < 20; i++) clients.push(await engine.connect({ clientId: `c${i}`, protocolVersion: 5 }));
    for (const client of clients) client.sendBytes(chunk);
    bystander.send({ cmd: 'pingreq' });
    await bystander.expect('pingresp');
    const served = counters.unknownPacketIds;
    assert.ok(served > 0 && served < 60_000, `${served} of 200000 came first`);
    for (const client of clients) await client.drain();
    assert.equal(counters.unknownPacketIds, 200_000, 'none is forgotten');
  });
});
