/** `limits.memory`: what waits in memory for clients has a common bound, and who holds little goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Holding, MemoryBudget } from '../../src/bus/memory-budget.js';
import { Engine, type RawClient } from '../support/engine.js';

const MIB = 1024 * 1024;

test('holdings: who holds more than half of an even share may not hold more once the limit is reached', () => {
  const budget = new MemoryBudget(1000);
  const [large, small, none] = [new Holding(budget), new Holding(budget), new Holding(budget)];
  large.set(900);
  assert.equal(large.isOver, false);
  small.set(150);
  assert.deepEqual([budget.used, budget.holders], [1050, 2]);
  assert.deepEqual([large.isOver, small.isOver, none.isOver], [true, false, false]);
  small.set(250);
  assert.equal(small.isOver, true);
  large.set(0);
  assert.deepEqual([budget.used, budget.holders, small.isOver], [250, 1, false]);
});

/** Collects log lines of limits. */
function limits(engine: Engine): string[] {
  const options: string[] = [];
  engine.broker.environment.journal.limit = (_, option) => options.push(option);
  return options;
}

async function deaf(engine: Engine, id: string, qos: 0 | 1 | 2): Promise<RawClient> {
  const client = await engine.connect({ clientId: id });
  await client.subscribe('flood', qos);
  client.stall();
  return client;
}

for (const qos of [0, 1, 2] as const) {
  test(`twenty clean sessions that do not read hold no more than half as much again as limits.memory, QoS ${qos}`, async () => {
    const engine = await Engine.create({ session: { memory: 8 * MIB } });
    const told = limits(engine);
    for (let i = 0; i < 20; i++) await deaf(engine, `deaf${i}`, qos);
    const reader = await engine.connect({ clientId: 'reader' });
    await reader.subscribe('other', 1);
    const payload = Buffer.alloc(200_000);
    for (let i = 0; i < 120; i++) {
      engine.broker.publish({ topic: 'flood', payload, qos });
      engine.broker.environment.flusher.flush();
      assert.ok(engine.broker.environment.budget.used <= 12 * MIB + 20 * 2 * payload.length, `message ${i}`);
      // Who takes what it gets is not held up, nor does it lose any.
      engine.broker.publish({ topic: 'other', payload: String(i), qos: 1 });
      const { messageId, payload: got } = await reader.expect('publish');
      assert.equal(String(got), String(i));
      reader.send({ cmd: 'puback', messageId: messageId as number });
    }
    assert.ok(engine.broker.counters.droppedMemory > 0);
    assert.ok(told.includes('limits.memory'));
    await engine.stop();
    assert.deepEqual([engine.broker.environment.budget.used, engine.broker.environment.budget.holders], [0, 0]);
  });
}

test('the messages of a durable session wait in the store when memory is used up, and none is lost', async () => {
  const engine = await Engine.create({ session: { memory: MIB, maxInflight: 1 } });
  for (let i = 0; i < 4; i++) await deaf(engine, `deaf${i}`, 1);
  const options = { clientId: 's', clean: false } as const;
  const client = await engine.connect(options);
  await client.subscribe('flood', 1);
  for (let i = 0; i < 60; i++) {
    engine.broker.publish({ topic: 'flood', payload: Buffer.alloc(50_000, i), qos: 1 });
    await engine.broker.commit.settled();
  }
  assert.ok(engine.broker.environment.budget.exceeded);
  for (let i = 0; i < 60; i++) {
    const { payload, messageId } = await client.expect('publish');
    assert.equal((payload as Buffer)[0], i);
    client.send({ cmd: 'puback', messageId: messageId as number });
  }
  await engine.stop();
});

test('a client that reads again gives back what it held', async () => {
  const engine = await Engine.create({ session: { outputBuffer: 50_000 } });
  const client = await engine.connect({ clientId: 'slow' });
  await client.subscribe('flood', 1);
  const { budget } = engine.broker.environment;
  for (let i = 0; i < 30; i++) engine.broker.publish({ topic: 'flood', payload: Buffer.alloc(20_000), qos: 1 });
  engine.broker.environment.flusher.flush();
  assert.ok(budget.used > 100_000, `${budget.used}`);
  for (let i = 0; i < 30; i++) {
    const { messageId } = await client.expect('publish');
    client.send({ cmd: 'puback', messageId: messageId as number });
  }
  await client.drain();
  assert.deepEqual([budget.used, budget.holders], [0, 0]);
  await engine.stop();
});

for (const qos of [0, 1] as const) {
  test(`QoS ${qos}: many clients with nothing waiting do not get more than limits.memory by one large message`, async () => {
    const engine = await Engine.create({ session: { memory: 4 * MIB } });
    const { budget } = engine.broker.environment;
    const { counters } = engine.broker;
    for (let i = 0; i < 40; i++) {
      const client = await engine.connect({ clientId: `c${i}` });
      await client.subscribe('t', qos);
      client.stall();
    }
    engine.broker.publish({ topic: 't', payload: Buffer.alloc(MIB / 2), qos });
    assert.ok(budget.used <= 6.5 * MIB, `${budget.used}`);
    assert.ok(counters.droppedMemory >= 28, `${counters.droppedMemory}`);
    assert.equal(counters.publishDropped, counters.droppedMemory);
    await engine.stop();
  });
}
