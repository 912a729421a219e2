/** Every limit of docs/limits.md that the broker itself has: it acts, it counts by itself, and the log names its option. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BrokerOptions } from '../../src/broker.js';
import type { Message } from '../../src/bus/message.js';
import type { CounterField } from '../../src/monitor/measure.js';
import { Engine, type RawClient } from '../support/engine.js';
import { journalOf } from '../support/journal.js';

const V5 = { protocolVersion: 5 } as const;
const KEPT = { ...V5, clean: false, properties: { sessionExpiryInterval: 1000 } } as const;

const MESSAGE: Message = {
  topic: 't',
  payload: Buffer.alloc(0),
  qos: 1,
  retain: true,
  properties: Buffer.alloc(0),
  expiresAt: 0,
  publisherId: '',
  receivedAt: 0,
};

class Scene {
  readonly engine: Engine;
  /** The options of the lines that name a limit. */
  readonly #limits: string[];
  /** The reasons of refused connections. */
  readonly #refusals: string[];

  private constructor(engine: Engine, limits: string[], refusals: string[]) {
    this.engine = engine;
    this.#limits = limits;
    this.#refusals = refusals;
  }

  static async create(options: BrokerOptions): Promise<Scene> {
    const limits: string[] = [];
    const refusals: string[] = [];
    const journal = journalOf({
      limit: (_party, option) => limits.push(option),
      refused: (_party, reason) => refusals.push(reason),
    });
    return new Scene(await Engine.create({ ...options, journal }), limits, refusals);
  }

  /** The limit has acted so many times: its own counter says so, and the log has named its option and no other. */
  reached(option: string, counter: CounterField, times: number): void {
    assert.equal(this.engine.broker.counters[counter], times, counter);
    assert.deepEqual(this.#limits.splice(0), new Array(times).fill(option));
  }

  /** The same for a limit whose line is the one of the refused connection. */
  refusedBy(option: string, counter: CounterField, times: number): void {
    assert.equal(this.engine.broker.counters[counter], times, counter);
    const named = this.#refusals.filter((reason) => reason.includes(option));
    assert.equal(named.length, times, this.#refusals.join('\n'));
  }
}

async function subscribe(client: RawClient, topic: string): Promise<unknown> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] });
  return (await client.expect('suback')).granted[0];
}

/** A kept session with a subscription to `t` whose client is away. */
async function absent(engine: Engine): Promise<void> {
  const client = await engine.connect({ clientId: 'absent', ...KEPT });
  await client.subscribe('t', 1);
  await engine.cut(client);
}

test('limits.connections: one client too many is refused with 0x89', async () => {
  const scene = await Scene.create({ session: { connections: 1 } });
  const first = await scene.engine.connect({ clientId: 'a', ...V5 });
  const second = await scene.engine.connect({ clientId: 'b', ...V5 });
  assert.equal(second.connack.reasonCode, 0x89);
  scene.reached('limits.connections', 'refusedAtConnections', 1);
  await scene.engine.cut(first);
  assert.equal((await scene.engine.connect({ clientId: 'b', ...V5 })).connack.reasonCode, 0);
  await scene.engine.stop();
});

test('limits.sessions: one session too many is refused with 0x97', async () => {
  const scene = await Scene.create({ session: { sessions: 1 } });
  await absent(scene.engine);
  assert.equal((await scene.engine.connect({ clientId: 'b', ...V5 })).connack.reasonCode, 0x97);
  scene.reached('limits.sessions', 'refusedAtSessions', 1);
  await scene.engine.stop();
});

test('limits.subscriptions_per_client: one subscription too many is refused with 0x97, inside the process too', async () => {
  const scene = await Scene.create({ session: { subscriptionsPerClient: 1 } });
  const client = await scene.engine.connect(V5);
  assert.equal(await subscribe(client, 'a'), 0);
  assert.equal(await subscribe(client, 'b'), 0x97);
  scene.reached('limits.subscriptions_per_client', 'refusedSubscriptions', 1);
  const inside = scene.engine.broker.openClient({ id: 'inside', remote: 'here', transport: 'test' });
  inside.subscribe('a', 0, () => {});
  assert.equal(
    inside.subscribe('b', 0, () => {}),
    0x97,
  );
  assert.equal(scene.engine.broker.counters.refusedSubscriptions, 2);
  await scene.engine.stop();
});

test('limits.queued_messages: the message that finds the queue full is dropped', async () => {
  const scene = await Scene.create({ session: { queuedMessages: 2 } });
  await absent(scene.engine);
  for (let i = 0; i < 3; i++) scene.engine.broker.publish({ topic: 't', payload: 'x', qos: 1 });
  scene.reached('limits.queued_messages', 'droppedQueuedMessages', 1);
  assert.equal(scene.engine.broker.counters.publishDropped, 1);
  await scene.engine.stop();
});

