/** Devices that register with a broker as a process: libcoap's server and client, mosquitto_sub and mosquitto_pub. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { CoapClient } from '../../src/coap/client/client.js';
import type { ClientRequest } from '../../src/coap/client/request.js';
import type { ClientResponse } from '../../src/coap/client/response.js';
import { Code, ContentFormat, Method } from '../../src/coap/codes.js';
import { CoapEndpoint } from '../../src/coap/endpoint.js';
import { formatLinks } from '../../src/coap/link-format.js';
import type { Observation } from '../../src/coap/observe.js';
import { type DatagramAddress, UdpTransport } from '../../src/coap/transport.js';
import { freePorts, Portico } from '../support/portico.js';
import { Inbox } from './inbox.js';
import { request } from './libcoap.js';
import { publish, Subscriber } from './mosquitto.js';

/** A device that serves `/temp` and asks the broker from the same socket. */
class Sensor {
  readonly #endpoint: CoapEndpoint;
  readonly #client: CoapClient;
  readonly #observations = new Set<Observation>();
  readonly #began = new Inbox<Observation>('observations that begin');
  value = '20';

  private constructor(transport: UdpTransport) {
    this.#endpoint = new CoapEndpoint(transport, {
      handler: ({ pathKey }, exchange) => {
        if (pathKey === '/.well-known/core') {
          const payload = Buffer.from(formatLinks([{ href: '/temp', attributes: { rt: 'temperature', obs: true } }]));
          exchange.respond({ code: Code.Content, contentFormat: ContentFormat.LinkFormat, payload });
        } else if (pathKey === '/temp') {
          const observation = exchange.observe(() => {
            if (observation !== undefined) this.#observations.delete(observation);
          });
          if (observation !== undefined) this.#observations.add(observation);
          if (observation !== undefined) this.#began.put(observation);
          exchange.respond(this.#state);
        } else exchange.respond({ code: Code.NotFound });
      },
    });
    this.#client = new CoapClient(this.#endpoint.line);
  }

  static async start(): Promise<Sensor> {
    return new Sensor(await UdpTransport.bind({ address: '127.0.0.1', port: 0 }));
  }

  get #state(): { code: number; payload: Buffer } {
    return { code: Code.Content, payload: Buffer.from(this.value) };
  }

  get observers(): number {
    return this.#observations.size;
  }

  /** Observations that begin from now on. */
  forget(): void {
    this.#observations.clear();
    this.#began.drain();
  }

  async observed(): Promise<void> {
    await this.#began.next();
  }

  change(value: string): void {
    this.value = value;
    for (const observation of this.#observations) observation.notify(this.#state);
  }

  async ask(port: number, asked: ClientRequest): Promise<ClientResponse> {
    const broker: DatagramAddress = { address: '127.0.0.1', port, family: 'IPv4' };
    return new Promise((resolve, reject) => {
      this.#client.request(broker, asked, ({ response, failure }) =>
        response === null ? reject(new Error(failure.reason)) : resolve(response),
      );
    });
  }

  async stop(): Promise<void> {
    await this.#client.close();
    await this.#endpoint.close();
  }
}

