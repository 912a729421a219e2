import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { Observer, request, topicUri } from './libcoap.js';
import { MQTT_VERSIONS, publish, Subscriber } from './mosquitto.js';
import { JsClient } from './mqttjs.js';
import { CoapObserver, exchange, topicPath } from './npm-coap.js';
import { PahoClient } from './paho.js';

const TOPIC = 'bus/everyone';

interface Party {
  readonly name: string;
  /** Publishes to the topic. */
  readonly publish: (payload: string) => Promise<unknown>;
  /** The next payload on the topic. */
  readonly next?: () => Promise<string>;
  readonly end: () => Promise<void>;
}

describe('one bus', { timeout: 120_000 }, () => {
  let portico: Portico;
  const parties: Party[] = [];

  before(async () => {
    portico = await Portico.start();
    const { mqtt, websocket, coap } = portico.ports;
    const uri = topicUri(coap, TOPIC);
    const js = await JsClient.connect(`mqtt://127.0.0.1:${mqtt}`, { clientId: 'seed' });
    // Observers see the value of a topic before its first notification.
    await js.publish(TOPIC, 'seed', 1, true);
    await js.end();

    for (const version of MQTT_VERSIONS) {
      const subscriber = await Subscriber.start(mqtt, version, ['-q', '1', '-t', TOPIC, '-R']);
      parties.push({
        name: `mosquitto ${version}`,
        publish: (payload) => publish(mqtt, version, ['-q', '1', '-t', TOPIC, '-m', payload]),
        next: async () => (await subscriber.next()).payload,
        end: () => subscriber.end(),
      });
    }
    for (const [transport, port] of [
      ['tcp', mqtt],
      ['websockets', websocket],
    ] as const) {
      const client = await PahoClient.connect(port, { client_id: `bus-${transport}`, transport });
      await client.subscribe(TOPIC, 1);
      assert.equal((await client.next()).payload.toString(), 'seed');
      parties.push({
        name: `paho-mqtt over ${transport}`,
        publish: (payload) => client.publish(TOPIC, payload, 1),
        next: async () => (await client.next()).payload.toString(),
        end: () => client.disconnect(),
      });
    }
    for (const url of [`mqtt://127.0.0.1:${mqtt}`, `ws://127.0.0.1:${websocket}/mqtt`]) {
      const client = await JsClient.connect(url, { clientId: `bus-${url.slice(0, 2)}`, protocolVersion: 5 });
      await client.subscribe(TOPIC, 1);
      assert.equal((await client.next()).payload.toString(), 'seed');
      parties.push({
        name: `MQTT.js over ${url.startsWith('ws') ? 'WebSocket' : 'TCP'}`,
        publish: (payload) => client.publish(TOPIC, payload, 1),
        next: async () => (await client.next()).payload.toString(),
        end: () => client.end(),
      });
    }
    const observer = await Observer.start(uri);
    assert.match(observer.first, /:: 'seed'$/);
    parties.push({
      name: 'libcoap',
      publish: async (payload) => assert.equal((await request('post', uri, ['-e', payload])).code, '2.04'),
      next: async () => /:: '(.*)'$/.exec(await observer.next())?.[1] ?? '',
      end: () => observer.end(),
    });
    parties.push({
      name: 'libcoap, non-confirmable PUT',
      publish: async (payload) => assert.equal((await request('put', uri, ['-N', '-e', payload])).code, '2.04'),
      end: async () => {},
    });
    const coapObserver = await CoapObserver.start(coap, topicPath(TOPIC));
    assert.equal(await coapObserver.values.next(), 'seed');
    parties.push({
      name: 'npm coap',
      publish: (payload) => exchange(coap, 'PUT', topicPath(TOPIC), { payload }),
      next: () => coapObserver.values.next(),
      end: () => coapObserver.end(),
    });
  });
  after(async () => {
    await Promise.all(parties.map((party) => party.end())).finally(() => portico.dispose());
  });

  test('what any client publishes reaches every other one, whatever it speaks', async (t) => {
    assert.equal(parties.length, 10);
    for (const publisher of parties) {
      await t.test(`${publisher.name} publishes`, async () => {
        const payload = `from ${publisher.name}`;
        await publisher.publish(payload);
        for (const { name, next } of parties) if (next) assert.equal(await next(), payload, name);
      });
    }
  });
});