test('limits.queued_bytes: the message that finds the queue full is dropped', async () => {
  const scene = await Scene.create({ session: { queuedBytes: 1024 } });
  await absent(scene.engine);
  for (let i = 0; i < 3; i++) scene.engine.broker.publish({ topic: 't', payload: Buffer.alloc(600), qos: 1 });
  scene.reached('limits.queued_bytes', 'droppedQueuedBytes', 1);
  assert.equal(scene.engine.broker.counters.publishDropped, 1);
  await scene.engine.stop();
});

test('limits.output_buffer: QoS 0 messages to a client that does not read are dropped; limits.stalled_timeout ends it', async () => {
  const scene = await Scene.create({ session: { outputBuffer: 1024, stalledTimeout: 60 } });
  const client = await scene.engine.connect(V5);
  await client.subscribe('t', 0);
  client.stall();
  const count = 300;
  for (let i = 0; i < count; i++) {
    scene.engine.broker.publish({ topic: 't', payload: Buffer.alloc(1000), qos: 0 });
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { counters } = scene.engine.broker;
  const dropped = counters.droppedOutputBuffer;
  assert.ok(dropped > 0 && dropped < count);
  assert.equal(counters.publishDropped, dropped);
  scene.reached('limits.output_buffer', 'droppedOutputBuffer', dropped);
  scene.engine.pass(1);
  scene.engine.pass(61);
  scene.reached('limits.stalled_timeout', 'stalledConnections', 1);
  await scene.engine.stop();
});

/** Publishes retained messages to a subscriber, which gets all of them; the last one must not be kept. */
async function retain({ engine }: Scene, ...messages: (readonly [topic: string, bytes: number])[]): Promise<void> {
  const client = await engine.connect();
  await client.subscribe('+', 0);
  for (const [topic, bytes] of messages) {
    client.publish(topic, Buffer.alloc(bytes), { retain: true });
    assert.equal((await client.expect('publish')).topic, topic);
    const kept = engine.broker.router.retained.get(topic) !== null;
    assert.equal(kept, topic !== messages.at(-1)?.[0], topic);
  }
}

test('limits.retained_messages: a further message is delivered, but not kept', async () => {
  const scene = await Scene.create({ retained: { messages: 1, bytes: 1000 } });
  await retain(scene, ['a', 1], ['b', 1]);
  scene.reached('limits.retained_messages', 'droppedRetainedMessages', 1);
  await scene.engine.stop();
});

test('limits.retained_bytes: a further message is delivered, but not kept', async () => {
  const scene = await Scene.create({ retained: { messages: 10, bytes: 1000 } });
  await retain(scene, ['a', 600], ['b', 600]);
  scene.reached('limits.retained_bytes', 'droppedRetainedBytes', 1);
  await scene.engine.stop();
});

test('limits.retained_payload: a further message is delivered, but not kept', async () => {
  const scene = await Scene.create({ retained: { messages: 10, bytes: 10_000, payload: 600 } });
  await retain(scene, ['a', 600], ['b', 601]);
  scene.reached('limits.retained_payload', 'droppedRetainedPayload', 1);
  await scene.engine.stop();
});

test('the broker’s own topics have no part in the limits of retained messages', async () => {
  const scene = await Scene.create({ retained: { messages: 1, bytes: 10, payload: 5 } });
  const { broker } = scene.engine;
  for (let i = 0; i < 20; i++) {
    broker.publish({ topic: `$SYS/broker/x/${i}`, payload: 'longer than five bytes', retain: true, qos: 0 });
  }
  await retain(scene, ['a', 1], ['b', 1]);
  scene.reached('limits.retained_messages', 'droppedRetainedMessages', 1);
  assert.equal(broker.router.retained.count, 21);
  for (let i = 0; i < 20; i++) broker.publish({ topic: `$SYS/broker/x/${i}`, payload: '', retain: true, qos: 0 });
  broker.publish({ topic: 'a', payload: '', retain: true, qos: 0 });
  await retain(scene, ['c', 1], ['d', 1]);
  await scene.engine.stop();
});

test('limits.memory: a further retained message is delivered, but not kept', async () => {
  const scene = await Scene.create({ session: { memory: 4 * 1024 * 1024 } });
  const { router } = scene.engine.broker;
  const payload = Buffer.alloc(500_000);
  let kept = 0;
  while (router.retained.set({ ...MESSAGE, topic: `t/${kept}`, payload })) kept++;
  assert.ok(kept > 2 && kept < 9, `${kept} messages of 500,000 bytes in 4 MiB`);
  scene.reached('limits.memory', 'droppedRetainedMemory', 1);
  // One that takes the place of a larger one is kept, and what is cleared makes room.
  assert.equal(router.retained.set({ ...MESSAGE, topic: 't/0', payload: Buffer.alloc(1) }), true);
  router.retained.delete('t/1');
  assert.equal(router.retained.set({ ...MESSAGE, topic: 'again', payload }), true);
  await scene.engine.stop();
});

test('limits.memory: a client with a will that finds no room is refused with 0x97, and wills give back their room', async () => {
  const scene = await Scene.create({ session: { memory: 100_000 } });
  const { engine } = scene;
  const before = engine.broker.environment.budget.used;
  const will = { topic: 'w', payload: Buffer.alloc(60_000), qos: 0, retain: false } as const;
  const first = await engine.connect({
    clientId: 'a',
    ...KEPT,
    will: { ...will, properties: { willDelayInterval: 5 } },
  });
  assert.equal(first.connack.reasonCode, 0);
  assert.equal((await engine.connect({ clientId: 'b', ...V5, will })).connack.reasonCode, 0x97);
  scene.reached('limits.memory', 'refusedAtMemory', 1);
  await engine.cut(first);
  assert.equal((await engine.connect({ clientId: 'b', ...V5, will })).connack.reasonCode, 0x97, 'while it waits');
  engine.clock.advance(6);
  engine.broker.tick();
  const second = await engine.connect({ clientId: 'b', ...V5, will });
  assert.equal(second.connack.reasonCode, 0);
  second.send({ cmd: 'disconnect' });
  await second.end();
  assert.equal(engine.broker.environment.budget.used, before);
  await engine.stop();
});

test('limits.memory: a client that does not read gets no further message while too much waits in memory', async () => {
  for (const qos of [0, 1] as const) {
    const scene = await Scene.create({ session: { memory: 100_000 } });
    const client = await scene.engine.connect();
    await client.subscribe('t', qos);
    client.stall();
    const { broker } = scene.engine;
    for (let i = 0; i < 10; i++) {
      broker.publish({ topic: 't', payload: Buffer.alloc(30_000), qos });
      broker.environment.flusher.flush();
    }
    const dropped = broker.counters.publishDropped;
    assert.ok(dropped > 0, `QoS ${qos}`);
    scene.reached('limits.memory', 'droppedMemory', dropped);
    await scene.engine.stop();
  }
});

test('mqtt.max_packet_size: a larger packet ends its connection with 0x95', async () => {
  const scene = await Scene.create({ session: { maxPacketSize: 200 } });
  const client = await scene.engine.connect(V5);
  client.publish('t', Buffer.alloc(200));
  assert.equal((await client.expect('disconnect')).reasonCode, 0x95);
  scene.reached('mqtt.max_packet_size', 'oversizedPackets', 1);
  assert.equal(scene.engine.broker.counters.protocolErrors, 1);
  await scene.engine.stop();
});

test('limits.payload: a larger one reaches nobody, and its publisher is told 0x97; a will is refused with 0x95', async () => {
  const scene = await Scene.create({ session: { maxPayload: 10 } });
  const { engine } = scene;
  const client = await engine.connect(V5);
  const older = await engine.connect({ clientId: 'older' });
  await client.subscribe('t', 2);
  const [fits, large] = [Buffer.alloc(10), Buffer.alloc(11)];
  client.publish('t', large);
  client.publish('t', large, { qos: 1, messageId: 1 });
  assert.equal((await client.expect('puback')).reasonCode, 0x97);
  client.publish('t', large, { qos: 2, messageId: 2 });
  assert.equal((await client.expect('pubrec')).reasonCode, 0x97);
  older.publish('t', large, { qos: 1, messageId: 1 });
  await older.expect('puback');
  const will = { topic: 't', payload: large, qos: 0, retain: false } as const;
  assert.equal((await engine.connect({ clientId: 'w', ...V5, will })).connack.reasonCode, 0x95);
  assert.equal((await engine.connect({ clientId: 'w', will })).connack.returnCode, 3);
  const inside = engine.broker.openClient({ id: 'inside', remote: 'here', transport: 'test' });
  inside.publish('t', large, {}, null);
  scene.reached('limits.payload', 'largePayloads', 7);
  older.publish('t', fits);
  await older.drain();
  assert.equal((await client.expect('publish')).payload.length, 10);
  await engine.stop();
});

test('mqtt.max_client_id_length: a longer client identifier is refused with 0x85', async () => {
  const scene = await Scene.create({ session: { maxClientIdLength: 23 } });
  const client = await scene.engine.connect({ clientId: 'x'.repeat(24), ...V5 });
  assert.equal(client.connack.reasonCode, 0x85);
  scene.refusedBy('mqtt.max_client_id_length', 'longClientIds', 1);
  await scene.engine.stop();
});

test('mqtt.max_topic_levels: a deeper topic is refused in PUBLISH, in SUBSCRIBE, in a will and inside the process', async () => {
  const scene = await Scene.create({ session: { maxTopicLevels: 2 } });
  const publisher = await scene.engine.connect({ clientId: 'p', ...V5 });
  publisher.publish('a/b', 'x');
  publisher.publish('a/b/c', 'x');
  assert.equal((await publisher.expect('disconnect')).reasonCode, 0x90);
  scene.reached('mqtt.max_topic_levels', 'deepTopics', 1);
  const subscriber = await scene.engine.connect({ clientId: 's', ...V5 });
  assert.equal(await subscribe(subscriber, '$share/g/a/b'), 0);
  subscriber.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'a/+/#', qos: 0 }] });
  assert.equal((await subscriber.expect('disconnect')).reasonCode, 0x8f);
  const will = { topic: 'a/b/c', payload: Buffer.from('x'), qos: 0, retain: false } as const;
  assert.equal((await scene.engine.connect({ clientId: 'w', ...V5, will })).connack.reasonCode, 0x90);
  const inside = scene.engine.broker.openClient({ id: 'inside', remote: 'here', transport: 'test' });
  inside.publish('a/b/c', Buffer.from('x'), {}, null);
  inside.subscribe('a/b/c', 0, () => {});
  assert.equal(scene.engine.broker.counters.deepTopics, 5);
  await scene.engine.stop();
});

