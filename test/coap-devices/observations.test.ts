/** `coap.observations`: a broker in memory, the plugin, and a device on loopback. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { parseMosquittoAcl } from '../../src/access/acl/mosquitto-file.js';
import { Code } from '../../src/coap/codes.js';
import { CoapEndpoint } from '../../src/coap/endpoint.js';
import type { CoapExchange } from '../../src/coap/exchange.js';
import type { Observation } from '../../src/coap/observe.js';
import type { CoapRequest } from '../../src/coap/request.js';
import { UdpTransport } from '../../src/coap/transport.js';
import { loadConfig } from '../../src/config/load.js';
import { PorticoError } from '../../src/errors.js';
import { ObservedResources } from '../../src/plugins/coap-devices/observed-resources.js';
import { faceContext } from '../support/coap-face.js';
import { Engine, type RawClient } from '../support/engine.js';

let engine: Engine;
let device: CoapEndpoint;
let port: number;
let plugin: ObservedResources | undefined;
let answer: (request: CoapRequest, exchange: CoapExchange) => void;
let observations: Observation[];
let log: string[];

beforeEach(async () => {
  engine = await Engine.create();
  plugin = undefined;
  observations = [];
  log = [];
  answer = serve('20', 60);
  const transport = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
  port = transport.port;
  device = new CoapEndpoint(transport, { handler: (request, exchange) => answer(request, exchange) });
});

afterEach(async () => {
  await plugin?.stop();
  await device.close();
  await engine.stop();
});

function stateOf(value: string, maxAge = 60) {
  return { code: Code.Content, contentFormat: 0, maxAge, payload: Buffer.from(value) };
}

/** Serves a state that can be observed. */
function serve(value: string, maxAge: number): typeof answer {
  return (_request, exchange) => {
    const observation = exchange.observe(() => {});
    if (observation !== undefined) observations.push(observation);
    exchange.respond(stateOf(value, maxAge));
  };
}

/** Starts the plugin with one observation as an admin would write it; returns who sees what is published. */
async function observe(entry: object): Promise<RawClient> {
  const uri = `coap://127.0.0.1:${port}/temp?unit=c`;
  const variables = { PORTICO_COAP_OBSERVATIONS: JSON.stringify([{ uri, topic: 'temp', ...entry }]) };
  plugin = new ObservedResources(loadConfig({ env: variables }).config.coap);
  const client = await engine.connect({ protocolVersion: 5 });
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions: ['temp', 'why'].map((topic) => ({ topic, qos: 0 })) });
  await client.expect('suback');
  const line = (_fields: object, text: string): void => void log.push(text);
  const silent = (): void => {};
  await plugin.start(faceContext(engine.broker, { logger: { info: silent, warn: line, error: line, debug: silent } }));
  return client;
}

async function next(client: RawClient): Promise<string> {
  const { topic, payload } = await client.expect('publish');
  return `${topic} ${payload}`;
}

test('`accept` says what the states are to be', async () => {
  const asked: (number | undefined)[] = [];
  answer = (request, exchange) => {
    asked.push(request.accept);
    serve('20', 60)(request, exchange);
  };
  assert.equal(await next(await observe({ accept: 'json' })), 'temp 20');
  assert.deepEqual(asked, [50]);
});

test('each state of an observed resource is published, and the last one is retained', async () => {
  const client = await observe({});
  const first = await client.expect('publish');
  assert.deepEqual([first.topic, String(first.payload)], ['temp', '20']);
  assert.equal(first.properties?.contentType, 'text/plain; charset=utf-8');
  observations[0].notify(stateOf('21'));
  assert.equal(await next(client), 'temp 21');
  assert.equal(String(engine.broker.environment.router.retained.get('temp')?.payload), '21');
});

test('RFC 7641 3.3.1: in silence the broker registers anew, with the same token', async () => {
  const client = await observe({ silence: 1, retain: false });
  assert.equal(await next(client), 'temp 20');
  answer = serve('22', 60);
  assert.equal(await next(client), 'temp 22');
  assert.equal(observations[0].active, false);
  assert.equal(observations[1].active, true);
  assert.equal(engine.broker.environment.router.retained.get('temp'), null);
});

test('a failure is published and logged once, and the observation is begun anew', async () => {
  answer = (_request, exchange) => exchange.respond({ code: Code.NotFound });
  const client = await observe({ retry: 1, failure_topic: 'why', response: 'json' });
  assert.equal(await next(client), 'why {"code":"4.04","payload":""}');
  answer = (_request, exchange) => exchange.respond({ code: Code.ServiceUnavailable });
  assert.equal(await next(client), 'why {"code":"5.03","payload":""}');
  answer = serve('23', 60);
  assert.equal(await next(client), 'temp {"code":"2.05","content_format":0,"payload":"23"}');
  assert.deepEqual(log, [`coap: coap://127.0.0.1:${port}/temp?unit=c is not observed: 4.04 NotFound`]);
});

test('a resource that cannot be observed is read again and again', async () => {
  let count = 0;
  answer = (_request, exchange) => exchange.respond(stateOf(String(++count)));
  const client = await observe({ retry: 1 });
  assert.equal(await next(client), 'temp 1');
  assert.equal(await next(client), 'temp 2');
});

test('a URI or topic that cannot be used stops the start, in words', async () => {
  const configuration = (pattern: RegExp) => (error: unknown) =>
    error instanceof PorticoError && error.code === 'PORTICO_CONFIGURATION' && pattern.test(error.message);
  await assert.rejects(observe({ uri: 'coap://h/#f' }), configuration(/coap:\/\/h\/#f: a fragment/));
  await assert.rejects(observe({ topic: 'a/+' }), configuration(/a\/\+ is no topic to publish on/));
  await assert.rejects(observe({ failure_topic: '$SYS/x' }), configuration(/\$SYS\/x is no topic to publish on/));
});

test('an observation needs no rule: the configuration says where its states go', async () => {
  engine.broker.environment.access.acl = parseMosquittoAcl(Buffer.from('topic read temp\n'), 'FILE');
  const client = await observe({});
  assert.equal(await next(client), 'temp 20');
});
