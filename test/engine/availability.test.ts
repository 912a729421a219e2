/** What a configuration takes away is said in CONNACK and answered with the code that MQTT 5.0 names for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import type { SessionOptions } from '../../src/session/environment.js';
import { Engine } from '../support/engine.js';

const V5 = { protocolVersion: 5 } as const;
const WILL = { topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false } as const;

function publish(qos: 0 | 1 | 2, retain = false): Packet {
  return { cmd: 'publish', topic: 't', payload: 'x', qos, retain, dup: false, ...(qos > 0 ? { messageId: 1 } : {}) };
}

function subscribe(topic: string, subscriptionIdentifier?: number): Packet {
  const packet: Packet = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 2 }] };
  return subscriptionIdentifier === undefined ? packet : { ...packet, properties: { subscriptionIdentifier } };
}

const ROWS: [string, Partial<SessionOptions>, Record<string, unknown>, Packet, number][] = [
  ['Maximum QoS 1 [MQTT-3.2.2-11]', { maxQos: 1 }, { maximumQoS: 1 }, publish(2), 0x9b],
  ['Maximum QoS 0 [MQTT-3.2.2-11]', { maxQos: 0 }, { maximumQoS: 0 }, publish(1), 0x9b],
  [
    'Retain Available 0 [MQTT-3.2.2-14]',
    { retainAvailable: false },
    { retainAvailable: false },
    publish(0, true),
    0x9a,
  ],
  [
    'Wildcard Subscription Available 0',
    { wildcardSubscriptions: false },
    { wildcardSubscriptionAvailable: false },
    subscribe('a/+'),
    0xa2,
  ],
  [
    'Subscription Identifiers Available 0',
    { subscriptionIdentifiers: false },
    { subscriptionIdentifiersAvailable: false },
    subscribe('a', 7),
    0xa1,
  ],
  [
    'Shared Subscription Available 0',
    { sharedSubscriptions: false },
    { sharedSubscriptionAvailable: false },
    subscribe('$share/g/a'),
    0x9e,
  ],
];

for (const [name, session, said, packet, code] of ROWS) {
  test(`${name}: CONNACK says so, and who does it all the same is disconnected with 0x${code.toString(16)}`, async () => {
    const engine = await Engine.create({ session });
    const client = await engine.connect(V5);
    const properties = client.connack.properties as Record<string, unknown>;
    for (const [property, value] of Object.entries(said)) assert.equal(properties[property], value);
    client.send(packet);
    assert.equal((await client.expect('disconnect')).reasonCode, code);
    assert.equal(engine.broker.counters.protocolErrors, 1);
    await engine.stop();
  });
}

test('by default everything is available, and CONNACK says nothing of it', async () => {
  const engine = await Engine.create();
  const { connack } = await engine.connect(V5);
  for (const [, , said] of ROWS)
    for (const property of Object.keys(said)) assert.equal(property in (connack.properties ?? {}), false, property);
  await engine.stop();
});

test('a subscription above the Maximum QoS is granted the Maximum QoS [MQTT-3.2.2-10]', async () => {
  const engine = await Engine.create({ session: { maxQos: 1 } });
  for (const protocolVersion of [4, 5] as const) {
    const client = await engine.connect({ clientId: `c${protocolVersion}`, protocolVersion });
    client.send(subscribe('t'));
    assert.deepEqual((await client.expect('suback')).granted, [1]);
    engine.broker.publish({ topic: 't', payload: 'x', qos: 2 });
    assert.equal((await client.expect('publish')).qos, 1);
  }
  await engine.stop();
});

test('a will that asks for what there is not: CONNACK 0x9B [MQTT-3.2.2-12], 0x9A [MQTT-3.2.2-13]', async () => {
  const engine = await Engine.create({ session: { maxQos: 0, retainAvailable: false } });
  const above = await engine.connect({ ...V5, will: { ...WILL, qos: 1 } });
  assert.equal(above.connack.reasonCode, 0x9b);
  const retained = await engine.connect({ ...V5, will: { ...WILL, retain: true } });
  assert.equal(retained.connack.reasonCode, 0x9a);
  await engine.stop();
});

test('an older client learns it from SUBACK 0x80, or by being closed', async () => {
  const engine = await Engine.create({
    session: { wildcardSubscriptions: false, sharedSubscriptions: false, maxQos: 0 },
  });
  const client = await engine.connect();
  client.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [
      { topic: '#', qos: 0 },
      { topic: '$share/g/a', qos: 0 },
      { topic: 'a', qos: 0 },
    ],
  });
  assert.deepEqual((await client.expect('suback')).granted, [0x80, 0x80, 0]);
  client.send(publish(1));
  await client.end();
  await engine.stop();
});

for (const [qos, answer] of [
  [0, 'disconnect'],
  [1, 'puback'],
  [2, 'pubrec'],
] as const) {
  test(`a payload that is not the UTF-8 it says it is, QoS ${qos}: ${answer.toUpperCase()} 0x99 where that is checked`, async () => {
    const engine = await Engine.create({ session: { validatePayloadFormat: true } });
    const subscriber = await engine.connect({ clientId: 's', ...V5 });
    await subscriber.subscribe('t', 2);
    const client = await engine.connect({ clientId: 'p', ...V5 });
    const packet = { ...publish(qos), payload: Buffer.from([0xc3, 0x28]) } as Packet;
    client.send(packet);
    if (qos === 1) assert.equal((await client.expect('puback')).reasonCode, 0);
    if (qos === 2) assert.equal((await client.expect('pubrec')).reasonCode, 0);
    assert.equal((await subscriber.expect('publish')).qos, qos);
    client.send({ ...packet, messageId: 2, properties: { payloadFormatIndicator: true } } as Packet);
    assert.equal((await client.expect(answer)).reasonCode, 0x99);
    assert.deepEqual(
      (await subscriber.drain()).filter(({ cmd }) => cmd === 'publish'),
      [],
    );
    await engine.stop();
  });
}

test('a will that is not the UTF-8 it says it is: CONNACK 0x99 where that is checked', async () => {
  const will = { ...WILL, payload: Buffer.from([0xff]), properties: { payloadFormatIndicator: true } };
  for (const validatePayloadFormat of [true, false]) {
    const engine = await Engine.create({ session: { validatePayloadFormat } });
    const { connack } = await engine.connect({ ...V5, will });
    assert.equal(connack.reasonCode, validatePayloadFormat ? 0x99 : 0);
    await engine.stop();
  }
});
