/** QoS 0, 1 and 2 both ways, order, flow control, and what the specification says of packet identifiers. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { Engine } from '../support/engine.js';

describe('delivery', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  test('QoS of a delivery is the lower of publication and subscription [MQTT-3.8.4-8]', async () => {
    const subscriber = await engine.connect({ clientId: 's' });
    await subscriber.subscribe('q0', 0);
    await subscriber.subscribe('q1', 1);
    await subscriber.subscribe('q2', 2);
    const publisher = await engine.connect({ clientId: 'p' });
    for (const [topic, qos, expected] of [
      ['q0', 2, 0],
      ['q1', 0, 0],
      ['q1', 2, 1],
      ['q2', 1, 1],
      ['q2', 2, 2],
    ] as const) {
      publisher.publish(topic, 'x', { qos, messageId: 7 });
      if (qos === 1) await publisher.expect('puback');
      if (qos === 2) {
        await publisher.expect('pubrec');
        publisher.send({ cmd: 'pubrel', messageId: 7 });
        await publisher.expect('pubcomp');
      }
      const packet = await subscriber.expect('publish');
      assert.equal(packet.qos, expected, `${topic} published with ${qos}`);
      if (packet.qos === 1) subscriber.send({ cmd: 'puback', messageId: packet.messageId as number });
      if (packet.qos === 2) {
        subscriber.send({ cmd: 'pubrec', messageId: packet.messageId as number });
        const { messageId } = await subscriber.expect('pubrel');
        subscriber.send({ cmd: 'pubcomp', messageId: messageId as number });
      }
    }
  });

  test('a QoS 2 publication that is sent again is published once [MQTT-4.3.3-10]', async () => {
    const subscriber = await engine.connect({ clientId: 's' });
    await subscriber.subscribe('t', 0);
    const publisher = await engine.connect({ clientId: 'p' });
    publisher.publish('t', '1', { qos: 2, messageId: 3 });
    await publisher.expect('pubrec');
    publisher.send({ cmd: 'publish', topic: 't', payload: '1', qos: 2, retain: false, dup: true, messageId: 3 });
    await publisher.expect('pubrec');
    publisher.send({ cmd: 'pubrel', messageId: 3 });
    await publisher.expect('pubcomp');
    assert.equal((await subscriber.expect('publish')).payload.toString(), '1');
    assert.deepEqual(await subscriber.drain(), []);
  });

  test('a QoS 2 identifier may be used again after PUBCOMP', async () => {
    const subscriber = await engine.connect({ clientId: 's' });
    await subscriber.subscribe('t', 0);
    const publisher = await engine.connect({ clientId: 'p' });
    for (const payload of ['1', '2']) {
      publisher.publish('t', payload, { qos: 2, messageId: 3 });
      await publisher.expect('pubrec');
      publisher.send({ cmd: 'pubrel', messageId: 3 });
      await publisher.expect('pubcomp');
      assert.equal((await subscriber.expect('publish')).payload.toString(), payload);
    }
  });

  test('messages of one publisher arrive in the order in which they were published [MQTT-4.6.0-6]', async () => {
    const subscriber = await engine.connect({ clientId: 's' });
    await subscriber.subscribe('#', 2);
    const publisher = await engine.connect({ clientId: 'p' });
    const count = 2000;
    for (let i = 0; i < count; i++) publisher.publish(`t/${i % 7}`, String(i), { qos: 1, messageId: (i % 60000) + 1 });
    for (let i = 0; i < count; i++) {
      const packet = await subscriber.expect('publish');
      assert.equal(packet.payload.toString(), String(i));
      subscriber.send({ cmd: 'puback', messageId: packet.messageId as number });
    }
    for (let i = 0; i < count; i++) assert.equal((await publisher.expect('puback')).messageId, (i % 60000) + 1);
  });

  test('no more deliveries are in flight than Receive Maximum allows [MQTT-3.3.4-9]', async () => {
    const subscriber = await engine.connect({
      clientId: 's',
      protocolVersion: 5,
      properties: { receiveMaximum: 3 },
    });
    await subscriber.subscribe('t', 1);
    const publisher = await engine.connect({ clientId: 'p' });
    for (let i = 0; i < 10; i++) publisher.publish('t', String(i), { qos: 1, messageId: i + 1 });
    for (let i = 0; i < 10; i++) await publisher.expect('puback');
    const first = await subscriber.drain();
    assert.deepEqual(
      first.map((packet) => (packet as IPublishPacket).payload.toString()),
      ['0', '1', '2'],
    );
    for (const packet of first)
      subscriber.send({ cmd: 'puback', messageId: (packet as IPublishPacket).messageId as number });
    const rest: string[] = [];
    while (rest.length < 7) {
      const packet = await subscriber.expect('publish');
      rest.push(packet.payload.toString());
      subscriber.send({ cmd: 'puback', messageId: packet.messageId as number });
    }
    assert.deepEqual(rest, ['3', '4', '5', '6', '7', '8', '9']);
  });

  test('an MQTT 5.0 client that exceeds the broker’s Receive Maximum is disconnected with 0x93 [MQTT-3.3.4-7]', async () => {
    const small = await Engine.create({ session: { receiveMaximum: 2 } });
    const client = await small.connect({ clientId: 'p', protocolVersion: 5 });
    assert.equal(client.connack.properties?.receiveMaximum, 2);
    for (let i = 1; i <= 3; i++) client.publish('t', 'x', { qos: 2, messageId: i });
    await client.expect('pubrec');
    await client.expect('pubrec');
    assert.equal((await client.expect('disconnect')).reasonCode, 0x93);
    await client.end();
    await small.stop();
  });

  test('a message above the client’s Maximum Packet Size is not sent, counted, and acknowledged to its publisher', async () => {
    const subscriber = await engine.connect({
      clientId: 's',
      protocolVersion: 5,
      properties: { maximumPacketSize: 40 },
    });
    await subscriber.subscribe('t', 1);
    const publisher = await engine.connect({ clientId: 'p' });
    publisher.publish('t', Buffer.alloc(100), { qos: 1, messageId: 1 });
    await publisher.expect('puback');
    publisher.publish('t', 'small', { qos: 1, messageId: 2 });
    await publisher.expect('puback');
    assert.equal((await subscriber.expect('publish')).payload.toString(), 'small');
    assert.equal(engine.broker.counters.droppedPacketTooLarge, 1);
  });

  test('PUBREL for an unknown identifier is answered with PUBCOMP, 0x92 in MQTT 5.0', async () => {
    const old = await engine.connect({ clientId: 'old' });
    old.send({ cmd: 'pubrel', messageId: 99 });
    assert.equal((await old.expect('pubcomp')).messageId, 99);
    const client = await engine.connect({ clientId: 'new', protocolVersion: 5 });
    client.send({ cmd: 'pubrel', messageId: 99 });
    assert.equal((await client.expect('pubcomp')).reasonCode, 0x92);
    assert.equal(engine.broker.counters.unknownPacketIds, 2);
  });

  test('one copy for overlapping subscriptions, at the highest QoS', async () => {
    const subscriber = await engine.connect({ clientId: 's' });
    await subscriber.subscribe('a/#', 0);
    await subscriber.subscribe('a/+', 1, 2);
    await subscriber.subscribe('a/b', 0, 3);
    const publisher = await engine.connect({ clientId: 'p' });
    publisher.publish('a/b', 'x', { qos: 1, messageId: 1 });
    const packet = await subscriber.expect('publish');
    assert.equal(packet.qos, 1);
    assert.deepEqual(await subscriber.drain(), []);
  });

  test('MQTT 5.0 properties arrive as they were sent, and are left out for older clients', async () => {
    const modern = await engine.connect({ clientId: 'm', protocolVersion: 5 });
    await modern.subscribe('t', 1);
    const old = await engine.connect({ clientId: 'o' });
    await old.subscribe('t', 1);
    const publisher = await engine.connect({ clientId: 'p', protocolVersion: 5 });
    const properties = {
      payloadFormatIndicator: true,
      contentType: 'text/plain',
      responseTopic: 'r',
      correlationData: Buffer.from([1, 2, 3]),
      userProperties: { a: ['1', '2'], b: '3' },
      messageExpiryInterval: 60,
    };
    publisher.send({
      cmd: 'publish',
      topic: 't',
      payload: 'x',
      qos: 1,
      retain: false,
      dup: false,
      messageId: 1,
      properties,
    });
    const packet = await modern.expect('publish');
    assert.deepEqual(JSON.parse(JSON.stringify(packet.properties)), JSON.parse(JSON.stringify(properties)));
    assert.equal((await old.expect('publish')).properties, undefined);
  });

  test('a client that does not read loses QoS 0 messages beyond its buffer, counted; others lose nothing', async () => {
    const small = await Engine.create({ session: { outputBuffer: 20_000 } });
    const good = await small.connect({ clientId: 'good' });
    await good.subscribe('t', 0);
    const lazy = await small.connect({ clientId: 'lazy' });
    await lazy.subscribe('t', 0);
    lazy.stall();
    const publisher = await small.connect({ clientId: 'p' });
    const payload = Buffer.alloc(1000);
    for (let i = 0; i < 200; i++) {
      publisher.publish('t', payload);
      await good.expect('publish');
    }
    assert.ok(small.broker.counters.droppedOutputBuffer > 100, `${small.broker.counters.droppedOutputBuffer} dropped`);
    await small.stop();
  });
});
