/**
 * Wills with delay and kill -9: the will of a client that is gone is published, whether the broker dies before its delay
 * is over or after; that of a client that has come back in time is not.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { connectRaw, type RawClient } from '../interop/raw.js';
import { mulberry32 } from '../support/disk.js';
import { Portico } from '../support/portico.js';
import { crashRounds, crashSeed, killSoon } from './chance.js';
import { Device } from './devices.js';

const CLIENTS = 20;
/** Seconds: longer than any test. */
const LONG = 3600;

let portico: Portico;

before(async () => {
  portico = await Portico.start({ sys: { interval: 0 }, log: { level: 'warn', format: 'json' } });
});
after(() => portico.dispose());

const kept = (clientId: string, options: Partial<IConnectPacket> = {}): Promise<RawClient> =>
  connectRaw(portico.ports.mqtt, {
    clientId,
    protocolVersion: 5,
    clean: false,
    properties: { sessionExpiryInterval: 2 * LONG },
    ...options,
  });

const mortal = (clientId: string, willDelayInterval: number): Promise<RawClient> =>
  kept(clientId, {
    will: {
      topic: `will/${clientId}`,
      payload: Buffer.from('gone'),
      qos: 1,
      retain: false,
      properties: { willDelayInterval },
    },
  });

/** Ends the session, which makes a will that still waits due at once [MQTT-3.1.2-8]. */
async function endSession(clientId: string): Promise<void> {
  const client = await kept(clientId, { clean: true, properties: { sessionExpiryInterval: 0 } });
  client.cut();
  await client.closed;
}

async function cut(client: RawClient): Promise<void> {
  client.cut();
  await client.closed;
}

test('wills that wait for their delay are there after kill -9, those of clients that came back in time are not', {
  timeout: 120_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  const first = await kept('watcher');
  await first.subscribe('will/#', 1);
  await first.subscribe('end', 1);
  await cut(first);
  const gone: string[] = [];
  const back: string[] = [];
  for (let round = crashRounds(3); round > 0; round--) {
    const names = Array.from({ length: CLIENTS }, (_, index) => `c${round}-${index}`);
    const clients = await Promise.all(names.map((name) => mortal(name, LONG)));
    // Some are cut off before the broker dies, some by its death, some come back before it, some after it.
    const early = names.filter(() => choose(2) === 0);
    await Promise.all(early.map((name) => cut(clients[names.indexOf(name)])));
    const before = early.filter(() => choose(2) === 0);
    await Promise.all(before.map((name) => kept(name)));
    await killSoon(portico, choose);
    const later = names.filter((name) => !before.includes(name) && choose(2) === 0);
    await Promise.all(later.map((name) => kept(name)));
    await killSoon(portico, choose);
    back.push(...before, ...later);
    gone.push(...names.filter((name) => !before.includes(name) && !later.includes(name)));
  }
  assert.ok(gone.length > 0 && back.length > 0);
  await Promise.all([...gone, ...back].map(endSession));
  const watcher = await kept('watcher');
  watcher.send({ cmd: 'publish', topic: 'end', payload: 'x', qos: 1, retain: false, dup: false, messageId: 9 });
  const device = new Device();
  await device.until(watcher, 'end');
  for (const name of gone) assert.ok(device.others.includes(`will/${name} gone`), `${name} is gone without a will`);
  for (const name of back) assert.ok(!device.others.includes(`will/${name} gone`), `${name} is back and has a will`);
});

test('a will whose delay ends after kill -9 is published then, one whose delay ended before it was', {
  timeout: 120_000,
}, async () => {
  const watcher = await kept('watcher');
  const device = new Device();
  await cut(await mortal('before', 1));
  await device.until(watcher, 'will/before');
  await cut(await mortal('after', 1));
  await portico.kill();
  await portico.restart();
  const again = await kept('watcher');
  await device.until(again, 'will/after');
  assert.ok(device.others.includes('will/before gone'));
  assert.ok(device.others.includes('will/after gone'));
});
