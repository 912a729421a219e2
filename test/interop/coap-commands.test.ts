/** `coap.commands` of a broker as a process: MQTT.js and mosquitto_pub ask, the servers of libcoap and of `coap` answer. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { decode } from 'cborg';
import { createServer, type IncomingMessage, type OutgoingMessage } from 'coap';
import { CoapClient } from '../../src/coap/client/client.js';
import { UdpTransport } from '../../src/coap/transport.js';
import { freePorts, Portico } from '../support/portico.js';
import { Inbox } from './inbox.js';
import { JsClient } from './mqttjs.js';
import { run } from './programs.js';

describe('commands to devices', { timeout: 60_000 }, () => {
  let portico: Portico;
  let server: ChildProcess;

  before(async () => {
    const { coap: port } = await freePorts();
    server = spawn('coap-server-notls', ['-A', '127.0.0.1', '-p', `${port}`], { stdio: 'ignore' });
    await once(server, 'spawn');
    await answers(port);
    const resource = `coap://127.0.0.1:${port}`;
    portico = await Portico.start({
      coap: {
        commands: [
          {
            filter: 'device/set',
            uri: `${resource}/example_data`,
            content_format: 'text',
            response_topic: 'device/done',
          },
          { filter: 'device/get', uri: `${resource}/example_data`, method: 'GET', response_topic: 'device/value' },
          {
            filter: 'device/fetch',
            uri: `${resource}/time`,
            method: 'FETCH',
            accept: 'text',
            response_topic: 'device/fetched',
          },
          {
            filter: 'device/patch',
            uri: `${resource}/example_data`,
            method: 'iPATCH',
            content_format: 'json',
            response: 'json',
            response_topic: 'device/fetched',
          },
          {
            filter: 'device/slow',
            uri: `${resource}/async?1`,
            method: 'GET',
            response: 'json',
            response_topic: 'device/late',
          },
        ],
        observations: [{ uri: `${resource}/time?ticks`, topic: 'device/time' }],
      },
    });
  });

  after(async () => {
    await portico?.dispose();
    if (server?.exitCode === null) {
      server.kill();
      await once(server, 'exit');
    }
  });

  test('a large value is set and read, and a separate response arrives', async () => {
    const client = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, {
      clientId: 'app',
      protocolVersion: 5,
    });
    await client.subscribe('device/done', 1);
    await client.subscribe('device/value', 1);
    await client.subscribe('device/late', 1);
    const value = 'warm '.repeat(1_000);
    await client.publish('device/set', value, 1, false);
    assert.equal((await client.next()).topic, 'device/done');
    await client.publish('device/get', '', 1, false);
    const read = await client.next();
    assert.deepEqual([read.topic, read.payload.toString()], ['device/value', value]);
    await client.publish('device/slow', '', 1, false);
    const late = await client.next();
    assert.deepEqual(JSON.parse(late.payload.toString()), { code: '2.05', payload: 'done' });
    await client.end();
  });

  test('RFC 8132: libcoap’s server answers a FETCH by its body, and says 4.05 to an iPATCH that it does not know', async () => {
    const client = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, {
      clientId: 'fetcher',
      protocolVersion: 5,
    });
    await client.subscribe('device/fetched', 1);
    await client.publish('device/fetch', 'ticks', 1, false);
    const ticks = Number((await client.next()).payload);
    assert.ok(Math.abs(ticks - Date.now() / 1000) < 60, `${ticks} is the time`);
    await client.publish('device/patch', '{}', 1, false);
    const refused = JSON.parse((await client.next()).payload.toString());
    assert.deepEqual(refused, { code: '4.05', payload: 'Method Not Allowed' });
    await client.end();
  });

  test('coap.observations: the states of a resource of libcoap’s server are published as they change', async () => {
    const client = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId: 'watcher' });
    await client.subscribe('device/time', 1);
    const first = await client.next();
    let later = await client.next();
    // What is retained may be the first state that is published, too.
    while (later.payload.equals(first.payload)) later = await client.next();
    assert.ok(Number(later.payload) > Number(first.payload), `${first.payload} ${later.payload}`);
    await client.end();
  });
});

test('mosquitto_pub with 25.3 on sensor/temp arrives at a controller as PUT {"temp":25.3,"unit":"C"}, or as iPATCH', async () => {
  const { coap: port } = await freePorts();
  const controller = createServer();
  await new Promise<void>((resolve) => controller.listen(port, '127.0.0.1', () => resolve()));
  const uri = `coap://127.0.0.1:${port}/controllers/{{ levels[0] }}`;
  const template = '{"{{ levels[1] }}":{{ payload | number }},"unit":"C"}';
  const portico = await Portico.start({
    coap: {
      commands: [
        { filter: 'sensor/temp', uri, template, content_format: 'json' },
        { filter: 'sensor/humidity', uri, template, content_format: 'cbor' },
        { filter: 'sensor/light', uri, template, method: 'iPATCH', content_format: 52, accept: 'json' },
      ],
    },
  });
  try {
    const heard = new Inbox<IncomingMessage>('requests at the controller');
    controller.on('request', (request: IncomingMessage, response: OutgoingMessage) => {
      response.code = '2.04';
      response.end();
      heard.put(request);
    });
    const publish = ['-h', '127.0.0.1', '-p', `${portico.ports.mqtt}`];
    await run('mosquitto_pub', [...publish, '-t', 'sensor/temp', '-m', '25.3']);
    const temperature = await heard.next();
    assert.deepEqual([temperature.method, temperature.url], ['PUT', '/controllers/sensor']);
    assert.equal(temperature.headers['Content-Format'], 'application/json');
    assert.equal(temperature.payload.toString(), '{"temp":25.3,"unit":"C"}');
    await run('mosquitto_pub', [...publish, '-t', 'sensor/humidity', '-m', '61']);
    const humidity = await heard.next();
    assert.equal(humidity.headers['Content-Format'], 'application/cbor');
    assert.deepEqual(decode(humidity.payload), { humidity: 61, unit: 'C' });
    await run('mosquitto_pub', [...publish, '-t', 'sensor/light', '-m', '7']);
    const light = await heard.next();
    assert.deepEqual([light.method, light.headers.Accept], ['iPATCH', 'application/json']);
    assert.equal(light.payload.toString(), '{"light":7,"unit":"C"}');
  } finally {
    await portico.dispose();
    await new Promise<void>((resolve) => controller.close(() => resolve()));
  }
});

/** Waits until the server at this port answers. */
async function answers(port: number): Promise<void> {
  const client = new CoapClient(await UdpTransport.bind({ address: '127.0.0.1', port: 0 }));
  const request = { method: 1, transmission: { ackTimeout: 50, maxRetransmit: 9, timeout: 30_000 } };
  const { failure } = await new Promise<{ failure: object | null }>((resolve) => {
    client.request({ address: '127.0.0.1', port, family: 'IPv4' }, request, resolve);
  });
  await client.close();
  assert.equal(failure, null);
}
