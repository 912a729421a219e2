import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { IClientOptions } from 'mqtt';
import { Portico } from '../support/portico.js';
import { JsClient } from './mqttjs.js';

describe('MQTT.js', { timeout: 120_000 }, () => {
  let portico: Portico;

  before(async () => {
    portico = await Portico.start();
  });
  after(() => portico.dispose());

  for (const transport of ['mqtt', 'ws'] as const) {
    for (const protocolVersion of [3, 4, 5] as const) {
      describe(`MQTT level ${protocolVersion} over ${transport}`, () => {
        const root = `js/${transport}/${protocolVersion}`;
        const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT';
        const connect = (clientId: string, options: IClientOptions = {}): Promise<JsClient> => {
          const { mqtt, websocket } = portico.ports;
          const url = transport === 'mqtt' ? `mqtt://127.0.0.1:${mqtt}` : `ws://127.0.0.1:${websocket}/mqtt`;
          return JsClient.connect(url, {
            clientId: `${clientId}-${protocolVersion}`,
            protocolVersion,
            protocolId,
            ...options,
          });
        };

        test('QoS 0, 1 and 2 messages arrive once and in order', async () => {
          const subscriber = await connect('subscriber');
          await subscriber.subscribe(`${root}/qos/#`, 2);
          const publisher = await connect('publisher');
          for (const qos of [0, 1, 2] as const) {
            const sent = Array.from({ length: 200 }, (_, i) => `${qos}.${i}`);
            await Promise.all(sent.map((payload) => publisher.publish(`${root}/qos/${qos}`, payload, qos)));
            assert.deepEqual(await subscriber.payloads(sent.length), sent);
          }
          await publisher.publish(`${root}/qos/end`, 'end', 2);
          assert.equal((await subscriber.next()).payload.toString(), 'end');
          await publisher.end();
          await subscriber.end();
        });

        test('1 MB of binary data travels both ways', async () => {
          const a = await connect('large-a');
          const b = await connect('large-b');
          await a.subscribe(`${root}/large/a`, 2);
          await b.subscribe(`${root}/large/b`, 2);
          const payload = randomBytes(1_000_000);
          for (const qos of [0, 1, 2] as const) {
            await a.publish(`${root}/large/b`, payload, qos);
            assert.ok((await b.next()).payload.equals(payload), `a to b with QoS ${qos}`);
            await b.publish(`${root}/large/a`, payload, qos);
            assert.ok((await a.next()).payload.equals(payload), `b to a with QoS ${qos}`);
          }
          await a.end();
          await b.end();
        });

        test('a will is published when the connection is cut', async () => {
          const watcher = await connect('watcher');
          await watcher.subscribe(`${root}/will`, 1);
          const will = { topic: `${root}/will`, payload: Buffer.from('gone'), qos: 1 as const, retain: false };
          await (await connect('polite', { will: { ...will, payload: Buffer.from('polite') } })).end();
          await (await connect('cut', { will })).cut();
          const { payload, qos } = await watcher.next();
          assert.deepEqual([payload.toString(), qos], ['gone', 1]);
          await watcher.end();
        });

        test('a second client with the same identifier takes over, and the first one is disconnected', async () => {
          const first = await connect('twin');
          const second = await connect('twin');
          if (protocolVersion === 5) {
            const packet = await first.packets.take(({ cmd }) => cmd === 'disconnect', 'DISCONNECT');
            assert.ok(packet.cmd === 'disconnect' && packet.reasonCode === 0x8e, 'session taken over');
          }
          await first.closed;
          await second.subscribe(`${root}/twin`, 1);
          await second.publish(`${root}/twin`, 'alive', 1);
          assert.equal((await second.next()).payload.toString(), 'alive');
          await second.end();
        });

        test('a session that is kept gets in order what came while it was away; another one starts anew', async () => {
          const kept = { clean: false, ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 100 } }) };
          const publisher = await connect('kept-out');
          for (const [name, options] of [
            ['kept', kept],
            ['lost', { clean: true }],
          ] as const) {
            const first = await connect(name, options);
            await first.subscribe(`${root}/${name}/+`, 2);
            await first.cut();
          }
          for (const name of ['kept', 'lost']) {
            for (let i = 0; i < 10; i++) {
              for (const qos of [0, 1, 2] as const) await publisher.publish(`${root}/${name}/${qos}`, String(i), qos);
            }
          }
          const second = await connect('kept', kept);
          // MQTT 3.1 has no session present flag.
          if (protocolVersion > 3) assert.equal(second.sessionPresent, true);
          const got: Record<string, string[]> = { [`${root}/kept/1`]: [], [`${root}/kept/2`]: [] };
          for (let i = 0; i < 20; i++) {
            const { topic, payload } = await second.next();
            got[topic].push(payload.toString());
          }
          const expected = Array.from({ length: 10 }, (_, i) => String(i));
          assert.deepEqual(Object.values(got), [expected, expected]);
          const lost = await connect('lost', kept);
          if (protocolVersion > 3) assert.equal(lost.sessionPresent, false);
          await lost.subscribe(`${root}/lost-end`, 1);
          await publisher.publish(`${root}/lost/1`, 'nobody is subscribed', 1);
          await publisher.publish(`${root}/lost-end`, 'end', 1);
          assert.equal((await lost.next()).payload.toString(), 'end');
          for (const client of [second, lost, publisher]) await client.end();
        });

        test('a retained message arrives with its flag, live ones without, until an empty one clears it', async () => {
          const topic = `${root}/retained`;
          const client = await connect('retained');
          await client.publish(topic, 'first', 2, true);
          await client.subscribe(topic, 2);
          await client.publish(topic, 'second', 1, true);
          for (const [payload, qos, retain] of [
            ['first', 2, true],
            ['second', 1, false],
          ]) {
            assert.deepEqual(await client.next(), { topic, payload: Buffer.from(String(payload)), qos, retain });
          }
          await client.publish(topic, '', 1, true);
          assert.equal((await client.next()).payload.length, 0);
          const late = await connect('retained-late');
          await late.subscribe(`${root}/+`, 1);
          await client.publish(`${root}/marker`, 'marker', 1);
          assert.equal((await late.next()).payload.toString(), 'marker');
          await client.end();
          await late.end();
        });

        test('nothing is delivered after unsubscribing', async () => {
          const client = await connect('unsubscriber');
          await client.subscribe(`${root}/u/#`, 1);
          await client.subscribe(`${root}/marker`, 1);
          await client.publish(`${root}/u/1`, 'before', 1);
          assert.equal((await client.next()).payload.toString(), 'before');
          await client.raw.unsubscribeAsync(`${root}/u/#`);
          await client.publish(`${root}/u/1`, 'after', 1);
          await client.publish(`${root}/marker`, 'marker', 1);
          assert.equal((await client.next()).payload.toString(), 'marker');
          await client.end();
        });
      });
    }
  }

  for (const transport of ['mqtt', 'ws'] as const) {
    test(`an idle client over ${transport} keeps its connection by PINGREQ`, async () => {
      const { mqtt, websocket } = portico.ports;
      const url = `${transport}://127.0.0.1:${transport === 'mqtt' ? mqtt : websocket}`;
      const client = await JsClient.connect(url, { clientId: `pinger-${transport}`, keepalive: 1 });
      // MQTT.js sends PINGREQ when the keep alive has passed; three answers take longer than 1.5 times of it.
      for (let pongs = 0; pongs < 3; pongs++) await client.packets.take(({ cmd }) => cmd === 'pingresp', 'PINGRESP');
      assert.ok(client.raw.connected);
      await client.end();
    });
  }

  test('MQTT 5.0: properties are kept end to end, with the subscription’s identifier', async () => {
    const url = `mqtt://127.0.0.1:${portico.ports.mqtt}`;
    const subscriber = await JsClient.connect(url, { clientId: 'props-in', protocolVersion: 5 });
    await subscriber.raw.subscribeAsync('js/properties/+', {
      qos: 1,
      properties: { subscriptionIdentifier: 268_435_455 },
    });
    const publisher = await JsClient.connect(url, { clientId: 'props-out', protocolVersion: 5 });
    const received = subscriber.nextPublish();
    await publisher.raw.publishAsync('js/properties/x', 'body', {
      qos: 1,
      properties: {
        payloadFormatIndicator: true,
        contentType: 'text/plain',
        responseTopic: 'js/answers',
        correlationData: Buffer.from([0, 1, 2, 255]),
        messageExpiryInterval: 100,
        userProperties: { a: ['1', '2'], ключ: 'значение' },
      },
    });
    const { messageExpiryInterval = 0, ...properties } = (await received).properties ?? {};
    assert.ok(messageExpiryInterval > 90 && messageExpiryInterval <= 100);
    assert.deepEqual(JSON.parse(JSON.stringify(properties)), {
      payloadFormatIndicator: true,
      contentType: 'text/plain',
      responseTopic: 'js/answers',
      correlationData: { type: 'Buffer', data: [0, 1, 2, 255] },
      subscriptionIdentifier: 268_435_455,
      userProperties: { a: ['1', '2'], ключ: 'значение' },
    });
    await publisher.end();
    await subscriber.end();
  });

  test('MQTT 5.0: No Local, Retain As Published and Retain Handling are honoured', async () => {
    const url = `mqtt://127.0.0.1:${portico.ports.mqtt}`;
    const client = await JsClient.connect(url, { clientId: 'options', protocolVersion: 5 });
    const other = await JsClient.connect(url, { clientId: 'options-other', protocolVersion: 5 });
    await other.publish('js/options/kept', 'kept', 1, true);
    await client.raw.subscribeAsync('js/options/#', { qos: 1, nl: true, rap: true, rh: 2 });
    await client.publish('js/options/own', 'own', 1);
    await other.publish('js/options/flag', 'flag', 1, true);
    const got = await client.next();
    assert.deepEqual([got.payload.toString(), got.retain], ['flag', true], 'neither the kept message nor its own');
    await client.end();
    await other.end();
  });
});
