/** Retained messages stand on the rights of who has published them also after `portico backup` and `portico restore`. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { IConnectPacket } from 'mqtt-packet';
import { Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { run } from './programs.js';
import { connectRaw, type RawClient } from './raw.js';

const started: Portico[] = [];
after(async () => {
  for (const one of started) await one.dispose();
});

/** Runs a command, which must end well. */
async function portico(...args: string[]): Promise<void> {
  const { code, stderr } = await run(process.execPath, [porticoMain, ...args]);
  assert.equal(code, 0, stderr);
}

const NAMELESS = 'topic write nameless\n';
const WITNESS = 'user witness\ntopic read #\n';
const ANN = 'user ann\ntopic write kept/#\n';

const enter = (broker: Portico, username: string, options: Partial<IConnectPacket> = {}): Promise<RawClient> =>
  connectRaw(broker.ports.mqtt, { clientId: `c-${username}`, username, protocolVersion: 5, ...options });

async function retain(client: RawClient, topic: string): Promise<void> {
  client.send({ cmd: 'publish', topic, payload: 'x', qos: 1, messageId: 3, retain: true, dup: false });
  assert.ok(((await client.expect('puback')).reasonCode ?? 0) < 0x80);
}

/** Topics of the retained messages that a client gets who may read everything. */
async function read(broker: Portico): Promise<string[]> {
  const client = await enter(broker, 'witness');
  client.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: '#', qos: 0 }] });
  client.send({ cmd: 'pingreq' });
  const found: string[] = [];
  for (let packet = await client.next(); packet.cmd !== 'pingresp'; packet = await client.next()) {
    if (packet.cmd === 'publish' && packet.retain) found.push(packet.topic);
  }
  client.cut();
  return found.toSorted();
}

for (const from of ['the running broker', 'its store'] as const) {
  test(`access.check_retain_source: a backup of ${from} keeps who has published, by name, without one and by a will`, async () => {
    const folder = temporaryFolder();
    const list = join(folder, 'acl');
    writeFileSync(list, `${NAMELESS}${WITNESS}${ANN}`);
    const sections = { allow_anonymous: true, access: { acl_file: list } };
    const broker = await Portico.start(sections);
    started.push(broker);
    await retain(await enter(broker, 'ann'), 'kept/ann');
    const anonymous = await connectRaw(broker.ports.mqtt, { clientId: 'nobody', protocolVersion: 5 });
    await retain(anonymous, 'nameless');
    const witness = await enter(broker, 'witness');
    await witness.subscribe('kept/will', 0);
    const will = { topic: 'kept/will', payload: Buffer.from('x'), qos: 1, retain: true } as const;
    (await enter(broker, 'ann', { clientId: 'c-will', will })).cut();
    await witness.expect('publish');
    // One that is published at the start of the restored broker.
    await enter(broker, 'ann', { clientId: 'c-later', will: { ...will, topic: 'kept/later' } });
    assert.deepEqual(await read(broker), ['kept/ann', 'kept/will', 'nameless']);
    if (from === 'its store') await broker.kill();
    const file = join(folder, 'backup');
    await portico('backup', file, '-c', broker.configFile);
    const data = join(folder, 'data');
    await portico('restore', file, '--data', data);

    const restored = await Portico.start({ ...sections, data_dir: data });
    started.push(restored);
    const first = await enter(restored, 'witness');
    await first.subscribe('kept/later', 0);
    await first.expect('publish');
    assert.deepEqual(await read(restored), ['kept/ann', 'kept/later', 'kept/will', 'nameless']);
    // Who has published them may no more; each by what is known of it.
    for (const [rules, left] of [
      [`${NAMELESS}${WITNESS}`, ['nameless']],
      [`${WITNESS}${ANN}`, ['kept/ann', 'kept/later', 'kept/will']],
    ] as const) {
      writeFileSync(list, rules);
      await restored.stop();
      await restored.restart();
      assert.deepEqual(await read(restored), left, rules);
    }
    await restored.stop();
  });
}
