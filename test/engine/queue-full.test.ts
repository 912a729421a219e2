/** What happens at the limits of a queue: `limits.queued_messages`, `queued_bytes`, `queue_full`, `queue_age`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BrokerOptions } from '../../src/broker.js';
import { Family, familyRange } from '../../src/store/keys.js';
import type { MemoryStore } from '../../src/store/memory-store.js';
import { Engine, type RawClient } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';
import { limitsOf } from '../support/limits.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

type Limits = NonNullable<BrokerOptions['session']>;

const KEPT = { clientId: 's', clean: false } as const;

async function absent(session: Limits, store = new LastingStore()): Promise<Engine> {
  const engine = await Engine.create({ store, session });
  const client = await engine.connect(KEPT);
  await client.subscribe('t', 2);
  await engine.cut(client);
  return engine;
}

async function publish(engine: Engine, from: number, to: number, together = 1): Promise<void> {
  for (let i = from; i <= to; i++) {
    engine.broker.publish({ topic: 't', payload: String(i), qos: 1 });
    if (i % together === 0) await engine.broker.commit.settled();
  }
  await engine.broker.commit.settled();
}

/** Takes everything that is there for a client, acknowledging it. */
async function takeAll(engine: Engine, client: RawClient): Promise<string[]> {
  const taken: string[] = [];
  for (;;) {
    const packets = await client.drain();
    for (const packet of packets) {
      if (packet.cmd === 'publish') {
        taken.push(String(packet.payload));
        assert.ok(packet.messageId);
        client.send({ cmd: 'puback', messageId: packet.messageId });
      }
    }
    await engine.broker.commit.settled();
    const session = engine.broker.sessions.get(KEPT.clientId);
    assert.ok(session);
    if (packets.length === 0 && session.outbound.waiting === 0 && session.outbound.inFlight === 0) return taken;
  }
}

async function storedSegments(store: MemoryStore): Promise<number> {
  let count = 0;
  for await (const _ of store.keys(familyRange(Family.Queue))) count++;
  return count;
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => String(from + i));
}

for (const together of [1, 7, 1000]) {
  test(`drop_newest: a full queue keeps what came first, ${together} in a commit`, async () => {
    const engine = await absent({ queuedMessages: 10 });
    await publish(engine, 1, 100, together);
    assert.deepEqual(await takeAll(engine, await engine.connect(KEPT)), numbers(1, 10));
    assert.equal(engine.broker.counters.droppedQueueFull, 90);
    assert.equal(engine.broker.counters.publishDropped, 90);
    await engine.stop();
  });

  for (const queueMemory of [1, 1_000_000]) {
    test(`drop_oldest: a full queue keeps what came last, ${together} in a commit, memory ${queueMemory} B`, async () => {
      const engine = await absent({ queuedMessages: 10, queueFull: 'drop_oldest', queueMemory });
      await publish(engine, 1, 100, together);
      assert.deepEqual(await takeAll(engine, await engine.connect(KEPT)), numbers(91, 100));
      assert.equal(engine.broker.counters.droppedQueueFull, 90);
      await engine.stop();
    });
  }
}

test('drop_oldest: messages in flight are not dropped, and come again after a reconnection', async () => {
  const engine = await absent({ queuedMessages: 10, queueFull: 'drop_oldest', maxInflight: 3 });
  const client = await engine.connect(KEPT);
  await publish(engine, 1, 100);
  assert.deepEqual(
    (await client.drain()).map((packet) => packet.cmd === 'publish' && String(packet.payload)),
    numbers(1, 3),
  );
  await publish(engine, 101, 110);
  await engine.cut(client);
  await publish(engine, 111, 120);
  const again = await takeAll(engine, await engine.connect(KEPT));
  assert.deepEqual(again, [...numbers(1, 3), ...numbers(111, 120)]);
  assert.equal(engine.broker.counters.droppedQueueFull, 107);
  await engine.stop();
});

test('drop_oldest: queued_bytes makes room for a large message by as many as it needs', async () => {
  const engine = await absent({ queuedBytes: 2000, queueFull: 'drop_oldest' });
  const limits = limitsOf(engine);
  await publish(engine, 1, 500);
  const taken = await takeAll(engine, await engine.connect(KEPT));
  assert.equal(taken.at(-1), '500');
  assert.deepEqual(taken, numbers(501 - taken.length, 500));
  assert.ok(taken.length > 50 && taken.length < 200, `${taken.length} messages of about 15 bytes in 2,000`);
  assert.equal(engine.broker.counters.droppedQueueFull, 500 - taken.length);
  assert.deepEqual(limits, new Array(500 - taken.length).fill('limits.queued_bytes'));
  await engine.stop();
});

