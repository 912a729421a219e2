/** Normative statements of SUBSCRIBE and UNSUBSCRIBE: MQTT 3.8 to 3.11. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { IPublishPacket } from 'mqtt-packet';
import { Engine, type RawClient } from '../support/engine.js';
import {
  answers,
  ending,
  kept,
  passing,
  publishBytes,
  taken,
  takenPackets,
  VERSIONS,
  type Version,
} from '../support/statements.js';
import { framed, raw, str } from '../wire/table/row.js';

const NO_LOCAL = 4;
const QOS1 = 2;
const QOS2 = 4;
const DUP = 8;

type Requested = readonly [filter: string, options: number];

/** A SUBSCRIBE with packet identifier 0x1234. */
function subscribeBytes(version: Version, ...requested: Requested[]): Buffer {
  const filters = requested.map(([filter, options]) => raw(str(filter), Buffer.from([options])));
  return framed(0x82, '1234', version === 5 ? '00' : '', ...filters);
}

/** An UNSUBSCRIBE with packet identifier 0x1234. */
function unsubscribeBytes(version: Version, ...filters: string[]): Buffer {
  return framed(0xa2, '1234', version === 5 ? '00' : '', ...filters.map(str));
}

/** The codes of a SUBACK or UNSUBACK with packet identifier 0x1234, in hexadecimal digits. */
function codesOf(version: Version, packet: string | undefined, type: '90' | 'b0'): string {
  const found = new RegExp(`^${type}..1234(.*)$`).exec(packet ?? '') ?? assert.fail(packet);
  if (version === 4) return found[1];
  const properties = Number.parseInt(found[1].slice(0, 2), 16);
  return found[1].slice(2 + 2 * properties);
}

