/** What `/metrics` and `/health` say of a broker in memory. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Page } from '../../src/listeners/http.js';
import { METRICS } from '../../src/monitor/measures.js';
import { pagesOf } from '../../src/monitor/pages.js';
import { Instruments, type PluginCounters, type Sources } from '../../src/monitor/reading.js';
import { SysTree } from '../../src/monitor/sys-tree.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { Operation } from '../../src/store/store.js';
import { Engine } from '../support/engine.js';
import { type Family, readExposition } from '../support/exposition.js';
import { journalOf } from '../support/journal.js';

/** A disk that is full at times. */
class FullStore extends MemoryStore {
  full = false;

  override async write(operations: Operation[], sync: boolean): Promise<void> {
    if (this.full) throw new Error('no space left');
    await super.write(operations, sync);
  }
}

const store = new FullStore();
let engine: Engine;
let instruments: Instruments;
let pages: ReadonlyMap<string, Page>;
let plugins: (readonly [string, PluginCounters])[];
let daysLeft: ReturnType<NonNullable<Sources['daysLeft']>>;
let onStore: () => void;

beforeEach(async () => {
  onStore = () => {};
  const journal = journalOf({ storeFailed: () => onStore(), storeRecovered: () => onStore() });
  engine = await Engine.create({ store, journal });
  const { counters, router, sessions, connections, commit } = engine.broker;
  plugins = [];
  daysLeft = { cert_file: 30, ca_file: 3650, crl_file: -1, http_ca_file: 9, jwt_jwks_ca_file: 12 };
  instruments = new Instruments({
    version: '1.2.3',
    counters,
    retained: router.retained,
    sessions,
    connections,
    store: commit,
    daysLeft: () => daysLeft,
    plugins: () => plugins,
  });
  pages = pagesOf(instruments);
});

afterEach(() => engine.stop());

async function scrape(accept = ''): Promise<Map<string, Family>> {
  const answer = await (pages.get('/metrics') as Page)(accept);
  assert.equal(answer.status, 200);
  return readExposition(answer.body, answer.type);
}

async function health(): Promise<{ status: number; body: Record<string, unknown> }> {
  const { status, type, body } = await (pages.get('/health') as Page)('');
  assert.equal(type, 'application/json');
  return { status, body: JSON.parse(body) };
}

const value = (families: Map<string, Family>, name: string, labels = ''): number | undefined =>
  families.get(name)?.values.get(labels);

test('every metric of the table is told with its kind, its help and all its labels, in both formats', async () => {
  const old = await scrape();
  const open = await scrape('application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5');
  for (const { name, kind, help, measures } of METRICS) {
    if (name === null) continue;
    for (const family of [old.get(name), open.get(name.replace(/_total$/, ''))]) {
      assert.equal(family?.kind, kind, name);
      assert.equal(family?.help, help);
      assert.equal(family?.values.size, measures.length);
    }
  }
  assert.equal(value(old, 'portico_build_info', 'version="1.2.3"'), 1);
});

test('what waits in the queues of all sessions is added up, however many sessions there are', async () => {
  const { sessions } = engine.broker;
  for (let i = 0; i < 5000; i++) sessions.open(`absent-${i}`, true, 3600);
  const client = await engine.connect({ clientId: 'keeper', clean: false });
  await client.subscribe('queue/#', 1);
  await engine.cut(client);
  const publisher = await engine.connect({ clientId: 'publisher' });
  for (let i = 1; i <= 3; i++) {
    publisher.publish('queue/a', Buffer.alloc(100), { qos: 1, messageId: i });
    await publisher.expect('puback');
  }
  const families = await scrape();
  assert.equal(value(families, 'portico_sessions'), 5002);
  assert.equal(value(families, 'portico_sessions_connected'), 1);
  assert.equal(value(families, 'portico_queued_messages'), 3);
  assert.ok((value(families, 'portico_queued_bytes') ?? 0) >= 300);
  assert.equal(value(families, 'portico_inflight_messages'), 0);
});

test('an open file and a listener are told, and no longer when they are closed', async () => {
  const servers = 'type="TCPServerWrap"';
  const look = async (): Promise<(number | undefined)[]> => {
    const families = await scrape();
    return [value(families, 'process_open_fds'), value(families, 'nodejs_active_resources', servers)];
  };
  const [files = Number.NaN, listeners = Number.NaN] = await look();
  const file = openSync(process.execPath, 'r');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  assert.deepEqual(await look(), [files + 2, listeners + 1]);
  closeSync(file);
  server.close();
  await once(server, 'close');
  // Node forgets it a turn later.
  await nextTurn();
  assert.deepEqual(await look(), [files, listeners]);
});

