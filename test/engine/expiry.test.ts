/** Message Expiry Interval: MQTT 5.0 3.3.2.3.3. What has expired is not sent, and does not stay. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Family, familyRange } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { Store } from '../../src/store/store.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine, type RawClient } from '../support/engine.js';

const KEPT = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 10_000 } } as const;

class LastingStore extends MemoryStore {
  /** Called before each value is read. */
  beforeGet: (() => Promise<void>) | null = null;

  override async get(key: Buffer): Promise<Buffer | undefined> {
    const value = await super.get(key);
    await this.beforeGet?.();
    return value;
  }

  override async close(): Promise<void> {}
}

async function count(store: Store, family: number): Promise<number> {
  let keys = 0;
  for await (const _ of store.keys(familyRange(family))) keys++;
  return keys;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** Publishes, each message in a commit of its own, so that each is a segment of its own. */
async function queue(engine: Engine, expiries: readonly number[], together = false): Promise<void> {
  for (const [i, messageExpiryInterval] of expiries.entries()) {
    const properties = messageExpiryInterval > 0 ? { messageExpiryInterval } : {};
    engine.broker.publish({ topic: 't', payload: `${i}:${messageExpiryInterval}`, qos: 1, properties });
    if (!together) await engine.broker.commit.settled();
  }
  await engine.broker.commit.settled();
}

async function absent(engine: Engine): Promise<void> {
  const client = await engine.connect({ clientId: 's', ...KEPT });
  await client.subscribe('t', 1);
  await engine.cut(client);
  await engine.broker.commit.settled();
}

async function payloads(client: RawClient): Promise<string[]> {
  const taken: string[] = [];
  for (;;) {
    const packets = await client.drain();
    if (packets.length === 0) return taken;
    for (const packet of packets) {
      if (packet.cmd !== 'publish') continue;
      taken.push(String(packet.payload));
      client.send({ cmd: 'puback', messageId: packet.messageId as number });
    }
  }
}

test('the remaining time goes out, with live, queued and retained messages and wills [MQTT-3.3.2-6]', async () => {
  const engine = await Engine.create();
  await absent(engine);
  const live = await engine.connect({ clientId: 'live', protocolVersion: 5 });
  await live.subscribe('t', 1);
  engine.broker.publish({
    topic: 't',
    payload: 'x',
    qos: 1,
    retain: true,
    properties: { messageExpiryInterval: 100 },
  });
  assert.equal((await live.expect('publish')).properties?.messageExpiryInterval, 100);
  engine.pass(40);
  const back = await engine.connect({ clientId: 's', ...KEPT });
  assert.equal((await back.expect('publish')).properties?.messageExpiryInterval, 60);
  const late = await engine.connect({ clientId: 'late', protocolVersion: 5 });
  await late.subscribe('t', 1);
  assert.equal((await late.expect('publish')).properties?.messageExpiryInterval, 60);
  await engine.stop();
});

test('an expired retained message leaves the store without anyone subscribing, also after a restart', async () => {
  const store = new LastingStore();
  const engine = await Engine.create({ store });
  for (const [topic, messageExpiryInterval] of [
    ['a', 10],
    ['b', 20],
    ['c', 0],
  ] as const) {
    const properties = messageExpiryInterval > 0 ? { messageExpiryInterval } : {};
    engine.broker.publish({ topic, payload: 'x', retain: true, properties });
  }
  // A later message with a longer life takes the place of the first.
  engine.broker.publish({ topic: 'a', payload: 'y', retain: true, properties: { messageExpiryInterval: 15 } });
  await engine.broker.commit.settled();
  engine.pass(11);
  await engine.broker.commit.settled();
  assert.equal(await count(store, Family.Retained), 3);
  engine.pass(5);
  await engine.broker.commit.settled();
  assert.equal(await count(store, Family.Retained), 2);
  await engine.stop();
  const restarted = await Engine.create({ store });
  restarted.pass(16 + 5);
  await restarted.broker.commit.settled();
  assert.equal(await count(store, Family.Retained), 1);
  assert.equal(restarted.broker.router.retained.count, 1);
  assert.equal(restarted.broker.counters.retainedExpired, 1);
  await restarted.stop();
});

test('topics that come and go leave nothing behind in the list of expiries', async () => {
  const engine = await Engine.create();
  const { retained } = engine.broker.router;
  for (let i = 0; i < 5000; i++) {
    engine.broker.publish({ topic: 'a', payload: 'x', retain: true, properties: { messageExpiryInterval: 1000 } });
    engine.broker.publish({ topic: 'a', payload: '', retain: true });
  }
  assert.ok(retained.expiries <= 1100, `${retained.expiries}`);
  await engine.stop();
});

for (const together of [false, true]) {
  const how = together ? 'in one segment' : 'in segments of their own';
  for (const queueMemory of [1, 1_000_000]) {
    test(`expired messages ${how} leave the store while their client is away, memory ${queueMemory} B [MQTT-3.3.2-5]`, async () => {
      const store = new LastingStore();
      const engine = await Engine.create({ store, session: { queueMemory } });
      await absent(engine);
      await queue(engine, [30, 0, 5000, 30, 30, 0, 60, 30], together);
      const { outbound } = engine.broker.sessions.get('s') as { outbound: { waiting: number; waitingBytes: number } };
      const bytes = outbound.waitingBytes;
      engine.pass(31);
      await until(() => outbound.waiting === 4);
      await engine.broker.commit.settled();
      assert.ok(outbound.waitingBytes < bytes);
      assert.equal(await count(store, Family.Queue), together ? 2 : 4);
      assert.equal(engine.broker.counters.droppedExpired, 4);
      await engine.stop();

      const restarted = await Engine.create({ store, session: { queueMemory } });
      restarted.clock.advance(31);
      const again = restarted.broker.sessions.get('s')?.outbound;
      assert.equal(again?.waiting, 4);
      restarted.pass(40);
      await until(() => again?.waiting === 3);
      const client = await restarted.connect({ clientId: 's', ...KEPT });
      assert.deepEqual(await payloads(client), ['1:0', '2:5000', '5:0']);
      assert.equal(again?.waiting, 0);
      assert.equal(restarted.broker.counters.droppedExpired, 1);
      await restarted.broker.commit.settled();
      await restarted.stop();
      assert.equal(await count(store, Family.Queue), 0);
    });
  }
}

test('what has expired makes room under limits.queued_messages', async () => {
  const engine = await Engine.create({ session: { queuedMessages: 3 } });
  await absent(engine);
  await queue(engine, [10, 10, 0]);
  const outbound = engine.broker.sessions.get('s')?.outbound;
  engine.pass(12);
  await until(() => outbound?.waiting === 1);
  await queue(engine, [0, 0, 0]);
  assert.equal(outbound?.waiting, 3);
  assert.equal(engine.broker.counters.droppedQueueFull, 1);
  const client = await engine.connect({ clientId: 's', ...KEPT });
  assert.deepEqual(await payloads(client), ['2:0', '0:0', '1:0']);
  await engine.stop();
});

test('a message that has been sent is sent again, expired or not: its delivery has begun', async () => {
  const engine = await Engine.create();
  const client = await engine.connect({ clientId: 's', ...KEPT });
  await client.subscribe('t', 1);
  await queue(engine, [10]);
  await client.expect('publish');
  await engine.cut(client);
  await queue(engine, [10]);
  engine.pass(30);
  await until(() => engine.broker.counters.droppedExpired === 1);
  const back = await engine.connect({ clientId: 's', ...KEPT });
  const { dup, properties } = await back.expect('publish');
  assert.deepEqual([dup, properties?.messageExpiryInterval], [true, 0]);
  assert.deepEqual(await payloads(back), []);
  await engine.stop();
});

test('a client that comes back while its queue is being looked through gets all that has not expired', async () => {
  const store = new LastingStore();
  const engine = await Engine.create({ store, session: { queueMemory: 1 } });
  await absent(engine);
  await queue(engine, [30, 0, 30, 0, 30, 30, 0]);
  let reached: () => void = () => {};
  let goOn: () => void = () => {};
  const arrived = new Promise<void>((resolve) => {
    reached = resolve;
  });
  let reads = 0;
  store.beforeGet = async () => {
    if (++reads !== 2) return;
    reached();
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
  };
  engine.pass(31);
  await arrived;
  const client = await engine.connect({ clientId: 's', ...KEPT });
  await queue(engine, [0]);
  goOn();
  store.beforeGet = null;
  const taken: string[] = [];
  while (taken.length < 4) {
    const { payload, messageId } = await client.expect('publish');
    taken.push(String(payload));
    client.send({ cmd: 'puback', messageId: messageId as number });
  }
  assert.deepEqual(taken, ['1:0', '3:0', '6:0', '0:0']);
  assert.deepEqual(await payloads(client), []);
  assert.equal(engine.broker.counters.droppedExpired, 4);
  await engine.broker.commit.settled();
  await engine.stop();
  assert.equal(await count(store, Family.Queue), 0);
});

/** Holds up a broker's `reads`-th read of a value from now on; resolves once it has come to it. */
function holdUp(store: LastingStore, reads: number): { reached: Promise<void>; goOn: (error?: Error) => void } {
  let left = reads;
  let reached: () => void = () => {};
  let goOn: (error?: Error) => void = () => {};
  const released = new Promise<void>((resolve, reject) => {
    goOn = (error) => (error === undefined ? resolve() : reject(error));
  });
  const arrived = new Promise<void>((resolve) => {
    reached = resolve;
  });
  store.beforeGet = async () => {
    if (--left > 0) return;
    store.beforeGet = null;
    reached();
    await released;
  };
  return { reached: arrived, goOn };
}

test('a client that comes back in the middle of a look for expired messages is not left waiting, nor its count wrong', async () => {
  const store = new LastingStore();
  const engine = await Engine.create({ store });
  await absent(engine);
  await queue(engine, [30, 30, 30]);
  await queue(engine, [30, 0], true);
  const outbound = engine.broker.sessions.get('s')?.outbound;
  // The first three are gone, and the next segment is being read.
  const { reached, goOn } = holdUp(store, 4);
  engine.pass(31);
  await reached;
  const client = await engine.connect({
    clientId: 's',
    ...KEPT,
    properties: { ...KEPT.properties, receiveMaximum: 1 },
  });
  // What waits for an absent client is in the store alone: it is read once the look has ended.
  goOn();
  const first = await client.expect('publish');
  assert.equal(String(first.payload), '1:0');
  await queue(engine, [0, 0]);
  assert.equal(outbound?.waiting, 2);
  client.send({ cmd: 'puback', messageId: first.messageId as number });
  assert.deepEqual(await payloads(client), ['0:0', '1:0']);
  assert.deepEqual([outbound?.waiting, outbound?.waitingBytes], [0, 0]);
  await engine.stop();
});

test('a look for expired messages that the store breaks off is made again, and holds up nobody', async () => {
  const store = new LastingStore();
  const engine = await Engine.create({ store, session: { queueMemory: 1 } });
  await absent(engine);
  await queue(engine, [30, 30, 30, 0]);
  const outbound = engine.broker.sessions.get('s')?.outbound;
  const first = holdUp(store, 2);
  engine.pass(31);
  await first.reached;
  first.goOn(new Error('the disk does not answer'));
  await until(() => engine.broker.counters.droppedExpired === 1);
  assert.equal(outbound?.waiting, 3);
  const second = holdUp(store, 2);
  engine.pass(31);
  await second.reached;
  assert.equal(outbound?.waiting, 2);
  const client = await engine.connect({ clientId: 's', ...KEPT });
  second.goOn(new Error('the disk does not answer'));
  const { payload, messageId } = await client.expect('publish');
  assert.equal(String(payload), '3:0');
  client.send({ cmd: 'puback', messageId: messageId as number });
  assert.deepEqual(await payloads(client), []);
  assert.equal(engine.broker.counters.droppedExpired, 3);
  await engine.stop();
});

test('a message that was not stored yet when its queue was looked through leaves the store all the same', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  await absent(engine);
  await queue(engine, [30]);
  engine.clock.advance(31);
  store.hold();
  engine.broker.publish({ topic: 't', payload: 'late', qos: 1, properties: { messageExpiryInterval: 5 } });
  await store.arrived(store.writes.length + 1);
  engine.broker.tick();
  for (let i = 0; i < 10; i++) await turn();
  store.letGo();
  await until(() => engine.broker.counters.droppedExpired === 1);
  engine.pass(11);
  await until(() => engine.broker.counters.droppedExpired === 2);
  await engine.broker.commit.settled();
  assert.equal(await count(store, Family.Queue), 0);
  await engine.stop();
});