const payloads = (packets: unknown[]): string[] =>
  packets.map((packet) => String((packet as IPublishPacket).payload)).filter((payload) => payload !== 'undefined');

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  let engine: Engine;
  beforeEach(async () => {
    engine = await Engine.create();
  });
  afterEach(() => engine.stop());

  async function codes(client: RawClient, version: Version, ...requested: Requested[]): Promise<string> {
    const [suback] = await answers(engine, client, subscribeBytes(version, ...requested));
    return codesOf(version, suback, '90');
  }

  async function unsubscribed(client: RawClient, version: Version, ...filters: string[]): Promise<string> {
    const [unsuback, ...more] = await answers(engine, client, unsubscribeBytes(version, ...filters));
    assert.deepEqual(more, []);
    return codesOf(version, unsuback, 'b0');
  }

  for (const [version, name] of VERSIONS) {
    const both = (clientId: string) => [passing(version, clientId), kept(version, `kept ${clientId}`)];

    test(`${name}: SUBACK has the identifier of SUBSCRIBE and a code for each filter, in their order [MQTT-2.2.1-6, MQTT-2.2.2-1, MQTT-2.3.1-7, MQTT-3.8.4-1, MQTT-3.8.4-2, MQTT-3.8.4-5 to 7, MQTT-3.9.3-1, MQTT-3.9.3-2]`, async () => {
      for (const options of both('c')) {
        const client = await engine.connect(options);
        const bytes = subscribeBytes(version, ['a', 2], ['b', 0], ['+/c', 1]);
        const expected = version === 5 ? '9006123400020001' : '90051234020001';
        assert.deepEqual(await answers(engine, client, bytes), [expected]);
      }
    });

    test(`${name}: a filter that is subscribed again is replaced, brings its retained messages, and misses nothing [MQTT-3.8.4-3, MQTT-3.8.4-4]`, async () => {
      engine.broker.publish({ topic: 'r', payload: 'retained', qos: 1, retain: true });
      for (const options of both('c')) {
        const client = await engine.connect(options);
        const [, brought] = await answers(engine, client, subscribeBytes(version, ['r', 1]));
        assert.equal(brought, publishBytes(version, 1 | QOS1, 'r', 1, 'retained').toString('hex'));
        // In one chunk: publications before, between and behind replacements.
        const bytes: Buffer[] = [];
        for (let i = 0; i < 10; i++) {
          bytes.push(publishBytes(version, QOS1, 'r', i + 1, `live ${i}`), subscribeBytes(version, ['r', i % 2]));
        }
        client.sendBytes(Buffer.concat(bytes));
        const packets = await client.drain();
        await engine.broker.commit.settled();
        packets.push(...(await client.drain()));
        const live = packets.filter((packet) => packet.cmd === 'publish' && !packet.retain);
        assert.deepEqual(
          payloads(live).sort(),
          bytes.slice(10).map((_, i) => `live ${i}`),
        );
        const again = await answers(engine, client, subscribeBytes(version, ['r', 0]));
        assert.equal(again[1], publishBytes(version, 1, 'r', 0, 'retained').toString('hex'));
        engine.broker.publish({ topic: 'r', payload: 'x', qos: 1 });
        const once = (await client.drain()) as IPublishPacket[];
        assert.deepEqual(
          once.map(({ qos, payload }) => [qos, String(payload)]),
          [[0, 'x']],
        );
      }
    });

    test(`${name}: several filters are as several subscriptions, with one SUBACK [MQTT-3.8.4-4, MQTT-3.8.4-5]`, async () => {
      engine.broker.publish({ topic: 'b', payload: 'retained', qos: 1, retain: true });
      for (const options of both('c')) {
        const client = await engine.connect(options);
        const bytes = subscribeBytes(version, ['a', 1], ['b', 0], ['a', 2], ['c', 1]);
        const [suback, ...retained] = await answers(engine, client, bytes);
        assert.equal(codesOf(version, suback, '90'), '01000201');
        assert.deepEqual(retained, [publishBytes(version, 1, 'b', 0, 'retained').toString('hex')]);
        await client.drain();
        for (const topic of ['a', 'b', 'c']) engine.broker.publish({ topic, payload: topic, qos: 2 });
        await engine.broker.commit.settled();
        const delivered = (await client.drain()) as IPublishPacket[];
        assert.deepEqual(delivered.map(({ topic, qos }) => [topic, qos]).sort(), [
          ['a', 2],
          ['b', 0],
          ['c', 1],
        ]);
      }
    });

    test(`${name}: a subscription that fails has a failure code in its place, the others are made [MQTT-3.8.4-5 to 7, MQTT-3.9.3-1, MQTT-3.9.3-2]`, async () => {
      await engine.stop();
      engine = await Engine.create({
        session: { subscriptionsPerClient: 2 },
        authorizeSubscribe: (_client, subscription, done) =>
          done(null, subscription.topic === 'secret' ? null : subscription),
      });
      const client = await engine.connect(passing(version, 'c'));
      const requested: Requested[] = [
        ['a', 1],
        ['secret', 1],
        ['b', 2],
        ['c', 0],
        ['a', 2],
      ];
      assert.equal(await codes(client, version, ...requested), version === 5 ? '0187029702' : '0180028002');
      for (const topic of ['a', 'b', 'c', 'secret']) engine.broker.publish({ topic, payload: topic });
      assert.deepEqual(payloads(await client.drain()), ['a', 'b']);
    });

    test(`${name}: UNSUBSCRIBE removes the filter that is equal, character by character, and no other [MQTT-3.10.4-1, MQTT-3.10.4-2]`, async () => {
      for (const options of both('c')) {
        const client = await engine.connect(options);
        await codes(client, version, ['a/+', 1], ['a/b', 1], ['é', 1]);
        const others = ['a/#', 'A/+', 'a/c', '+/b', 'a/+/', 'e\u0301', '/a/+', '#'];
        assert.match(await unsubscribed(client, version, ...others), version === 5 ? /^(11){8}$/ : /^$/);
        const publish = async (): Promise<string[]> => {
          for (const topic of ['a/b', 'a/c', 'é']) engine.broker.publish({ topic, payload: topic, qos: 1 });
          await engine.broker.commit.settled();
          const packets = (await client.drain()) as IPublishPacket[];
          for (const { messageId = 0 } of packets) client.send({ cmd: 'puback', messageId });
          return payloads(packets).sort();
        };
        assert.deepEqual(await publish(), ['a/b', 'a/c', 'é']);
        await unsubscribed(client, version, 'a/+');
        assert.deepEqual(await publish(), ['a/b', 'é']);
        await unsubscribed(client, version, 'é', 'a/b');
        assert.deepEqual(await publish(), []);
      }
    });

    test(`${name}: deliveries that have begun are completed after UNSUBSCRIBE [MQTT-3.10.4-3]`, async () => {
      const client = await engine.connect(kept(version, 'k'));
      await codes(client, version, ['t', 2]);
      for (const qos of [1, 2, 2] as const) engine.broker.publish({ topic: 't', payload: 'x', qos });
      for (let i = 0; i < 3; i++) await client.expect('publish');
      client.sendBytes(raw('5002 0002'));
      await client.expect('pubrel');
      await unsubscribed(client, version, 't');
      engine.broker.publish({ topic: 't', payload: 'behind', qos: 1 });
      await engine.cut(client);
      const back = await engine.connect(kept(version, 'k'));
      await back.drain();
      assert.deepEqual(takenPackets(back).slice(1, -1), [
        '62020002',
        publishBytes(version, DUP | QOS1, 't', 1, 'x').toString('hex'),
        publishBytes(version, DUP | QOS2, 't', 3, 'x').toString('hex'),
      ]);
      assert.deepEqual(await answers(engine, back, raw('4002 0001 7002 0002 5002 0003')), ['62020003']);
      assert.deepEqual(await answers(engine, back, raw('7002 0003')), []);
      assert.equal(engine.broker.sessions.get('k')?.outbound.inFlight, 0);
    });

    test(`${name}: UNSUBACK has the identifier of UNSUBSCRIBE and comes once, also if nothing was deleted [MQTT-2.2.1-6, MQTT-2.3.1-7, MQTT-3.10.4-4, MQTT-3.10.4-5, MQTT-3.10.4-6, MQTT-3.11.3-1, MQTT-3.11.3-2]`, async () => {
      for (const options of both('c')) {
        const client = await engine.connect(options);
        await codes(client, version, ['a', 1], ['b', 1]);
        const several = unsubscribeBytes(version, 'a', 'none', 'b', 'a');
        const first = version === 5 ? 'b007123400' + '00110011' : 'b0021234';
        assert.deepEqual(await answers(engine, client, several), [first]);
        const none = version === 5 ? 'b00412340011' : 'b0021234';
        assert.deepEqual(await answers(engine, client, unsubscribeBytes(version, 'b')), [none]);
        assert.equal(engine.broker.sessions.get(options.clientId ?? '')?.subscriptions.size, 0);
      }
    });

    test(`${name}: a malformed filter ends the connection [MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-1]`, async () => {
      const wrong = ['', '#/a', 'a#', 'a/#/b', '##', '/#/', 'a+', '+a', 'a/+b/c', '++', 'a/b+', '#+'];
      for (const filter of wrong) {
        for (const bytes of [
          subscribeBytes(version, ['ok', 0], [filter, 0]),
          unsubscribeBytes(version, 'ok', filter),
        ]) {
          const client = await engine.connect(passing(version, 'c'));
          taken(client);
          client.sendBytes(bytes);
          assert.match(await ending(client), version === 5 ? /^DISCONNECT (81|82)$/ : /^$/, filter);
        }
      }
    });
  }

  test('MQTT 5.0: with No Local a client does not get what it publishes itself [MQTT-3.8.3-3]', async () => {
    for (const options of [passing(5, 'c'), kept(5, 'k')]) {
      const client = await engine.connect(options);
      const other = await engine.connect(passing(5, 'o'));
      await codes(client, 5, ['t', 1 | NO_LOCAL]);
      await codes(other, 5, ['t', 1 | NO_LOCAL]);
      const publish = (flags: number): Promise<string[]> =>
        answers(engine, client, publishBytes(5, flags, 't', 1, 'own'));
      assert.deepEqual(await publish(0), []);
      assert.deepEqual(await publish(QOS1), ['40020001']);
      assert.deepEqual(await publish(QOS2), ['50020001']);
      await answers(engine, client, raw('62020001'));
      assert.deepEqual(payloads(await other.drain()), ['own', 'own', 'own']);
      await answers(engine, other, publishBytes(5, QOS1, 't', 1, 'other'));
      assert.deepEqual(payloads(await client.drain()), ['other']);
      await codes(client, 5, ['t', 0]);
      assert.deepEqual((await publish(QOS1)).sort(), [publishBytes(5, 0, 't', 0, 'own').toString('hex'), '40020001']);
    }
  });

  test('MQTT 5.0: No Local of one of several subscriptions takes that one away, not the others [MQTT-3.8.3-3]', async () => {
    const client = await engine.connect(passing(5, 'c'));
    const identified = (id: string, filter: string, options: number): Buffer =>
      framed(0x82, '1234', '02 0b', id, str(filter), Buffer.from([options]));
    await answers(engine, client, identified('01', '+', 2 | NO_LOCAL), identified('02', 't', 0));
    client.sendBytes(publishBytes(5, QOS1, 't', 7, 'own'));
    taken(client);
    await client.drain();
    const [own] = takenPackets(client);
    assert.equal(own, publishBytes(5, 0, 't', 0, 'own', '0b02').toString('hex'));
    engine.broker.publish({ topic: 't', payload: 'other', qos: 1 });
    const packet = await client.expect('publish');
    assert.equal(packet.qos, 1);
    assert.deepEqual([packet.properties?.subscriptionIdentifier ?? []].flat().sort(), [1, 2]);
  });
});
