/** `limits.queue_qos0`: QoS 0 messages that wait for a client that is away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import type { BrokerOptions } from '../../src/broker.js';
import type { Store } from '../../src/store/store.js';
import { GatedStore } from '../store/gated-store.js';
import { Engine, type RawClient } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';
import { limitsOf } from '../support/limits.js';

type Session = NonNullable<BrokerOptions['session']>;

const KEPT = { clientId: 's', clean: false } as const;
const WAITING: Session = { queueQos0: true };

/** A broker with a kept session that is subscribed to `t` and `u`, and whose client is away. */
async function absent(session: Session = WAITING, store: Store = new LastingStore()): Promise<Engine> {
  const engine = await Engine.create({ store, session });
  const client = await engine.connect(KEPT);
  await client.subscribe('t', 2);
  await client.subscribe('u', 0, 2);
  await engine.cut(client);
  return engine;
}

async function publish(
  engine: Engine,
  ...messages: [payload: string, qos: 0 | 1 | 2, topic?: string][]
): Promise<void> {
  for (const [payload, qos, topic = 't'] of messages) engine.broker.publish({ topic, payload, qos });
  await engine.broker.commit.settled();
}

/** What has come: payload, QoS, and `d` for DUP. QoS 1 is acknowledged unless `held`. */
async function taken(engine: Engine, client: RawClient, held = false): Promise<string> {
  const seen: string[] = [];
  for (;;) {
    await engine.broker.commit.settled();
    const packets = (await client.drain()).filter((packet): packet is IPublishPacket => packet.cmd === 'publish');
    if (packets.length === 0) return seen.join(' ');
    for (const { payload, qos, dup, messageId } of packets) {
      seen.push(`${payload}/${qos}${dup ? 'd' : ''}`);
      assert.equal(messageId !== undefined, qos > 0, 'a packet identifier if, and only if, it has QoS 1 or 2');
      if (messageId !== undefined && !held) client.send({ cmd: 'puback', messageId });
    }
  }
}

test('QoS 0 messages wait for a kept session in order with the others, and come with QoS 0 and DUP 0', async () => {
  const engine = await absent();
  await publish(engine, ['a', 0], ['b', 1], ['c', 0], ['d', 1, 'u']);
  const client = await engine.connect(KEPT);
  assert.equal(await taken(engine, client), 'a/0 b/1 c/0 d/0');
  await engine.cut(client);
  assert.equal(await taken(engine, await engine.connect(KEPT)), '', 'each of them once');
  await engine.stop();
});

test('unless limits.queue_qos0 says so, they do not wait', async () => {
  const engine = await absent({});
  await publish(engine, ['a', 0], ['b', 1], ['c', 1, 'u']);
  assert.equal(await taken(engine, await engine.connect(KEPT)), 'b/1');
  await engine.stop();
});

test('a QoS 0 message that comes while others wait stays behind them [MQTT-4.6.0-6]', async () => {
  const engine = await absent({ ...WAITING, maxInflight: 1 });
  await publish(engine, ['a', 1], ['b', 0]);
  const client = await engine.connect(KEPT);
  const first = await client.expect('publish');
  await publish(engine, ['c', 0]);
  assert.equal(await taken(engine, client), '', 'the first one is not acknowledged yet');
  client.send({ cmd: 'puback', messageId: first.messageId ?? 0 });
  assert.equal(await taken(engine, client), 'b/0 c/0');
  await publish(engine, ['d', 0]);
  assert.equal(await taken(engine, client), 'd/0', 'nothing waits any more');
  await engine.stop();
});

test('a session that ends with its connection has nothing waiting', async () => {
  const engine = await Engine.create({ session: WAITING });
  const client = await engine.connect({ clientId: 's' });
  await client.subscribe('t', 0);
  await publish(engine, ['a', 0]);
  assert.equal(await taken(engine, client), 'a/0');
  await engine.stop();
});

test('QoS 0 messages that wait survive a restart', async () => {
  const store = new LastingStore();
  const engine = await absent(WAITING, store);
  await publish(engine, ['a', 0], ['b', 1], ['c', 0]);
  await engine.stop();
  const restarted = await Engine.create({ store, session: WAITING });
  assert.equal(await taken(restarted, await restarted.connect(KEPT)), 'a/0 b/1 c/0');
  await restarted.stop();
});

test('QoS 0 messages that wait survive a crash', async () => {
  const store = new GatedStore();
  const engine = await absent(WAITING, store);
  await publish(engine, ['a', 0], ['b', 1], ['c', 0]);
  // The broker dies here.
  store.hold();
  const restarted = await Engine.create({ store: store.afterCrash(), session: WAITING });
  assert.equal(await taken(restarted, await restarted.connect(KEPT)), 'a/0 b/1 c/0');
  await restarted.stop();
  store.letGo();
  await engine.stop();
});

test('a QoS 0 message that may have been sent before a crash is not sent again', async () => {
  const store = new GatedStore();
  const engine = await absent({ ...WAITING, maxInflight: 1 }, store);
  await publish(engine, ['a', 0], ['b', 1], ['c', 0]);
  const client = await engine.connect(KEPT);
  assert.equal(await taken(engine, client, true), 'a/0 b/1');
  // The broker dies here. Nobody knows any more that `c` was not sent.
  store.hold();
  const restarted = await Engine.create({ store: store.afterCrash(), session: WAITING });
  assert.equal(await taken(restarted, await restarted.connect(KEPT)), 'b/1d');
  await restarted.stop();
  store.letGo();
  await engine.stop();
});

test('QoS 0 messages that wait count by the limits of the queue', async () => {
  const engine = await absent({ ...WAITING, queuedMessages: 2 });
  const reached = limitsOf(engine);
  await publish(engine, ['a', 0], ['b', 0], ['c', 0], ['d', 1]);
  assert.equal(engine.broker.counters.droppedQueuedMessages, 2);
  assert.deepEqual(reached, ['limits.queued_messages', 'limits.queued_messages']);
  assert.equal(await taken(engine, await engine.connect(KEPT)), 'a/0 b/0');
  await engine.stop();
});

test('a QoS 0 message that waits expires', async () => {
  const engine = await absent({ ...WAITING, queueAge: 10 });
  await publish(engine, ['a', 0]);
  engine.clock.advance(11);
  await publish(engine, ['b', 0]);
  assert.equal(await taken(engine, await engine.connect(KEPT)), 'b/0');
  assert.equal(engine.broker.counters.droppedAged, 1);
  await engine.stop();
});
