/** Normative statements of PUBLISH and its acknowledgements: MQTT 3.3 to 3.7, 4.3, 4.4, 4.6. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';
import {
  answers,
  ending,
  kept,
  publishBytes,
  taken,
  takenPackets,
  VERSIONS,
  type Version,
} from '../support/statements.js';
import { raw } from '../wire/table/row.js';

const QOS1 = 2;
const QOS2 = 4;
const DUP = 8;

/** The next delivery, in hexadecimal digits. */
async function delivered(client: RawClient): Promise<string> {
  taken(client);
  await client.expect('publish');
  return taken(client);
}

const hex = (...publication: Parameters<typeof publishBytes>): string => publishBytes(...publication).toString('hex');

describe('PUBLISH', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  const connect = (version: Version, clientId: string): Promise<RawClient> =>
    engine.connect({ clientId, protocolVersion: version });

  /** What the broker answers, in hexadecimal digits. */
  async function answer(client: RawClient, ...bytes: Buffer[]): Promise<string> {
    return (await answers(engine, client, ...bytes)).join(' ');
  }

  async function subscriber(version: Version, qos: 0 | 1 | 2, filter = 't'): Promise<RawClient> {
    const client = await connect(version, `s${version}${qos}`);
    await client.subscribe(filter, qos);
    taken(client);
    return client;
  }

  for (const [version, name] of VERSIONS) {
    test(`${name}: a QoS 0 delivery has DUP 0 and no packet identifier, and begins with its topic name [MQTT-2.2.1-2, MQTT-2.3.1-5, MQTT-3.3.1-2, MQTT-3.3.2-1, MQTT-4.3.1-1]`, async () => {
      const receivers = [await subscriber(version, 0), await subscriber(version, 1)];
      const publisher = await connect(version, 'p');
      publisher.sendBytes(publishBytes(version, 0, 't', 0, 'payload'));
      for (const receiver of receivers) {
        await receiver.expect('publish');
        assert.equal(taken(receiver), hex(version, 0, 't', 0, 'payload'));
      }
      publisher.sendBytes(publishBytes(version, DUP | QOS2, 't', 9, 'payload'));
      assert.equal(await delivered(receivers[0]), hex(version, 0, 't', 0, 'payload'));
    });

    test(`${name}: PUBLISH is answered by nothing, PUBACK or PUBREC with its identifier [MQTT-2.2.1-5, MQTT-2.3.1-6, MQTT-3.3.4-1, MQTT-4.3.2-2, MQTT-4.3.2-4, MQTT-4.3.3-8]`, async () => {
      await subscriber(version, 0);
      for (const client of [await connect(version, 'p'), await engine.connect(kept(version, 'k'))]) {
        assert.equal(await answer(client, publishBytes(version, 0, 't', 0, 'x')), '');
        for (const identifier of [1, 0x1234, 0xffff]) {
          const digits = identifier.toString(16).padStart(4, '0');
          assert.equal(await answer(client, publishBytes(version, QOS1, 't', identifier, 'x')), `4002${digits}`);
          assert.equal(await answer(client, publishBytes(version, QOS2, 't', identifier, 'x')), `5002${digits}`);
        }
      }
    });

    test(`${name}: DUP says whether this delivery is a repetition, whatever the publisher said [MQTT-3.3.1-1, MQTT-3.3.1-3]`, async () => {
      const receiver = await engine.connect(kept(version, 's'));
      await receiver.subscribe('t', 1);
      const publisher = await connect(version, 'p');
      publisher.sendBytes(publishBytes(version, DUP | QOS1, 't', 7, 'again, the publisher says'));
      assert.equal(await delivered(receiver), hex(version, QOS1, 't', 1, 'again, the publisher says'));
      publisher.sendBytes(publishBytes(version, QOS1, 't', 7, 'new'));
      assert.equal(await delivered(receiver), hex(version, QOS1, 't', 2, 'new'));
      await engine.cut(receiver);
      const back = await engine.connect(kept(version, 's'));
      await back.expect('publish');
      await back.expect('publish');
      const again = [
        hex(version, DUP | QOS1, 't', 1, 'again, the publisher says'),
        hex(version, DUP | QOS1, 't', 2, 'new'),
      ];
      assert.deepEqual(takenPackets(back).slice(1), again);
    });

    test(`${name}: after PUBACK the identifier means a new message, whatever DUP says [MQTT-4.3.2-2, MQTT-4.3.2-5]`, async () => {
      const receiver = await subscriber(version, 0);
      const publisher = await connect(version, 'p');
      for (const flags of [QOS1, DUP | QOS1]) {
        assert.equal(await answer(publisher, publishBytes(version, flags, 't', 3, 'x')), '40020003');
        assert.equal(String((await receiver.expect('publish')).payload), 'x');
      }
    });

    test(`${name}: QoS 2 of a publisher is one message until PUBCOMP, then a new one [MQTT-4.3.3-2, MQTT-4.3.3-8, MQTT-4.3.3-10, MQTT-4.3.3-11, MQTT-4.3.3-12]`, async () => {
      for (const [clientId, filter] of [
        ['volatile', 'v'],
        ['kept', 'k'],
      ]) {
        const receiver = await connect(version, 'r');
        await receiver.subscribe(filter, 0);
        const options = clientId === 'kept' ? kept(version, 'kept') : { clientId, protocolVersion: version };
        const publisher = await engine.connect(options);
        const send = (flags: number, payload: string): Promise<string> =>
          answer(publisher, publishBytes(version, flags, filter, 5, payload));
        for (const payload of ['first', 'second']) {
          assert.equal(await send(QOS2, payload), '50020005');
          assert.equal(await send(DUP | QOS2, payload), '50020005');
          assert.equal(await send(QOS2, payload), '50020005', 'also without DUP');
          assert.equal(await answer(publisher, raw('62020005')), '70020005');
          assert.equal(String((await receiver.expect('publish')).payload), payload);
          assert.deepEqual(await receiver.drain(), []);
        }
      }
    });

    test(`${name}: deliveries above QoS 0 have identifiers that are not 0 and not in use [MQTT-2.2.1-4, MQTT-2.3.1-1, MQTT-2.3.1-4, MQTT-4.3.2-1, MQTT-4.3.2-2, MQTT-4.3.3-1]`, async () => {
      const receiver = await subscriber(version, 2);
      // One delivery is never acknowledged, while the others go once around all identifiers.
      engine.broker.publish({ topic: 't', payload: 'held', qos: 2 });
      const held = (await receiver.expect('publish')).messageId as number;
      const count = 65_600;
      const seen = new Set<number>([held]);
      for (let i = 0; i < count; ) {
        const batch = Math.min(400, count - i);
        for (let k = 0; k < batch; k++) engine.broker.publish({ topic: 't', payload: '', qos: 1 });
        i += batch;
        const packets = (await receiver.drain()) as IPublishPacket[];
        const acknowledgements: Buffer[] = [];
        for (const { messageId = 0, dup, qos } of packets) {
          assert.ok(messageId > 0 && messageId !== held && !dup && qos === 1, `${messageId}`);
          seen.add(messageId);
          acknowledgements.push(Buffer.from([0x40, 2, messageId >>> 8, messageId & 0xff]));
        }
        receiver.sendBytes(Buffer.concat(acknowledgements));
      }
      assert.equal(seen.size, 65_535, 'all identifiers are used, and then it has to wait');
      receiver.send({ cmd: 'pubrec', messageId: held });
      await receiver.expect('pubrel');
      receiver.send({ cmd: 'pubcomp', messageId: held });
      assert.equal((await receiver.expect('publish')).messageId, held);
    });

    test(`${name}: a QoS 2 delivery is PUBLISH, PUBREL after PUBREC, and then done [MQTT-2.3.1-6, MQTT-3.6.1-1, MQTT-4.3.3-1, MQTT-4.3.3-2, MQTT-4.3.3-4]`, async () => {
      for (const receiver of [await subscriber(version, 2), await engine.connect(kept(version, 'k'))]) {
        await receiver.subscribe('t', 2);
        taken(receiver);
        engine.broker.publish({ topic: 't', payload: 'x', qos: 2 });
        const { messageId = 0 } = await receiver.expect('publish');
        assert.equal(taken(receiver), hex(version, QOS2, 't', messageId, 'x'));
        const digits = messageId.toString(16).padStart(4, '0');
        receiver.sendBytes(raw('5002', digits));
        await receiver.expect('pubrel');
        assert.equal(taken(receiver), `6202${digits}`);
        assert.equal(await answer(receiver, raw('5002', digits)), `6202${digits}`, 'PUBREC again');
        assert.equal(await answer(receiver, raw('7002', digits)), '');
      }
    });

    test(`${name}: nothing is sent again while the connection lasts [MQTT-4.4.0-1]`, async () => {
      const receiver = await subscriber(version, 2);
      for (const qos of [1, 2, 2] as const) engine.broker.publish({ topic: 't', payload: 'x', qos });
      const sent = [];
      for (let i = 0; i < 3; i++) sent.push((await receiver.expect('publish')).messageId as number);
      receiver.send({ cmd: 'pubrec', messageId: sent[2] });
      await receiver.expect('pubrel');
      for (let hour = 0; hour < 24; hour++) engine.pass(3600);
      assert.deepEqual(await receiver.drain(), []);
    });

    test(`${name}: QoS 2 keeps the order of PUBREC, PUBREL and deliveries [MQTT-4.6.0-3 to 6]`, async () => {
      const receiver = await engine.connect(kept(version, 'r'));
      await receiver.subscribe('t', 2);
      const publisher = await engine.connect(kept(version, 'p'));
      const count = 20;
      const bytes = Array.from({ length: count }, (_, i) => publishBytes(version, QOS2, 't', 100 - i, String(i)));
      publisher.sendBytes(Buffer.concat(bytes));
      for (let i = 0; i < count; i++) assert.equal((await publisher.expect('pubrec')).messageId, 100 - i);
      for (let i = 0; i < count; i++) publisher.send({ cmd: 'pubrel', messageId: 100 - i });
      for (let i = 0; i < count; i++) assert.equal((await publisher.expect('pubcomp')).messageId, 100 - i);
      const received: number[] = [];
      for (let i = 0; i < count; i++) {
        const packet = await receiver.expect('publish');
        assert.equal(packet.payload.toString(), String(i));
        received.push(packet.messageId as number);
      }
      for (const messageId of received) receiver.send({ cmd: 'pubrec', messageId });
      for (const messageId of received) assert.equal((await receiver.expect('pubrel')).messageId, messageId);
    });

    test(`${name}: a topic name with a wildcard ends the connection, and reaches nobody [MQTT-3.3.2-2, MQTT-4.7.0-1, MQTT-4.7.1-1]`, async () => {
      const watcher = await subscriber(version, 0, '#');
      for (const topic of ['a/+', 'a/#', '+', '#', 'a+', 'a#b']) {
        const publisher = await connect(version, 'p');
        taken(publisher);
        publisher.sendBytes(publishBytes(version, QOS1, topic, 1, 'x'));
        assert.equal(await ending(publisher), version === 5 ? 'DISCONNECT 81' : '', topic);
      }
      assert.deepEqual(await watcher.drain(), []);
    });

    test(`${name}: overlapping subscriptions deliver at the highest QoS [MQTT-3.3.5-1, MQTT-3.3.4-2]`, async () => {
      const receiver = await connect(version, 's');
      await receiver.subscribe('a/#', 1);
      await receiver.subscribe('a/b', 0);
      await receiver.subscribe('+/b', 2);
      for (const [qos, expected] of [
        [0, 0],
        [1, 1],
        [2, 2],
      ] as const) {
        engine.broker.publish({ topic: 'a/b', payload: 'x', qos });
        assert.equal((await receiver.expect('publish')).qos, expected);
      }
      assert.deepEqual(await receiver.drain(), []);
    });
  }

  test('MQTT 3.1.1: a PUBLISH that is not allowed is acknowledged all the same, and delivered to nobody [MQTT-3.3.5-2]', async () => {
    const watcher = await subscriber(4, 0, '$SYS/t');
    const publisher = await connect(4, 'p');
    assert.equal(await answer(publisher, publishBytes(4, QOS1, '$SYS/t', 1, 'x')), '40020001');
    assert.equal(await answer(publisher, publishBytes(4, QOS2, '$SYS/t', 2, 'x')), '50020002');
    assert.equal(await answer(publisher, raw('62020002')), '70020002');
    assert.deepEqual(await watcher.drain(), []);
  });

  test('MQTT 5.0: a PUBLISH that is not allowed is refused with a reason of PUBACK and PUBREC [MQTT-3.4.2-1, MQTT-3.5.2-1]', async () => {
    const publisher = await connect(5, 'p');
    assert.match(await answer(publisher, publishBytes(5, QOS1, '$SYS/t', 1, 'x')), /^40..000187/);
    assert.match(await answer(publisher, publishBytes(5, QOS2, '$SYS/t', 2, 'x')), /^50..000287/);
  });

  test('MQTT 5.0: after a PUBREC of 0x80 or above the identifier means a new message [MQTT-4.3.3-9]', async () => {
    await engine.stop();
    engine = await Engine.create({
      authorizePublish: (_client, packet, done) =>
        done(String(packet.payload) === 'no' ? new Error('not allowed') : null),
    });
    const receiver = await engine.connect({ clientId: 's' });
    await receiver.subscribe('t', 0);
    const publisher = await engine.connect({ clientId: 'p', protocolVersion: 5 });
    assert.match(await answer(publisher, publishBytes(5, QOS2, 't', 1, 'no')), /^50..000187/);
    assert.equal(await answer(publisher, publishBytes(5, QOS2, 't', 1, 'yes')), '50020001');
    assert.equal(await answer(publisher, raw('62020001')), '70020001');
    assert.deepEqual(
      (await receiver.drain()).map((packet) => String((packet as IPublishPacket).payload)),
      ['yes'],
    );
  });

  test('MQTT 5.0: PUBREC and PUBREL of what is not known are answered by PUBREL and PUBCOMP 0x92 [MQTT-3.6.2-1, MQTT-3.7.2-1]', async () => {
    const client = await connect(5, 'c');
    assert.match(await answer(client, raw('50020009')), /^62..000992/);
    assert.match(await answer(client, raw('62020009')), /^70..000992/);
    assert.equal(await answer(client, raw('40020009'), raw('70020009'), raw('5003000980')), '');
  });

  test('MQTT 5.0: PUBACK and PUBREC of 0x80 or above end a delivery for good [MQTT-4.4.0-2, MQTT-4.3.3-4]', async () => {
    for (const options of [
      kept(5, 'k'),
      { ...kept(5, 'one at a time'), properties: { sessionExpiryInterval: 100, receiveMaximum: 1 } },
    ]) {
      const receiver = await engine.connect(options);
      await receiver.subscribe('t', 2);
      for (const qos of [1, 2, 1] as const) engine.broker.publish({ topic: 't', payload: `${qos}`, qos });
      const one = await receiver.expect('publish');
      receiver.send({ cmd: 'puback', messageId: one.messageId as number, reasonCode: 0x83 });
      const two = await receiver.expect('publish');
      assert.equal(two.qos, 2);
      receiver.send({ cmd: 'pubrec', messageId: two.messageId as number, reasonCode: 0x97 });
      const three = await receiver.expect('publish');
      receiver.send({ cmd: 'puback', messageId: three.messageId as number, reasonCode: 0x10 });
      assert.deepEqual(await receiver.drain(), [], 'no PUBREL');
      await engine.cut(receiver);
      const back = await engine.connect(options);
      assert.equal(back.connack.sessionPresent, true);
      assert.deepEqual(await back.drain(), []);
    }
  });

  test('MQTT 5.0: what has been sent does not expire, and is sent again [MQTT-4.3.3-7]', async () => {
    const receiver = await engine.connect(kept(5, 's'));
    await receiver.subscribe('t', 2);
    const publisher = await connect(5, 'p');
    publisher.sendBytes(publishBytes(5, QOS2, 't', 1, 'x', '0200000005'));
    const { messageId = 0 } = await receiver.expect('publish');
    await engine.cut(receiver);
    engine.pass(60);
    const back = await engine.connect(kept(5, 's'));
    const again = await back.expect('publish');
    assert.deepEqual([again.messageId, again.dup, String(again.payload)], [messageId, true, 'x']);
    back.send({ cmd: 'pubrec', messageId });
    assert.equal((await back.expect('pubrel')).messageId, messageId);
  });

  test('MQTT 5.0: the handshake of a publication goes on although its message has expired [MQTT-4.3.3-13]', async () => {
    await subscriber(5, 1);
    const publisher = await connect(5, 'p');
    assert.equal(await answer(publisher, publishBytes(5, QOS2, 't', 1, 'x', '0200000005')), '50020001');
    engine.pass(60);
    assert.equal(await answer(publisher, publishBytes(5, DUP | QOS2, 't', 1, 'x', '0200000005')), '50020001');
    assert.equal(await answer(publisher, raw('62020001')), '70020001');
  });
});
