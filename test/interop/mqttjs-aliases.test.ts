/** MQTT 5.0 with MQTT.js: Topic Aliases both ways, shared subscriptions, Response Information, Reason Strings. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IClientOptions } from 'mqtt';
import { Portico } from '../support/portico.js';
import { JsClient } from './mqttjs.js';

/** Topic Aliases that the broker takes from a client, and uses towards one. */
const ALIASES_IN = 3;
const ALIASES_OUT = 2;

describe('MQTT.js with MQTT 5.0: aliases, shared subscriptions and words', {
  timeout: 60_000,
  concurrency: true,
}, () => {
  let portico: Portico;

  before(async () => {
    portico = await Portico.start({
      mqtt: {
        topic_alias_maximum: ALIASES_IN,
        topic_alias_maximum_out: ALIASES_OUT,
        response_information: 'answers/%c',
        max_topic_levels: 5,
      },
    });
  });
  after(() => portico.dispose());

  const connect = (clientId: string, options: IClientOptions = {}): Promise<JsClient> =>
    JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId, protocolVersion: 5, ...options });

  describe('Topic Aliases from the client', () => {
    test('CONNACK tells Topic Alias Maximum [MQTT-3.2.2-17]', async () => {
      const client = await connect('js5-alias-maximum');
      assert.equal(client.granted.topicAliasMaximum, ALIASES_IN);
      await client.end();
    });

    test('autoAssignTopicAlias: more topics than aliases, every QoS, every message under its topic', async () => {
      const subscriber = await connect('js5-auto-in');
      await subscriber.subscribe('js5/auto/+', 2);
      const publisher = await connect('js5-auto-out', { autoAssignTopicAlias: true });
      const onTheWire: string[] = [];
      publisher.raw.on('packetsend', (packet) => {
        if (packet.cmd === 'publish') onTheWire.push(packet.topic);
      });
      const topics = ['a', 'b', 'a', 'c', 'a', 'b', 'd', 'a', 'e', 'd', 'a'].map((level) => `js5/auto/${level}`);
      for (const qos of [0, 1, 2] as const) {
        for (const [i, topic] of topics.entries()) {
          await publisher.publish(topic, `${topic} ${qos} ${i}`, qos);
          const got = await subscriber.publications.next();
          assert.deepEqual([got.topic, got.payload, got.packet.qos], [topic, `${topic} ${qos} ${i}`, qos]);
          assert.equal(got.properties.topicAlias, undefined, 'an alias is of one connection [MQTT-3.3.2-7]');
        }
      }
      assert.ok(onTheWire.includes('') && onTheWire.includes('js5/auto/e'), 'both forms were sent');
      await publisher.end();
      await subscriber.end();
    });

    test('autoUseTopicAlias: an alias that the program chose stands for its topic, and can be given to another one', async () => {
      const subscriber = await connect('js5-use-in');
      await subscriber.subscribe('js5/use/+', 1);
      const publisher = await connect('js5-use-out', { autoUseTopicAlias: true });
      for (const [topic, topicAlias] of [
        ['js5/use/a', 1],
        ['js5/use/a', 0],
        ['js5/use/b', 1],
        ['js5/use/b', 0],
        ['js5/use/a', 0],
      ] as const) {
        if (topicAlias > 0) await publisher.publishWith(topic, topic, { topicAlias });
        else await publisher.publish(topic, topic, 1);
        const got = await subscriber.publications.next();
        assert.deepEqual([got.topic, got.payload], [topic, topic]);
      }
      await publisher.end();
      await subscriber.end();
    });

    test('an alias is forgotten with its connection: 0x82, as for any that was never told [MQTT-3.3.2-7]', async () => {
      const kept = { clean: false, properties: { sessionExpiryInterval: 100 } };
      const first = await connect('js5-forgotten', kept);
      await first.publishWith('js5/forgotten', 'x', { topicAlias: 1 });
      await first.end();
      const second = await connect('js5-forgotten', kept);
      second.raw.publish('', 'x', { properties: { topicAlias: 1 } });
      const packet = await second.packets.take(({ cmd }) => cmd === 'disconnect', 'DISCONNECT');
      assert.ok(packet.cmd === 'disconnect' && packet.reasonCode === 0x82, JSON.stringify(packet));
    });
  });

  describe('Topic Aliases to the client', () => {
    test('QoS 2 messages come with their topic: MQTT.js 5.16 forgets it if the alias comes alone', async () => {
      const subscriber = await connect('js5-told-2', { properties: { topicAliasMaximum: 10 } });
      await subscriber.subscribe('js5/told2', 2);
      for (const qos of [1, 2, 1, 2, 0, 2] as const) {
        await subscriber.publish('js5/told2', String(qos), qos);
        const { topic, payload, packet } = await subscriber.publications.next();
        assert.deepEqual([topic, payload, packet.qos], ['js5/told2', String(qos), qos]);
      }
      await subscriber.end();
    });

    test('a topic goes out once with its alias, then the alias alone', async () => {
      const subscriber = await connect('js5-told', { properties: { topicAliasMaximum: 10 } });
      await subscriber.subscribe('js5/told/+', 2);
      const publisher = await connect('js5-teller');
      const got: unknown[] = [];
      for (const [level, qos] of [
        ['a', 0],
        ['a', 1],
        ['b', 1],
        ['a', 1],
        ['b', 0],
        ['c', 1],
        ['c', 1],
      ] as const) {
        await publisher.publish(`js5/told/${level}`, level, qos);
        const { topic, payload, packet } = await subscriber.publications.next();
        assert.deepEqual([topic, payload, packet.qos], [`js5/told/${level}`, level, qos]);
        got.push([packet.topic, packet.properties?.topicAlias]);
      }
      assert.deepEqual(got.slice(0, 5), [
        ['js5/told/a', 1],
        ['', 1],
        ['js5/told/b', 2],
        ['', 1],
        ['', 2],
      ]);
      await publisher.end();
      await subscriber.end();
    });

    for (const topicAliasMaximum of [1, ALIASES_OUT, 10, 0xffff]) {
      const most = Math.min(topicAliasMaximum, ALIASES_OUT);
      test(`a client that takes ${topicAliasMaximum} is sent ${most} at most [MQTT-3.1.2-26], and knows every topic`, async () => {
        const name = `js5/many/${topicAliasMaximum}`;
        const subscriber = await connect(`js5-many-${topicAliasMaximum}`, { properties: { topicAliasMaximum } });
        await subscriber.subscribe(`${name}/+`, 1);
        const publisher = await connect(`js5-many-out-${topicAliasMaximum}`);
        const sent = Array.from({ length: 60 }, (_, i) => `${name}/${(i * i) % 7}`);
        await Promise.all(sent.map((topic) => publisher.publish(topic, topic, 1)));
        const aliases = new Set<number>();
        for (const topic of sent) {
          const { properties, ...got } = await subscriber.publications.next();
          assert.deepEqual([got.topic, got.payload], [topic, topic]);
          aliases.add(properties.topicAlias ?? 0);
        }
        assert.ok(Math.max(...aliases) <= most, [...aliases].join());
        assert.ok(Math.max(...aliases) >= 1, 'aliases are used');
        await publisher.end();
        await subscriber.end();
      });
    }

    test('a client that takes none is sent none [MQTT-3.1.2-27]', async () => {
      const client = await connect('js5-none');
      await client.subscribe('js5/none', 1);
      for (let i = 0; i < 3; i++) await client.publish('js5/none', 'x', 1);
      for (let i = 0; i < 3; i++) {
        const { packet } = await client.publications.next();
        assert.deepEqual([packet.topic, packet.properties?.topicAlias], ['js5/none', undefined]);
      }
      await client.end();
    });

    test('queued and retained messages use them too, and a new connection is told anew', async () => {
      const kept = { clean: false, properties: { sessionExpiryInterval: 100, topicAliasMaximum: 5 } };
      const first = await connect('js5-again', kept);
      await first.publish('js5/again', 'retained', 1, true);
      await first.subscribe('js5/again', 1);
      await first.publish('js5/again', 'live', 1);
      const publisher = await connect('js5-again-out');
      for (const topic of ['js5/again', '']) assert.equal((await first.publications.next()).packet.topic, topic);
      await first.end();
      for (const payload of ['1', '2', '3']) await publisher.publish('js5/again', payload, 1);
      const second = await connect('js5-again', kept);
      for (const [payload, onTheWire] of [
        ['1', 'js5/again'],
        ['2', ''],
        ['3', ''],
      ]) {
        const { topic, packet, ...got } = await second.publications.next();
        assert.deepEqual([topic, got.payload, packet.topic], ['js5/again', payload, onTheWire]);
      }
      await publisher.end();
      await second.end();
    });
  });

  describe('shared subscriptions', () => {
    const payloads = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

    /** What a client received on `js5/share/...` before a marker to it alone. */
    const taken = async (client: JsClient, publisher: JsClient): Promise<string[]> => {
      const marker = `js5/marker/${client.raw.options.clientId}`;
      await client.subscribe(marker, 1);
      await publisher.publish(marker, 'end', 1);
      const got: string[] = [];
      for (let next = await client.next(); next.topic !== marker; next = await client.next()) {
        got.push(next.payload.toString());
      }
      return got;
    };

    for (const qos of [0, 1, 2] as const) {
      test(`three members of a group share messages of QoS ${qos}; another group and a plain subscriber get all`, async () => {
        const name = `js5/share/${qos}`;
        const members = await Promise.all(['a', 'b', 'c'].map((each) => connect(`js5-share-${qos}-${each}`)));
        for (const member of members) await member.subscribe(`$share/group/${name}/+`, qos);
        const alone = await connect(`js5-share-${qos}-alone`);
        await alone.subscribe(`$share/alone/${name}/+`, qos);
        const plain = await connect(`js5-share-${qos}-plain`);
        await plain.subscribe(`${name}/#`, qos);
        const publisher = await connect(`js5-share-${qos}-out`);
        const sent = payloads(30);
        await Promise.all(sent.map((payload) => publisher.publish(`${name}/x`, payload, qos)));
        const shares = [];
        for (const member of members) shares.push(await taken(member, publisher));
        assert.deepEqual(
          shares.map((share) => share.length),
          [10, 10, 10],
        );
        const numeric = (a: string, b: string): number => Number(a) - Number(b);
        for (const share of shares) assert.deepEqual(share, [...share].sort(numeric), 'each member sees their order');
        assert.deepEqual(shares.flat().sort(numeric), sent);
        for (const other of [alone, plain]) assert.deepEqual(await taken(other, publisher), sent);
        for (const client of [...members, alone, plain, publisher]) await client.end();
      });
    }

    test('a member that goes leaves its share to the others; the last one that unsubscribes ends the group', async () => {
      const filter = '$share/leaving/js5/share/leaving';
      const will = { topic: 'js5/share/gone', payload: Buffer.from('gone'), qos: 1, retain: false } as const;
      const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((each) => connect(`js5-leaving-${each}`, { will })));
      for (const member of [a, b, c]) await member.subscribe(filter, 1);
      const publisher = await connect('js5-leaving-out');
      const publish = async (): Promise<void> => {
        for (const payload of payloads(6)) await publisher.publish('js5/share/leaving', payload, 1);
      };
      await publisher.subscribe(will.topic, 1);
      await a.cut();
      // Perhaps some are sent to the member that is gone before the broker knows (4.8.2).
      await publish();
      assert.equal((await publisher.next()).topic, will.topic, 'the broker knows');
      assert.deepEqual([...(await taken(b, publisher)), ...(await taken(c, publisher))].sort(), payloads(6));
      await b.raw.unsubscribeAsync(filter);
      await publish();
      assert.deepEqual(await taken(b, publisher), []);
      assert.deepEqual(await taken(c, publisher), payloads(6), 'all for the one that is left');
      await c.raw.unsubscribeAsync(filter);
      await publish();
      assert.deepEqual(await taken(c, publisher), []);
      for (const client of [b, c, publisher]) await client.end();
    });

    test('members that are away with kept sessions get what nobody else could take', async () => {
      const kept = { clean: false, properties: { sessionExpiryInterval: 100 } };
      const filter = '$share/away/js5/share/away';
      const names = ['js5-away-a', 'js5-away-b'];
      for (const name of names) {
        const member = await connect(name, kept);
        await member.subscribe(filter, 2);
        await member.end();
      }
      const publisher = await connect('js5-away-out');
      for (const payload of payloads(10)) await publisher.publish('js5/share/away', payload, 1);
      const got: string[] = [];
      for (const name of names) {
        const member = await connect(name, kept);
        assert.equal(member.sessionPresent, true);
        got.push(...(await taken(member, publisher)));
        await member.end();
      }
      assert.deepEqual(got.sort(), payloads(10));
      await publisher.end();
    });

    test('retained messages are not sent to a new shared subscription (3.8.4)', async () => {
      const client = await connect('js5-share-retained');
      await client.publish('js5/share/retained', 'kept', 1, true);
      await client.subscribe('$share/retained/js5/share/retained', 1);
      await client.publish('js5/share/retained', 'live', 1);
      assert.deepEqual(await taken(client, client), ['live']);
      await client.end();
    });

    test('No Local is a protocol error for a shared subscription: DISCONNECT 0x82 [MQTT-3.8.3-4]', async () => {
      const client = await connect('js5-share-no-local');
      client.raw.subscribe('$share/group/js5/share/no-local', { qos: 1, nl: true }, () => {});
      const packet = await client.packets.take(({ cmd }) => cmd === 'disconnect', 'DISCONNECT');
      assert.ok(packet.cmd === 'disconnect' && packet.reasonCode === 0x82, JSON.stringify(packet));
    });

    test('an MQTT 3.1.1 client may be a member too', async () => {
      const older = await connect('js5-share-older', { protocolVersion: 4 });
      const newer = await connect('js5-share-newer');
      for (const member of [older, newer]) await member.subscribe('$share/mixed/js5/share/mixed', 1);
      const publisher = await connect('js5-share-mixed-out');
      for (const payload of payloads(4)) await publisher.publish('js5/share/mixed', payload, 1);
      const got = [await taken(older, publisher), await taken(newer, publisher)];
      assert.deepEqual([got[0].length, got[1].length], [2, 2]);
      assert.deepEqual(got.flat().sort(), payloads(4));
      for (const client of [older, newer, publisher]) await client.end();
    });
  });

  test('Response Information is told to who asks for it [MQTT-3.1.2-28], and its topics work', async () => {
    const silent = await connect('js5-information-silent');
    assert.equal(silent.granted.responseInformation, undefined);
    const asking = await connect('js5-information', { properties: { requestResponseInformation: true } });
    const { responseInformation = '' } = asking.granted;
    assert.equal(responseInformation, 'answers/js5-information');
    await asking.subscribe(`${responseInformation}/#`, 1);
    await silent.subscribe('js5/information', 1);
    await asking.publishWith('js5/information', 'question', { responseTopic: `${responseInformation}/1` });
    const { responseTopic = '' } = (await silent.publications.next()).properties;
    await silent.publish(responseTopic, 'answer', 1);
    assert.equal((await asking.next()).payload.toString(), 'answer');
    await asking.end();
    await silent.end();
  });

  test('Reason Strings say what was wrong, unless the client asked for none [MQTT-3.1.2-29]', async () => {
    /** The Reason String of the PUBACK and of the DISCONNECT that a client provokes. */
    const provoke = async (
      clientId: string,
      topic: string,
      properties: NonNullable<IClientOptions['properties']> = {},
    ): Promise<(string | undefined)[]> => {
      const client = await connect(clientId, { properties });
      await assert.rejects(client.publish('$SYS/broker/version', 'x', 1), { code: 0x87 });
      const puback = await client.packets.take(({ cmd }) => cmd === 'puback', 'PUBACK');
      client.raw.publish(topic, 'x', { properties: topic === '' ? { topicAlias: 1 } : {} });
      const disconnect = await client.packets.take(({ cmd }) => cmd === 'disconnect', 'DISCONNECT');
      assert.ok(puback.cmd === 'puback' && disconnect.cmd === 'disconnect');
      return [puback.properties?.reasonString, disconnect.properties?.reasonString];
    };
    for (const [topic, words] of [
      ['a/topic/of/too/many/levels', /topic/],
      ['', /protocol error/],
    ] as const) {
      const [puback = '', disconnect = ''] = await provoke('js5-reasons', topic);
      assert.match(puback, /not authorized/);
      assert.match(disconnect, words);
    }
    // DISCONNECT and CONNACK may say why in any case (3.1.2.11.7).
    const [quiet] = await provoke('js5-no-reasons', '', { requestProblemInformation: false });
    assert.equal(quiet, undefined);
  });
});
