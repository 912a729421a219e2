/**
 * Nothing acknowledged is lost: real clients flood the broker with QoS 1 and QoS 2, the process is killed with SIGKILL at
 * random moments and started again on the same directory. CRASH_SEED repeats a run, CRASH_ROUNDS lengthens it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MqttClient } from 'mqtt';
import { mulberry32 } from '../support/disk.js';
import { Portico } from '../support/portico.js';
import { crashRounds, crashSeed, killSoon } from './chance.js';
import { Collector, connect, Flood, nextMessage } from './flood.js';

const rounds = crashRounds(20);

test(`kill -9 in a flood of QoS 1 and 2, ${rounds} rounds: nothing acknowledged is lost, QoS 2 arrives once`, {
  timeout: 600_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const portico = await Portico.start({
    limits: { queued_messages: 10_000_000 },
    log: { level: 'warn', format: 'json' },
    sys: { interval: 0 },
  });
  const { mqtt: port } = portico.ports;
  const clients: MqttClient[] = [];
  try {
    const offline = connect(port, 'offline');
    await offline.subscribeAsync('flood/#', { qos: 2 });
    await offline.endAsync();

    const online = connect(port, 'online');
    clients.push(online);
    const live = new Collector(online);
    await online.subscribeAsync('flood/#', { qos: 2 });

    const floods = ([1, 2] as const).map((qos) => {
      const client = connect(port, `publisher-${qos}`);
      clients.push(client);
      return new Flood(client, qos);
    });
    for (let round = 0; round < rounds; round++) {
      await Promise.race(floods.map((flood) => flood.progress(20 + choose(600))));
      await killSoon(portico, choose);
    }
    const published = await Promise.all(floods.map((flood) => flood.finish()));
    const late = connect(port, 'offline');
    clients.push(late);
    const queued = new Collector(late);
    await Promise.all([live.done, queued.done]);
    for (const [index, flood] of floods.entries()) {
      live.check('online subscriber', flood.qos, published[index], flood.acknowledged);
      queued.check('offline subscriber', flood.qos, published[index], flood.acknowledged);
      t.diagnostic(`QoS ${flood.qos}: ${flood.acknowledged.size} acknowledged of ${published[index]}`);
    }
  } finally {
    for (const client of clients) await client.endAsync(true);
    await portico.dispose();
  }
});

test('retained messages, subscriptions and wills that were acknowledged survive kill -9', async () => {
  const portico = await Portico.start({ sys: { interval: 0 } });
  const { mqtt: port } = portico.ports;
  try {
    const watcher = connect(port, 'watcher', { reconnectPeriod: 0 });
    await watcher.subscribeAsync('will/#', { qos: 1 });
    const client = connect(port, 'mortal', {
      reconnectPeriod: 0,
      will: { topic: 'will/mortal', payload: Buffer.from('gone'), qos: 1, retain: true },
    });
    await client.publishAsync('kept', 'value', { qos: 1, retain: true });
    await client.publishAsync('cleared', 'value', { qos: 1, retain: true });
    await client.publishAsync('cleared', '', { qos: 1, retain: true });
    await portico.kill();
    await portico.restart();
    const again = connect(port, 'watcher', { reconnectPeriod: 0 });
    const [topic, payload] = await nextMessage(again);
    assert.deepEqual(
      [topic, payload.toString()],
      ['will/mortal', 'gone'],
      'the will of a client that the crash cut off',
    );
    const reader = connect(port, 'reader', { reconnectPeriod: 0, clean: true });
    const seen = new Map<string, string>();
    reader.on('message', (name, value) => seen.set(name, value.toString()));
    await reader.subscribeAsync('#', { qos: 0 });
    await reader.publishAsync('last', 'x', { qos: 1 });
    while (!seen.has('last')) await nextMessage(reader);
    assert.equal(seen.get('kept'), 'value');
    assert.equal(seen.get('will/mortal'), 'gone');
    assert.equal(seen.has('cleared'), false);
    await Promise.all([watcher, client, again, reader].map((each) => each.endAsync(true)));
  } finally {
    await portico.dispose();
  }
});
