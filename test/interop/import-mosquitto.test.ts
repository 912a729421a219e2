/** `portico import mosquitto-db`: what Debian's Mosquitto has saved is served by Portico. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePorts, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { JsClient } from './mqttjs.js';
import { Program, run, sourceFile } from './programs.js';
import { connectRaw, type RawClient } from './raw.js';

const folder = temporaryFolder();

/** A client of a running Mosquitto or Portico. */
const js = (port: number, clientId: string, options: object = {}): Promise<JsClient> =>
  JsClient.connect(`mqtt://127.0.0.1:${port}`, { clientId, clean: false, ...options });
const five = { protocolVersion: 5, properties: { sessionExpiryInterval: 1000 } } as const;

async function next(client: JsClient): Promise<string> {
  const { topic, payload, qos, retain } = await client.next();
  return `${topic} ${payload} ${qos}${retain ? ' retained' : ''}`;
}

/** Fills a Mosquitto with what it can keep, and stops it; returns the path of its file. */
async function fillMosquitto(ids: { qos1: number; released: number; sent: number }): Promise<string> {
  const { mqtt: port } = await freePorts();
  const place = join(folder, 'mosquitto');
  mkdirSync(place);
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence true',
    `persistence_location ${place}/`,
    'queue_qos0_messages true',
    'log_dest stdout',
    'user root',
  ];
  writeFileSync(join(place, 'mosquitto.conf'), `${lines.join('\n')}\n`);
  const mosquitto = await Program.start('/usr/sbin/mosquitto', ['-c', join(place, 'mosquitto.conf')]);
  await mosquitto.lines.take((line) => line.endsWith(' running'), 'the start of Mosquitto');

  const old = await js(port, 'old');
  await old.subscribe('q/#', 1);
  await old.end();
  const modern = await js(port, 'modern', five);
  await modern.raw.subscribeAsync('q/1', { qos: 2, rap: true, nl: true, properties: { subscriptionIdentifier: 7 } });
  await modern.end();
  const silent = await connectRaw(port, { clientId: 'silent', clean: false });
  await silent.subscribe('f/#', 2);
  const half = await connectRaw(port, { clientId: 'half', clean: false, ...five });

  const publisher = await js(port, 'publisher', { clean: true, protocolVersion: 5 });
  const properties = { contentType: 'text/plain', messageExpiryInterval: 5000, userProperties: { a: 'b' } };
  await publisher.raw.publishAsync('kept/1', 'one', { qos: 1, retain: true, properties });
  await publisher.raw.publishAsync('kept/2', 'two', { qos: 0, retain: true });
  await publisher.raw.publishAsync('q/0', 'first', { qos: 1 });
  await publisher.raw.publishAsync('q/1', 'second', { qos: 2, retain: true, properties });
  await publisher.raw.publishAsync('q/1', 'not kept', { qos: 0 });
  await publisher.raw.publishAsync('q/1', 'third', { qos: 2 });
  await publisher.raw.publishAsync('f/1', 'unacknowledged', { qos: 1 });
  ids.qos1 = (await silent.expect('publish')).messageId ?? 0;
  await publisher.raw.publishAsync('f/2', 'released', { qos: 2 });
  ids.released = (await silent.expect('publish')).messageId ?? 0;
  silent.send({ cmd: 'pubrec', messageId: ids.released });
  await silent.expect('pubrel');
  await publisher.raw.publishAsync('f/3', 'sent', { qos: 2 });
  ids.sent = (await silent.expect('publish')).messageId ?? 0;
  half.send({ cmd: 'publish', topic: 'q/half', payload: 'half way', qos: 2, messageId: 77, retain: false, dup: false });
  await half.expect('pubrec');
  await publisher.end();
  await mosquitto.end();
  return join(place, 'mosquitto.db');
}

