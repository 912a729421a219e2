/** kill -9 between the beginnings and the ends of sessions: each is, or is not, as its client was last told. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { connectRaw, type RawClient } from '../interop/raw.js';
import { mulberry32 } from '../support/disk.js';
import { Portico } from '../support/portico.js';
import { crashRounds, crashSeed, killSoon } from './chance.js';
import { Device } from './devices.js';

const CLIENTS = 15;
const LONG = 3600;

let portico: Portico;

before(async () => {
  portico = await Portico.start({ sys: { interval: 0 }, log: { level: 'warn', format: 'json' } });
});
after(() => portico.dispose());

/** @param sessionExpiryInterval seconds */
const enter = (
  clientId: string,
  sessionExpiryInterval: number,
  options: Partial<IConnectPacket> = {},
): Promise<RawClient & { readonly connack: { readonly sessionPresent: boolean } }> =>
  connectRaw(portico.ports.mqtt, {
    clientId,
    protocolVersion: 5,
    clean: false,
    properties: { sessionExpiryInterval },
    ...options,
  });

async function leave(client: RawClient): Promise<void> {
  client.send({ cmd: 'disconnect', reasonCode: 0 });
  await client.closed;
}

async function publish(topics: readonly string[]): Promise<void> {
  const client = await enter('publisher', 0);
  for (const [index, topic] of topics.entries()) {
    client.send({ cmd: 'publish', topic, payload: 'x', qos: 1, retain: false, dup: false, messageId: index + 1 });
    await client.expect('puback');
  }
  await leave(client);
}

test('kill -9 after CONNECT with Clean Start: nothing of the old session is left, also if the new one is kept', {
  timeout: 120_000,
}, async (t) => {
  t.diagnostic(`CRASH_SEED=${crashSeed}`);
  const choose = mulberry32(crashSeed);
  for (let round = crashRounds(3); round > 0; round--) {
    const names = Array.from({ length: CLIENTS }, (_, index) => `clean-${round}-${index}`);
    for (const name of names) {
      const client = await enter(name, LONG);
      await client.subscribe(`for/${name}`, 2);
      await leave(client);
    }
    await publish(names.map((name) => `for/${name}`));
    // Some begin anew and are kept, some begin anew and end with their connection, the others stay as they are.
    const fates = new Map(names.map((name) => [name, choose(3)]));
    await Promise.all(
      names.map(async (name) => {
        const fate = fates.get(name);
        if (fate !== 0) await enter(name, fate === 1 ? LONG : 0, { clean: true });
      }),
    );
    await killSoon(portico, choose);
    await publish(names.map((name) => `for/${name}`));
    for (const name of names) {
      const client = await enter(name, 0);
      const device = new Device();
      assert.equal(client.connack.sessionPresent, fates.get(name) !== 2, name);
      await client.subscribe('end', 0).catch((error) => assert.equal(fates.get(name), 0, error));
      client.send({ cmd: 'publish', topic: 'end', payload: 'x', qos: 0, retain: false, dup: false });
      await device.until(client, 'end');
      assert.equal(device.others.includes(`for/${name} x`), fates.get(name) === 0, name);
      await leave(client);
    }
  }
});

test('a session that expires is gone after kill -9, whether it expired before or after; another one is there', {
  timeout: 120_000,
}, async () => {
  const watcher = await enter('watcher', LONG);
  await watcher.subscribe('expired/#', 1);
  const device = new Device();
  /** Its will tells of the end of its session [MQTT-3.1.2-8]. */
  const short = async (clientId: string): Promise<void> => {
    const client = await enter(clientId, 1, {
      will: {
        topic: `expired/${clientId}`,
        payload: Buffer.from('x'),
        qos: 1,
        retain: false,
        properties: { willDelayInterval: LONG },
      },
    });
    await client.subscribe('for/short', 1);
    client.cut();
    await client.closed;
  };
  const long = await enter('long', LONG);
  await long.subscribe('for/long', 1);
  await leave(long);
  await short('before');
  await device.until(watcher, 'expired/before');
  await short('after');
  await portico.kill();
  await portico.restart();
  await device.until(await enter('watcher', LONG), 'expired/after');
  // What is acknowledged from here on was written with the end of the session, or after it.
  await publish(['for/long']);
  await portico.kill();
  await portico.restart();
  assert.equal((await enter('before', 0)).connack.sessionPresent, false);
  assert.equal((await enter('after', 0)).connack.sessionPresent, false);
  await publish(['for/long']);
  const again = await enter('long', LONG);
  assert.equal(again.connack.sessionPresent, true);
  await device.until(again, 'for/long');
});