test('drop_oldest: what was dropped leaves the store while the client is away', async () => {
  const store = new LastingStore();
  const engine = await absent({ queuedMessages: 10, queueFull: 'drop_oldest', queueMemory: 1 }, store);
  await publish(engine, 1, 1500);
  assert.equal(await storedSegments(store), 1500);
  engine.clock.advance(1);
  engine.broker.tick();
  const session = engine.broker.sessions.get(KEPT.clientId);
  await session?.outbound.sweep(engine.clock.now());
  while ((await storedSegments(store)) > 10) await engine.broker.commit.settled();
  assert.deepEqual(await takeAll(engine, await engine.connect(KEPT)), numbers(1491, 1500));
  await engine.stop();
  assert.equal(await storedSegments(store), 0);
});

test('drop_oldest: what was dropped stays dropped after a restart, and the queue takes as many as before', async () => {
  const store = new LastingStore();
  const limits = { queuedMessages: 10, queueFull: 'drop_oldest', maxInflight: 3 } as const;
  const engine = await absent(limits, store);
  const client = await engine.connect(KEPT);
  await publish(engine, 1, 3);
  await client.drain();
  await engine.cut(client);
  await publish(engine, 4, 100);
  await engine.stop();
  const restarted = await Engine.create({ store, session: limits });
  const session = restarted.broker.sessions.get(KEPT.clientId);
  assert.equal(session?.outbound.waiting, 13, 'three that were in flight, ten that wait');
  await publish(restarted, 101, 102);
  const taken = await takeAll(restarted, await restarted.connect(KEPT));
  assert.deepEqual(taken, [...numbers(1, 3), ...numbers(93, 102)]);
  await restarted.stop();
});

test('drop_oldest: a client that does not acknowledge does not stop it from dropping', async () => {
  const engine = await absent({ queuedMessages: 5, queueFull: 'drop_oldest', maxInflight: 2 });
  const client = await engine.connect(KEPT);
  await publish(engine, 1, 2);
  await client.drain();
  await publish(engine, 3, 70_000, 1000);
  await engine.cut(client);
  const taken = await takeAll(engine, await engine.connect(KEPT));
  assert.deepEqual(taken, ['1', '2', ...numbers(69_996, 70_000)]);
  await engine.stop();
});

test('queue_age: a message that has waited too long is dropped, counted and leaves the store', async () => {
  for (const queueMemory of [1, 1_000_000]) {
    const store = new LastingStore();
    const engine = await absent({ queueAge: 60, queueMemory }, store);
    const limits = limitsOf(engine);
    await publish(engine, 1, 5);
    engine.clock.advance(59);
    await publish(engine, 6, 8);
    engine.clock.advance(2);
    engine.broker.tick();
    const session = engine.broker.sessions.get(KEPT.clientId);
    while ((await storedSegments(store)) > 3) await engine.broker.commit.settled();
    assert.equal(session?.outbound.waiting, 3);
    assert.equal(engine.broker.counters.droppedAged, 5);
    assert.equal(engine.broker.counters.droppedExpired, 0);
    assert.deepEqual(new Set(limits), new Set(['limits.queue_age']));
    assert.deepEqual(await takeAll(engine, await engine.connect(KEPT)), numbers(6, 8));
    await engine.stop();
  }
});

test('queue_age: it does not shorten the Message Expiry Interval that the client is told [MQTT-3.3.2-6]', async () => {
  const engine = await Engine.create({ session: { queueAge: 60 } });
  const options = { ...KEPT, protocolVersion: 5, properties: { sessionExpiryInterval: 1000 } } as const;
  const first = await engine.connect(options);
  await first.subscribe('t', 1);
  await engine.cut(first);
  engine.broker.publish({ topic: 't', payload: 'x', qos: 1, properties: { messageExpiryInterval: 500 } });
  await engine.broker.commit.settled();
  engine.clock.advance(10);
  const second = await engine.connect(options);
  const packet = await second.expect('publish');
  assert.equal(packet.properties?.messageExpiryInterval, 490);
  await engine.stop();
});

