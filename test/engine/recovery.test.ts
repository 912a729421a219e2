/** What a start makes of a store that is not as it was left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Family, familyRange, sessionKey } from '../../src/store/keys.js';
import { Engine } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';

test('a session that cannot be read is reported, its queue is kept, and nobody inherits what is left of it', async () => {
  const store = new LastingStore();
  const engine = await Engine.create({ store });
  const client = await engine.connect({ clientId: 's', clean: false });
  await client.subscribe('t', 1);
  await engine.cut(client);
  engine.broker.publish({ topic: 't', payload: 'x', qos: 1 });
  await engine.stop();
  const whole = await store.get(sessionKey('s'));
  await store.write([{ type: 'put', key: sessionKey('s'), value: Buffer.from([9]) }], true);

  const failures: unknown[] = [];
  const { journal } = engine.broker.environment;
  const restarted = await Engine.create({
    store,
    journal: { ...journal, storeFailed: (error) => failures.push(error) },
  });
  assert.equal(failures.length, 1);
  assert.equal(restarted.broker.sessions.damaged, 1);
  const other = await restarted.connect({ clientId: 'other', clean: false });
  await restarted.cut(other);
  await restarted.stop();
  const queued: Buffer[] = [];
  for await (const key of store.keys(familyRange(Family.Queue))) queued.push(key);
  assert.equal(queued.length, 1);

  await store.write([{ type: 'put', key: sessionKey('s'), value: whole as Buffer }], true);
  const mended = await Engine.create({ store });
  assert.equal(mended.broker.sessions.get('other')?.subscriptions.size, 0);
  const back = await mended.connect({ clientId: 's', clean: false });
  assert.equal(String((await back.expect('publish')).payload), 'x');
  await mended.stop();
});
