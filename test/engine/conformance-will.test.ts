/** Normative statements of wills: MQTT 3.1.2.5 to 3.1.2.7, MQTT 5.0 3.1.3.2, 3.14.4. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';
import {
  connectBytes,
  ending,
  kept,
  opening,
  passing,
  publishBytes,
  taken,
  takenPackets,
  VERSIONS,
  type Version,
} from '../support/statements.js';
import { props, raw, str } from '../wire/table/row.js';

const DISCONNECT = raw('e000');

const hex = (...publication: Parameters<typeof publishBytes>): string => publishBytes(...publication).toString('hex');

describe('wills', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  async function watching(version: Version): Promise<RawClient> {
    const watcher = await engine.connect(passing(version, 'watcher'));
    await watcher.subscribe('will/#', 2);
    return watcher;
  }

  /** The publications that a client has got since it was asked last. */
  async function published(client: RawClient): Promise<string[]> {
    await engine.broker.commit.settled();
    taken(client);
    const packets = await client.drain();
    return packets.flatMap((packet) => (packet.cmd === 'publish' ? [String(packet.payload)] : []));
  }

  function willing(version: Version, clientId: string, delay = 0, expiry = 100): Partial<IConnectPacket> {
    const will = { topic: 'will/t', payload: Buffer.from(clientId), qos: 1, retain: false } as const;
    if (version === 4) return { ...passing(version, clientId), will };
    const properties = { sessionExpiryInterval: expiry };
    return { ...passing(version, clientId), properties, will: { ...will, properties: { willDelayInterval: delay } } };
  }

  for (const [version, name] of VERSIONS) {
    test(`${name}: a will is published at its QoS, and retained if Will Retain says so [MQTT-3.1.2-14, MQTT-3.1.2-15, MQTT-3.1.2-16, MQTT-3.1.2-17]`, async () => {
      for (const qos of [0, 1, 2] as const) {
        for (const retain of [false, true]) {
          const topic = `will/${qos}/${retain}`;
          const watcher = await watching(version);
          taken(watcher);
          const flags = (2 | 4 | (qos << 3) | (retain ? 0x20 : 0)).toString(16).padStart(2, '0');
          const properties = version === 5 ? props('') : Buffer.alloc(0);
          const bytes = connectBytes(version, flags, str('c'), properties, str(topic), str('gone'));
          const client = opening(engine, version, bytes);
          await client.expect('connack');
          await engine.cut(client);
          await watcher.expect('publish');
          assert.equal(taken(watcher), hex(version, qos << 1, topic, 1, 'gone'));
          const later = await engine.connect(passing(version, 'later'));
          await later.subscribe(topic, 2);
          await later.drain();
          const retained = takenPackets(later).filter((packet) => packet.startsWith('3'));
          assert.deepEqual(retained, retain ? [hex(version, (qos << 1) | 1, topic, 1, 'gone')] : []);
          engine.broker.publish({ topic, payload: '', retain: true });
          await engine.cut(watcher);
        }
      }
    });

    test(`${name}: a will is forgotten once it is published, or DISCONNECT has come [MQTT-3.1.2-10, MQTT-3.14.4-3]`, async () => {
      const watcher = await watching(version);
      await engine.cut(await engine.connect(willing(version, 'c')));
      assert.deepEqual(await published(watcher), ['c']);
      assert.equal(engine.broker.wills.entries().length, 0);
      await engine.cut(await engine.connect(passing(version, 'c')));
      const polite = await engine.connect(willing(version, 'polite'));
      assert.equal(engine.broker.wills.entries().length, 1);
      taken(polite);
      polite.sendBytes(DISCONNECT);
      assert.equal(await ending(polite), '');
      assert.equal(engine.broker.wills.entries().length, 0);
      await engine.cut(await engine.connect(passing(version, 'polite')));
      engine.pass(1000);
      assert.deepEqual(await published(watcher), []);
    });

    test(`${name}: without a will nothing is published when the connection ends [MQTT-3.1.2-12]`, async () => {
      const watcher = await engine.connect(passing(version, 'watcher'));
      await watcher.subscribe('#', 0);
      const polite = await engine.connect(willing(version, 'c'));
      polite.sendBytes(DISCONNECT);
      await polite.end();
      await engine.cut(await engine.connect(kept(version, 'c')));
      assert.deepEqual(await published(watcher), []);
    });

    test(`${name}: a will is published however the broker ends the connection [MQTT-3.1.2-8]`, async () => {
      const watcher = await watching(version);
      const broken = await engine.connect({ ...willing(version, 'broken'), keepalive: 0 });
      broken.sendBytes(raw('c100'));
      await broken.end();
      assert.deepEqual(await published(watcher), ['broken']);
      const silent = await engine.connect({ ...willing(version, 'silent'), keepalive: 10 });
      engine.pass(16);
      await silent.end();
      assert.deepEqual(await published(watcher), ['silent']);
      const former = await engine.connect(willing(version, 'twice'));
      await engine.connect(passing(version, 'twice'));
      await former.end();
      assert.deepEqual(await published(watcher), ['twice']);
    });
  }

  test('MQTT 5.0: a will waits for its delay or the end of its session, whichever comes first [MQTT-3.1.2-8]', async () => {
    const watcher = await watching(5);
    await engine.cut(await engine.connect(willing(5, 'delay', 10, 100)));
    await engine.cut(await engine.connect(willing(5, 'expiry', 100, 10)));
    await engine.cut(await engine.connect(willing(5, 'at once', 100, 0)));
    assert.deepEqual(await published(watcher), ['at once']);
    engine.pass(9);
    assert.deepEqual(await published(watcher), []);
    engine.pass(2);
    assert.deepEqual((await published(watcher)).sort(), ['delay', 'expiry']);
    await engine.cut(await engine.connect(willing(5, 'clean start', 100, 1000)));
    await engine.connect({ ...passing(5, 'clean start'), clean: true });
    assert.deepEqual(await published(watcher), ['clean start'], 'its session has ended');
    engine.pass(10_000);
    assert.deepEqual(await published(watcher), []);
  });

  test('MQTT 5.0: a connection to the session before the delay is over calls the will off, whether it brings another or none [MQTT-3.1.3-9]', async () => {
    const watcher = await watching(5);
    for (const next of [passing(5, 'c'), willing(5, 'c', 10)]) {
      const options = { ...next, properties: { sessionExpiryInterval: 100 }, clean: false };
      await engine.cut(await engine.connect(willing(5, 'c', 10)));
      engine.pass(9);
      const back = await engine.connect(options);
      assert.equal(back.connack.sessionPresent, true);
      engine.pass(50);
      assert.deepEqual(await published(watcher), []);
      back.sendBytes(DISCONNECT);
      await back.end();
      engine.pass(50);
      assert.deepEqual(await published(watcher), [], 'and nothing is left of it');
    }
    // A connection that takes over does so, too.
    await engine.connect(willing(5, 'c', 10));
    const over = await engine.connect({ ...passing(5, 'c'), properties: { sessionExpiryInterval: 100 }, clean: false });
    engine.pass(50);
    assert.deepEqual(await published(watcher), []);
    await engine.cut(over);
    assert.deepEqual(await published(watcher), []);
  });

  test('MQTT 5.0: DISCONNECT 0x04 publishes the will, after its delay [MQTT-3.1.2-8, MQTT-3.14.4-3]', async () => {
    const watcher = await watching(5);
    for (const [delay, clientId] of [
      [0, 'now'],
      [10, 'later'],
    ] as const) {
      const client = await engine.connect(willing(5, clientId, delay));
      client.sendBytes(raw('e00104'));
      await client.end();
      assert.deepEqual(await published(watcher), delay === 0 ? [clientId] : []);
      engine.pass(delay + 1);
      assert.deepEqual(await published(watcher), delay === 0 ? [] : [clientId]);
    }
  });

  test('MQTT 5.0: properties of a will arrive as they were sent, User Properties in their order [MQTT-3.1.3-10, MQTT-3.3.2-4, MQTT-3.3.2-15 to 20]', async () => {
    const watcher = await engine.connect(passing(5, 'watcher'));
    await watcher.subscribe('will', 1);
    taken(watcher);
    const user = raw(
      '26',
      str('z'),
      str('1'),
      '26',
      str('a'),
      str('2'),
      '26',
      str('z'),
      str('0'),
      '26',
      str(''),
      str(''),
    );
    const known = raw('0101 02 0000003c 03', str('text/plain'), '08', str('answer'), '09', str(raw('00ff')));
    const bytes = connectBytes(5, '0e', str('c'), props('18 00000000', known, user), str('will'), str('gone'));
    const client = opening(engine, 5, bytes);
    await client.expect('connack');
    engine.pass(1000);
    await engine.cut(client);
    const packet = await watcher.expect('publish');
    assert.deepEqual(JSON.parse(JSON.stringify(packet.properties)), {
      payloadFormatIndicator: true,
      messageExpiryInterval: 60,
      contentType: 'text/plain',
      responseTopic: 'answer',
      correlationData: JSON.parse(JSON.stringify(Buffer.from([0, 0xff]))),
      userProperties: { z: ['1', '0'], a: '2', '': '' },
    });
    assert.ok(taken(watcher).includes(user.toString('hex')), 'in this order');
  });
});
