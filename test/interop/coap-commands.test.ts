/** `coap.commands` of a broker as a process: MQTT.js asks, libcoap's server answers. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { CoapClient } from '../../src/coap/client/client.js';
import { UdpTransport } from '../../src/coap/transport.js';
import { freePorts, Portico } from '../support/portico.js';
import { JsClient } from './mqttjs.js';

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
