/** Sessions: what outlives a connection, a restart and a takeover. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';
import { LastingStore } from '../support/lasting-store.js';

describe('sessions', () => {
  test('a kept session holds its subscriptions and QoS 1 and 2 messages, not QoS 0 [MQTT-3.1.2-5]', async () => {
    const engine = await Engine.create();
    const first = await engine.connect({ clientId: 's', clean: false });
    assert.equal(first.connack.sessionPresent, false);
    await first.subscribe('t', 2);
    first.send({ cmd: 'disconnect' });
    await first.end();
    const publisher = await engine.connect({ clientId: 'p' });
    publisher.publish('t', '0');
    publisher.publish('t', '1', { qos: 1, messageId: 1 });
    await publisher.expect('puback');
    publisher.publish('t', '2', { qos: 2, messageId: 2 });
    await publisher.expect('pubrec');
    const second = await engine.connect({ clientId: 's', clean: false });
    assert.equal(second.connack.sessionPresent, true);
    const one = await second.expect('publish');
    const two = await second.expect('publish');
    assert.deepEqual([one.payload.toString(), two.payload.toString()], ['1', '2']);
    assert.deepEqual([one.qos, two.qos, one.dup, two.dup], [1, 2, false, false]);
    await engine.stop();
  });

  test('unacknowledged messages are sent again with DUP and their old identifiers, PUBREL included [MQTT-4.4.0-1]', async () => {
    const engine = await Engine.create();
    const first = await engine.connect({ clientId: 's', clean: false });
    await first.subscribe('t', 2);
    const publisher = await engine.connect({ clientId: 'p' });
    for (let i = 1; i <= 3; i++) publisher.publish('t', String(i), { qos: i === 2 ? 1 : 2, messageId: i });
    const sent: IPublishPacket[] = [];
    for (let i = 0; i < 3; i++) sent.push(await first.expect('publish'));
    const [one, two, three] = sent.map((packet) => packet.messageId as number);
    first.send({ cmd: 'pubrec', messageId: one });
    await first.expect('pubrel');
    await engine.cut(first);
    const second = await engine.connect({ clientId: 's', clean: false });
    assert.equal((await second.expect('pubrel')).messageId, one);
    const again = await second.expect('publish');
    assert.deepEqual([again.messageId, again.dup, again.payload.toString()], [two, true, '2']);
    const last = await second.expect('publish');
    assert.deepEqual([last.messageId, last.dup, last.payload.toString()], [three, true, '3']);
    second.send({ cmd: 'pubcomp', messageId: one });
    second.send({ cmd: 'puback', messageId: two });
    second.send({ cmd: 'pubrec', messageId: three });
    assert.equal((await second.expect('pubrel')).messageId, three);
    second.send({ cmd: 'pubcomp', messageId: three });
    assert.deepEqual(await second.drain(), []);
    await engine.cut(second);
    const third = await engine.connect({ clientId: 's', clean: false });
    assert.deepEqual(await third.drain(), []);
    await engine.stop();
  });

  test('Clean Session 1 discards the former session [MQTT-3.1.2-6]', async () => {
    const engine = await Engine.create();
    const first = await engine.connect({ clientId: 's', clean: false });
    await first.subscribe('t', 1);
    await engine.cut(first);
    const clean = await engine.connect({ clientId: 's', clean: true });
    assert.equal(clean.connack.sessionPresent, false);
    await engine.cut(clean);
    const third = await engine.connect({ clientId: 's', clean: false });
    assert.equal(third.connack.sessionPresent, false);
    const publisher = await engine.connect({ clientId: 'p' });
    publisher.publish('t', 'x', { qos: 1, messageId: 1 });
    await publisher.expect('puback');
    assert.deepEqual(await third.drain(), []);
    await engine.stop();
  });

  test('a second connection with the same identifier takes over [MQTT-3.1.4-3]', async () => {
    const engine = await Engine.create();
    const first = await engine.connect({ clientId: 's', protocolVersion: 5 });
    const second = await engine.connect({ clientId: 's', protocolVersion: 5 });
    assert.equal((await first.expect('disconnect')).reasonCode, 0x8e);
    await first.end();
    assert.deepEqual(await second.drain(), []);
    assert.equal(engine.broker.counters.takeovers, 1);
    assert.equal(engine.broker.connectedClients, 1);
    await engine.stop();
  });

  test('a session ends when its Session Expiry Interval is over, and not before', async () => {
    const engine = await Engine.create();
    const options = {
      clientId: 's',
      protocolVersion: 5,
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    } as const;
    await engine.cut(await engine.connect(options));
    engine.pass(59);
    const again = await engine.connect(options);
    assert.equal(again.connack.sessionPresent, true);
    await engine.cut(again);
    engine.pass(61);
    assert.equal((await engine.connect(options)).connack.sessionPresent, false);
    assert.equal(engine.broker.counters.sessionsExpired, 1);
    await engine.stop();
  });

  test('sessions, queues, retained messages and inbound QoS 2 survive a restart on the same store', async () => {
    const store = new LastingStore();
    const engine = await Engine.create({ store });
    const subscriber = await engine.connect({ clientId: 's', clean: false });
    await subscriber.subscribe('t/#', 2);
    await engine.cut(subscriber);
    const publisher = await engine.connect({ clientId: 'p', clean: false });
    publisher.publish('t/1', 'one', { qos: 1, messageId: 1, retain: true });
    await publisher.expect('puback');
    publisher.publish('t/2', 'two', { qos: 2, messageId: 2 });
    await publisher.expect('pubrec');
    await engine.stop();

    const restarted = await Engine.create({ store });
    const again = await restarted.connect({ clientId: 'p', clean: false });
    assert.equal(again.connack.sessionPresent, true);
    again.send({ cmd: 'publish', topic: 't/2', payload: 'two', qos: 2, retain: false, dup: true, messageId: 2 });
    await again.expect('pubrec');
    const back = await restarted.connect({ clientId: 's', clean: false });
    assert.equal(back.connack.sessionPresent, true);
    assert.equal((await back.expect('publish')).payload.toString(), 'one');
    assert.equal((await back.expect('publish')).payload.toString(), 'two');
    assert.deepEqual(await back.drain(), []);
    const fresh = await restarted.connect({ clientId: 'f' });
    await fresh.subscribe('t/#', 1);
    const retained = await fresh.expect('publish');
    assert.deepEqual([retained.topic, retained.retain, retained.payload.toString()], ['t/1', true, 'one']);
    await restarted.stop();
  });

  test('a queue longer than its memory drains in order from the store, also after a restart', async () => {
    const store = new LastingStore();
    const session = { queueMemory: 2000, maxInflight: 10 };
    const engine = await Engine.create({ store, session });
    const first = await engine.connect({ clientId: 's', clean: false });
    await first.subscribe('t', 1);
    await engine.cut(first);
    const publisher = await engine.connect({ clientId: 'p' });
    const count = 3000;
    for (let i = 0; i < count; i++) {
      publisher.publish('t', `message ${i}`, { qos: 1, messageId: (i % 100) + 1 });
      if (i % 100 === 99) for (let k = 0; k < 100; k++) await publisher.expect('puback');
    }
    const take = async (running: Engine, from: number, to: number): Promise<void> => {
      const client = await running.connect({ clientId: 's', clean: false });
      for (let i = from; i < to; i++) {
        const packet = await client.expect('publish');
        assert.equal(packet.payload.toString(), `message ${i}`);
        client.send({ cmd: 'puback', messageId: packet.messageId as number });
      }
      client.send({ cmd: 'disconnect' });
      await client.end();
    };
    await take(engine, 0, 1000);
    await engine.stop();
    const restarted = await Engine.create({ store, session });
    await take(restarted, 1000, count);
    assert.equal(restarted.broker.sessions.get('s')?.outbound.waiting, 0);
    await restarted.stop();
  });

  test('a full queue drops the newest message, counts it and names the option', async () => {
    const limits: string[] = [];
    const engine = await Engine.create({ session: { queuedMessages: 2 } });
    const { journal } = engine.broker.environment;
    journal.limit = (_party, option) => limits.push(option);
    const first = await engine.connect({ clientId: 's', clean: false });
    await first.subscribe('t', 1);
    await engine.cut(first);
    const publisher = await engine.connect({ clientId: 'p' });
    for (let i = 1; i <= 3; i++) {
      publisher.publish('t', String(i), { qos: 1, messageId: i });
      await publisher.expect('puback');
    }
    assert.deepEqual(limits, ['limits.queued_messages']);
    assert.equal(engine.broker.counters.droppedQueueFull, 1);
    const back = await engine.connect({ clientId: 's', clean: false });
    assert.equal((await back.expect('publish')).payload.toString(), '1');
    assert.equal((await back.expect('publish')).payload.toString(), '2');
    await engine.stop();
  });
});

test('a late PUBACK for a message that a crash lost does not acknowledge a newer one', async () => {
  const store = new GatedStore();
  const engine = await Engine.create({ store });
  const first = await engine.connect({ clientId: 's', clean: false });
  await first.subscribe('t', 1);
  const publisher = await engine.connect({ clientId: 'p' });
  store.hold();
  publisher.publish('t', 'lost', { qos: 1, messageId: 1 });
  const lost = await first.expect('publish');
  // The broker dies here: 'lost' is on the wire, neither committed nor acknowledged to its publisher.
  const restarted = await Engine.create({ store: store.afterCrash() });
  const again = await restarted.connect({ clientId: 's', clean: false });
  const other = await restarted.connect({ clientId: 'q' });
  other.publish('t', 'kept', { qos: 1, messageId: 1 });
  await other.expect('puback');
  const kept = await again.expect('publish');
  assert.equal(kept.payload.toString(), 'kept');
  assert.notEqual(kept.messageId, lost.messageId);
  again.send({ cmd: 'puback', messageId: lost.messageId as number });
  await again.drain();
  assert.equal(restarted.broker.sessions.get('s')?.outbound.inFlight, 1);
  await restarted.stop();
  store.letGo();
  await engine.stop();
});
