/** Requests over DTLS of a broker as a process: mosquitto_pub asks, libcoap's server with OpenSSL answers. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CoapClient } from '../../src/coap/client/client.js';
import type { Outcome } from '../../src/coap/client/outcome.js';
import type { ClientRequest } from '../../src/coap/client/request.js';
import { Code, Method } from '../../src/coap/codes.js';
import { type DatagramAddress, UdpTransport } from '../../src/coap/transport.js';
import { freePorts, Portico, temporaryFolder } from '../support/portico.js';
import { publish, Subscriber } from './mosquitto.js';

const KEY = 'sesame';
const HEX = Buffer.from(KEY).toString('hex');

/** One request from a socket of its own. */
async function ask(port: number, request: ClientRequest): Promise<Outcome> {
  const client = new CoapClient(await UdpTransport.bind({ address: '127.0.0.1', port: 0 }));
  const remote: DatagramAddress = { address: '127.0.0.1', port, family: 'IPv4' };
  const transmission = { ackTimeout: 50, maxRetransmit: 9, timeout: 30_000 };
  const outcome = await new Promise<Outcome>((resolve) => {
    client.request(remote, { transmission, ...request }, resolve);
  });
  await client.close();
  return outcome;
}

describe('commands to devices over DTLS', { timeout: 60_000 }, () => {
  let portico: Portico;
  let server: ChildProcess;
  /** Of libcoap's server: plain; DTLS is the next one. */
  let plain: number;

  before(async () => {
    plain = (await freePorts()).coap;
    const options = ['-A', '127.0.0.1', '-p', `${plain}`, '-d', '10', '-k', KEY, '-h', 'hint'];
    server = spawn('coap-server-openssl', options, { stdio: 'ignore' });
    await once(server, 'spawn');
    assert.equal((await ask(plain, { method: Method.Get })).failure, null);
    const device = `coaps://127.0.0.1:${plain + 1}`;
    const keys = join(temporaryFolder(), 'device-psk');
    // Another name of the same device, with a key that is not its own.
    writeFileSync(keys, `${device} portico:${HEX}\ncoaps://localhost:${plain + 1} portico:00\n`);
    portico = await Portico.start({
      coap: {
        device_psk_file: keys,
        dtls_handshake_time: 3,
        commands: [
          { filter: 'boiler/set', uri: `${device}/fresh`, content_format: 'text', response_topic: 'boiler/done' },
          { filter: 'boiler/get', uri: `${device}/fresh`, method: 'GET', response_topic: 'boiler/value' },
          {
            filter: 'boiler/wrong',
            uri: `coaps://localhost:${plain + 1}/fresh`,
          },
        ],
        observations: [{ uri: `${device}/time?ticks`, topic: 'boiler/time' }],
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

  test('mosquitto_pub sets and reads a value; the answers come on the response topics', async () => {
    const { mqtt } = portico.ports;
    const done = await Subscriber.start(mqtt, 'mqttv5', ['-q', '1', '-t', 'boiler/done']);
    const values = await Subscriber.start(mqtt, 'mqttv5', ['-q', '1', '-t', 'boiler/value']);
    await publish(mqtt, 'mqttv5', ['-q', '1', '-t', 'boiler/set', '-m', 'warm']);
    assert.equal((await done.next()).payload, '');
    await publish(mqtt, 'mqttv5', ['-q', '1', '-t', 'boiler/get', '-n']);
    assert.equal((await values.next()).payload, 'warm');
    await done.end();
    await values.end();
  });

  test('coap.observations: the states of a resource over DTLS are published as they change', async () => {
    const subscriber = await Subscriber.start(portico.ports.mqtt, 'mqttv5', ['-q', '1', '-t', 'boiler/time']);
    const states = new Set<string>();
    while (states.size < 3) states.add((await subscriber.next()).payload);
    await subscriber.end();
  });

  test('a wrong key is the failure `handshake`, which says so', async () => {
    const { mqtt } = portico.ports;
    const counted = await Subscriber.start(mqtt, 'mqttv5', [
      '-q',
      '1',
      '-t',
      '$SYS/broker/coap-devices/handshakeFailures',
    ]);
    await publish(mqtt, 'mqttv5', ['-q', '1', '-t', 'boiler/wrong', '-m', 'hot']);
    while ((await counted.next()).payload !== '1');
    await counted.end();
    const line = portico.logLines.find(({ msg }) => msg.includes('identity or key may be wrong'));
    assert.match(line?.msg ?? '', /^the DTLS handshake with 127\.0\.0\.1:\d+ failed: no answer to Finished/);
  });

  test('a device that registers with a base of coaps is asked over DTLS', async () => {
    const { mqtt, coap } = portico.ports;
    const registered = await ask(coap, {
      method: Method.Post,
      path: ['rd'],
      query: ['ep=boiler', `base=coaps://127.0.0.1:${plain + 1}`],
      payload: Buffer.from('</time>'),
      contentFormat: 40,
    });
    assert.equal(registered.response?.code, Code.Created);
    const answers = await Subscriber.start(mqtt, 'mqttv5', ['-q', '1', '-t', 'devices/boiler/time/$response']);
    await publish(mqtt, 'mqttv5', ['-q', '1', '-t', 'devices/boiler/time/get', '-n']);
    assert.match((await answers.next()).payload, /^\w{3} \d\d \d\d:\d\d:\d\d$/);
    await answers.end();
  });
});
