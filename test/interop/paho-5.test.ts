/** MQTT 5.0 with paho-mqtt (Python): what CONNACK grants, what messages carry, what subscriptions ask for. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { PahoClient, type PahoOptions, type PahoSubscriptionOptions } from './paho.js';
import { SysWatch } from './sys.js';

describe('paho-mqtt (Python) with MQTT 5.0', { timeout: 60_000 }, () => {
  let portico: Portico;
  let sys: SysWatch;
  /** Publishes and answers beside the client that a test is about. */
  let other: PahoClient;

  before(async () => {
    portico = await Portico.start({
      mqtt: {
        keepalive_max: 60,
        session_expiry_max: 3600,
        receive_maximum: 10,
        max_packet_size: 65_536,
        topic_alias_maximum: 3,
        response_information: 'answers/%c',
      },
    });
    sys = await SysWatch.start(portico.ports.mqtt);
    other = await connect('paho5-other');
  });
  after(() => portico.dispose());

  const connect = (client_id: string, options: Partial<PahoOptions> = {}): Promise<PahoClient> =>
    PahoClient.connect(portico.ports.mqtt, { client_id, version: 5, ...options });

  const properties = {
    PayloadFormatIndicator: 1,
    ContentType: 'application/json',
    ResponseTopic: 'paho5/answers/ü',
    CorrelationData: '0001feff',
    UserProperty: [
      ['b', '1'],
      ['a', ''],
      ['b', '1'],
      ['ключ', 'значение'],
    ],
  };

  test('CONNACK tells what the client did not ask for', async () => {
    const asked = { SessionExpiryInterval: 10_000, RequestResponseInformation: 1 };
    const client = await connect('', { keepalive: 600, properties: asked });
    const { AssignedClientIdentifier: assigned, ...granted } = client.granted;
    assert.ok(typeof assigned === 'string' && assigned !== '');
    assert.deepEqual(granted, {
      SessionExpiryInterval: 3600,
      ServerKeepAlive: 60,
      ReceiveMaximum: 10,
      MaximumPacketSize: 65_536,
      TopicAliasMaximum: 3,
      ResponseInformation: `answers/${assigned}`,
    });
    await client.disconnect();
  });

  test('properties arrive unaltered, User Properties in order and with duplicates [MQTT-3.3.2-17, -18]', async () => {
    const client = await connect('paho5-properties');
    for (const qos of [0, 1, 2] as const) {
      const topic = `paho5/properties/${qos}`;
      await client.subscribe(topic, qos);
      await other.publishWith(topic, '{}', properties, qos);
      assert.deepEqual(await client.nextPublication(), { topic, payload: '{}', qos, retain: false, properties });
    }
    await client.disconnect();
  });

  test('a session is kept with its options, identifiers, queued messages and their properties', async () => {
    const kept = { clean_session: false, properties: { SessionExpiryInterval: 100 } };
    const topic = 'paho5/kept';
    const first = await connect('paho5-kept', kept);
    await first.subscribeWith(topic, 2, { retainAsPublished: true }, { SubscriptionIdentifier: 268_435_455 });
    await first.disconnect();
    await other.publishWith(topic, 'short', { MessageExpiryInterval: 1 });
    await other.publishWith(topic, 'long', { ...properties, MessageExpiryInterval: 100 }, 2, true);
    await sys.passed(2);
    const second = await connect('paho5-kept', kept);
    assert.equal(second.sessionPresent, true);
    const { properties: got, ...message } = await second.nextPublication();
    assert.deepEqual(message, { topic, payload: 'long', qos: 2, retain: true });
    const { MessageExpiryInterval: left, ...others } = got;
    assert.ok(typeof left === 'number' && left > 50 && left <= 98, `${left} seconds are left`);
    assert.deepEqual(others, { ...properties, SubscriptionIdentifier: [268_435_455] });
    await second.disconnect({ SessionExpiryInterval: 0 });
    const third = await connect('paho5-kept', kept);
    assert.equal(third.sessionPresent, false);
    await third.disconnect({ SessionExpiryInterval: 0 });
  });

  test('No Local, Retain As Published and Retain Handling', async () => {
    const outcome = async (name: string, ...subscriptions: PahoSubscriptionOptions[]): Promise<string[]> => {
      const topic = `paho5/options/${name}`;
      const client = await connect(`paho5-options-${name}`);
      await client.subscribe(`${topic}/end`, 1);
      await other.publish(`${topic}/kept`, 'kept', 1, true);
      for (const options of subscriptions) assert.equal(await client.subscribeWith(`${topic}/+`, 1, options), 1);
      await client.publish(`${topic}/own`, 'own', 1);
      await other.publish(`${topic}/live`, 'live', 1, true);
      await other.publish(`${topic}/end`, 'end', 1);
      const got: string[] = [];
      for (let message = await client.next(); message.topic !== `${topic}/end`; message = await client.next()) {
        got.push(`${message.payload}${message.retain ? ' (retained)' : ''}`);
      }
      await client.disconnect();
      return got;
    };
    assert.deepEqual(await outcome('default', {}), ['kept (retained)', 'own', 'live']);
    assert.deepEqual(await outcome('no-local', { noLocal: true }), ['kept (retained)', 'live']);
    assert.deepEqual(await outcome('as-published', { retainAsPublished: true, retainHandling: 2 }), [
      'own',
      'live (retained)',
    ]);
    assert.deepEqual(await outcome('if-new', { retainHandling: 1 }, { retainHandling: 1 }), [
      'kept (retained)',
      'own',
      'live',
    ]);
  });

  test('one message for overlapping subscriptions carries all their identifiers', async () => {
    const client = await connect('paho5-identifiers');
    await client.subscribeWith('paho5/id/#', 0, {}, { SubscriptionIdentifier: 1 });
    await client.subscribeWith('paho5/id/+', 1, {}, { SubscriptionIdentifier: 2 });
    await client.subscribeWith('paho5/id/x', 2);
    await other.publish('paho5/id/x', 'x', 2);
    const got = await client.nextPublication();
    assert.equal(got.qos, 2);
    assert.deepEqual(new Set(got.properties.SubscriptionIdentifier as number[]), new Set([1, 2]));
    await client.disconnect();
  });

  test('a request is answered by Response Topic and Correlation Data (4.10)', async () => {
    const client = await connect('paho5-requester');
    await client.subscribe('paho5/answers', 1);
    await other.subscribe('paho5/requests', 1);
    await client.publishWith('paho5/requests', 'q', { ResponseTopic: 'paho5/answers', CorrelationData: '00ff' });
    const { ResponseTopic, CorrelationData } = (await other.nextPublication()).properties;
    await other.publishWith(String(ResponseTopic), 'a', { CorrelationData });
    const answer = await client.nextPublication();
    assert.deepEqual([answer.payload, answer.properties], ['a', { CorrelationData: '00ff' }]);
    assert.deepEqual(await other.unsubscribe('paho5/requests', 'paho5/never'), [0x00, 0x11]);
    await client.disconnect();
  });

  test('Topic Aliases go both ways', async () => {
    const client = await connect('paho5-alias', { properties: { TopicAliasMaximum: 5 } });
    await client.subscribe('paho5/alias/+', 2);
    const told = new Map<unknown, string>();
    for (const [topic, alias] of [
      ['paho5/alias/a', 1],
      ['', 1],
      ['paho5/alias/b', 3],
      ['', 1],
      ['', 3],
      ['paho5/alias/c', 1],
      ['', 1],
    ] as const) {
      for (const qos of [0, 1, 2] as const) {
        await other.publishWith(topic, String(alias), { TopicAlias: alias }, qos);
        const got = await client.nextPublication();
        const { TopicAlias } = got.properties;
        // paho-mqtt 1.6 leaves it to the program to know what an alias stands for.
        if (TopicAlias !== undefined && got.topic !== '') told.set(TopicAlias, got.topic);
        // Some clients forget the topic of a QoS 2 message, so it always comes with it.
        if (qos === 2) assert.match(got.topic, /^paho5/);
        else if (topic !== '') assert.equal(told.get(TopicAlias), topic);
        else assert.equal(got.topic, '', 'the alias alone');
        assert.equal(got.payload, String(alias));
      }
    }
    assert.deepEqual([...told.values()], ['paho5/alias/a', 'paho5/alias/b', 'paho5/alias/c']);
    await client.disconnect();
  });

  test('three members of a shared subscription get a third each', async () => {
    const members = await Promise.all(['a', 'b', 'c'].map((name) => connect(`paho5-share-${name}`)));
    for (const [index, member] of members.entries()) {
      const identifier = { SubscriptionIdentifier: index + 1 };
      assert.equal(await member.subscribeWith('$share/paho/paho5/share', 1, {}, identifier), 1);
    }
    const sent = Array.from({ length: 12 }, (_, i) => String(i));
    for (const payload of sent) await other.publish('paho5/share', payload, 1);
    const got: string[] = [];
    for (const [index, member] of members.entries()) {
      for (let i = 0; i < sent.length / members.length; i++) {
        const message = await member.nextPublication();
        assert.deepEqual(message.properties, { SubscriptionIdentifier: [index + 1] });
        got.push(message.payload);
      }
      assert.deepEqual(await member.unsubscribe('$share/paho/paho5/share'), [0x00]);
      await member.disconnect();
    }
    assert.deepEqual(new Set(got), new Set(sent));
  });

  test('DISCONNECT says in words why a client is sent away', async () => {
    const first = await connect('paho5-twin');
    const second = await connect('paho5-twin');
    const { code, properties: told } = await first.disconnected();
    assert.equal(code, 0x8e);
    assert.match(String(told.ReasonString), /taken over/i);
    await second.disconnect();
  });

  test('a will waits for its delay and carries its properties; who comes back in time has none published', async () => {
    await other.subscribe('paho5/will/+', 1);
    const options = (name: string, WillDelayInterval: number): Partial<PahoOptions> => ({
      clean_session: false,
      properties: { SessionExpiryInterval: 100 },
      will: {
        topic: `paho5/will/${name}`,
        payload: name,
        qos: 1,
        retain: false,
        properties: { ...properties, WillDelayInterval },
      },
    });
    await (await connect('paho5-will-back', options('back', 1000))).kill();
    await (await connect('paho5-will-gone', options('gone', 2))).kill();
    await other.publish('paho5/will/marker', 'marker', 1);
    assert.equal((await other.nextPublication()).payload, 'marker', 'the wills wait');
    const will = await other.nextPublication();
    assert.deepEqual([will.payload, will.properties], ['gone', properties]);
    const back = await connect('paho5-will-back', { clean_session: false, properties: { SessionExpiryInterval: 100 } });
    assert.equal(back.sessionPresent, true);
    // At the end of the session a will that still waited would be due [MQTT-3.1.3-9].
    await back.disconnect({ SessionExpiryInterval: 0 });
    await (await connect('paho5-will-back')).disconnect();
    await other.publish('paho5/will/marker', 'end', 1);
    assert.equal((await other.nextPublication()).payload, 'end');
  });
});
