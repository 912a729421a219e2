/** `/metrics` and `/health` of the broker as a process. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { METRICS } from '../../src/monitor/measures.js';
import { type Family, readExposition } from '../support/exposition.js';
import { freePorts, Portico } from '../support/portico.js';
import { JsClient } from './mqttjs.js';
import { exchange, topicPath } from './npm-coap.js';

let portico: Portico;
let root: string;

before(async () => {
  const { mqtt: http } = await freePorts();
  portico = await Portico.start((ports) => ({
    listeners: [
      // It is opened before those that `start` waits for.
      { type: 'http', host: '127.0.0.1', port: http },
      ...Object.entries(ports).map(([type, port]) => ({ type, host: '127.0.0.1', port })),
    ],
  }));
  root = `http://127.0.0.1:${http}`;
});

after(() => portico.dispose());

async function scrape(accept = 'text/plain'): Promise<Map<string, Family>> {
  const response = await fetch(`${root}/metrics`, { headers: { accept } });
  assert.equal(response.status, 200);
  return readExposition(await response.text(), response.headers.get('content-type') ?? '');
}

test('a scrape of the running broker is sound in both formats and has every metric', async () => {
  const names = METRICS.flatMap(({ name }) => name ?? []);
  const old = await scrape();
  for (const name of names) assert.ok(old.has(name), name);
  const open = await scrape('application/openmetrics-text;version=1.0.0');
  for (const name of names) assert.ok(open.has(name.replace(/_total$/, '')), name);
});

test('metrics move when messages flow, by MQTT and by CoAP', async () => {
  const before = await scrape();
  const url = `mqtt://127.0.0.1:${portico.ports.mqtt}`;
  const listener = await JsClient.connect(url, { clientId: 'listener' });
  await listener.subscribe('moving/#', 1);
  const sender = await JsClient.connect(url, { clientId: 'sender' });
  for (let i = 0; i < 10; i++) await sender.publish('moving/mqtt', 'ten bytes!', 1, true);
  assert.equal((await exchange(portico.ports.coap, 'PUT', topicPath('moving/coap'), { payload: 'x' })).code, '2.01');
  await listener.payloads(11);
  const after = await scrape();
  const grown = (name: string, labels = ''): number =>
    (after.get(name)?.values.get(labels) ?? Number.NaN) - (before.get(name)?.values.get(labels) ?? Number.NaN);
  assert.equal(grown('portico_publish_received_total'), 11);
  assert.equal(grown('portico_publish_received_bytes_total'), 101);
  assert.equal(grown('portico_publish_sent_total'), 11);
  assert.equal(grown('portico_connects_total'), 2);
  assert.equal(grown('portico_connections_accepted_total'), 2);
  // The device that put a value is a client until nothing has been heard of it for a while.
  assert.equal(grown('portico_sessions_connected'), 3);
  assert.equal(grown('portico_clients_in_process'), 1);
  assert.equal(grown('portico_connections'), 2);
  assert.equal(grown('portico_subscriptions'), 1);
  assert.equal(grown('portico_coap_requests_total'), 1);
  assert.equal(grown('portico_http_requests_total'), 1);
  assert.ok(grown('portico_store_commits_total') > 0);
  assert.ok(grown('portico_retained_messages') >= 2);
  assert.ok((after.get('process_resident_memory_bytes')?.values.get('') ?? 0) > 2 ** 24);
  await listener.end();
  await sender.end();
});

test('what is refused is counted by its cause', async () => {
  const before = await scrape();
  await assert.rejects(
    JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, {
      clientId: 'c',
      will: { topic: '$SYS/x', payload: Buffer.from('x'), qos: 0, retain: false },
    }),
  );
  const after = await scrape();
  const denied = (families: Map<string, Family>): number | undefined =>
    families.get('portico_denied_total')?.values.get('action="publish"');
  assert.equal(denied(after), (denied(before) ?? 0) + 1);
});

test('/health says that the broker is well, and how many clients it has', async () => {
  const health = async (): Promise<Record<string, unknown>> => {
    const response = await fetch(`${root}/health`);
    assert.equal(response.status, 200);
    return (await response.json()) as Record<string, unknown>;
  };
  const before = Number((await health()).clients);
  const client = await JsClient.connect(`mqtt://127.0.0.1:${portico.ports.mqtt}`, { clientId: 'patient' });
  const { status, clients, store, version } = await health();
  assert.deepEqual({ status, clients, store }, { status: 'ok', clients: before + 1, store: 'ok' });
  assert.match(String(version), /^\d+\.\d+\.\d+/);
  await client.end();
});
