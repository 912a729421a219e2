/** An acknowledgement says that the retained state is durable, whoever has changed it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';

test('who clears a retained message that another client is just clearing is told after the store has it', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const one = await engine.connect({ clientId: 'one' });
  const two = await engine.connect({ clientId: 'two' });
  one.publish('t', 'value', { qos: 1, retain: true, messageId: 1 });
  await one.expect('puback');
  store.hold();
  one.publish('t', '', { qos: 1, retain: true, messageId: 2 });
  assert.deepEqual(await one.drain(), []);
  two.publish('t', '', { qos: 1, retain: true, messageId: 1 });
  assert.deepEqual(await two.drain(), []);
  store.letGo();
  await one.expect('puback');
  await two.expect('puback');
  await engine.stop();
});
