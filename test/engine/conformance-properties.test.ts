/** Normative statements of the properties of MQTT 5.0 that travel with a message: 3.3.2.3, 3.1.2.11.4, 3.3.4. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Engine, type RawClient } from '../support/engine.js';
import { answers, kept, passing, publishBytes, takenPackets } from '../support/statements.js';
import { framed, props, raw, str } from '../wire/table/row.js';

const RETAIN = 1;
const QOS1 = 2;
const QOS2 = 4;

const hex = (...publication: Parameters<typeof publishBytes>): string => publishBytes(...publication).toString('hex');

/** Payload Format Indicator, Content Type, Response Topic, Correlation Data, and User Properties in an odd order. */
const PROPERTIES = raw(
  raw('26', str('z'), str('1'), '01 01 03', str('text/plain'), '26', str('a'), str('2'), '08', str('answer/to')),
  raw('26', str('z'), str(''), '09 0003 00ff00', '26', str(''), str('é'), '26', str('z'), str('1')),
).toString('hex');

describe('properties of a message', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  const connect = (clientId: string): Promise<RawClient> => engine.connect({ clientId, protocolVersion: 5 });

  async function publish(flags: number, payload: string, properties: string): Promise<void> {
    const publisher = await connect('publisher');
    await answers(engine, publisher, publishBytes(5, flags, 't', 9, payload, properties));
  }

  /** The PUBLISH packets that a client gets until the broker has answered it. */
  async function deliveries(client: RawClient): Promise<string[]> {
    await client.drain();
    return takenPackets(client).filter((packet) => packet.startsWith('3'));
  }

  for (const qos of [0, 1, 2] as const) {
    test(`they arrive as they were sent, in their order: QoS ${qos}, live, queued and retained [MQTT-3.3.2-4, MQTT-3.3.2-15 to 18, MQTT-3.3.2-20]`, async () => {
      const receivers = [await connect('one'), await engine.connect(kept(5, 'two'))];
      const away = await engine.connect(kept(5, 'away'));
      for (const client of [...receivers, away]) await client.subscribe('t', qos);
      await engine.cut(away);
      await publish(QOS2 | RETAIN, 'x', PROPERTIES);
      const expected = hex(5, qos << 1, 't', 1, 'x', PROPERTIES);
      for (const client of receivers) assert.deepEqual(await deliveries(client), [expected]);
      const back = await engine.connect(kept(5, 'away'));
      assert.deepEqual(await deliveries(back), qos === 0 ? [] : [expected]);
      const later = await connect('later');
      await later.subscribe('t', qos);
      assert.deepEqual(await deliveries(later), [hex(5, (qos << 1) | RETAIN, 't', 1, 'x', PROPERTIES)]);
    });
  }

  test('one receiver alone gets them as they were sent, too, and an older client gets none [MQTT-3.3.2-17]', async () => {
    const receiver = await connect('one');
    await receiver.subscribe('t', 1);
    await publish(QOS1, 'x', PROPERTIES);
    assert.deepEqual(await deliveries(receiver), [hex(5, QOS1, 't', 1, 'x', PROPERTIES)]);
    await engine.cut(receiver);
    const old = await engine.connect({ clientId: 'old' });
    await old.subscribe('t', 1);
    await publish(QOS1, 'x', PROPERTIES);
    assert.deepEqual(await deliveries(old), [hex(4, QOS1, 't', 1, 'x')]);
  });

  test('what is left of the Message Expiry Interval travels on, also with queued and retained messages [MQTT-3.3.2-6]', async () => {
    const live = await connect('live');
    const away = await engine.connect(kept(5, 'away'));
    for (const client of [live, away]) await client.subscribe('t', 1);
    await engine.cut(away);
    await publish(QOS1 | RETAIN, 'x', '020000003c');
    const expected = (flags: number, seconds: number): string[] => [
      hex(5, flags, 't', 1, 'x', `02${seconds.toString(16).padStart(8, '0')}`),
    ];
    assert.deepEqual(await deliveries(live), expected(QOS1, 60));
    engine.pass(20);
    assert.deepEqual(await deliveries(await engine.connect(kept(5, 'away'))), expected(QOS1, 40));
    engine.pass(39);
    const later = await connect('later');
    await later.subscribe('t', 1);
    assert.deepEqual(await deliveries(later), expected(QOS1 | RETAIN, 1));
  });

  test('a message whose time is over before its delivery began is deleted [MQTT-3.3.2-5]', async () => {
    const away = await engine.connect(kept(5, 'away'));
    await away.subscribe('t', 1);
    await engine.cut(away);
    const busy = await engine.connect({ clientId: 'busy', protocolVersion: 5, properties: { receiveMaximum: 1 } });
    await busy.subscribe('t', 1);
    await publish(QOS1, 'first', '');
    await publish(QOS1 | RETAIN, 'short', '0200000005');
    await publish(QOS1, 'last', '0200000050');
    engine.pass(6);
    const back = await engine.connect(kept(5, 'away'));
    assert.deepEqual(await deliveries(back), [
      hex(5, QOS1, 't', 1, 'first'),
      hex(5, QOS1, 't', 3, 'last', '020000004a'),
    ]);
    assert.deepEqual(await deliveries(busy), [hex(5, QOS1, 't', 1, 'first')]);
    busy.send({ cmd: 'puback', messageId: 1 });
    assert.deepEqual(await deliveries(busy), [hex(5, QOS1, 't', 3, 'last', '020000004a')]);
    assert.equal(engine.broker.counters.droppedExpired, 2);
    const later = await connect('later');
    await later.subscribe('t', 1);
    assert.deepEqual(await deliveries(later), [], 'not retained any more');
  });

  test('one copy for overlapping subscriptions, at the highest QoS, with each Subscription Identifier [MQTT-3.3.4-2 to 5]', async () => {
    const subscribe = (id: number, filter: string, qos: number): Buffer =>
      framed(0x82, '0001', id === 0 ? '00' : props('0b', Buffer.from([id])), str(filter), Buffer.from([qos]));
    for (const options of [passing(5, 'c'), kept(5, 'k')]) {
      const client = await engine.connect(options);
      await answers(engine, client, subscribe(3, 't', 0), subscribe(7, '+', 1), subscribe(0, '#', 0));
      await publish(QOS2, 'x', '');
      await engine.broker.commit.settled();
      const [packet, ...more] = await deliveries(client);
      assert.deepEqual(more, []);
      const either = ['0b030b07', '0b070b03'].map((identifiers) => hex(5, QOS1, 't', 1, 'x', identifiers));
      assert.ok(either.includes(packet), packet);
      await answers(engine, client, subscribe(0, '+', 1));
      await publish(QOS1, 'x', '');
      assert.deepEqual(await deliveries(client), [hex(5, QOS1, 't', 2, 'x', '0b03')], 'an identifier that is replaced');
    }
  });

  test('a retained message has the identifier of the subscription that brings it, and no other [MQTT-3.3.4-3]', async () => {
    await publish(QOS1 | RETAIN, 'x', '');
    const client = await engine.connect(kept(5, 'c'));
    for (const [filter, id] of [
      ['t', '07'],
      ['+', '0b'],
    ]) {
      const subscribe = framed(0x82, '0001', props('0b', id), str(filter), '00');
      const [, ...brought] = await answers(engine, client, subscribe);
      assert.deepEqual(brought, [hex(5, RETAIN, 't', 0, 'x', `0b${id}`)]);
    }
  });

  for (const qos of [0, 1, 2] as const) {
    test(`nothing above the client's Maximum Packet Size is sent, and it counts as sent: QoS ${qos} [MQTT-3.1.2-24, MQTT-3.1.2-25]`, async () => {
      const properties = { maximumPacketSize: 40, receiveMaximum: 1, sessionExpiryInterval: 100 };
      const client = await engine.connect({ ...kept(5, 'c'), properties });
      const other = await connect('other');
      for (const receiver of [client, other]) await receiver.subscribe('t', qos);
      const overhead = publishBytes(5, qos << 1, 't', 1, '').length;
      const fits = 'f'.repeat(40 - overhead);
      await publish(QOS2, `${fits}!`, '');
      await publish(QOS2, `${fits}!`, '');
      await publish(QOS2, fits, '');
      await engine.broker.commit.settled();
      assert.deepEqual(await deliveries(client), [hex(5, qos << 1, 't', 3, fits)]);
      assert.equal((await deliveries(other)).length, 3);
      await engine.cut(client);
      const back = await engine.connect({ ...kept(5, 'c'), properties: { sessionExpiryInterval: 100 } });
      assert.ok(
        (await deliveries(back)).every((packet) => packet.length === 80),
        'it is not sent later',
      );
    });
  }
});
