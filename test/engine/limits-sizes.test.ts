/** How long a topic may be, and how large a packet of somebody who has not been accepted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate, type IConnectPacket, type Packet } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';
import { limitsOf } from '../support/limits.js';
import { asked, authPacket, withEngine } from './puppet.js';

const OPTION = 'mqtt.max_topic_length';
/** Ten bytes of UTF-8 in five characters. */
const TEN = 'ä'.repeat(5);
const ELEVEN = `${TEN}/`;

async function withLimit(
  run: (engine: Engine, client: RawClient, limits: string[]) => Promise<void>,
  version: 4 | 5 = 5,
): Promise<void> {
  const engine = await Engine.create({ session: { maxTopicLength: 10 } });
  const limits = limitsOf(engine);
  const client = await engine.connect({ protocolVersion: version, clientId: 'client' });
  await run(engine, client, limits);
  assert.equal(engine.broker.counters.topicsTooLong, limits.length);
  await engine.stop();
}

test('a topic name longer than mqtt.max_topic_length ends the connection with 0x90', () =>
  withLimit(async (_engine, client, limits) => {
    client.publish(TEN, 'x');
    assert.deepEqual(await client.drain(), []);
    client.publish(ELEVEN, 'x');
    const { reasonCode, properties } = await client.expect('disconnect');
    assert.deepEqual([reasonCode, properties?.reasonString], [0x90, `a topic name longer than ${OPTION}`]);
    assert.deepEqual(limits, [OPTION]);
  }));

test('a longer topic name with a Topic Alias ends the connection as well', () =>
  withLimit(async (_engine, client, limits) => {
    const properties = { topicAlias: 1 };
    client.send({ cmd: 'publish', topic: ELEVEN, payload: '', qos: 0, retain: false, dup: false, properties });
    assert.equal((await client.expect('disconnect')).reasonCode, 0x90);
    assert.deepEqual(limits, [OPTION]);
  }));

test('before MQTT 5.0 a longer topic name closes the connection', () =>
  withLimit(async (_engine, client, limits) => {
    client.publish(ELEVEN, 'x', { qos: 1, messageId: 1 });
    await client.end();
    assert.deepEqual(limits, [OPTION]);
  }, 4));

test('a topic filter longer than mqtt.max_topic_length ends the connection with 0x8F, and nothing is subscribed', () =>
  withLimit(async (engine, client, limits) => {
    await client.subscribe('ä'.repeat(4).concat('/#'), 0);
    const before = engine.broker.counters.subscriptions;
    const topics = [TEN, ELEVEN];
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 0 })) });
    assert.equal((await client.expect('disconnect')).reasonCode, 0x8f);
    assert.deepEqual(limits, [OPTION]);
    assert.equal(engine.broker.counters.subscriptions, before - 1, 'and what there was has ended with the connection');
  }));

test('the filter of a shared subscription counts with its $share/{ShareName}/', () =>
  withLimit(async (_engine, client, limits) => {
    await client.subscribe('$share/a/b', 0);
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$share/a/bc', qos: 0 }] });
    assert.equal((await client.expect('disconnect')).reasonCode, 0x8f);
    assert.deepEqual(limits, [OPTION]);
  }));

test('a will on a topic longer than mqtt.max_topic_length is refused with 0x90', () =>
  withLimit(async (engine, _client, limits) => {
    const options = (topic: string): Partial<IConnectPacket> => ({
      clientId: 'w',
      protocolVersion: 5,
      will: { topic, payload: Buffer.from('x'), qos: 0, retain: false },
    });
    assert.equal((await engine.connect(options(TEN))).connack.reasonCode, 0);
    assert.equal((await engine.connect(options(ELEVEN))).connack.reasonCode, 0x90);
    assert.deepEqual(limits, [OPTION]);
  }));

test('mqtt.max_topic_length holds for clients inside the process, and so for CoAP', () =>
  withLimit(async (engine, _client, limits) => {
    const inside = engine.broker.openClient({ id: 'device', remote: '192.0.2.1:5683', transport: 'coap' });
    const codes: number[] = [];
    const outcome = { acknowledge: (_type: number, _packetId: number, code: number) => codes.push(code) };
    inside.publish(TEN, Buffer.from('x'), {}, outcome);
    inside.publish(ELEVEN, Buffer.from('x'), {}, outcome);
    assert.deepEqual(codes, [0, 0x90]);
    assert.equal(typeof inside.subscribe(TEN, 0, () => {}), 'object');
    assert.equal(
      inside.subscribe(ELEVEN, 0, () => {}),
      0x8f,
    );
    assert.deepEqual(limits, [OPTION, OPTION]);
  }));

/** A CONNECT of so many bytes. */
function connectOf(size: number): Buffer {
  const packet = (password: number): Packet => ({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: 'c',
    clean: true,
    keepalive: 0,
    username: 'u',
    password: Buffer.alloc(password),
  });
  const bytes = generate(packet(size - 200));
  return generate(packet(2 * size - 200 - bytes.length));
}

test('a CONNECT larger than mqtt.max_connect_size is not waited for', async () => {
  const engine = await Engine.create({ session: { maxConnectSize: 1000 } });
  const limits = limitsOf(engine);
  assert.equal(connectOf(1000).length, 1000);
  const exact = engine.open();
  exact.sendBytes(connectOf(1000));
  assert.equal((await exact.expect('connack')).returnCode, 0);
  const larger = engine.open();
  larger.sendBytes(connectOf(1001).subarray(0, 3));
  await larger.end();
  const { counters } = engine.broker;
  assert.deepEqual([counters.connectsTooLarge, counters.protocolErrors], [1, 1]);
  assert.deepEqual(limits, ['mqtt.max_connect_size']);
  await engine.stop();
});

test('by default a CONNECT may have 128 KiB, whatever larger packets may follow', async () => {
  const engine = await Engine.create();
  const stranger = engine.open();
  // Remaining Length 131,072.
  stranger.sendBytes(Buffer.from('10808008', 'hex'));
  await stranger.end();
  assert.equal(engine.broker.counters.connectsTooLarge, 1);
  await engine.stop();
});

test('a client may send larger packets as soon as it is accepted, also those that came behind its CONNECT', async () => {
  const engine = await Engine.create({ session: { maxConnectSize: 1000 } });
  const client = engine.open();
  const large: Packet = {
    cmd: 'publish',
    topic: 't',
    payload: Buffer.alloc(100_000),
    qos: 1,
    messageId: 1,
    retain: false,
    dup: false,
  };
  client.sendBytes(Buffer.concat([connectOf(500), generate(large)]));
  await client.expect('connack');
  await client.expect('puback');
  assert.deepEqual(await client.drain(), []);
  await engine.stop();
});

test('AUTH before CONNACK is under mqtt.max_connect_size as well', () =>
  withEngine(
    async (engine) => {
      const client = await asked(engine);
      client.send(authPacket(0x18, 'x'.repeat(1000)));
      await client.end();
      assert.equal(engine.broker.counters.connectsTooLarge, 1);
    },
    { session: { maxConnectSize: 1000 } },
  ));
