import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { JsClient } from './mqttjs.js';
import { PahoClient, type PahoOptions } from './paho.js';

describe('paho-mqtt (Python)', { timeout: 120_000 }, () => {
  let portico: Portico;
  let js: JsClient;

  before(async () => {
    portico = await Portico.start();
    js = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId: 'beside-paho' });
  });
  after(() => portico.dispose());

  for (const transport of ['tcp', 'websockets'] as const) {
    for (const version of [3, 4, 5] as const) {
      const name = { 3: 'MQTT 3.1', 4: 'MQTT 3.1.1', 5: 'MQTT 5.0' }[version];
      describe(`${name} over ${transport}`, () => {
        const root = `paho/${transport}/${version}`;
        const connect = (options: PahoOptions): Promise<PahoClient> => {
          const port = transport === 'tcp' ? portico.ports.mqtt : portico.ports.websocket;
          return PahoClient.connect(port, { version, transport, ...options });
        };

        test('QoS 0, 1 and 2 messages travel to MQTT.js and back', async () => {
          const paho = await connect({ client_id: `paho-qos-${version}` });
          await paho.subscribe(`${root}/to-paho`, 2);
          await js.subscribe(`${root}/to-js`, 2);
          for (const qos of [0, 1, 2] as const) {
            const payload = Buffer.from([qos, 0, 255, 10]);
            await paho.publish(`${root}/to-js`, payload, qos);
            const expected = { payload, qos, retain: false };
            assert.deepEqual(await js.next(`${root}/to-js`), { topic: `${root}/to-js`, ...expected });
            await js.publish(`${root}/to-paho`, payload, qos);
            assert.deepEqual(await paho.next(), { topic: `${root}/to-paho`, ...expected });
          }
          await paho.disconnect();
        });

        test('the will of a killed client is published and retained; DISCONNECT discards it', async () => {
          const topic = `${root}/will`;
          await js.subscribe(topic, 1);
          const will = { topic, qos: 1, retain: true } as const;
          const polite = await connect({ client_id: `paho-polite-${version}`, will: { ...will, payload: 'polite' } });
          await polite.disconnect();
          const killed = await connect({ client_id: `paho-killed-${version}`, will: { ...will, payload: 'killed' } });
          await killed.kill();
          assert.equal((await js.next(topic)).payload.toString(), 'killed');
          const late = await connect({ client_id: `paho-late-${version}` });
          await late.subscribe(topic, 1);
          assert.deepEqual(await late.next(), { topic, payload: Buffer.from('killed'), qos: 1, retain: true });
          await late.disconnect();
        });

        test('retained messages arrive with their flag and are cleared by an empty one', async () => {
          const paho = await connect({ client_id: `paho-retained-${version}` });
          await paho.publish(`${root}/retained/a`, 'kept', 1, true);
          await paho.publish(`${root}/retained/b`, 'cleared', 1, true);
          await paho.publish(`${root}/retained/b`, '', 1, true);
          await paho.publish(`${root}/retained/c`, 'kept too', 1, true);
          await paho.subscribe(`${root}/retained/+`, 1);
          const got = [await paho.next(), await paho.next()];
          assert.deepEqual(
            new Set(got.map(({ topic }) => topic)),
            new Set([`${root}/retained/a`, `${root}/retained/c`]),
          );
          assert.ok(got.every(({ retain }) => retain));
          await paho.publish(`${root}/retained/d`, 'marker', 1);
          assert.equal((await paho.next()).payload.toString(), 'marker', 'the cleared message is gone');
          await paho.disconnect();
        });

        test('a session that is kept gets its QoS 1 and 2 messages in order after it was away', async () => {
          const topic = `${root}/offline`;
          const options = {
            client_id: `paho-kept-${transport}-${version}`,
            clean_session: false,
            ...(version === 5 && { properties: { SessionExpiryInterval: 600 } }),
          };
          const first = await connect(options);
          assert.equal(first.sessionPresent, false);
          await first.subscribe(topic, 2);
          await first.kill();
          const sent = Array.from({ length: 100 }, (_, i) => `offline ${i}`);
          for (const [i, payload] of sent.entries()) await js.publish(topic, payload, i % 2 === 0 ? 1 : 2);
          const second = await connect(options);
          // MQTT 3.1 has no session present flag.
          assert.equal(second.sessionPresent, version > 3);
          const got: string[] = [];
          while (got.length < sent.length) got.push((await second.next()).payload.toString());
          // Order is promised within one QoS [MQTT-4.6.0-6].
          const even = (_: string, i: number): boolean => i % 2 === 0;
          assert.deepEqual(
            got.filter((payload) => sent.filter(even).includes(payload)),
            sent.filter(even),
          );
          assert.deepEqual(
            got.filter((payload) => !sent.filter(even).includes(payload)),
            sent.filter((payload) => !sent.filter(even).includes(payload)),
          );
          await second.disconnect();
        });

        test('$SYS/broker/version is readable', async () => {
          const paho = await connect({ client_id: `paho-sys-${version}` });
          await paho.subscribe('$SYS/broker/version', 0);
          assert.match((await paho.next()).payload.toString(), /^portico version \d+\.\d+\.\d+/);
          await paho.disconnect();
        });
      });
    }
  }
});