test('mqtt.receive_maximum: one publication in flight too many ends the connection with 0x93', async () => {
  const scene = await Scene.create({ session: { receiveMaximum: 1 } });
  const client = await scene.engine.connect(V5);
  client.publish('t', '1', { qos: 2, messageId: 1 });
  client.publish('t', '2', { qos: 2, messageId: 2 });
  await client.expect('pubrec');
  assert.equal((await client.expect('disconnect')).reasonCode, 0x93);
  scene.reached('mqtt.receive_maximum', 'excessPublications', 1);
  await scene.engine.stop();
});

test('mqtt.topic_alias_maximum: a higher Topic Alias ends the connection with 0x94', async () => {
  const scene = await Scene.create({ session: { topicAliasMaximum: 1 } });
  const client = await scene.engine.connect(V5);
  client.send({
    cmd: 'publish',
    topic: 't',
    payload: 'x',
    qos: 0,
    retain: false,
    dup: false,
    properties: { topicAlias: 2 },
  });
  assert.equal((await client.expect('disconnect')).reasonCode, 0x94);
  scene.reached('mqtt.topic_alias_maximum', 'excessAliases', 1);
  await scene.engine.stop();
});

test('mqtt.connect_timeout: a connection without CONNECT is closed', async () => {
  const scene = await Scene.create({ session: { connectTimeout: 5 } });
  const client = scene.engine.open();
  scene.engine.pass(5);
  assert.equal(scene.engine.broker.counters.connectTimeouts, 0);
  scene.engine.pass(1);
  await client.end();
  scene.refusedBy('mqtt.connect_timeout', 'connectTimeouts', 1);
  await scene.engine.stop();
});

