/** Dropped messages leave the store while others are being sent: nothing that is in flight goes with them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Family } from '../../src/store/keys.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange, Operation } from '../../src/store/store.js';
import { Engine, type RawClient } from '../support/engine.js';

/** A memory store that outlives its broker, and that gives of queues only what a test lets it. */
class SlowQueues extends MemoryStore {
  #gate: Promise<void> | null = null;
  #open = (): void => {};
  #asked = (): void => {};
  #writes: Promise<void> | null = null;

  /** Holds back what is read of queues; resolves when somebody has asked for it. */
  hold(): Promise<void> {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
    return new Promise((resolve) => {
      this.#asked = resolve;
    });
  }

  letGo(): void {
    this.#gate = null;
    this.#open();
  }

  override async *keys(range: KeyRange): AsyncIterable<Buffer> {
    const found: Buffer[] = [];
    for await (const key of super.keys(range)) found.push(key);
    await this.#pass(range.gte);
    yield* found;
  }

  /** Holds back writes until the function that this returns is called. */
  holdWrites(): () => void {
    let release = (): void => {};
    this.#writes = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  override async write(operations: Operation[], sync: boolean): Promise<void> {
    await this.#writes;
    await super.write(operations, sync);
  }

  override async get(key: Buffer): Promise<Buffer | undefined> {
    await this.#pass(key);
    return super.get(key);
  }

  async #pass(key: Buffer): Promise<void> {
    if (this.#gate === null || key[0] !== Family.Queue) return;
    this.#asked();
    await this.#gate;
  }

  override async close(): Promise<void> {}
}

const KEPT = { clientId: 's', clean: false } as const;

async function publish(engine: Engine, from: number, to: number, together: number): Promise<void> {
  for (let i = from; i <= to; i++) {
    engine.broker.publish({ topic: 't', payload: String(i), qos: 1 });
    if (i % together === 0) await engine.broker.commit.settled();
  }
  await engine.broker.commit.settled();
}

async function received(client: RawClient): Promise<string[]> {
  return (await client.drain()).flatMap((packet) => (packet.cmd === 'publish' ? [String(packet.payload)] : []));
}

test('drop_oldest: what is in flight stays in the store while messages behind it are dropped and taken out', async () => {
  const store = new SlowQueues();
  const session = { queuedMessages: 10, queueFull: 'drop_oldest', queueMemory: 1, maxInflight: 3 } as const;
  const engine = await Engine.create({ store, session });
  const first = await engine.connect(KEPT);
  await first.subscribe('t', 1);
  await engine.cut(first);
  await publish(engine, 1, 1100, 10);
  const client = await engine.connect(KEPT);
  assert.deepEqual(await received(client), ['1091', '1092', '1093']);

  const asked = store.hold();
  const { outbound } = engine.broker.sessions.get('s') ?? assert.fail('no session');
  const sweep = outbound.sweep(engine.clock.now());
  await asked;
  // These drop what waits behind the three, in the same segment of the store.
  await publish(engine, 1101, 1110, 10);
  store.letGo();
  await sweep;
  await engine.broker.commit.settled();
  await engine.stop();

  const again = await Engine.create({ store, session: { ...session, maxInflight: 100 } });
  const back = await again.connect(KEPT);
  assert.deepEqual((await received(back)).slice(0, 3), ['1091', '1092', '1093']);
  await again.stop();
});

test('a message that is never acknowledged makes no queue look full after a restart', async () => {
  const store = new SlowQueues();
  const session = { queuedMessages: 10 } as const;
  const engine = await Engine.create({ store, session });
  const client = await engine.connect(KEPT);
  await client.subscribe('t', 1);
  await publish(engine, 1, 100, 1);
  // All but the first.
  for (const packet of await client.drain()) {
    if (packet.cmd === 'publish' && String(packet.payload) !== '1') {
      client.send({ cmd: 'puback', messageId: packet.messageId as number });
    }
  }
  await client.drain();
  await engine.cut(client);
  await engine.stop();

  const again = await Engine.create({ store, session });
  const { outbound } = again.broker.sessions.get('s') ?? assert.fail('no session');
  assert.equal(outbound.waiting, 1);
  await publish(again, 101, 110, 1);
  assert.equal(again.broker.counters.publishDropped, 0);
  const expected = ['1', ...Array.from({ length: 10 }, (_, i) => String(101 + i))];
  const back = await again.connect(KEPT);
  const taken: string[] = [];
  while (taken.length < expected.length) taken.push(String((await back.expect('publish')).payload));
  assert.deepEqual(taken, expected);
  await again.stop();
});

