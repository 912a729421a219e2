/** What a queue keeps of odd messages, and what it does when the store does not give them back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange } from '../../src/store/store.js';
import { Output } from '../../src/wire/output.js';
import { Engine } from '../support/engine.js';

/** A memory store that outlives its broker, whose reads fail as often as a test says. */
class FailingStore extends MemoryStore {
  failures = 0;

  override async get(key: Buffer): Promise<Buffer | undefined> {
    if (this.failures > 0) {
      this.failures--;
      throw new Error('the disk does not answer');
    }
    return await super.get(key);
  }

  override async *entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    if (this.failures > 0) {
      this.failures--;
      throw new Error('the disk does not answer');
    }
    yield* super.entries(range);
  }

  override async close(): Promise<void> {}
}

test('a queued message keeps more than 255 Subscription Identifiers [MQTT-3.3.4-4]', async () => {
  const engine = await Engine.create();
  const options = {
    clientId: 's',
    protocolVersion: 5,
    clean: false,
    properties: { sessionExpiryInterval: 100 },
  } as const;
  const first = await engine.connect(options);
  const levels = 9;
  const filters = new Array(300)
    .fill('')
    .map((_, i) => Array.from({ length: levels }, (_, level) => ((i >> level) & 1 ? '+' : 'x')).join('/'));
  for (const [i, topic] of filters.entries()) {
    first.send({
      cmd: 'subscribe',
      messageId: i + 1,
      subscriptions: [{ topic, qos: 1 }],
      properties: { subscriptionIdentifier: i + 1 },
    });
    await first.expect('suback');
  }
  await engine.cut(first);
  const topic = new Array(levels).fill('x').join('/');
  engine.broker.publish({ topic, payload: 'whole', qos: 1 });
  const second = await engine.connect(options);
  const packet = await second.expect('publish');
  assert.equal(packet.topic, topic);
  assert.equal(String(packet.payload), 'whole');
  const identifiers = [packet.properties?.subscriptionIdentifier ?? []].flat();
  assert.deepEqual(
    identifiers.sort((a, b) => a - b),
    filters.map((_, i) => i + 1),
  );
  await engine.stop();
});

test('records that came from the store are not written over', async () => {
  const engine = await Engine.create({ session: { queueMemory: 1 } });
  const first = await engine.connect({ clientId: 's', clean: false });
  await first.subscribe('t', 1);
  await engine.cut(first);
  // A segment of exactly the size of a pooled buffer: version, record head, topic and payload.
  const payload = Buffer.alloc(4096 - 1 - 11 - 1, 'a');
  for (let i = 0; i < 2; i++) {
    engine.broker.publish({ topic: 't', payload, qos: 1 });
    await engine.broker.commit.settled();
  }
  const second = await engine.connect({ clientId: 's', clean: false });
  for (let i = 0; i < 2; i++) assert.deepEqual((await second.expect('publish')).payload, payload);
  await engine.cut(second);
  for (let i = 0; i < 8; i++) {
    const other = new Output();
    other.reserve(4096);
    other.buffer.fill(0xff);
  }
  const third = await engine.connect({ clientId: 's', clean: false });
  for (let i = 0; i < 2; i++) assert.deepEqual((await third.expect('publish')).payload, payload);
  await engine.stop();
});

test('a queue that the store did not give at first is read again', async () => {
  const store = new FailingStore();
  const engine = await Engine.create({ store, session: { queueMemory: 1 } });
  const first = await engine.connect({ clientId: 's', clean: false });
  await first.subscribe('t', 1);
  await engine.cut(first);
  for (const payload of ['1', '2']) {
    engine.broker.publish({ topic: 't', payload, qos: 1 });
    await engine.broker.commit.settled();
  }
  store.failures = 2;
  const second = await engine.connect({ clientId: 's', clean: false });
  for (const expected of ['1', '2']) assert.equal(String((await second.expect('publish')).payload), expected);
  await engine.cut(second);
  store.failures = 2;
  const third = await engine.connect({ clientId: 's', clean: false });
  for (const expected of ['1', '2']) assert.equal(String((await third.expect('publish')).payload), expected);
  await engine.stop();
});

test('a damaged segment is left out and reported; what was queued after it arrives', async () => {
  const store = new FailingStore();
  const engine = await Engine.create({ store, session: { queueMemory: 1 } });
  const first = await engine.connect({ clientId: 's', clean: false });
  await first.subscribe('t', 1);
  await engine.cut(first);
  for (const payload of ['1', '2', '3', '4']) {
    engine.broker.publish({ topic: 't', payload, qos: 1 });
    await engine.broker.commit.settled();
  }
  await engine.stop();
  const keys: Buffer[] = [];
  for await (const key of store.keys({ gte: Buffer.from([0x23]), lt: Buffer.from([0x24]) })) keys.push(key);
  assert.equal(keys.length, 4);
  const torn = Buffer.alloc(12, 0xff);
  torn[0] = 1;
  await store.write(
    [
      { type: 'put', key: keys[1], value: torn },
      { type: 'put', key: keys[2], value: Buffer.from([9, 9]) },
    ],
    true,
  );
  const restarted = await Engine.create({ store });
  const failures: unknown[] = [];
  restarted.broker.environment.journal.storeFailed = (error) => failures.push(error);
  const second = await restarted.connect({ clientId: 's', clean: false });
  assert.equal(String((await second.expect('publish')).payload), '1');
  assert.equal(String((await second.expect('publish')).payload), '4');
  assert.equal(failures.length, 2);
  await restarted.stop();
});
