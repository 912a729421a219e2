/** Damage that comes while the broker runs, and what a start does around it. */
import assert from 'node:assert/strict';
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Aside } from '../../src/store/aside.js';
import { LevelStore } from '../../src/store/level-store.js';
import { type Maintenance, verify } from '../../src/store/maintenance.js';
import { mulberry32 } from '../support/disk.js';
import type { Engine, RawClient } from '../support/engine.js';
import { foldersOf, killedStore, newDirectory, originalsOf, segmentsIn, served, start } from './damage-scene.js';

const SEGMENTS = 60;

/** Bytes that do not compress, the same each time. */
function noise(seed: number, length: number): string {
  const random = mulberry32(seed);
  return Array.from({ length }, () => String.fromCharCode(33 + random(90))).join('');
}

const textOf = {
  'does not compress': (i: number) => `message ${i} ${noise(i, 700)}`,
  compresses: (i: number) => `message ${i} ${'abcd'.repeat(300)}`,
} as const;

/** A data directory in which an absent client's queue stands in a table, a segment for each message. */
async function queueInTable(text: (i: number) => string): Promise<string> {
  const directory = newDirectory();
  const first = await start(directory);
  const client = await first.engine.connect({ clientId: 'c', clean: false });
  await client.subscribe('t', 1);
  await first.engine.cut(client);
  for (let i = 0; i < SEGMENTS; i++) {
    first.engine.broker.publish({ topic: 't', payload: text(i), qos: 1 });
    await first.engine.broker.commit.settled();
  }
  await first.engine.stop();
  // The log becomes a table.
  const second = await start(directory);
  assert.equal(await segmentsIn(second.store), SEGMENTS);
  await second.engine.stop();
  return directory;
}

function tableOf(directory: string): string {
  const store = join(directory, 'store');
  // The oldest: in the newer ones is what the starts since have written.
  const [table] = readdirSync(store)
    .filter((name) => name.endsWith('.ldb'))
    .sort();
  assert.ok(table !== undefined);
  return join(store, table);
}

/** Changes one byte of a file in its place, as a disk does. */
function change(path: string, at: number, bits = 1): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0] ^= bits;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}

async function messagesUpTo(engine: Engine, client: RawClient, last: string): Promise<string[]> {
  engine.broker.publish({ topic: 't', payload: last, qos: 1 });
  const payloads: string[] = [];
  for (;;) {
    const { payload, messageId } = await client.expect('publish');
    client.send({ cmd: 'puback', messageId: messageId as number });
    payloads.push(String(payload));
    if (payloads.at(-1) === last) return payloads;
  }
}

test('a message that turns out damaged while the broker runs is passed over, named and counted', async () => {
  const text = textOf['does not compress'];
  const directory = await queueInTable(text);
  const started = await start(directory);
  const { engine } = started;
  const table = tableOf(directory);
  const at = readFileSync(table).indexOf(text(20).slice(0, 100));
  assert.ok(at > 0);
  change(table, at + 50);
  const client = await engine.connect({ clientId: 'c', clean: false });
  const expected = Array.from({ length: SEGMENTS }, (_, i) => text(i)).filter((_, i) => i !== 20);
  assert.deepEqual(await messagesUpTo(engine, client, 'last'), [...expected, 'last']);
  await engine.stop();
  assert.match(started.lines.join('\n'), /queued message 21 of session \d+ \(client "c"\) cannot be read/);
  assert.equal(started.lines.length, 1);
  assert.equal(engine.broker.counters.damaged, 1);
  const [folder] = foldersOf(directory);
  assert.match(readFileSync(join(directory, folder, 'values.jsonl'), 'utf8'), /its checksum is wrong/);
});

