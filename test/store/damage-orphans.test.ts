/** Tables whose damaged part held the records of sessions, or everything: what is left, and what the log says of it. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { queueRangeFrom, sessionKey } from '../../src/store/keys.js';
import { readTable } from '../../src/store/leveldb/table-file.js';
import { isSealed } from '../../src/store/seal.js';
import { copyOf, filesOf, foldersOf, newDirectory, type Scene, type Start, segmentsIn, start } from './damage-scene.js';

const SESSIONS = ['a', 'b', 'c'];
const MESSAGES = 4;
/** More than a block of a table, so that each segment has its own. */
const PAYLOAD = 'x'.repeat(6000);

let scene: Scene;
/** Name of the only table. */
let table: string;
const numbers: number[] = [];

before(async () => {
  const directory = newDirectory();
  const first = await start(directory);
  const { broker } = first.engine;
  broker.publish({ topic: 'kept', payload: PAYLOAD, qos: 1, retain: true });
  for (const id of SESSIONS) {
    const client = await first.engine.connect({ clientId: id, clean: false });
    await client.subscribe(`for/${id}`, 1);
    await first.engine.cut(client);
    numbers.push(broker.sessions.get(id)?.number as number);
    for (let i = 0; i < MESSAGES; i++) {
      broker.publish({ topic: `for/${id}`, payload: PAYLOAD, qos: 1 });
      await broker.commit.settled();
    }
  }
  await first.engine.stop();
  // Makes a table of the log.
  await (await start(directory)).engine.stop();
  scene = { directory, published: new Map() };
  const tables = filesOf(directory).filter((name) => name.endsWith('.ldb'));
  assert.equal(tables.length, 1);
  [table] = tables;
});

/** Flips a bit of the block of the table that holds a key. */
function damageBlockOf(directory: string, key: Buffer): void {
  const path = join(directory, 'store', table);
  const bytes = readFileSync(path);
  const holds = ({ after, upTo }: { after: Buffer | null; upTo: Buffer }): boolean =>
    (after === null || Buffer.compare(key, after) > 0) && Buffer.compare(key, upTo) <= 0;
  for (let at = 0; at < bytes.length; at += 20) {
    bytes[at] ^= 1;
    const { gaps } = readTable(bytes, isSealed);
    if (gaps.some(holds)) {
      writeFileSync(path, bytes);
      return;
    }
    bytes[at] ^= 1;
  }
  assert.fail('no block has that key');
}

async function assertSilent(directory: string): Promise<void> {
  const again = await start(directory);
  assert.deepEqual(again.lines, []);
  await again.engine.stop();
}

/** The line about what is left of sessions. */
function orphansIn({ lines }: Start): string | undefined {
  return lines.find((line) => line.startsWith('nobody gets'));
}

test('queues whose sessions are lost are named, counted and gone, and nobody is said to be served them', async () => {
  const directory = copyOf(scene);
  damageBlockOf(directory, sessionKey('a'));
  const started = await start(directory);
  const { engine, store, lines } = started;
  assert.deepEqual([...engine.broker.sessions.all()], []);
  // The first one stands in the block of the sessions.
  const segments = SESSIONS.length * MESSAGES - 1;
  const [files] = lines;
  assert.match(
    files,
    new RegExp(`What could be read is kept: 1 retained messages, 0 sessions, .*${segments} queue segm`),
  );
  assert.doesNotMatch(lines.join(), /served/);
  const line = orphansIn(started);
  assert.match(
    line ?? '',
    new RegExp(`what is left of 3 sessions \\(number ${numbers.join(', ')}\\), whose records are lost`),
  );
  assert.match(line ?? '', new RegExp(` ${segments} queue segments with ${segments} messages`));
  const [folder] = foldersOf(directory);
  assert.ok(line?.endsWith(`All of it is in ${join(directory, folder)}/store`));
  assert.ok(engine.broker.counters.damaged > segments);
  await engine.broker.commit.settled();
  for (const number of numbers) {
    for await (const key of store.keys(queueRangeFrom(number, 0))) assert.fail(`${key.toString('hex')} is left`);
  }
  await engine.stop();
  await assertSilent(directory);
});

test('a damaged queue segment leaves its session, and no line about sessions', async () => {
  const directory = copyOf(scene);
  damageBlockOf(directory, queueRangeFrom(numbers[1], 2).gte);
  const started = await start(directory);
  assert.equal([...started.engine.broker.sessions.all()].length, SESSIONS.length);
  assert.ok((await segmentsIn(started.store)) < SESSIONS.length * MESSAGES);
  assert.equal(orphansIn(started), undefined);
  await started.engine.stop();
});

test('a table that is lost: the kinds of which nothing is left are said', async () => {
  const directory = copyOf(scene);
  rmSync(join(directory, 'store', table));
  const { engine, lines } = await start(directory);
  assert.match(
    lines.join(),
    /kept: 0 retained messages, 0 sessions, 0 subscriptions, 0 flow states, 0 queue segments, 0 wills/,
  );
  assert.equal(engine.broker.router.retained.count, 0);
  await engine.stop();
  await assertSilent(directory);
});