test('mqtt.max_inflight: further messages wait for an acknowledgement, and none is lost', async () => {
  const scene = await Scene.create({ session: { maxInflight: 2 } });
  const client = await scene.engine.connect(V5);
  await client.subscribe('t', 1);
  for (let i = 0; i < 3; i++) scene.engine.broker.publish({ topic: 't', payload: String(i), qos: 1 });
  const sent = await client.drain();
  assert.equal(sent.length, 2);
  client.send({ cmd: 'puback', messageId: 1 });
  assert.equal(String((await client.expect('publish')).payload), '2');
  await scene.engine.stop();
});

test('mqtt.session_expiry_max: a session that asks for more is told what it gets, and ends then', async () => {
  const scene = await Scene.create({ session: { sessionExpiryMax: 100 } });
  const client = await scene.engine.connect({ clientId: 'c', ...KEPT });
  assert.equal(client.connack.properties?.sessionExpiryInterval, 100);
  const older = await scene.engine.connect({ clientId: 'older', clean: false });
  await scene.engine.cut(client);
  await scene.engine.cut(older);
  scene.engine.pass(99);
  assert.equal(scene.engine.broker.sessions.size, 2);
  scene.engine.pass(1);
  assert.equal(scene.engine.broker.sessions.size, 0);
  scene.reached('mqtt.session_expiry_max', 'sessionsExpired', 2);
  await scene.engine.stop();
});
