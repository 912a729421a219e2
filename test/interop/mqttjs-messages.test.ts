/** MQTT 5.0 with MQTT.js: what a message carries from publisher to subscriber, and what a subscription asks for. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IClientOptions } from 'mqtt';
import { Portico } from '../support/portico.js';
import { JsClient, type SubscriptionOptions } from './mqttjs.js';
import { SysWatch } from './sys.js';

/** User Properties as an object that deepEqual compares; MQTT.js gives one without prototype. */
function plain(properties: object): unknown {
  return JSON.parse(JSON.stringify(properties));
}

describe('MQTT.js with MQTT 5.0: messages and subscriptions', { timeout: 60_000, concurrency: true }, () => {
  let portico: Portico;
  let sys: SysWatch;

  before(async () => {
    portico = await Portico.start();
    sys = await SysWatch.start(portico.ports.mqtt);
  });
  after(() => portico.dispose());

  const connect = (clientId: string, options: IClientOptions = {}): Promise<JsClient> =>
    JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId, protocolVersion: 5, ...options });

  const properties = {
    payloadFormatIndicator: true,
    contentType: 'application/json',
    responseTopic: 'js5/answers/ü',
    correlationData: Buffer.from([0, 1, 254, 255]),
    userProperties: { a: ['1', '', '1'], '': 'empty', ключ: 'значение' },
  };

  for (const [how, qos] of [
    ['live', 0],
    ['live', 1],
    ['live', 2],
    ['retained', 1],
    ['queued', 1],
    ['queued', 2],
  ] as const) {
    test(`the properties of a ${how} message of QoS ${qos} arrive unaltered [MQTT-3.3.2-4, -15 to -20]`, async () => {
      const topic = `js5/properties/${how}/${qos}`;
      const name = `js5-properties-${how}-${qos}`;
      const kept = { clean: false, properties: { sessionExpiryInterval: 100 } };
      const publisher = await connect(`${name}-out`);
      const publish = (): Promise<unknown> =>
        publisher.raw.publishAsync(topic, '{}', { qos, retain: how === 'retained', properties });
      let subscriber = await connect(name, kept);
      if (how === 'retained') await publish();
      await subscriber.subscribe(topic, qos);
      if (how === 'queued') {
        await subscriber.end();
        await publish();
        subscriber = await connect(name, kept);
      }
      if (how === 'live') await publish();
      const got = await subscriber.publications.next();
      assert.deepEqual(plain(got.properties), plain(properties));
      assert.deepEqual([got.payload, got.packet.qos], ['{}', qos]);
      await publisher.end();
      await subscriber.end();
    });
  }

  test('a message without properties arrives without', async () => {
    const client = await connect('js5-bare');
    await client.subscribe('js5/bare', 1);
    await client.publish('js5/bare', '', 1);
    const got = await client.publications.next();
    assert.deepEqual([got.payload, plain(got.properties)], ['', {}]);
    await client.end();
  });

  test('Payload Format Indicator 0 is carried like 1 [MQTT-3.3.2-4]', async () => {
    const client = await connect('js5-format');
    await client.subscribe('js5/format', 1);
    await client.publishWith('js5/format', 'bytes', { payloadFormatIndicator: false });
    assert.equal((await client.publications.next()).properties.payloadFormatIndicator, false);
    await client.end();
  });

  test('requests are answered by Response Topic and Correlation Data (4.10)', async () => {
    const responder = await connect('js5-responder');
    await responder.subscribe('js5/requests', 1);
    const requesters = await Promise.all(['a', 'b', 'c'].map((name) => connect(`js5-requester-${name}`)));
    for (const requester of requesters) {
      const responseTopic = `js5/responses/${requester.raw.options.clientId}`;
      await requester.subscribe(responseTopic, 1);
      for (const number of [1, 2]) {
        const correlationData = Buffer.from(`${requester.raw.options.clientId} ${number}`);
        await requester.publishWith('js5/requests', `question ${number}`, { responseTopic, correlationData });
      }
    }
    for (let i = 0; i < 2 * requesters.length; i++) {
      const { payload, properties: asked } = await responder.publications.next();
      const { responseTopic = '', correlationData = Buffer.alloc(0) } = asked;
      await responder.publishWith(responseTopic, payload.replace('question', 'answer'), { correlationData });
    }
    for (const requester of requesters) {
      for (const number of [1, 2]) {
        const { payload, properties: answered } = await requester.publications.next();
        const correlation = answered.correlationData?.toString();
        assert.deepEqual([payload, correlation], [`answer ${number}`, `${requester.raw.options.clientId} ${number}`]);
      }
      await requester.end();
    }
    await responder.end();
  });

  test('Message Expiry Interval shrinks while a message waits, and what has expired is not sent [MQTT-3.3.2-5, -6]', async () => {
    const topic = 'js5/expiry';
    const kept = { clean: false, properties: { sessionExpiryInterval: 100 } };
    const away = await connect('js5-expiry', kept);
    await away.subscribe(`${topic}/+`, 2);
    await away.end();
    const publisher = await connect('js5-expiry-out');
    for (const [name, messageExpiryInterval] of [
      ['short', 1],
      ['long', 100],
      ['short-too', 1],
    ] as const) {
      await publisher.publishWith(`${topic}/${name}`, name, { messageExpiryInterval }, true);
      await publisher.raw.publishAsync(`${topic}/${name}`, `${name} 2`, {
        qos: 2,
        properties: { messageExpiryInterval },
      });
    }
    await publisher.publish(`${topic}/never`, 'never', 1, true);
    await sys.passed(2);
    const again = await connect('js5-expiry', kept);
    /** What the next messages are, in any order, and how many seconds each has left. */
    const take = async (...expected: string[]): Promise<void> => {
      const left = new Map<string, number | undefined>();
      while (left.size < expected.length) {
        const got = await again.publications.next();
        left.set(got.payload, got.properties.messageExpiryInterval);
      }
      assert.deepEqual(new Set(left.keys()), new Set(expected));
      assert.equal(left.get('never'), undefined);
      left.delete('never');
      for (const seconds of left.values()) assert.ok(seconds !== undefined && seconds > 50 && seconds <= 98);
    };
    await take('long', 'long 2', 'never');
    await again.subscribeWith(`${topic}/#`, { qos: 1 });
    await take('long', 'never');
    await publisher.publish(`${topic}/marker`, 'marker', 1);
    assert.equal((await again.publications.next()).payload, 'marker');
    await publisher.end();
    await again.end();
  });

  describe('Subscription Identifiers', () => {
    test('one message for overlapping subscriptions carries the identifiers of all [MQTT-3.3.4-3 to -5]', async () => {
      const client = await connect('js5-identifiers');
      await client.subscribeWith('js5/id/#', { identifier: 1, qos: 0 });
      await client.subscribeWith('js5/id/+', { identifier: 268_435_455, qos: 2 });
      await client.subscribeWith('js5/id/x', { qos: 1 });
      await client.publish('js5/id/x', 'three', 2);
      const three = await client.publications.next();
      assert.deepEqual(new Set([three.properties.subscriptionIdentifier].flat()), new Set([1, 268_435_455]));
      assert.equal(three.packet.qos, 2);
      await client.publish('js5/id/x/y', 'one', 1);
      const one = await client.publications.next();
      assert.deepEqual([one.properties.subscriptionIdentifier, one.payload], [1, 'one']);
      await client.end();
    });

    test('subscribing again replaces the identifier, or takes it away [MQTT-3.8.4-3]', async () => {
      const client = await connect('js5-identifier-again');
      for (const identifier of [5, 6, undefined]) {
        await client.subscribeWith('js5/id-again', identifier === undefined ? {} : { identifier });
        await client.publish('js5/id-again', 'x', 1);
        assert.equal((await client.publications.next()).properties.subscriptionIdentifier, identifier);
      }
      await client.end();
    });

    test('retained and queued messages carry it, also after the client was away', async () => {
      const kept = { clean: false, properties: { sessionExpiryInterval: 100 } };
      const client = await connect('js5-identifier-kept', kept);
      await client.publish('js5/id-kept', 'retained', 1, true);
      await client.subscribeWith('js5/id-kept', { identifier: 77 });
      const retained = await client.publications.next();
      assert.deepEqual([retained.payload, retained.properties.subscriptionIdentifier], ['retained', 77]);
      await client.end();
      const other = await connect('js5-identifier-other');
      await other.publish('js5/id-kept', 'queued', 1);
      const again = await connect('js5-identifier-kept', kept);
      const queued = await again.publications.next();
      assert.deepEqual([queued.payload, queued.properties.subscriptionIdentifier], ['queued', 77]);
      await other.end();
      await again.end();
    });
  });

  describe('options of subscriptions', () => {
    /** What a new subscription is sent, and what of two live messages, one of them its client's own. */
    const outcome = async (
      name: string,
      options: SubscriptionOptions,
      again?: SubscriptionOptions,
    ): Promise<string[]> => {
      const topic = `js5/options/${name}`;
      const client = await connect(`js5-options-${name}`);
      const other = await connect(`js5-options-other-${name}`);
      await client.subscribe(`${topic}/end`, 1);
      await other.publish(`${topic}/kept`, 'kept', 1, true);
      await client.subscribeWith(`${topic}/+`, options);
      if (again !== undefined) await client.subscribeWith(`${topic}/+`, again);
      await client.publish(`${topic}/own`, 'own', 1);
      await other.publish(`${topic}/live`, 'live', 1, true);
      await other.publish(`${topic}/end`, 'end', 1);
      const got: string[] = [];
      for (;;) {
        const { payload, packet } = await client.publications.next();
        if (payload === 'end') break;
        got.push(packet.retain ? `${payload} (retained)` : payload);
      }
      await client.end();
      await other.end();
      return got;
    };

    for (const [name, options, again, expected] of [
      ['default', {}, undefined, ['kept (retained)', 'own', 'live']],
      ['no-local', { nl: true }, undefined, ['kept (retained)', 'live']],
      ['as-published', { rap: true }, undefined, ['kept (retained)', 'own', 'live (retained)']],
      ['if-new', { rh: 1 }, undefined, ['kept (retained)', 'own', 'live']],
      ['if-new-twice', { rh: 1 }, { rh: 1 }, ['kept (retained)', 'own', 'live']],
      ['always-twice', { rh: 0 }, { rh: 0 }, ['kept (retained)', 'kept (retained)', 'own', 'live']],
      ['never', { rh: 2 }, undefined, ['own', 'live']],
      ['never-then-if-new', { rh: 2 }, { rh: 1 }, ['own', 'live']],
      ['replaced', { rh: 2, nl: true, rap: true }, { rh: 2 }, ['own', 'live']],
      ['replaced-back', { rh: 2 }, { rh: 2, nl: true, rap: true }, ['live (retained)']],
    ] as const) {
      const asked = JSON.stringify(options) + (again === undefined ? '' : `, then ${JSON.stringify(again)}`);
      test(`${asked}: ${expected.join(', ')} [MQTT-3.8.3-3, MQTT-3.3.1-9 to -13]`, async () => {
        assert.deepEqual(await outcome(name, options, again), expected);
      });
    }

    test('No Local holds for each subscription by itself: another one of the same client delivers', async () => {
      const client = await connect('js5-no-local-overlap');
      const other = await connect('js5-no-local-overlap-other');
      await client.subscribeWith('js5/no-local/#', { qos: 2, nl: true, identifier: 1 });
      await client.subscribeWith('js5/no-local/x', { qos: 1, identifier: 2 });
      for (const [publisher, qos, identifiers] of [
        [client, 1, [2]],
        [other, 2, [1, 2]],
      ] as const) {
        await publisher.publish('js5/no-local/x', 'x', 2);
        const { packet, properties: got } = await client.publications.next();
        assert.deepEqual([packet.qos, [got.subscriptionIdentifier].flat().sort()], [qos, identifiers]);
        await client.publish('js5/no-local/y', 'not delivered', 2);
      }
      await client.end();
      await other.end();
    });
  });

  describe('reason codes', () => {
    test('UNSUBACK tells what existed: 0x00, and what did not: 0x11 [MQTT-3.11.3-2]', async () => {
      const client = await connect('js5-unsuback');
      await client.subscribe('js5/unsuback/there', 1);
      await client.raw.unsubscribeAsync(['js5/unsuback/there', 'js5/unsuback/never']);
      const packet = await client.packets.take(({ cmd }) => cmd === 'unsuback', 'UNSUBACK');
      // mqtt-packet's types know it of SUBACK only.
      assert.deepEqual((packet as unknown as { granted: number[] }).granted, [0x00, 0x11]);
      await client.end();
    });

    for (const qos of [1, 2] as const) {
      test(`a QoS ${qos} message to $SYS is refused with 0x87, and the connection goes on`, async () => {
        const client = await connect(`js5-sys-${qos}`);
        await assert.rejects(client.publish('$SYS/broker/version', 'x', qos), { code: 0x87 });
        await client.subscribe('js5/after-refusal', qos);
        await client.publish('js5/after-refusal', 'goes on', qos);
        assert.equal((await client.next('js5/after-refusal')).payload.toString(), 'goes on');
        await client.end();
      });
    }
  });

  test('older clients get the messages of MQTT 5.0 clients without properties, and the other way round', async () => {
    const five = await connect('js5-mixed-5');
    await five.subscribe('js5/mixed/to-5', 2);
    for (const [protocolVersion, protocolId] of [
      [3, 'MQIsdp'],
      [4, 'MQTT'],
    ] as const) {
      const older = await connect(`js5-mixed-${protocolVersion}`, { protocolVersion, protocolId });
      await older.subscribe(`js5/mixed/to-${protocolVersion}`, 2);
      for (const qos of [0, 1, 2] as const) {
        const messageExpiryInterval = 100;
        await five.raw.publishAsync(`js5/mixed/to-${protocolVersion}`, `from 5 with QoS ${qos}`, {
          qos,
          properties: { ...properties, messageExpiryInterval },
        });
        assert.equal((await older.next()).payload.toString(), `from 5 with QoS ${qos}`);
        await older.publish('js5/mixed/to-5', `from ${protocolVersion} with QoS ${qos}`, qos);
        const got = await five.publications.next();
        assert.deepEqual([got.payload, plain(got.properties)], [`from ${protocolVersion} with QoS ${qos}`, {}]);
      }
      await older.end();
    }
    await five.end();
  });
});
