/** Normative statements of deliveries on shared subscriptions: MQTT 5.0 4.8.2. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Engine, type RawClient } from '../support/engine.js';
import { kept, passing, publishBytes, takenPackets } from '../support/statements.js';
import { raw } from '../wire/table/row.js';

const QOS2 = 4;
const DUP = 8;

describe('a message that a member of a group has been given', () => {
  let engine: Engine;
  let chosen: RawClient;
  let other: RawClient;

  beforeEach(async () => {
    engine = await Engine.create({ session: { sharedStrategy: 'round_robin' } });
    chosen = await engine.connect(kept(5, 'chosen'));
    other = await engine.connect(kept(5, 'other'));
    for (const member of [chosen, other]) await member.subscribe('$share/g/t', 2);
  });
  afterEach(() => engine.stop());

  /** Publishes; gives back the packet identifier under which the first member has it. */
  async function given(qos: 1 | 2): Promise<number> {
    engine.broker.publish({ topic: 't', payload: 'x', qos });
    const { messageId = 0 } = await chosen.expect('publish');
    return messageId;
  }

  /** Nobody else gets it, also later. */
  async function stays(): Promise<void> {
    engine.pass(10_000);
    await engine.broker.commit.settled();
    assert.deepEqual(await other.drain(), []);
  }

  test('QoS 2 is completed with that member when it comes back [MQTT-4.8.2-4]', async () => {
    const messageId = await given(2);
    await engine.cut(chosen);
    assert.deepEqual(await other.drain(), []);
    const back = await engine.connect(kept(5, 'chosen'));
    await back.expect('publish');
    assert.equal(takenPackets(back)[1], publishBytes(5, DUP | QOS2, 't', messageId, 'x').toString('hex'));
    back.send({ cmd: 'pubrec', messageId });
    await back.expect('pubrel');
    await engine.cut(back);
    const again = await engine.connect(kept(5, 'chosen'));
    assert.equal((await again.expect('pubrel')).messageId, messageId);
    again.send({ cmd: 'pubcomp', messageId });
    assert.deepEqual(await again.drain(), []);
    await stays();
  });

  test('QoS 2 is sent to nobody else if that member’s session ends [MQTT-4.8.2-5]', async () => {
    await given(2);
    await engine.cut(chosen);
    const anew = await engine.connect({ ...passing(5, 'chosen'), clean: true });
    assert.deepEqual(await anew.drain(), []);
    await stays();
  });

  test('it is discarded if that member refuses it by PUBACK or PUBREC, and sent to nobody else [MQTT-4.8.2-6]', async () => {
    const one = await given(1);
    chosen.sendBytes(raw('4003', Buffer.from([one >>> 8, one & 0xff]), '83'));
    await chosen.drain();
    await stays();
    engine.broker.publish({ topic: 't', payload: 'turn of the other', qos: 1 });
    await other.expect('publish');
    const two = await given(2);
    chosen.sendBytes(raw('5003', Buffer.from([two >>> 8, two & 0xff]), '97'));
    assert.deepEqual(await chosen.drain(), []);
    await stays();
    await engine.cut(chosen);
    assert.deepEqual(await (await engine.connect(kept(5, 'chosen'))).drain(), []);
  });
});