test('queue_age: a message in flight is sent again however old it is [MQTT-4.4.0-1]', async () => {
  const engine = await absent({ queueAge: 60 });
  const first = await engine.connect(KEPT);
  await publish(engine, 1, 1);
  await first.expect('publish');
  await engine.cut(first);
  engine.clock.advance(100);
  engine.broker.tick();
  await engine.broker.commit.settled();
  const second = await engine.connect(KEPT);
  assert.equal((await second.expect('publish')).dup, true);
  await engine.stop();
});

test('the queue of an absent client takes no memory', async () => {
  const engine = await absent({});
  const client = await engine.connect(KEPT);
  client.stall();
  await publish(engine, 1, 2000, 50);
  await engine.cut(client);
  await publish(engine, 2001, 3000, 50);
  assert.equal(engine.broker.environment.budget.used, 0);
  assert.equal(engine.broker.environment.budget.holders, 0);
  assert.deepEqual(await takeAll(engine, await engine.connect(KEPT)), numbers(1, 3000));
  assert.equal(engine.broker.environment.budget.used, 0);
  await engine.stop();
});

test('session_expiry_default: how long MQTT 3.1.1 sessions are kept', async () => {
  const engine = await Engine.create({ session: { sessionExpiryDefault: 100 } });
  const limits = limitsOf(engine);
  const old = await engine.connect({ clientId: 'old', clean: false });
  const options = { clientId: 'new', clean: false, protocolVersion: 5, properties: { sessionExpiryInterval: 300 } };
  const young = await engine.connect(options as Parameters<typeof engine.connect>[0]);
  await engine.cut(old);
  await engine.cut(young);
  engine.clock.advance(101);
  engine.broker.tick();
  assert.equal(engine.broker.sessions.get('old'), undefined);
  assert.notEqual(engine.broker.sessions.get('new'), undefined);
  assert.deepEqual(limits, ['mqtt.session_expiry_default']);
  engine.clock.advance(200);
  engine.broker.tick();
  assert.equal(engine.broker.sessions.get('new'), undefined);
  assert.equal(limits.length, 1, 'its client has chosen that time');
  await engine.stop();
});

for (const seed of seeds(60)) {
  test(`drop_oldest in random traffic: the newest are delivered, in order, and the rest is counted, seed ${seed}`, async () => {
    const chance = new Random(seed);
    const random = (below: number): number => chance.below(below);
    const store = new LastingStore();
    const limits: Limits = {
      queuedMessages: 1 + random(20),
      queueFull: 'drop_oldest',
      queueMemory: 1 + random(400),
      maxInflight: 1 + random(5),
    };
    let engine = await absent(limits, store);
    let client: RawClient | null = null;
    let published = 0;
    let dropped = 0;
    const taken: number[] = [];
    const acknowledge = async (from: RawClient): Promise<void> => {
      for (const packet of await from.drain()) {
        if (packet.cmd !== 'publish') continue;
        taken.push(Number(packet.payload));
        if (packet.messageId && random(3) > 0) from.send({ cmd: 'puback', messageId: packet.messageId });
      }
    };
    for (let step = 0; step < 60; step++) {
      const what = random(10);
      if (what < 6) {
        const count = 1 + random(30);
        await publish(engine, published + 1, published + count, 1 + random(10));
        published += count;
      } else if (what < 8) {
        if (client === null) client = await engine.connect(KEPT);
        await acknowledge(client);
      } else if (what === 8 && client !== null) {
        await engine.cut(client);
        client = null;
      } else {
        engine.clock.advance(11);
        engine.broker.tick();
        await engine.broker.sessions.get(KEPT.clientId)?.outbound.sweep(engine.clock.now());
      }
    }
    if (client !== null) await engine.cut(client);
    dropped += engine.broker.counters.droppedQueueFull;
    if (seed % 2 === 0) {
      await engine.stop();
      engine = await Engine.create({ store, session: limits });
    }
    taken.push(...(await takeAll(engine, await engine.connect(KEPT))).map(Number));
    const distinct = new Set(taken);
    assert.equal(distinct.size + dropped, published, 'each message was delivered or counted as dropped');
    const firsts = [...distinct];
    assert.deepEqual(
      firsts,
      firsts.toSorted((a, b) => a - b),
      'the first deliveries are in order',
    );
    for (let i = Math.max(1, published - (limits.queuedMessages as number) + 1); i <= published; i++) {
      assert.ok(distinct.has(i), `${i} of ${published} was among the newest`);
    }
    await engine.stop();
  });
}