test('a store whose table turns out damaged while the broker runs is mended, and the queue goes on', async () => {
  const text = textOf.compresses;
  const directory = await queueInTable(text);
  const started = await start(directory);
  const { engine } = started;
  // A copy of four bytes before in a compressed block now reaches behind the beginning: it does not unpack any more.
  const table = tableOf(directory);
  const bytes = readFileSync(table);
  const copy = bytes.indexOf(Buffer.from([0xfe, 4, 0]), bytes.length >> 1);
  assert.ok(copy > 0);
  change(table, copy + 2, 0x80);
  const originals = originalsOf(directory);
  const client = await engine.connect({ clientId: 'c', clean: false });
  const received = await messagesUpTo(engine, client, 'last');
  const all = Array.from({ length: SEGMENTS }, (_, i) => text(i));
  const missing = all.filter((payload) => !received.includes(payload));
  assert.ok(missing.length > 0 && missing.length < 10, `${missing.length} messages are missing`);
  assert.deepEqual(received, [...all.filter((payload) => !missing.includes(payload)), 'last']);
  engine.broker.publish({ topic: 'r', payload: 'written after it', qos: 1, retain: true });
  await engine.stop();
  assert.match(started.lines.join('\n'), /the store was damaged: .*\.ldb has a damaged block at \d+/);
  assert.ok(engine.broker.counters.damaged > 0);
  const [folder] = foldersOf(directory);
  for (const [name, bytes] of originals) {
    if (name.endsWith('.ldb')) assert.ok(readFileSync(join(directory, folder, 'store', name)).equals(bytes));
  }
  const again = await start(directory);
  assert.deepEqual(again.lines, []);
  assert.deepEqual([...(again.engine.broker.sessions.get('c')?.subscriptions.keys() ?? [])], ['t']);
  assert.equal(String(again.engine.broker.router.retained.get('r')?.payload), 'written after it');
  await again.engine.stop();
});

test('tables that a start did not wait for are looked at behind it, also if one has been merged away meanwhile', async () => {
  const directory = await queueInTable(textOf['does not compress']);
  const store = join(directory, 'store');
  let looks = 0;
  const scene = (most: number): Maintenance => ({
    directory: store,
    aside: new Aside(directory),
    tell: () => assert.fail('it only looks'),
    ended: () => looks++ === most,
  });
  const number = Number(/(\d+)\.ldb$/.exec(tableOf(directory))?.[1]);
  const gone = 999;
  assert.equal(await verify(scene(-1), [gone, number]), true);
  change(tableOf(directory), 1000);
  assert.equal(await verify(scene(-1), [gone, number]), false);
  looks = 0;
  assert.equal(await verify(scene(1), [gone, number]), true, 'the store is being closed');
});

test('a second damage makes a second folder, also in the same second', async () => {
  const directory = await queueInTable(textOf['does not compress']);
  for (let n = 1; n <= 3; n++) {
    change(join(directory, 'store', 'CURRENT'), 3);
    const { engine, lines } = await start(directory);
    assert.equal(lines.length, 1);
    assert.equal(foldersOf(directory).length, n);
    await engine.stop();
  }
});

test('a crash between moving the old store away and the new one in loses nothing', async () => {
  const { directory } = await killedStore();
  const healthy = await start(directory);
  const whole = await served(healthy);
  await healthy.engine.stop();
  mkdirSync(join(directory, 'store.rebuilding'));
  renameSync(join(directory, 'store'), join(directory, 'store.rebuilding', 'store'));
  const between = await start(directory);
  assert.deepEqual(await served(between), whole);
  await between.engine.stop();
  // Before that: the new one is not finished.
  const unfinished = join(directory, 'store.rebuilding', 'store');
  cpSync(join(directory, 'store'), unfinished, { recursive: true });
  for (const name of readdirSync(unfinished)) {
    if (name !== 'CURRENT') rmSync(join(unfinished, name));
  }
  const before = await start(directory);
  assert.deepEqual(await served(before), whole);
  assert.deepEqual(before.lines, []);
  await before.engine.stop();
});

test('a store that another broker has open is not taken for a damaged one', async () => {
  const directory = newDirectory();
  const { engine } = await start(directory);
  const path = join(directory, 'store', 'CURRENT');
  const current = readFileSync(path);
  writeFileSync(path, '');
  await assert.rejects(start(directory), { code: 'PORTICO_STORE_OPEN', message: /another process uses it/ });
  writeFileSync(path, current);
  assert.deepEqual(foldersOf(directory), []);
  await engine.stop();
});

test('files that may not be read are a reason not to start, and stay as they are', async () => {
  const directory = await queueInTable(textOf.compresses);
  const store = join(directory, 'store');
  rmSync(join(store, 'CURRENT'));
  // What no user may read as a file.
  mkdirSync(join(store, 'CURRENT'));
  await assert.rejects(new LevelStore(store).open(), { code: 'PORTICO_STORE_OPEN', message: /EISDIR/ });
  assert.deepEqual(foldersOf(directory), []);
});
