/** Tables whose damaged part held the records of sessions, or everything: what is left, and what the log says of it. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { describeGap } from '../../src/store/describe.js';
import {
  flowKey,
  queueKey,
  queueRangeFrom,
  retainedKey,
  sessionKey,
  subscriptionKey,
  versionKey,
} from '../../src/store/keys.js';
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
  scene = { directory, published: new Map(), ended: new Set() };
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
  const [line] = started.lines;
  assert.match(
    line,
    new RegExp(`some of these: queued message 2 of session ${numbers[1]} \\(client "b"\\)\\. The files`),
  );
  assert.doesNotMatch(line, /unknown key|store versions/);
  await started.engine.stop();
});

test('a table that is lost: the kinds of which nothing is left are said', async () => {
  const directory = copyOf(scene);
  rmSync(join(directory, 'store', table));
  const { engine, lines } = await start(directory);
  assert.match(lines[0], new RegExp(`Lost: whatever stood in ${table}, which nobody can know\\. The files`));
  assert.match(
    lines.join(),
    /kept: 0 retained messages, 0 sessions, 0 subscriptions, 0 flow states, 0 queue segments, 0 wills/,
  );
  assert.equal(engine.broker.router.retained.count, 0);
  await engine.stop();
  await assertSilent(directory);
});

test('a table that is cut: what stood at its end is not known', async () => {
  const directory = copyOf(scene);
  truncateSync(join(directory, 'store', table), 9000);
  const { engine, lines } = await start(directory);
  assert.match(
    lines[0],
    new RegExp(`${table} has 9000 bytes of \\d+\\. .*Lost: .*whatever stood at the end of ${table}`),
  );
  await engine.stop();
});

test('CURRENT, MANIFEST and a table that are damaged are all named', async () => {
  const directory = copyOf(scene);
  const [manifest] = filesOf(directory).filter((name) => name.startsWith('MANIFEST'));
  writeFileSync(join(directory, 'store', manifest), 'damaged');
  damageBlockOf(directory, sessionKey('a'));
  const { engine, lines } = await start(directory);
  assert.match(
    lines[0],
    new RegExp(`^the store was damaged: ${manifest} is damaged, ${table} has a damaged block at \\d+\\.`),
  );
  await engine.stop();
  const without = copyOf(scene);
  rmSync(join(without, 'store', 'CURRENT'));
  truncateSync(join(without, 'store', table), 0);
  const other = await start(without);
  assert.match(other.lines[0], new RegExp(`^the store was damaged: CURRENT is missing, ${table} has 0 bytes\\.`));
  assert.match(other.lines[0], new RegExp(`Lost: whatever stood in ${table}, which nobody can know`));
  await other.engine.stop();
});

test('keys between which something is lost are named, also where they are cut', () => {
  const hex = (text: string): Buffer => Buffer.from(text, 'hex');
  const clientOf = (session: number): string | undefined => (session === 5 ? 'id2' : undefined);
  const cases: [after: Buffer | null, upTo: Buffer, words: string][] = [
    [null, hex('2300000000000500000000024a'), 'up to queued message 585 of session 5 (client "id2")'],
    [
      hex('2300000000000500000000024a'),
      queueKey(5, 590, 10, 1, 0),
      'queued messages 586 to 599 of session 5 (client "id2")',
    ],
    [
      queueKey(5, 590, 10, 1, 0),
      hex('23000000000006'),
      'behind queued message 599 of session 5 (client "id2") up to the queue segments of session 5 (client "id2")',
    ],
    [hex('11'), hex('24'), 'behind the last of the retained messages up to the last of the queue segments'],
    [retainedKey('a'), sessionKey('c'), 'behind the retained message on "a" up to session "c"'],
    [null, flowKey(6), 'up to the flow state of session 6'],
    [null, subscriptionKey(5, 'f'), 'up to the subscription "f" of session 5 (client "id2")'],
    [null, versionKey(), 'up to the version of the store'],
  ];
  for (const [after, upTo, words] of cases) assert.equal(describeGap({ after, upTo }, clientOf), words);
});