test('drop_oldest: a queue is not dropped because its client comes back', async () => {
  const store = new SlowQueues();
  const session = { queuedMessages: 10, queueFull: 'drop_oldest', queueMemory: 1 } as const;
  const engine = await Engine.create({ store, session });
  const client = await engine.connect(KEPT);
  await client.subscribe('t', 1);
  await publish(engine, 1, 50, 1);
  for (const packet of await client.drain()) {
    if (packet.cmd === 'publish' && String(packet.payload) !== '1') {
      client.send({ cmd: 'puback', messageId: packet.messageId as number });
    }
  }
  await client.drain();
  await engine.cut(client);
  await publish(engine, 51, 60, 1);
  const asked = store.hold();
  const back = await engine.connect(KEPT);
  await asked;
  // What it has not acknowledged is still being read from the store.
  engine.broker.publish({ topic: 't', payload: '61', qos: 1 });
  store.letGo();
  const taken: string[] = [];
  while (taken.at(-1) !== '61') taken.push(String((await back.expect('publish')).payload));
  assert.deepEqual(taken, ['1', ...Array.from({ length: 10 }, (_, i) => String(52 + i))]);
  assert.equal(engine.broker.counters.publishDropped, 1);
  await engine.stop();
});

test('a segment that is acknowledged while it is being read from the store is neither missed nor held', async () => {
  const store = new SlowQueues();
  const engine = await Engine.create({ store });
  const failures: unknown[] = [];
  engine.broker.environment.journal.storeFailed = (error) => failures.push(error);
  const { budget } = engine.broker.environment;
  for (const settles of [false, true]) {
    const client = await engine.connect(KEPT);
    await client.subscribe('t', 1);
    await publish(engine, 1, 1, 1);
    const { messageId } = await client.expect('publish');
    await engine.cut(client);
    const asked = store.hold();
    const back = await engine.connect(KEPT);
    await asked;
    back.send({ cmd: 'puback', messageId: messageId as number });
    await back.drain();
    // With the next commit the store forgets the segment.
    if (settles) await publish(engine, 2, 2, 1);
    store.letGo();
    if (settles) {
      const next = await back.expect('publish');
      back.send({ cmd: 'puback', messageId: next.messageId as number });
    }
    await back.drain();
    await engine.cut(back);
    await engine.broker.commit.settled();
    assert.deepEqual(failures, []);
    assert.deepEqual([budget.used, budget.holders], [0, 0]);
  }
  await engine.stop();
});

test('drop_oldest: what is dropped while it is being written counts as what the store has until it is taken out', async () => {
  const store = new SlowQueues();
  const session = { queuedMessages: 1100, queueFull: 'drop_oldest', queueMemory: 1 } as const;
  const engine = await Engine.create({ store, session });
  const { commit, sessions } = engine.broker;
  const first = await engine.connect(KEPT);
  await first.subscribe('t', 1);
  await engine.cut(first);
  await publish(engine, 1, 1100, 1100);
  const { outbound } = sessions.get('s') ?? assert.fail('no session');
  const flood = (from: number): void => {
    for (let i = 0; i < 1100; i++) engine.broker.publish({ topic: 't', payload: String(from + i), qos: 1 });
  };
  const release = store.holdWrites();
  flood(1101);
  const asked = store.hold();
  // It waits for the group that the second thousand is in.
  const sweep = outbound.sweep(engine.clock.now());
  while (commit.group.participants.length > 0) await new Promise((resolve) => setImmediate(resolve));
  // These drop all of it while it is being written.
  flood(2201);
  release();
  await asked;
  await commit.settled();
  store.letGo();
  await sweep;
  const client = await engine.connect(KEPT);
  const taken: string[] = [];
  while (outbound.waiting + outbound.inFlight > 0) {
    for (const packet of await client.drain()) {
      if (packet.cmd !== 'publish') continue;
      taken.push(String(packet.payload));
      client.send({ cmd: 'puback', messageId: packet.messageId as number });
    }
    await commit.settled();
  }
  assert.equal(taken.length, 1100);
  await engine.stop();
});

for (const qos of [1, 2] as const) {
  test(`drop_oldest: what is in flight is not dropped after a restart either, QoS ${qos} [MQTT-4.4.0-1]`, async () => {
    const store = new SlowQueues();
    const session = { queuedMessages: 5, queueFull: 'drop_oldest', maxInflight: 3 } as const;
    const engine = await Engine.create({ store, session });
    const client = await engine.connect(KEPT);
    await client.subscribe('t', 2);
    const send = async (broker: Engine['broker'], from: number, to: number): Promise<void> => {
      for (let i = from; i <= to; i++) broker.publish({ topic: 't', payload: String(i), qos });
      await broker.commit.settled();
    };
    await send(engine.broker, 1, 3);
    assert.deepEqual(await received(client), ['1', '2', '3']);
    await engine.cut(client);
    await engine.stop();
    const again = await Engine.create({ store, session });
    await send(again.broker, 4, 20);
    assert.deepEqual(await received(await again.connect(KEPT)), ['1', '2', '3']);
    assert.equal(again.broker.counters.publishDropped, 12);
    await again.stop();
  });
}
