/** Normative statements of retained messages: MQTT 3.1.1 3.3.1.3, MQTT 5.0 3.3.1.3 and 3.8.3.1. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';
import { answers, kept, passing, publishBytes, takenPackets, VERSIONS, type Version } from '../support/statements.js';
import { framed, str } from '../wire/table/row.js';

const RETAIN = 1;
const QOS1 = 2;
const QOS2 = 4;

const hex = (...publication: Parameters<typeof publishBytes>): string => publishBytes(...publication).toString('hex');

/** A SUBSCRIBE to one filter; options of MQTT 5.0 are Retain As Published 8 and Retain Handling 16, 32. */
function subscribeBytes(version: Version, filter: string, options: number): Buffer {
  return framed(0x82, '0001', version === 5 ? '00' : '', str(filter), Buffer.from([options]));
}

describe('retained messages', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  async function publish(version: Version, flags: number, topic: string, payload: string): Promise<void> {
    const client = await engine.connect({ clientId: 'p', protocolVersion: version });
    await answers(engine, client, publishBytes(version, flags, topic, 9, payload));
  }

  /** What a subscription brings to a client, without SUBACK. */
  async function brought(client: RawClient, version: Version, filter: string, options: number): Promise<string[]> {
    const [suback, ...publications] = await answers(engine, client, subscribeBytes(version, filter, options));
    assert.match(suback, /^90/);
    return publications;
  }

  for (const [version, name] of VERSIONS) {
    const fresh = (): Promise<RawClient> => engine.connect({ clientId: 'f', protocolVersion: version });

    test(`${name}: the last retained message of each topic is kept with its QoS for later subscribers [MQTT-3.3.1-5, MQTT-3.3.1-6]`, async () => {
      await publish(version, RETAIN | QOS2, 'r/1', 'former');
      await publish(version, RETAIN | QOS1, 'r/1', 'one');
      await publish(version, RETAIN | QOS2, 'r/2', 'two');
      await publish(version, RETAIN | QOS2, 's', 'other');
      const publications = await brought(await fresh(), version, 'r/+', 2);
      assert.deepEqual(publications.sort(), [
        hex(version, RETAIN | QOS1, 'r/1', 1, 'one'),
        hex(version, RETAIN | QOS2, 'r/2', 2, 'two'),
      ]);
    });

    test(`${name}: a retained message of QoS 0 replaces what was retained [MQTT-3.3.1-5, MQTT-3.3.1-7]`, async () => {
      await publish(version, RETAIN | QOS1, 'r', 'former');
      await publish(version, RETAIN, 'r', 'latter');
      assert.deepEqual(await brought(await fresh(), version, 'r', 2), [hex(version, RETAIN, 'r', 0, 'latter')]);
    });

    test(`${name}: RETAIN 0 neither stores nor replaces nor clears [MQTT-3.3.1-8, MQTT-3.3.1-12]`, async () => {
      await publish(version, QOS1, 'never', 'x');
      await publish(version, RETAIN | QOS1, 'r', 'kept');
      await publish(version, QOS1, 'r', 'other');
      await publish(version, QOS1, 'r', '');
      await publish(version, 0, 'r', '');
      assert.deepEqual(await brought(await fresh(), version, '#', 1), [hex(version, RETAIN | QOS1, 'r', 1, 'kept')]);
    });

    test(`${name}: an empty retained message is delivered, clears its topic and is not stored [MQTT-3.3.1-6, MQTT-3.3.1-7, MQTT-3.3.1-10, MQTT-3.3.1-11]`, async () => {
      await publish(version, RETAIN | QOS1, 'r', 'x');
      const watcher = await engine.connect({ clientId: 'w', protocolVersion: version });
      await watcher.subscribe('#', 1);
      await watcher.expect('publish');
      takenPackets(watcher);
      await publish(version, RETAIN | QOS1, 'r', '');
      await publish(version, RETAIN, 'never', '');
      await watcher.drain();
      assert.deepEqual(takenPackets(watcher).slice(0, 2), [
        hex(version, QOS1, 'r', 2, ''),
        hex(version, 0, 'never', 0, ''),
      ]);
      assert.deepEqual(await brought(await fresh(), version, '#', 1), []);
    });

    test(`${name}: RETAIN is 1 in what a new subscription brings, and 0 in what an established one does [MQTT-3.3.1-8, MQTT-3.3.1-9, MQTT-3.3.1-12]`, async () => {
      await publish(version, RETAIN | QOS1, 'r', 'stored');
      for (const client of [await fresh(), await engine.connect(kept(version, 'k'))]) {
        assert.deepEqual(await brought(client, version, 'r', 0), [hex(version, RETAIN, 'r', 0, 'stored')]);
        await publish(version, RETAIN | QOS1, 'r', 'stored');
        await client.drain();
        assert.equal(takenPackets(client)[0], hex(version, 0, 'r', 0, 'stored'));
      }
    });

    test(`${name}: retained messages outlive the session of their publisher [MQTT-3.1.2-7]`, async () => {
      for (const options of [passing(version, 'p'), kept(version, 'p')]) {
        const publisher = await engine.connect(options);
        await answers(engine, publisher, publishBytes(version, RETAIN | QOS1, 'r', 1, 'x'));
        await engine.cut(publisher);
        await engine.cut(await engine.connect({ ...options, clean: true, properties: {} }));
        engine.pass(1000);
        const reader = await fresh();
        assert.deepEqual(await brought(reader, version, 'r', 0), [hex(version, RETAIN, 'r', 0, 'x')]);
        await engine.cut(reader);
      }
    });
  }

  test('MQTT 5.0: Retain As Published decides on RETAIN, live and queued [MQTT-3.3.1-12, MQTT-3.3.1-13]', async () => {
    const live = await engine.connect({ clientId: 'live', protocolVersion: 5 });
    const away = await engine.connect(kept(5, 'away'));
    for (const client of [live, away]) {
      await brought(client, 5, 'cleared', 1);
      await brought(client, 5, 'published', 1 | 8);
    }
    await engine.cut(away);
    for (const topic of ['cleared', 'published']) {
      await publish(5, QOS1, topic, 'x');
      await publish(5, RETAIN | QOS1, topic, 'x');
    }
    const back = await engine.connect(kept(5, 'away'));
    for (const client of [live, back]) {
      const flags: [string, boolean][] = [];
      for (let i = 0; i < 4; i++) {
        const packet = (await client.expect('publish')) as IPublishPacket;
        flags.push([packet.topic, packet.retain]);
      }
      assert.deepEqual(flags, [
        ['cleared', false],
        ['cleared', false],
        ['published', false],
        ['published', true],
      ]);
    }
  });

  test('MQTT 5.0: Retain Handling 0 always sends retained messages, 1 to a new subscription, 2 never [MQTT-3.3.1-9, MQTT-3.3.1-10, MQTT-3.3.1-11]', async () => {
    await publish(5, RETAIN | QOS1, 'r', 'x');
    for (const options of [passing(5, 'c'), kept(5, 'k')]) {
      const client = await engine.connect(options);
      const message = [hex(5, RETAIN, 'r', 0, 'x')];
      assert.deepEqual(await brought(client, 5, 'r', 32), [], '2, new');
      assert.deepEqual(await brought(client, 5, 'r', 16), [], '1, there already');
      assert.deepEqual(await brought(client, 5, '+', 16), message, '1, new');
      assert.deepEqual(await brought(client, 5, '+', 16), [], '1, again');
      assert.deepEqual(await brought(client, 5, '+', 32), [], '2, again');
      assert.deepEqual(await brought(client, 5, '+', 0), message, '0, again');
      client.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['+'] });
      await client.expect('unsuback');
      assert.deepEqual(await brought(client, 5, '+', 16), message, '1, new once more');
      if (options.clientId === 'k') {
        await engine.cut(client);
        const back = await engine.connect(options);
        assert.deepEqual(await brought(back, 5, '+', 16), [], '1, kept with the session');
      }
    }
  });
});