describe('devices that register', { timeout: 60_000 }, () => {
  let portico: Portico;
  let sensor: Sensor;
  let server: ChildProcess;
  let serverPort: number;

  before(async () => {
    portico = await Portico.start({ coap: { registration_lifetime_min: 1 } });
    sensor = await Sensor.start();
    serverPort = (await freePorts()).coap;
    server = spawn('coap-server-notls', ['-A', '127.0.0.1', '-p', `${serverPort}`], { stdio: 'ignore' });
    await once(server, 'spawn');
  });

  after(async () => {
    await sensor?.stop();
    if (server?.exitCode === null) {
      server.kill();
      await once(server, 'exit');
    }
    await portico?.dispose();
  });

  const listen = (...filters: string[]): Promise<Subscriber> =>
    Subscriber.start(portico.ports.mqtt, 'mqttv5', ['-q', '1', ...filters.flatMap((filter) => ['-t', filter])]);
  const tell = (topic: string, payload: string): Promise<void> =>
    publish(portico.ports.mqtt, 'mqttv5', ['-q', '1', '-t', topic, '-m', payload]);

  test('libcoap’s client registers libcoap’s server, which is then read and written by topics', async () => {
    const broker = `coap://127.0.0.1:${portico.ports.coap}`;
    const uri = `${broker}/rd?ep=server&base=coap://127.0.0.1:${serverPort}`;
    const made = await request('post', uri, ['-t', '40'], Buffer.from('</example_data>;rt=data'));
    assert.equal(made.code, '2.01');
    const found = await request('get', `${broker}/rd-lookup/res?ep=server`);
    assert.equal(found.payload.toString(), `<coap://127.0.0.1:${serverPort}/example_data>;rt="data"`);
    const listener = await listen('devices/server/example_data/$response');
    await tell('devices/server/example_data/put', 'warm');
    assert.equal((await listener.next()).payload, '');
    await tell('devices/server/example_data/get', '');
    assert.equal((await listener.next()).payload, 'warm');
    await listener.end();
  });

  test('a device that registers simply is observed, and reached again after a restart of the broker', async () => {
    const listener = await listen('devices/sensor/$state', 'devices/sensor/temp', 'devices/sensor/temp/$response');
    const path = ['.well-known', 'rd'];
    const answer = await sensor.ask(portico.ports.coap, { method: Method.Post, path, query: ['ep=sensor'] });
    assert.equal(answer.code, Code.Changed);
    assert.deepEqual(await listener.payloads(1), ['online']);
    await tell('devices/sensor/temp/observe', '');
    assert.deepEqual(await listener.payloads(2), ['20', '20']);
    sensor.change('21');
    assert.deepEqual(await listener.payloads(1), ['21']);
    await listener.end();
    await portico.stop();
    await portico.restart();
    const again = await listen('devices/sensor/temp/$response');
    await tell('devices/sensor/temp/get', '');
    assert.deepEqual(await again.payloads(1), ['21']);
    await again.end();
  });

  test('an observation goes on by itself after kill -9 of the broker, until it is cancelled', async () => {
    await portico.kill();
    sensor.forget();
    await portico.restart();
    await sensor.observed();
    const listener = await listen('devices/sensor/temp', 'devices/sensor/temp/$response');
    sensor.change('22');
    // The state that it began with may still be on its way.
    while ((await listener.next()).payload !== '22');
    await tell('devices/sensor/temp/cancel', '');
    assert.equal((await listener.next()).topic, 'devices/sensor/temp/$response');
    await listener.end();
    await portico.kill();
    await portico.restart();
    const idle = await listen('devices/sensor/temp/$response');
    await tell('devices/sensor/temp/get', '');
    assert.deepEqual(await idle.payloads(1), ['22']);
    assert.equal(sensor.observers, 0);
    await idle.end();
  });

  test('a registration that is kill -9 ed with the broker is there again; one that is not renewed expires', async () => {
    const made = await sensor.ask(portico.ports.coap, {
      method: Method.Post,
      path: ['rd'],
      query: ['ep=brief', 'lt=2'],
      contentFormat: ContentFormat.LinkFormat,
      payload: Buffer.from('</temp>'),
    });
    assert.equal(made.code, Code.Created);
    await portico.kill();
    await portico.restart();
    const listener = await listen('devices/brief/$state');
    let state = (await listener.next()).payload;
    if (state === 'online') state = (await listener.next()).payload;
    assert.equal(state, 'expired');
    const update = await sensor.ask(portico.ports.coap, { method: Method.Post, path: [...made.locationPath] });
    assert.equal(update.code, Code.NotFound);
    await listener.end();
  });
});
