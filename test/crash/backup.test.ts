/**
 * A backup is a state that a crash could have left: real clients flood the broker with QoS 1 and QoS 2 while it is taken,
 * and a broker on the restored directory has everything that had been acknowledged when it began.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { Portico, porticoMain, spawnChild } from '../support/portico.js';
import { Collector, connect, Flood } from './flood.js';

/** Retained messages that do not compress: more than pipes and sockets hold. */
const BULK = 150;
const BULK_BYTES = 100_000;

/** Numbers that a client receives on `flood/2`, each with how often. */
function numbers(client: MqttClient, into: Map<number, number>): void {
  client.on('message', (topic, payload) => {
    const text = payload.toString();
    if (topic === 'flood/2' && text !== 'end') into.set(Number(text), (into.get(Number(text)) ?? 0) + 1);
  });
}

const message = (client: MqttClient): Promise<[string, string]> =>
  new Promise((resolve) => client.once('message', (topic, payload) => resolve([topic, String(payload)])));

const sessionPresent = (client: MqttClient): Promise<boolean> =>
  new Promise((resolve) => client.once('connect', (packet) => resolve(packet.sessionPresent)));

/** Runs the program to its end, which must be good; returns what it says. */
async function run(...args: string[]): Promise<string> {
  const child = spawnChild(process.execPath, [porticoMain, ...args]);
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0, stderr);
  return stderr;
}

test('a backup under a flood of QoS 1 and 2 holds everything acknowledged before it, and the flood goes on', {
  timeout: 180_000,
}, async (t) => {
  const portico = await Portico.start({
    limits: { queued_messages: 10_000_000 },
    log: { level: 'warn', format: 'json' },
    sys: { interval: 0 },
  });
  const { mqtt: port } = portico.ports;
  const clients: MqttClient[] = [];
  let restored: Portico | null = null;
  // What a client knows of its QoS 2 messages outlives its connection, as the session does.
  const known: IClientOptions = { incomingStore: new mqtt.Store({ clean: false }) };
  try {
    for (const id of ['offline', 'half', 'watcher']) {
      const client = connect(port, id);
      await client.subscribeAsync(id === 'watcher' ? 'will/#' : 'flood/#', { qos: 2 });
      await client.endAsync();
    }
    const mortal = connect(port, 'mortal', { will: { topic: 'will/mortal', payload: Buffer.from('gone'), qos: 1 } });
    clients.push(mortal);
    const bulk: Promise<unknown>[] = [];
    for (let i = 0; i < BULK; i++) {
      bulk.push(mortal.publishAsync(`bulk/${i}`, randomBytes(BULK_BYTES), { qos: 1, retain: true }));
    }
    await Promise.all(bulk);
    await mortal.publishAsync('kept', 'value', { qos: 1, retain: true });

    let closed = 0;
    const floods = ([1, 2] as const).map((qos) => {
      const client = connect(port, `publisher-${qos}`);
      clients.push(client);
      client.on('close', () => closed++);
      return new Flood(client, qos);
    });
    const progress = (more: number) => Promise.all(floods.map((flood) => flood.progress(more)));
    await progress(500);
    // It takes some of its messages, and goes.
    const before = new Map<number, number>();
    const half = connect(port, 'half', known);
    numbers(half, before);
    while (before.size < 100) await message(half);
    await half.endAsync();
    await progress(500);

    const acknowledged = floods.map((flood) => new Set(flood.acknowledged));
    const file = join(portico.folder, 'backup');
    const child = spawnChild(process.execPath, [porticoMain, 'backup', '-', '-c', portico.configFile]);
    let words = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      words += text;
    });
    const { stdout } = child;
    assert.ok(stdout !== null);
    const ended = once(child, 'close');
    // The backup has begun and waits for its reader; the flood does not.
    await once(stdout, 'readable');
    await progress(1000);
    await pipeline(stdout, createWriteStream(file));
    const [code] = await ended;
    assert.equal(code, 0, words);
    await progress(200);
    assert.equal(closed, 0, 'the flood was disturbed');
    t.diagnostic(words.trim());
    const published = await Promise.all(floods.map((flood) => flood.finish()));
    for (const client of clients.splice(0)) await client.endAsync(true);
    await portico.kill();

    const data = join(portico.folder, 'restored');
    await run('restore', '--check', file);
    await run('restore', file, '--data', data);
    restored = await Portico.start({ data_dir: data, limits: { queued_messages: 10_000_000 }, sys: { interval: 0 } });
    const { mqtt: again } = restored.ports;

    const offline = connect(again, 'offline');
    clients.push(offline);
    const queued = new Collector(offline);
    const later = new Map<number, number>();
    const returned = connect(again, 'half', known);
    clients.push(returned);
    numbers(returned, later);
    const rest = new Collector(returned);
    const watcher = connect(again, 'watcher');
    clients.push(watcher);
    const will = message(watcher);
    assert.deepEqual(await Promise.all([offline, returned, watcher].map(sessionPresent)), [true, true, true]);
    assert.deepEqual(await will, ['will/mortal', 'gone']);

    const writer = connect(again, 'writer', { clean: true });
    clients.push(writer);
    const retained = new Map<string, number>();
    const allRetained = new Promise<void>((resolve) => {
      writer.on('message', (name, value) => {
        retained.set(name, value.length);
        if (retained.size === BULK + 1) resolve();
      });
    });
    await writer.subscribeAsync(['kept', 'bulk/#'], { qos: 0 });
    for (const qos of [1, 2] as const) await writer.publishAsync(`flood/${qos}`, 'end', { qos });
    await Promise.all([queued.done, rest.done, allRetained]);
    for (const [index, { qos }] of floods.entries()) {
      queued.check('a client that was away', qos, published[index], acknowledged[index]);
    }
    const missing = [...acknowledged[1]].filter((number) => !before.has(number) && !later.has(number));
    assert.deepEqual(missing, [], 'a client that had taken some: missing');
    const twice = [...later].filter(([number, count]) => count > 1 || before.has(number));
    assert.deepEqual(twice, [], 'a client that had taken some: QoS 2 messages that arrived more than once');
    assert.equal(retained.get('kept'), 5);
    assert.deepEqual(new Set(retained.values()), new Set([5, BULK_BYTES]));
  } finally {
    for (const client of clients) await client.endAsync(true);
    await restored?.dispose();
    await portico.dispose();
  }
});
