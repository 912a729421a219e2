/** Which answers wait for a store that cannot write, and which must not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';

const FULL = new Error('IO error: No space left on device');

async function create(store: GatedStore): Promise<Engine> {
  return Engine.create({ store, commit: { sync: 'always', syncInterval: 1000, retryDelay: 1 } });
}

/** Resolves when the broker has found out that the store fails. */
async function failed(engine: Engine): Promise<void> {
  while (!engine.broker.commit.failing) await new Promise((resolve) => setImmediate(resolve));
}

test('a PUBREL that comes again is not answered before the first one is durable', async () => {
  const store = new GatedStore();
  const engine = await create(store);
  const client = await engine.connect({ clientId: 'c', clean: false });
  client.publish('t', 'x', { qos: 2, messageId: 7 });
  await client.expect('pubrec');
  store.broken = FULL;
  client.send({ cmd: 'pubrel', messageId: 7 });
  await failed(engine);
  // As MQTT 3.1 clients do that have not been answered for a while.
  client.send({ cmd: 'pubrel', messageId: 7 });
  assert.deepEqual(await client.drain(), []);
  store.broken = null;
  assert.equal((await client.expect('pubcomp')).messageId, 7);
  assert.equal((await client.expect('pubcomp')).messageId, 7);
  await engine.stop();
});

test('SUBACK of a session that is not kept does not wait for the store, however late a hook answers', async () => {
  const store = new GatedStore();
  const engine = await create(store);
  const client = await engine.connect({ clientId: 'c' });
  const kept = await engine.connect({ clientId: 'kept', clean: false });
  await kept.subscribe('data', 1);
  const answer = new Promise<() => void>((asked) => {
    engine.broker.authorizeSubscribe = (_client, subscription, callback) => asked(() => callback(null, subscription));
  });
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 1 }] });
  const allow = await answer;
  store.broken = FULL;
  kept.publish('data', 'x', { qos: 1, messageId: 1 });
  await failed(engine);
  allow();
  assert.deepEqual((await client.expect('suback')).granted, [1]);
  store.broken = null;
  await engine.stop();
});
