/** The broker as a process starts on a damaged store, says what was lost, and serves real clients what is left. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import mqtt, { type MqttClient } from 'mqtt';
import { Portico } from '../support/portico.js';

const MESSAGES = 50;
const TOPICS = 200;
const textOf = (i: number): string => `value ${i} ${'x'.repeat(i)}`;

let portico: Portico;

before(async () => {
  portico = await Portico.start();
});

after(async () => {
  await portico.dispose();
});

async function connected(clientId: string, clean: boolean): Promise<MqttClient> {
  const client = mqtt.connect({ host: '127.0.0.1', port: portico.ports.mqtt, clientId, clean, reconnectPeriod: 0 });
  // A killed broker resets its connections.
  client.on('error', () => {});
  await new Promise((resolve) => client.once('connect', resolve));
  return client;
}

/** What an absent client is owed, up to a message that is published now. */
async function queueOf(clientId: string, last: string): Promise<string[]> {
  const payloads: string[] = [];
  const client = mqtt.connect({
    host: '127.0.0.1',
    port: portico.ports.mqtt,
    clientId,
    clean: false,
    reconnectPeriod: 0,
  });
  const ended = new Promise<void>((resolve) => {
    client.on('message', (_topic, payload) => {
      payloads.push(String(payload));
      if (payloads.at(-1) === last) resolve();
    });
  });
  await new Promise((resolve) => client.once('connect', resolve));
  await client.publishAsync('queue', last, { qos: 1 });
  await ended;
  await client.endAsync();
  return payloads;
}

/** Reads retained messages until there are so many. */
async function retained(count: number): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const client = await connected('reader', true);
  const ended = new Promise<void>((resolve) => {
    client.on('message', (topic, payload) => {
      found.set(topic, String(payload));
      if (found.size === count) resolve();
    });
  });
  await client.subscribeAsync('retained/#', { qos: 1 });
  await ended;
  await client.endAsync();
  return found;
}

test('a killed broker whose CURRENT is empty and whose log has a flipped bit serves the rest', async () => {
  const subscriber = await connected('absent', false);
  await subscriber.subscribeAsync('queue', { qos: 1 });
  await subscriber.endAsync();
  const publisher = await connected('publisher', true);
  for (let i = 0; i < TOPICS; i++) await publisher.publishAsync(`retained/${i}`, textOf(i), { qos: 1, retain: true });
  for (let i = 0; i < MESSAGES; i++) await publisher.publishAsync('queue', textOf(i), { qos: 1 });
  await portico.kill();
  publisher.end(true);

  const store = join(portico.dataDir, 'store');
  const log = readdirSync(store).find((name) => name.endsWith('.log'));
  assert.ok(log !== undefined);
  const bytes = readFileSync(join(store, log));
  const at = bytes.indexOf(textOf(100));
  assert.ok(at > 0);
  bytes[at + 50] ^= 8;
  writeFileSync(join(store, log), bytes);
  truncateSync(join(store, 'CURRENT'), 0);

  await portico.restart();
  const found = await retained(TOPICS - 1);
  for (let i = 0; i < TOPICS; i++) {
    assert.equal(found.get(`retained/${i}`), i === 100 ? undefined : textOf(i), `retained/${i}`);
  }
  const queue = await queueOf('absent', 'last');
  assert.deepEqual(queue, [...Array.from({ length: MESSAGES }, (_, i) => textOf(i)), 'last']);

  const line = portico.logLines.find(({ msg }) => msg.startsWith('the store was damaged'));
  assert.ok(line !== undefined && String(line.level) === 'error', portico.log);
  assert.match(line.msg, /CURRENT names no MANIFEST/);
  assert.match(line.msg, new RegExp(`${log} has \\d+ damaged bytes`));
  assert.match(line.msg, /199 retained messages/);
  assert.match(line.msg, /Lost: \d+ changes in the log/);
  const folder = readdirSync(portico.dataDir).find((name) => name.startsWith('damaged-'));
  assert.ok(folder !== undefined && line.msg.includes(folder));
  assert.ok(readFileSync(join(portico.dataDir, folder, 'store', log)).equals(bytes));
  const stillThere = (): string[] =>
    portico.logLines
      .filter(({ msg, level }) => msg.includes('is still in') && String(level) === 'warn')
      .map(({ msg }) => msg);
  assert.deepEqual(stillThere(), [], 'the start that made the folder has said so');

  await portico.stop();
  await portico.restart();
  const [words, ...more] = stillThere();
  assert.match(words, /^what was set aside on 20\d\d-\d\d-\d\d at \d\d:\d\d:\d\d UTC is still in \S+; delete it when/);
  assert.ok(words.includes(join(portico.dataDir, folder)) && more.length === 0);
  const said = stillThere().length;
  rmSync(join(portico.dataDir, folder), { recursive: true });
  await portico.stop();
  await portico.restart();
  assert.equal(stillThere().length, said, 'a folder that was deleted is not spoken of');
});
