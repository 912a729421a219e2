/** A broker in memory with the plugin that commands devices, and a device on loopback, anew for each test. */
import { afterEach, beforeEach } from 'node:test';
import { Code } from '../../src/coap/codes.js';
import { CoapEndpoint } from '../../src/coap/endpoint.js';
import type { CoapExchange } from '../../src/coap/exchange.js';
import type { CoapRequest } from '../../src/coap/request.js';
import { UdpTransport } from '../../src/coap/transport.js';
import { loadConfig } from '../../src/config/load.js';
import { CoapDevices, type CoapDevicesOptions } from '../../src/plugins/coap-devices/plugin.js';
import { faceContext } from '../support/coap-face.js';
import { Engine, type RawClient } from '../support/engine.js';

/** What the device has heard, as one line each; `device.answer` decides what it says. */
export const heard: string[] = [];
export const device = { answer: changed };
export let engine: Engine;
export let uri: string;
export let plugin: CoapDevices | undefined;
/** Limits that were logged: option and detail. */
export const limits: string[] = [];
let endpoint: CoapEndpoint;

function changed(_request: CoapRequest, exchange: CoapExchange): void {
  exchange.respond({ code: Code.Changed });
}

beforeEach(async () => {
  engine = await Engine.create();
  heard.length = 0;
  limits.length = 0;
  plugin = undefined;
  device.answer = changed;
  const transport = await UdpTransport.bind({ address: '127.0.0.1', port: 0 });
  uri = `coap://127.0.0.1:${transport.port}`;
  endpoint = new CoapEndpoint(transport, {
    handler: (request, exchange) => {
      const type = request.confirmable ? 'CON' : 'NON';
      const format = request.contentFormat ?? '-';
      heard.push(`${type} ${request.method} ${request.pathKey}?${request.query} ${format} ${request.payload}`);
      device.answer(request, exchange);
    },
  });
});

afterEach(async () => {
  await plugin?.stop();
  await endpoint.close();
  await engine.stop();
});

/** Starts the plugin with commands as an admin would write them, and defaults for the rest. */
export async function command(commands: readonly object[], others: object = {}): Promise<void> {
  const variables = { PORTICO_COAP_COMMANDS: JSON.stringify(commands) };
  const options: CoapDevicesOptions = { ...loadConfig({ env: variables }).config.coap, ...others };
  plugin = new CoapDevices(options);
  const { broker } = engine;
  await plugin.start(
    faceContext(broker, {
      storage: broker.storageOf('coap-devices'),
      limit: (_party, option, detail) => void limits.push(`${option} ${detail}`),
    }),
  );
}

export async function listener(...filters: string[]): Promise<RawClient> {
  const client = await engine.connect({ protocolVersion: 5, clientId: 'listener' });
  for (const filter of filters) await client.subscribe(filter, 1);
  return client;
}

/** The next message that is not the client's own command. */
export async function next(client: RawClient) {
  const { topic, payload, properties } = await client.expect('publish');
  return { topic, payload: payload.toString(), properties };
}