for (const qos of [1, 2] as const) {
  test(`QoS ${qos}: a message that has been sent is sent again also after a restart, expired or not [MQTT-4.3.3-7]`, async () => {
    const store = new LastingStore();
    const engine = await Engine.create({ store });
    const client = await engine.connect({ clientId: 's', ...KEPT });
    await client.subscribe('t', qos);
    const publish = (payload: string): void => {
      engine.broker.publish({ topic: 't', payload, qos, properties: { messageExpiryInterval: 10 } });
    };
    publish('sent');
    await client.expect('publish');
    await engine.cut(client);
    publish('waiting');
    await engine.broker.commit.settled();
    await engine.stop();
    const restarted = await Engine.create({ store });
    restarted.pass(30);
    await until(() => restarted.broker.counters.droppedExpired === 1);
    const back = await restarted.connect({ clientId: 's', ...KEPT });
    const { dup, payload } = await back.expect('publish');
    assert.deepEqual([dup, String(payload)], [true, 'sent']);
    assert.deepEqual(await payloads(back), []);
    await restarted.stop();
  });
}

test('after a crash, a QoS 2 message that may have been sent is not taken back [MQTT-4.3.3-7]', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const client = await engine.connect({ clientId: 's', ...KEPT });
  await client.subscribe('t', 2);
  engine.broker.publish({ topic: 't', payload: 'x', qos: 2, properties: { messageExpiryInterval: 10 } });
  await client.expect('publish');
  const restarted = await Engine.create({ store: store.afterCrash() });
  restarted.pass(30);
  restarted.pass(30);
  await restarted.broker.commit.settled();
  const back = await restarted.connect({ clientId: 's', ...KEPT });
  assert.equal(String((await back.expect('publish')).payload), 'x');
  await restarted.stop();
  await engine.stop();
});
