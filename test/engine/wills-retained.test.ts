/** Wills, retained messages, keep alive, subscriptions and the `$` rule. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Engine } from '../support/engine.js';

describe('wills, retained messages and subscriptions', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  const will = { topic: 'will', payload: Buffer.from('gone'), qos: 1, retain: true } as const;

  test('a will is published when the connection is cut [MQTT-3.1.2-8] and not after DISCONNECT [MQTT-3.1.2-10]', async () => {
    const watcher = await engine.connect({ clientId: 'w' });
    await watcher.subscribe('will', 1);
    const polite = await engine.connect({ clientId: 'polite', will });
    polite.send({ cmd: 'disconnect' });
    await polite.end();
    assert.deepEqual(await watcher.drain(), []);
    const rude = await engine.connect({ clientId: 'rude', will });
    await engine.cut(rude);
    const packet = await watcher.expect('publish');
    assert.deepEqual([packet.payload.toString(), packet.qos, packet.retain], ['gone', 1, false]);
    const later = await engine.connect({ clientId: 'later' });
    await later.subscribe('will', 0);
    assert.equal((await later.expect('publish')).retain, true);
  });

  test('a will is published when the keep alive runs out, after one and a half times of it [MQTT-3.1.2-22]', async () => {
    const watcher = await engine.connect({ clientId: 'w' });
    await watcher.subscribe('will', 0);
    const silent = await engine.connect({ clientId: 'silent', keepalive: 10, will });
    engine.pass(14);
    assert.deepEqual(await watcher.drain(), []);
    engine.pass(2);
    assert.equal((await watcher.expect('publish')).payload.toString(), 'gone');
    await silent.end();
    assert.equal(engine.broker.counters.keepAliveTimeouts, 1);
  });

  test('a connection without CONNECT is closed after mqtt.connect_timeout', async () => {
    const idle = engine.open();
    engine.pass(11);
    await idle.end();
    assert.equal(engine.broker.counters.connectTimeouts, 1);
  });

  test('a retained message is replaced by the next and cleared by an empty one [MQTT-3.3.1-6]', async () => {
    const publisher = await engine.connect({ clientId: 'p' });
    publisher.publish('r', '1', { retain: true });
    publisher.publish('r', '2', { retain: true });
    await publisher.drain();
    const one = await engine.connect({ clientId: 'one' });
    await one.subscribe('#', 0);
    const packet = await one.expect('publish');
    assert.deepEqual([packet.payload.toString(), packet.retain], ['2', true]);
    publisher.publish('r', '', { retain: true });
    const cleared = await one.expect('publish');
    assert.deepEqual([cleared.payload.length, cleared.retain], [0, false]);
    const two = await engine.connect({ clientId: 'two' });
    await two.subscribe('#', 0);
    assert.deepEqual(await two.drain(), []);
  });

  test('ten thousand retained messages all reach a new subscription to #, QoS 1, whatever the queue allows', async () => {
    const small = await Engine.create({ session: { queuedMessages: 10, maxInflight: 20 } });
    const count = 10_000;
    for (let i = 0; i < count; i++) small.broker.publish({ topic: `r/${i}`, payload: String(i), qos: 1, retain: true });
    const client = await small.connect({ clientId: 'c' });
    await client.subscribe('#', 1);
    const seen = new Set<string>();
    while (seen.size < count) {
      const packet = await client.expect('publish');
      seen.add(packet.topic);
      client.send({ cmd: 'puback', messageId: packet.messageId as number });
    }
    assert.equal(small.broker.counters.publishDropped, 0);
    await small.stop();
  });

  test('wildcards do not match topics that begin with $ [MQTT-4.7.2-1]', async () => {
    const client = await engine.connect({ clientId: 'c' });
    await client.subscribe('#', 0);
    await client.subscribe('+/broker/x', 0, 2);
    engine.broker.publish({ topic: '$SYS/broker/x', payload: '1' });
    assert.deepEqual(await client.drain(), []);
    await client.subscribe('$SYS/#', 0, 3);
    engine.broker.publish({ topic: '$SYS/broker/x', payload: '2' });
    assert.equal((await client.expect('publish')).payload.toString(), '2');
  });

  test('clients may not publish to $SYS; the denial is counted', async () => {
    const client = await engine.connect({ clientId: 'c', protocolVersion: 5 });
    client.publish('$SYS/broker/version', 'x', { qos: 1, messageId: 1 });
    assert.equal((await client.expect('puback')).reasonCode, 0x87);
    assert.equal(engine.broker.counters.deniedPublish, 1);
  });

  test('an unsubscribed filter delivers nothing any more [MQTT-3.10.4-2]', async () => {
    const client = await engine.connect({ clientId: 'c' });
    await client.subscribe('a/+', 0);
    client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['a/+'] });
    await client.expect('unsuback');
    engine.broker.publish({ topic: 'a/b', payload: 'x' });
    assert.deepEqual(await client.drain(), []);
    assert.equal(engine.broker.counters.subscriptions, 3, 'only the broker’s own listeners are left');
  });

  test('Will Delay holds a will back, and a new connection calls it off [MQTT-3.1.3-9]', async () => {
    const watcher = await engine.connect({ clientId: 'w' });
    await watcher.subscribe('will', 0);
    const options = {
      clientId: 'c',
      protocolVersion: 5,
      clean: false,
      properties: { sessionExpiryInterval: 100 },
      will: { ...will, properties: { willDelayInterval: 10 } },
    } as const;
    await engine.cut(await engine.connect(options));
    engine.pass(5);
    const back = await engine.connect(options);
    engine.pass(20);
    assert.deepEqual(await watcher.drain(), []);
    await engine.cut(back);
    engine.pass(11);
    assert.equal((await watcher.expect('publish')).payload.toString(), 'gone');
  });
});