test('who asks while the queues are being added up gets the same answer, with the counters of now', async () => {
  for (let i = 0; i < 5000; i++) engine.broker.sessions.open(`absent-${i}`, true, 3600);
  const [first, second] = await Promise.all([instruments.read(), instruments.read()]);
  assert.equal(first.queues, second.queues);
  assert.equal(first.counters, engine.broker.counters);
});

test('while many sessions are added up, everything else has its turns', async () => {
  for (let i = 0; i < 10_000; i++) engine.broker.sessions.open(`absent-${i}`, true, 3600);
  let turns = 0;
  let reading = true;
  const turn = (): void => {
    turns++;
    if (reading) setImmediate(turn);
  };
  setImmediate(turn);
  await instruments.read();
  reading = false;
  assert.ok(turns >= 5, `${turns} turns`);
});

test('the counters of a plugin on several addresses are one number; other plugins are told by name', async () => {
  plugins = [
    ['coap', { requests: 2, observersRegistered: 5, observersEnded: 1 }],
    ['coap', { requests: 3 }],
    ['gateway', { taken: 7 }],
  ];
  const families = await scrape();
  assert.equal(value(families, 'portico_coap_requests_total'), 5);
  assert.equal(value(families, 'portico_coap_observers'), 4);
  assert.equal(value(families, 'portico_plugin_count', 'plugin="gateway",name="taken"'), 7);
  const published = new Map<string, string>();
  await new SysTree(instruments, (topic, payload) => published.set(topic, payload)).update();
  assert.equal(published.get('$SYS/broker/coap/requests'), '5');
  assert.equal(published.get('$SYS/broker/gateway/taken'), '7');
});

test('what there is no certificate for has no days left: NaN as a metric, and no topic', async () => {
  daysLeft = { cert_file: 30 };
  const families = await scrape();
  assert.equal(value(families, 'portico_certificate_days_left', 'file="cert_file"'), 30);
  assert.equal(value(families, 'portico_certificate_days_left', 'file="crl_file"'), Number.NaN);
  const published = new Map<string, string>();
  await new SysTree(instruments, (topic, payload) => published.set(topic, payload)).update();
  assert.equal(published.get('$SYS/broker/certificates/days_left'), '30');
  assert.ok(!published.has('$SYS/broker/certificates/crl_days_left'));
});

test('the $SYS tree and the metrics say the same', async () => {
  const client = await engine.connect({ clientId: 'c' });
  client.publish('a', 'payload', { qos: 1, messageId: 1 });
  await client.expect('puback');
  const published = new Map<string, string>();
  await new SysTree(instruments, (topic, payload) => published.set(topic, payload)).update();
  const families = await scrape();
  for (const { name, measures } of METRICS) {
    // These move by themselves.
    if (name === null || /^(process|nodejs)_|uptime/.test(name)) continue;
    for (const { topics, labels } of measures) {
      const key = Object.entries(labels)
        .map(([label, text]) => `${label}="${text}"`)
        .join();
      for (const topic of topics)
        assert.equal(published.get(`$SYS/broker/${topic}`), String(value(families, name, key)), topic);
    }
  }
  assert.equal(published.get('$SYS/broker/publish/bytes/received'), '7');
  assert.equal(published.get('$SYS/broker/version'), 'portico version 1.2.3');
});

test('/health is 200 while the store works, and 503 while it fails', async () => {
  const client = await engine.connect({ clientId: 'c', clean: false });
  const { uptime, ...well } = (await health()).body;
  assert.deepEqual(well, { status: 'ok', version: '1.2.3', clients: 1, store: 'ok' });
  assert.equal(typeof uptime, 'number');
  const failed = new Promise<void>((resolve) => {
    onStore = resolve;
  });
  store.full = true;
  client.publish('a', 'x', { qos: 1, retain: true, messageId: 1 });
  await failed;
  const ill = await health();
  assert.equal(ill.status, 503);
  assert.deepEqual([ill.body.status, ill.body.store], ['failing', 'failing']);
  assert.equal(value(await scrape(), 'portico_store_failing'), 1);
  const recovered = new Promise<void>((resolve) => {
    onStore = resolve;
  });
  store.full = false;
  await recovered;
  assert.equal((await health()).status, 200);
  assert.ok((value(await scrape(), 'portico_store_failures_total') ?? 0) > 0);
});
