/** Normative statements of session state: MQTT 4.1, 3.1.2.4, MQTT 5.0 3.1.2.11.2, 3.14.2.2.2. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { IConnectPacket, IPublishPacket } from 'mqtt-packet';
import { GatedStore } from '../store/gated-store.js';
import { Engine } from '../support/engine.js';
import { answers, ending, kept, passing, publishBytes, taken, VERSIONS, type Version } from '../support/statements.js';
import { framed, props, raw } from '../wire/table/row.js';

const DAY = 86_400;
const QOS2 = 4;

const payloads = (packets: unknown[]): string[] => packets.map((packet) => String((packet as IPublishPacket).payload));

/** DISCONNECT 0x00 with a Session Expiry Interval in seconds. */
function disconnectBytes(seconds: number): Buffer {
  const interval = Buffer.alloc(4);
  interval.writeUInt32BE(seconds);
  return framed(0xe0, '00', props('11', interval));
}

describe('session state', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  function opened(version: Version, clientId: string, seconds: number, clean: boolean): ReturnType<Engine['connect']> {
    const options = { ...kept(version, clientId), clean };
    return engine.connect(version === 5 ? { ...options, properties: { sessionExpiryInterval: seconds } } : options);
  }

  for (const [version, name] of VERSIONS) {
    test(`${name}: a session lasts as long as its connection, with all of its state [MQTT-4.1.0-1, MQTT-4.1.0-2]`, async () => {
      const clients = [
        await engine.connect(passing(version, 'passing')),
        await opened(version, 'short', 10, true),
        await opened(version, 'kept', 10, false),
      ];
      for (const client of clients) {
        await client.subscribe('t', 2);
        // Half of a handshake each way.
        assert.deepEqual(await answers(engine, client, publishBytes(version, QOS2, 'n', 7, 'x')), [
          version === 5 ? '5003000710' : '50020007',
        ]);
      }
      engine.broker.publish({ topic: 't', payload: 'before', qos: 2 });
      const identifiers: number[] = [];
      for (const client of clients) identifiers.push((await client.expect('publish')).messageId as number);
      for (let day = 0; day < 30; day++) engine.pass(DAY);
      for (const [i, client] of clients.entries()) {
        client.send({ cmd: 'pubrec', messageId: identifiers[i] });
        assert.equal((await client.expect('pubrel')).messageId, identifiers[i]);
        assert.deepEqual(await answers(engine, client, raw('62020007')), ['70020007']);
      }
      engine.broker.publish({ topic: 't', payload: 'after', qos: 1 });
      for (const client of clients) assert.equal(String((await client.expect('publish')).payload), 'after');
    });

    test(`${name}: a session that ends with its connection leaves nothing to the next one [MQTT-3.1.2-6, MQTT-4.1.0-2]`, async () => {
      const first = await engine.connect({ ...passing(version, 'c'), clean: true });
      await first.subscribe('t', 2);
      engine.broker.publish({ topic: 't', payload: 'in flight', qos: 2 });
      await first.expect('publish');
      await engine.cut(first);
      engine.broker.publish({ topic: 't', payload: 'away', qos: 1 });
      const next = await engine.connect(kept(version, 'c'));
      assert.equal(next.connack.sessionPresent, false);
      engine.broker.publish({ topic: 't', payload: 'back', qos: 1 });
      assert.deepEqual(await next.drain(), []);
    });
  }

  test('MQTT 5.0: Clean Start 1 discards the session there is, whatever its expiry [MQTT-3.1.2-4, MQTT-3.1.4-4]', async () => {
    const first = await opened(5, 'c', 1000, false);
    await first.subscribe('t', 2);
    assert.equal((await answers(engine, first, publishBytes(5, QOS2, 't', 7, 'own'))).at(-1), '50020007');
    await engine.cut(first);
    engine.broker.publish({ topic: 't', payload: 'away', qos: 1 });
    const second = await opened(5, 'c', 1000, true);
    assert.equal(second.connack.sessionPresent, false);
    engine.broker.publish({ topic: 't', payload: 'back', qos: 1 });
    assert.deepEqual(await second.drain(), []);
    assert.match((await answers(engine, second, raw('62020007')))[0], /^70..000792/, 'nothing to release');
    await second.subscribe('t', 1);
    await engine.cut(second);
    const third = await opened(5, 'c', 0, false);
    assert.equal(third.connack.sessionPresent, true, 'the one that the clean start has begun');
  });

  test('MQTT 5.0: a Session Expiry Interval above 0 keeps the session, Clean Start 0 goes on with it or begins one [MQTT-3.1.2-5, MQTT-3.1.2-6, MQTT-3.1.2-23]', async () => {
    const first = await opened(5, 'c', 50, false);
    assert.equal(first.connack.sessionPresent, false);
    await first.subscribe('t', 2);
    await engine.cut(first);
    engine.broker.publish({ topic: 't', payload: '1', qos: 1 });
    engine.pass(49);
    engine.broker.publish({ topic: 't', payload: '2', qos: 2 });
    const second = await opened(5, 'c', 0xffffffff, false);
    assert.equal(second.connack.sessionPresent, true);
    assert.deepEqual(payloads(await second.drain()), ['1', '2']);
    await engine.cut(second);
    for (let year = 0; year < 10; year++) engine.pass(365 * DAY);
    const third = await opened(5, 'c', 0, false);
    assert.equal(third.connack.sessionPresent, true, '0xFFFFFFFF does not end');
    await engine.cut(third);
    assert.equal((await opened(5, 'c', 0, false)).connack.sessionPresent, false, '0 ends with the connection');
  });

  test('MQTT 5.0: session state is discarded when the interval is over, also one that DISCONNECT has set [MQTT-4.1.0-2]', async () => {
    for (const [seconds, survives] of [
      [0, 0],
      [5, 4],
      [5000, 4999],
    ] as const) {
      const client = await opened(5, 'c', 100, true);
      await client.subscribe('t', 1);
      taken(client);
      client.sendBytes(disconnectBytes(seconds));
      assert.equal(await ending(client), '');
      if (seconds > 0) {
        engine.pass(survives);
        const back = await opened(5, 'c', 100, false);
        assert.equal(back.connack.sessionPresent, true);
        taken(back);
        back.sendBytes(disconnectBytes(seconds));
        assert.equal(await ending(back), '');
        engine.pass(survives + 2);
      }
      assert.equal((await opened(5, 'c', 100, false)).connack.sessionPresent, false, `${seconds} s`);
    }
  });

  test('a session that has ended does not come back with the broker, one that is kept does [MQTT-3.1.2-6, MQTT-3.1.2-23, MQTT-4.1.0-1, MQTT-4.1.0-2]', async () => {
    const store = new GatedStore();
    const before = await Engine.create({ store });
    const ends: [clientId: string, present: boolean, options: Partial<IConnectPacket>, end: Buffer | null][] = [
      ['kept 4', true, kept(4, 'kept 4'), raw('e000')],
      ['kept 5', true, kept(5, 'kept 5'), null],
      ['cleaned', false, kept(4, 'cleaned'), null],
      ['passing 5', false, passing(5, 'passing 5'), null],
      ['dismissed', false, kept(5, 'dismissed'), disconnectBytes(0)],
      ['expired', false, { ...kept(5, 'expired'), properties: { sessionExpiryInterval: 5 } }, null],
    ];
    for (const [clientId, , options, end] of ends) {
      const client = await before.connect(options);
      await client.subscribe('t', 1);
      if (end !== null) client.sendBytes(end);
      if (end !== null) await client.end();
      else await before.cut(client);
      if (clientId === 'cleaned') await before.cut(await before.connect({ ...options, clean: true }));
    }
    before.broker.publish({ topic: 't', payload: 'x', qos: 1 });
    before.pass(6);
    await before.broker.commit.settled();
    const after = await Engine.create({ store: store.afterCrash() });
    after.clock.advance(6);
    for (const [clientId, present, { protocolVersion = 5 }] of ends) {
      const client = await after.connect(kept(protocolVersion === 4 ? 4 : 5, clientId));
      assert.equal(client.connack.sessionPresent, present, clientId);
      assert.deepEqual(payloads(await client.drain()), present ? ['x'] : [], clientId);
    }
    await after.stop();
    await before.stop();
  });

  test('MQTT 5.0: DISCONNECT cannot keep a session that CONNECT let end, and is answered by 0x82 (3.14.2.2.2)', async () => {
    const first = await opened(5, 'c', 100, false);
    await engine.cut(first);
    for (const present of [true, false]) {
      const client = await opened(5, 'c', 0, false);
      assert.equal(client.connack.sessionPresent, present);
      taken(client);
      client.sendBytes(disconnectBytes(100));
      assert.equal(await ending(client), 'DISCONNECT 82');
    }
  });
});
