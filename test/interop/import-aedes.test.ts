/**
 * `portico import aedes-level`: the database in aedes-level.json was written by Aedes 1.2.0 with aedes-persistence-level
 * 9.2.0, while MQTT.js and bare sockets were its clients, and ended by SIGKILL; it is served by Portico.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Level } from 'level';
import { Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { JsClient } from './mqttjs.js';
import { type Finished, run, sourceFile } from './programs.js';
import { connectRaw } from './raw.js';

const folder = temporaryFolder();

/** Makes a database of keys and hexadecimal values. */
async function database(name: string, entries: readonly (readonly [string, string])[]): Promise<string> {
  const path = join(folder, name);
  const level = new Level<string, Buffer>(path, { valueEncoding: 'buffer' });
  await level.batch(entries.map(([key, value]) => ({ type: 'put', key, value: Buffer.from(value, 'hex') })));
  await level.close();
  return path;
}

const importInto = (path: string, data: string): Promise<Finished> =>
  run(process.execPath, [porticoMain, 'import', 'aedes-level', path, '--data', join(folder, data)]);

describe('portico import aedes-level', { timeout: 60_000 }, () => {
  const { entries } = JSON.parse(readFileSync(sourceFile('test/interop/aedes-level.json'), 'utf8')) as {
    entries: [string, string][];
  };
  let summary: string;
  let broker: Portico;
  let port: number;
  let sleeper: JsClient;

  before(async () => {
    const { code, stderr } = await importInto(await database('aedes', entries), 'data');
    assert.equal(code, 0, stderr);
    summary = stderr;
    broker = await Portico.start({ data_dir: join(folder, 'data') });
    port = broker.ports.mqtt;
  });
  after(async () => {
    await sleeper?.end();
    await broker?.dispose();
  });

  test('the summary says what was taken', () => {
    assert.match(summary, /^imported .*aedes into .*store$/m);
    for (const words of [
      '2 retained messages',
      '3 sessions',
      '4 subscriptions',
      '3 messages in flight',
      '6 waiting messages',
      '1 publication that awaits PUBREL',
      '1 will',
    ]) {
      assert.ok(summary.includes(words), `${words}: ${summary}`);
    }
    assert.doesNotMatch(summary, /not taken/);
  });

  test('on a terminal a line shows how far it has come, and goes at the end', async () => {
    const path = await database('shown', entries);
    const program = [
      process.execPath,
      porticoMain,
      'import',
      'aedes-level',
      path,
      '--data',
      join(folder, 'shown-data'),
    ];
    const script = sourceFile('test/interop/python/terminal.py');
    const { stdout } = await run('/usr/bin/python3', ['-B', script, '[]', ...program]);
    const { shown, code } = JSON.parse(stdout.toString()) as { shown: string; code: number };
    assert.equal(code, 0, shown);
    const lines = shown.split('\r\u001b[K');
    assert.match(lines[1] ?? '', /^read [\d,]+ records?, [\d.]+ (bytes|KiB)$/);
    assert.match(lines.at(-1) ?? '', /^imported /);
  });

  test('an absent client gets its messages in order, and the will of one that was connected', async () => {
    sleeper = await JsClient.connect(`mqtt://127.0.0.1:${port}`, { clientId: 'sleeper', clean: false });
    assert.equal(sleeper.sessionPresent, true);
    const odd = ['queued 1', 'queued 3', 'queued 5'];
    for (const payload of odd) assert.equal((await sleeper.next('q/1')).payload.toString(), payload);
    for (const payload of ['queued 2', 'queued 4'])
      assert.equal((await sleeper.next('q/0')).payload.toString(), payload);
    assert.equal((await sleeper.next('q/half')).payload.toString(), 'half way');
    assert.equal((await sleeper.next('q/will')).payload.toString(), 'gone');
    await sleeper.publish('q/live', 'live', 1);
    assert.equal((await sleeper.next('q/live')).payload.toString(), 'live');
  });

  test('what was in flight is sent again under its packet identifier', async () => {
    const silent = await connectRaw(port, { clientId: 'silent', clean: false });
    assert.equal(silent.connack.sessionPresent, true);
    const seen: string[] = [];
    for (let i = 0; i < 3; i++) {
      const packet = await silent.next();
      if (packet.cmd === 'publish') seen.push(`${packet.messageId} ${packet.payload} ${packet.qos} ${packet.dup}`);
      else seen.push(`${packet.messageId} ${packet.cmd}`);
    }
    assert.deepEqual(seen, ['31100 pubrel', '31099 qos 1 in flight 1 true', '31101 qos 2 sent 2 true']);
    silent.cut();
  });

  test('a QoS 2 publication that awaited PUBREL is not taken twice', async () => {
    const half = await connectRaw(port, { clientId: 'half', clean: false });
    half.send({
      cmd: 'publish',
      topic: 'q/half',
      payload: 'half way',
      qos: 2,
      messageId: 77,
      retain: false,
      dup: true,
    });
    assert.equal((await half.expect('pubrec')).messageId, 77);
    half.send({ cmd: 'pubrel', messageId: 77 });
    await half.expect('pubcomp');
    half.cut();
    await sleeper.publish('q/half', 'end', 1);
    assert.equal((await sleeper.next('q/half')).payload.toString(), 'end');
  });

  test('retained messages are there', async () => {
    const reader = await JsClient.connect(`mqtt://127.0.0.1:${port}`, { clientId: 'reader' });
    await reader.subscribe('kept/#', 1);
    assert.equal((await reader.next('kept/one')).payload.toString(), 'retained 1');
    assert.equal((await reader.next('kept/ü')).payload.toString(), 'zwei');
    await reader.end();
  });

  test('damaged records are left out, and said; the others are taken', async () => {
    const damaged = entries.map(([key, value], i): [string, string] => [key, i % 2 === 0 ? value.slice(0, 20) : value]);
    const { code, stderr } = await importInto(await database('damaged', damaged), 'rest');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^taken: .*waiting message/m);
    assert.match(stderr, /^not taken: \d+ × damaged record \(first key "/m);
  });

  test('a folder that has no database is refused', async () => {
    mkdirSync(join(folder, 'empty'));
    const { code, stderr } = await importInto(join(folder, 'empty'), 'none');
    assert.equal(code, 1);
    assert.match(stderr, /^portico: import: [^\n]* it is no folder of a LevelDB database\n$/);
  });

  test('a database that another process has open is refused', async () => {
    const path = await database('open', entries);
    const level = new Level(path);
    await level.open();
    try {
      const { code, stderr } = await importInto(path, 'none');
      assert.equal(code, 1);
      assert.match(stderr, /^portico: import: [^\n]* another process has it open; stop that broker first\n$/);
    } finally {
      await level.close();
    }
  });
});
