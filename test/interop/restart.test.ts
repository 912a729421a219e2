import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Portico } from '../support/portico.js';
import { Observer, request, topicUri } from './libcoap.js';
import { publish, Subscriber } from './mosquitto.js';
import { JsClient } from './mqttjs.js';
import { CoapObserver, exchange, topicPath } from './npm-coap.js';
import { PahoClient } from './paho.js';
import { connectRaw } from './raw.js';

/** Two ways to end the broker, of which an acknowledged message must not notice anything. */
const ENDS = {
  'an ordinary restart': async (portico: Portico): Promise<void> => {
    await portico.stop();
    await portico.restart();
  },
  'kill -9 and a new start': async (portico: Portico): Promise<void> => {
    await portico.kill();
    await portico.restart();
  },
} as const;

for (const [name, end] of Object.entries(ENDS)) {
  describe(`what survives ${name}`, { timeout: 120_000 }, () => {
    let portico: Portico;
    let mqtt: number;
    let url: string;

    before(async () => {
      portico = await Portico.start();
      mqtt = portico.ports.mqtt;
      url = `mqtt://127.0.0.1:${mqtt}`;
    });
    after(() => portico.dispose());

    test('a device puts by CoAP, MQTT receives; MQTT publishes retained, an observer is notified, GET reads it then and later', async () => {
      const topic = 'devices/thermometer/temperature';
      const uri = topicUri(portico.ports.coap, topic);
      const subscriber = await Subscriber.start(mqtt, 'mqttv5', ['-q', '1', '-t', 'devices/+/temperature']);
      assert.equal((await request('put', uri, ['-t', '0', '-e', '21.5'])).code, '2.01');
      assert.deepEqual(await subscriber.next(), { topic, qos: 1, retain: false, payload: '21.5' });
      await subscriber.end();

      const observer = await Observer.start(uri);
      assert.match(observer.first, /:: '21\.5'$/);
      await publish(mqtt, 'mqttv311', ['-q', '1', '-r', '-t', topic, '-m', '22.5']);
      assert.match(await observer.next(), /:: '22\.5'$/);
      const before = await request('get', uri);
      assert.deepEqual([before.code, before.payload.toString()], ['2.05', '22.5']);
      await observer.end('SIGKILL');

      await end(portico);
      const afterwards = await request('get', uri);
      assert.deepEqual([afterwards.code, afterwards.payload.toString()], ['2.05', '22.5']);
      const etag = /ETag:\S+/.exec(before.options)?.[0];
      assert.ok(etag !== undefined && afterwards.options.includes(etag), 'the same representation has the same ETag');
    });

    test('a value put by CoAP keeps its Content-Format, and a deleted one stays deleted', async () => {
      const coap = portico.ports.coap;
      const options = { 'Content-Format': 'application/json' };
      assert.equal((await exchange(coap, 'PUT', topicPath('restart/json'), { payload: '[1]', options })).code, '2.01');
      assert.equal((await exchange(coap, 'PUT', topicPath('restart/gone'), { payload: 'x' })).code, '2.01');
      assert.equal((await exchange(coap, 'DELETE', topicPath('restart/gone'))).code, '2.02');
      await end(portico);
      const json = await exchange(coap, 'GET', topicPath('restart/json'));
      assert.deepEqual(
        [json.code, json.payload.toString(), json.headers['Content-Format']],
        ['2.05', '[1]', 'application/json'],
      );
      assert.equal((await exchange(coap, 'GET', topicPath('restart/gone'))).code, '4.04');
    });

    test('retained messages, and that one was cleared', async () => {
      const client = await JsClient.connect(url, { clientId: 'restart-retained' });
      const large = Buffer.alloc(1_000_000, 'large');
      await client.publish('restart/retained/kept', 'kept', 1, true);
      await client.publish('restart/retained/large', large, 2, true);
      await client.publish('restart/retained/cleared', 'x', 1, true);
      await client.publish('restart/retained/cleared', '', 1, true);
      await end(portico);
      const later = await JsClient.connect(url, { clientId: 'restart-retained' });
      await later.subscribe('restart/retained/#', 2);
      const got = [await later.next(), await later.next()].sort((a, b) => a.topic.localeCompare(b.topic));
      assert.deepEqual(got[0], { topic: 'restart/retained/kept', payload: Buffer.from('kept'), qos: 1, retain: true });
      assert.ok(got[1].payload.equals(large) && got[1].retain && got[1].qos === 2);
      await later.publish('restart/retained/marker', 'marker', 1);
      assert.equal((await later.next()).topic, 'restart/retained/marker', 'nothing else is retained');
      await later.end();
    });

    for (const qos of [1, 2] as const) {
      test(`messages of QoS ${qos} for a client that was away, in order, before and after what is sent now`, async () => {
        const topic = `restart/offline/${qos}`;
        const options = { clientId: `restart-offline-${qos}`, clean: false };
        const first = await JsClient.connect(url, options);
        await first.subscribe(topic, qos);
        await first.end();
        const publisher = await JsClient.connect(url, { clientId: 'restart-publisher' });
        const sent = Array.from({ length: 1000 }, (_, i) => `message ${i}`);
        await Promise.all(sent.map((payload) => publisher.publish(topic, payload, qos)));
        await end(portico);
        const again = await JsClient.connect(url, { clientId: 'restart-publisher' });
        await again.publish(topic, 'after the restart', qos);
        const second = await JsClient.connect(url, options);
        assert.equal(second.sessionPresent, true);
        assert.deepEqual(await second.payloads(sent.length + 1), [...sent, 'after the restart']);
        await second.publish(topic, 'live', qos);
        assert.equal((await second.next()).payload.toString(), 'live', 'nothing came twice');
        await second.end();
        await again.end();
      });
    }

    test('a kept session of paho and one of mosquitto_sub', async () => {
      const options = { client_id: 'restart-paho', clean_session: false };
      const paho = await PahoClient.connect(mqtt, options);
      await paho.subscribe('restart/kept/#', 1);
      await paho.disconnect();
      const args = ['-c', '-i', 'restart-mosquitto', '-q', '1', '-t', 'restart/kept/#'];
      const mosquitto = await Subscriber.start(mqtt, 'mqttv311', args);
      await mosquitto.end();
      await publish(mqtt, 'mqttv311', ['-q', '1', '-t', 'restart/kept/a', '-m', 'while away']);
      assert.equal(
        (await request('put', topicUri(portico.ports.coap, 'restart/kept/b'), ['-e', 'by CoAP'])).code,
        '2.01',
      );
      await end(portico);
      const pahoAgain = await PahoClient.connect(mqtt, options);
      assert.equal(pahoAgain.sessionPresent, true);
      assert.deepEqual((await pahoAgain.next()).payload.toString(), 'while away');
      assert.deepEqual((await pahoAgain.next()).payload.toString(), 'by CoAP');
      await pahoAgain.disconnect();
      const mosquittoAgain = await Subscriber.start(mqtt, 'mqttv311', args);
      // It subscribes again, so the retained one comes a second time, as retained [MQTT-3.8.4-3].
      const waited: string[] = [];
      while (waited.length < 2) {
        const { payload, retain } = await mosquittoAgain.next();
        if (!retain) waited.push(payload);
      }
      assert.deepEqual(waited, ['while away', 'by CoAP']);
      await mosquittoAgain.end();
    });

    test('a QoS 2 handshake that was half done: the message is delivered once', async () => {
      const watcher = await JsClient.connect(url, { clientId: 'restart-qos2-watcher', clean: false });
      await watcher.subscribe('restart/qos2', 2);
      await watcher.end();
      const session = { clientId: 'restart-qos2', clean: false };
      const before = await connectRaw(mqtt, session);
      const message = {
        cmd: 'publish',
        topic: 'restart/qos2',
        payload: 'once',
        qos: 2,
        messageId: 7,
        retain: false,
      } as const;
      before.send({ ...message, dup: false });
      await before.expect('pubrec');
      await end(portico);

      const watcherAgain = await JsClient.connect(url, { clientId: 'restart-qos2-watcher', clean: false });
      const after = await connectRaw(mqtt, session);
      assert.equal(after.connack.sessionPresent, true);
      // The client cannot know whether its PUBREC was lost, so it may repeat the PUBLISH.
      after.send({ ...message, dup: true });
      await after.expect('pubrec');
      after.send({ cmd: 'pubrel', messageId: 7 });
      await after.expect('pubcomp');
      after.send({
        cmd: 'publish',
        topic: 'restart/qos2',
        payload: 'marker',
        qos: 1,
        messageId: 8,
        retain: false,
        dup: false,
      });
      await after.expect('puback');
      assert.deepEqual(await takeUntilMarker(watcherAgain), ['once']);
      after.cut();
      await watcherAgain.end();
    });

    test('an unacknowledged delivery comes again with DUP and its packet identifier', async () => {
      const session = { clientId: 'restart-inflight', clean: false };
      const before = await connectRaw(mqtt, session);
      await before.subscribe('restart/inflight', 1);
      const publisher = await JsClient.connect(url, { clientId: 'restart-inflight-publisher' });
      await publisher.publish('restart/inflight', 'unacknowledged', 1);
      const first = await before.expect('publish');
      assert.equal(first.dup, false);
      await end(portico);
      const after = await connectRaw(mqtt, session);
      const again = await after.expect('publish');
      assert.deepEqual(
        [again.payload.toString(), again.dup, again.messageId],
        ['unacknowledged', true, first.messageId],
      );
      after.cut();
    });

    test('an observer that registers again is served as before', async () => {
      const path = topicPath('restart/observed');
      await exchange(portico.ports.coap, 'PUT', path, { payload: 'before' });
      await end(portico);
      const observer = await CoapObserver.start(portico.ports.coap, path);
      assert.equal(await observer.values.next(), 'before');
      await exchange(portico.ports.coap, 'PUT', path, { payload: 'after' });
      assert.equal(await observer.values.next(), 'after');
      await observer.end();
    });
  });
}

/** Payloads up to the one that says "marker". */
async function takeUntilMarker(client: JsClient): Promise<string[]> {
  const payloads: string[] = [];
  for (;;) {
    const payload = (await client.next()).payload.toString();
    if (payload === 'marker') return payloads;
    payloads.push(payload);
  }
}
