/** PUBREL to a client that comes back: MQTT 4.3.3, 4.4. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '../support/engine.js';

test('PUBREC for a message that the full window has not let come again is answered, and ends that delivery', async () => {
  const engine = await Engine.create();
  const kept = { clientId: 'c', clean: false, protocolVersion: 5 } as const;
  const first = await engine.connect({ ...kept, properties: { sessionExpiryInterval: 100 } });
  await first.subscribe('t', 2);
  engine.broker.publish({ topic: 't', payload: '1', qos: 1 });
  engine.broker.publish({ topic: 't', payload: '2', qos: 2 });
  const { messageId: one } = await first.expect('publish');
  const { messageId: two } = await first.expect('publish');
  await engine.cut(first);
  const second = await engine.connect({ ...kept, properties: { sessionExpiryInterval: 100, receiveMaximum: 1 } });
  assert.equal((await second.expect('publish')).messageId, one);
  // Its PUBREC was on the way when the first connection ended.
  second.send({ cmd: 'pubrec', messageId: two as number });
  assert.equal((await second.expect('pubrel')).messageId, two);
  second.send({ cmd: 'pubcomp', messageId: two as number });
  second.send({ cmd: 'puback', messageId: one as number });
  assert.deepEqual(await second.drain(), []);
  const { outbound } = engine.broker.sessions.get('c') as { outbound: { inFlight: number; waiting: number } };
  assert.deepEqual([outbound.inFlight, outbound.waiting], [0, 0]);
  await engine.stop();
});