describe('portico import mosquitto-db', { timeout: 60_000 }, () => {
  const ids = { qos1: 0, released: 0, sent: 0 };
  let file: string;
  let broker: Portico;
  let summary: string;
  let port: number;
  const raws: RawClient[] = [];

  before(async () => {
    file = await fillMosquitto(ids);
    const data = join(folder, 'data');
    const { code, stderr } = await run(process.execPath, [porticoMain, 'import', 'mosquitto-db', file, '--data', data]);
    assert.equal(code, 0, stderr);
    summary = stderr;
    broker = await Portico.start({ data_dir: data });
    port = broker.ports.mqtt;
  });
  after(async () => {
    for (const raw of raws) raw.cut();
    await broker?.dispose();
  });

  test('the summary says what was taken, and what was not and why', () => {
    assert.match(summary, /^imported .*mosquitto\.db into .*store$/m);
    assert.match(summary, /^taken: .*4 sessions/m);
    for (const words of [
      '3 retained messages',
      '3 messages in flight',
      '3 subscriptions',
      '1 publication that awaits',
    ]) {
      assert.ok(summary.includes(words), `${words}: ${summary}`);
    }
    assert.match(summary, /^not taken: 2 × message of QoS 0 that waits.*\(first offset \d+\)$/m);
  });

  test('on a terminal a line shows how far it has come, and goes at the end', async () => {
    const program = [process.execPath, porticoMain, 'import', 'mosquitto-db', file, '--data', join(folder, 'shown')];
    const script = sourceFile('test/interop/python/terminal.py');
    const { stdout } = await run('/usr/bin/python3', ['-B', script, '[]', ...program]);
    const { shown, code } = JSON.parse(stdout.toString()) as { shown: string; code: number };
    assert.equal(code, 0, shown);
    const clear = '\r\u001b[K';
    const lines = shown.split(clear);
    assert.match(lines[1] ?? '', /^read [\d,]+ records?, [\d.]+ (bytes|KiB)$/);
    assert.match(lines.at(-1) ?? '', /^imported /);
  });

  test('a session of MQTT 3.1.1 gets its messages in order, and its subscription works', async () => {
    const old = await js(port, 'old');
    assert.equal(old.sessionPresent, true);
    assert.equal(await next(old), 'q/0 first 1');
    assert.equal(await next(old), 'q/1 second 1');
    assert.equal(await next(old), 'q/1 third 1');
    assert.equal(await next(old), 'q/half half way 1');
    await old.raw.publishAsync('q/new', 'live', { qos: 1 });
    assert.equal(await next(old), 'q/new live 1');
    await old.end();
  });

  test('a session of MQTT 5.0 keeps Retain As Published, No Local, Subscription Identifier and properties', async () => {
    const modern = await js(port, 'modern', five);
    assert.equal(modern.sessionPresent, true);
    const second = await modern.publications.next('the first message');
    assert.equal(second.payload, 'second');
    assert.equal(second.packet.qos, 2);
    assert.equal(second.packet.retain, true);
    assert.equal(second.properties.subscriptionIdentifier, 7);
    assert.equal(second.properties.contentType, 'text/plain');
    assert.deepEqual({ ...second.properties.userProperties }, { a: 'b' });
    const expiry = second.properties.messageExpiryInterval ?? 0;
    assert.ok(expiry > 4000 && expiry <= 5000, `${expiry}`);
    assert.equal((await modern.publications.next('the second message')).payload, 'third');
    await modern.raw.publishAsync('q/1', 'its own', { qos: 1 });
    const other = await js(port, 'other', { clean: true });
    await other.raw.publishAsync('q/1', 'of another', { qos: 1 });
    assert.equal((await modern.publications.next('a live message')).payload, 'of another');
    await other.end();
    await modern.end();
  });

  test('what was in flight is sent again under its packet identifier, with DUP [MQTT-4.4.0-1]', async () => {
    const silent = await connectRaw(port, { clientId: 'silent', clean: false });
    raws.push(silent);
    assert.equal(silent.connack.sessionPresent, true);
    assert.equal((await silent.expect('pubrel')).messageId, ids.released);
    const first = await silent.expect('publish');
    assert.deepEqual([first.payload.toString(), first.messageId, first.dup], ['unacknowledged', ids.qos1, true]);
    const third = await silent.expect('publish');
    assert.deepEqual([third.payload.toString(), third.messageId, third.dup], ['sent', ids.sent, true]);
    assert.equal(third.qos, 2);
    silent.send({ cmd: 'pubcomp', messageId: ids.released });
    silent.send({ cmd: 'puback', messageId: ids.qos1 });
    silent.send({ cmd: 'pubrec', messageId: ids.sent });
    assert.equal((await silent.expect('pubrel')).messageId, ids.sent);
    silent.send({ cmd: 'pubcomp', messageId: ids.sent });
    const other = await js(port, 'other', { clean: true });
    await other.raw.publishAsync('f/4', 'live', { qos: 1 });
    const live = await silent.expect('publish');
    assert.deepEqual([live.payload.toString(), live.dup], ['live', false]);
    await other.end();
  });

  test('a QoS 2 publication that awaited PUBREL is not taken twice [MQTT-4.3.3-10]', async () => {
    const watcher = await js(port, 'watcher', { clean: true });
    await watcher.subscribe('q/half', 2);
    const half = await connectRaw(port, { clientId: 'half', clean: false, ...five });
    raws.push(half);
    assert.equal(half.connack.sessionPresent, true);
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
    assert.equal((await half.expect('pubcomp')).messageId, 77);
    await watcher.raw.publishAsync('q/half', 'end', { qos: 2 });
    assert.equal(await next(watcher), 'q/half end 2');
    await watcher.end();
  });

  test('retained messages are there, with their properties', async () => {
    const reader = await js(port, 'reader', { clean: true, protocolVersion: 5 });
    await reader.subscribe('kept/1', 1);
    const one = await reader.publications.next('kept/1');
    assert.deepEqual([one.payload, one.packet.retain, one.properties.contentType], ['one', true, 'text/plain']);
    await reader.subscribe('kept/2', 1);
    assert.equal((await reader.publications.next('kept/2')).payload, 'two');
    await reader.end();
  });

  test('a mosquitto.conf whose messages were not taken over says so, with the command that does it', async () => {
    const { mqtt } = await freePorts();
    const conf = join(folder, 'moved.conf');
    const lines = [`listener ${mqtt} 127.0.0.1`, 'allow_anonymous true', 'persistence true', 'user root'];
    writeFileSync(conf, `${lines.join('\n')}\npersistence_location ${join(folder, 'mosquitto')}/\n`);
    const portico = (...args: string[]) => run(process.execPath, [porticoMain, ...args]);
    const { stderr } = await portico('--test-config', '-c', conf);
    const [, told = ''] =
      /mosquitto\.db has what Mosquitto has kept, .* "portico (.*)" takes it over$/m.exec(stderr) ?? [];
    assert.ok(stderr.includes(`warning: ${conf}:3: persistence: `), stderr);
    const imported = await portico(...told.split(' '));
    assert.equal(imported.code, 0, imported.stderr);
    assert.doesNotMatch((await portico('--test-config', '-c', conf)).stderr, /what Mosquitto has kept/);

    const moved = await Program.start(process.execPath, [porticoMain, '-c', conf]);
    await moved.lines.take((line) => line.includes('"ready"'), 'the start of Portico');
    const client = await js(mqtt, 'after');
    await client.subscribe('kept/1', 1);
    assert.equal(await next(client), 'kept/1 one 1 retained');
    await client.end();
    await moved.end();
  });

  test('a data folder with a store is refused, and so is a file that is none of Mosquitto', async () => {
    const used = await run(process.execPath, [
      porticoMain,
      'import',
      'mosquitto-db',
      file,
      '--data',
      join(folder, 'data'),
    ]);
    assert.equal(used.code, 1);
    assert.match(used.stderr, /^portico: import: there is a store in [^\n]+ already; [^\n]+\n$/);
    const other = join(folder, 'other.db');
    const missing = ['import', 'mosquitto-db', join(folder, 'no.db'), '--data', join(folder, 'none')];
    const none = await run(process.execPath, [porticoMain, ...missing]);
    assert.match(none.stderr, /^portico: import: cannot read [^\n]*no\.db: there is none of that name\n$/);
    const cases: readonly [Buffer, RegExp][] = [
      [Buffer.from('something else that is long enough'), /it is not a persistence file of Mosquitto/],
      [Buffer.alloc(0), /other\.db cannot be used: it is empty/],
      [
        Buffer.concat([Buffer.from('\0\u{b5}\0mosquitto db', 'latin1'), Buffer.from([0, 0, 0, 0, 0, 0, 0, 4])]),
        /version 4/,
      ],
    ];
    for (const [bytes, words] of cases) {
      writeFileSync(other, bytes);
      const { code, stderr } = await run(process.execPath, [
        porticoMain,
        'import',
        'mosquitto-db',
        other,
        '--data',
        join(folder, 'none'),
      ]);
      assert.equal(code, 1);
      assert.match(stderr, /^portico: import: [^\n]+\n$/);
      assert.match(stderr, words);
    }
  });

  for (const [words, sentence] of [
    [['import'], 'import takes two words'],
    [['import', 'mosquito-db', 'x'], 'did you mean mosquitto-db?'],
    [['import', 'aedes-level'], 'import takes two words'],
  ] as const) {
    test(`${words.join(' ')} is refused with 3 and words`, async () => {
      const { code, stderr } = await run(process.execPath, [porticoMain, ...words]);
      assert.equal(code, 3);
      assert.ok(stderr.includes(sentence), stderr);
    });
  }
});
