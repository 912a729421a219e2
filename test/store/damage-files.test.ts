/** A store whose files were cut, changed or deleted: the broker starts, serves what can be read, and nothing wrong. */
import assert from 'node:assert/strict';
import fs, { chmodSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fragment, varint } from '../../src/store/leveldb/log-writer.js';
import { KINDS, type Kind } from '../crash/survival-kinds.js';
import { mulberry32, type Random } from '../support/disk.js';
import { seeds } from '../support/seeds.js';
import { type Found, foundIn, isAllowed, WHOLE } from './damage-kinds.js';
import {
  assertGenuine,
  assertSetAside,
  copyOf,
  filesOf,
  flip,
  foldersOf,
  killedStore,
  newDirectory,
  originalsOf,
  put,
  type Scene,
  type Served,
  type Start,
  served,
  start,
} from './damage-scene.js';

/** What is served, and what of each kind. */
type All = Served & { readonly kinds: Readonly<Record<Kind, Found>> };

let scene: Scene;
let whole: All;

async function allOf(started: Start): Promise<All> {
  return { ...(await served(started)), kinds: await foundIn(started.engine) };
}

before(async () => {
  scene = await killedStore();
  const healthy = await start(copyOf(scene));
  assert.deepEqual(healthy.lines, []);
  whole = await allOf(healthy);
  assert.deepEqual(whole.kinds, WHOLE);
  await healthy.engine.stop();
  assert.ok(Object.keys(whole.retained).length > 250);
  assert.ok(scene.ended.size > 0 && !whole.subscriptions.some((subscription) => scene.ended.has(subscription)));
});

interface Outcome {
  readonly found: All;
  readonly started: Start;
  readonly directory: string;
}

/** Damages a copy, starts a broker on it, and checks what holds for any damage. */
async function outcomeOf(damage: (store: string) => void, from = scene): Promise<Outcome> {
  const directory = copyOf(from);
  damage(join(directory, 'store'));
  const originals = originalsOf(directory);
  const started = await start(directory);
  const found = await allOf(started);
  await started.engine.stop();
  assertGenuine(scene, found, whole);
  for (const kind of KINDS) assert.ok(isAllowed(kind, found.kinds[kind]), `${kind} is ${found.kinds[kind]}`);
  if (started.damages.some(({ kind }) => kind === 'files')) {
    assertSetAside(directory, originals);
    assert.ok(started.engine.broker.counters.damaged > 0);
    assert.match(started.lines.join('\n'), /the store was damaged: .*damaged-/);
  } else assert.deepEqual(foldersOf(directory), []);
  const again = await start(directory);
  assert.deepEqual(again.lines, [], 'a second start says nothing any more');
  await again.engine.stop();
  return { found, started, directory };
}

const filesLike = (pattern: RegExp, { directory } = scene): string[] =>
  filesOf(directory).filter((name) => pattern.test(name));
const sizeOf = (name: string, { directory } = scene): number => statSync(join(directory, 'store', name)).size;

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)];
}

test('the scene has several tables and a log', () => {
  assert.ok(filesLike(/ldb$/).length >= 2, filesOf(scene.directory).join(' '));
  assert.ok(filesLike(/log$/).some((name) => sizeOf(name) > 32768));
});

test('a flipped bit in a table costs no more than its block, and what was there is named', async () => {
  const tables = { ...scene, directory: copyOf(scene) };
  // Makes a table of the log.
  await put(tables.directory);
  for (const seed of seeds(14)) {
    const random = mulberry32(seed);
    const name = pick(random, filesLike(/ldb$/, tables));
    const at = random(sizeOf(name, tables));
    const { found, started } = await outcomeOf((store) => flip(join(store, name), at, random(8)), tables);
    const files = started.damages.find((damage) => damage.kind === 'files');
    // Bytes of the footer that mean nothing are not missed.
    if (files === undefined) assert.deepEqual(found, whole, `seed ${seed}: ${name} at ${at}`);
    else {
      const { gaps, changes } = files.losses;
      assert.equal(changes, 0);
      assert.ok(gaps.length <= 1, 'one block');
      if (gaps.length === 0) assert.deepEqual(found, whole, `seed ${seed}: ${name} at ${at}`);
      const [gap] = gaps;
      for (const [topic, payload] of Object.entries(whole.retained)) {
        // Others are of wills, or of kinds.
        if (!topic.startsWith('r/')) continue;
        const key = Buffer.from(`\x10${topic}`);
        const inGap =
          gap !== undefined &&
          (gap.after === null || Buffer.compare(key, gap.after) >= 0) &&
          Buffer.compare(key, gap.upTo) <= 0;
        if (!inGap) assert.equal(found.retained[topic], payload, `seed ${seed}: ${topic}`);
      }
    }
  }
});

/** Most messages of one queue that the scene publishes before it waits for their commit: its own and shared ones. */
const IN_ONE_GROUP = 20;

test('a flipped bit in the log costs no more than the commit that it was in', async () => {
  for (const seed of seeds(12)) {
    const random = mulberry32(seed);
    const name = pick(random, filesLike(/log$/));
    const at = random(sizeOf(name));
    const { found, started } = await outcomeOf((store) => flip(join(store, name), at, random(8)));
    if (started.damages.length === 0) assert.deepEqual(found, whole, `seed ${seed}: nothing is lost without a word`);
    for (const [client, payloads] of Object.entries(whole.queues)) {
      const missing = payloads.length - (found.queues[client]?.length ?? 0);
      assert.ok(missing <= IN_ONE_GROUP, `seed ${seed}: ${missing} messages of ${client} are missing`);
    }
    for (const damage of started.damages) {
      if (damage.kind !== 'files') continue;
      assert.deepEqual(damage.losses.gaps, []);
      assert.deepEqual(damage.losses.values, []);
    }
  }
});

test('a log that ends anywhere is a write that was cut off, and no damage', async () => {
  for (const seed of seeds(10)) {
    const random = mulberry32(seed);
    const name = pick(random, filesLike(/log$/));
    const { started } = await outcomeOf((store) => truncateSync(join(store, name), random(sizeOf(name))));
    assert.ok(started.damages.every(({ kind }) => kind === 'torn'));
    assert.equal(started.engine.broker.counters.damaged, 0);
  }
});

test('zeros behind the end of a log are a write that was cut off', async () => {
  const [name] = filesLike(/log$/);
  const { found, started } = await outcomeOf((store) => {
    const path = join(store, name);
    writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(5000)]));
  });
  assert.deepEqual(
    started.damages.map(({ kind }) => kind),
    ['torn'],
  );
  assert.deepEqual(found, whole);
});

test('of a table that ends too early everything before is served', async () => {
  for (const seed of seeds(8)) {
    const random = mulberry32(seed);
    const name = pick(random, filesLike(/ldb$/));
    const length = random(sizeOf(name));
    const { found } = await outcomeOf((store) => truncateSync(join(store, name), length));
    // Only the footer is gone.
    if (length > sizeOf(name) - 48) assert.deepEqual(found, whole);
  }
});

test('a table without its footer and index is read all the same', async () => {
  for (const name of filesLike(/ldb$/)) {
    const { found } = await outcomeOf((store) => truncateSync(join(store, name), sizeOf(name) - 48));
    assert.deepEqual(found, whole, name);
  }
});

for (const what of ['deleted', 'empty', 'cut', 'changed'] as const) {
  test(`a MANIFEST or CURRENT that is ${what} costs nothing`, async () => {
    for (const seed of seeds(what === 'deleted' || what === 'empty' ? 1 : 4)) {
      for (const name of filesLike(/MANIFEST|CURRENT/)) {
        const random = mulberry32(seed);
        const at = random(sizeOf(name));
        const { found } = await outcomeOf((store) => {
          const path = join(store, name);
          if (what === 'deleted') rmSync(path);
          else if (what === 'changed') flip(path, at, random(8));
          else truncateSync(path, what === 'empty' ? 0 : at);
        });
        assert.deepEqual(found, whole, `${name} ${what} at ${at}`);
      }
    }
  });
}

test('where a file cannot have two names all tables are written anew', async () => {
  const [first] = filesLike(/ldb$/);
  const { link } = fs.promises;
  let calls = 0;
  const refuse = async (from: string, to: string): Promise<void> => {
    // The first one is taken back.
    if (calls++ === 0) return await link(from, to);
    throw Object.assign(new Error('not permitted'), { code: 'EPERM' });
  };
  try {
    fs.promises.link = refuse as typeof link;
    syncBuiltinESMExports();
    const { found, directory } = await outcomeOf((store) => truncateSync(join(store, first), sizeOf(first) - 48));
    assert.deepEqual(found, whole);
    assert.ok(calls > 1);
    for (const name of filesOf(directory)) assert.equal(statSync(join(directory, 'store', name)).nlink, 1);
  } finally {
    fs.promises.link = link;
    syncBuiltinESMExports();
  }
});

test('a store that looks sound, and that LevelDB refuses, is mended all the same', async () => {
  const [manifest] = filesLike(/^MANIFEST/);
  const key = Buffer.concat([Buffer.from([0xff]), Buffer.from('0101000000000000', 'hex')]);
  const named = (level: number): Buffer[] => [
    ...[varint(7), varint(level), varint(999), varint(100)],
    ...[varint(key.length), key, varint(key.length), key],
  ];
  // LevelDB takes the table, which is not there, for one of level 5.
  const edit = Buffer.concat([...named(5), ...named(6), Buffer.concat([varint(6), varint(6), varint(999)])]);
  const { found, started } = await outcomeOf((store) => {
    const path = join(store, manifest);
    writeFileSync(path, Buffer.concat([readFileSync(path), fragment(edit)]));
  });
  assert.deepEqual(found, whole);
  assert.match(
    started.lines.join('\n'),
    /the store was damaged: the database cannot be read \(.*missing files.*000999/,
  );
});

test('a table or log that is deleted or empty costs what was in it', async () => {
  for (const name of filesLike(/ldb$|log$/)) {
    const { started } = await outcomeOf((store) => rmSync(join(store, name)));
    assert.match(started.lines.join('\n'), new RegExp(`${name} is missing`));
    await outcomeOf((store) => truncateSync(join(store, name), 0));
  }
});

test('several damages at once', async () => {
  for (const seed of seeds(8)) {
    const random = mulberry32(seed);
    await outcomeOf((store) => {
      for (let n = 0; n < 5; n++) {
        const name = pick(random, filesOf(join(store, '..')));
        const { size } = statSync(join(store, name));
        const kind = random(6);
        if (kind === 0) rmSync(join(store, name));
        else if (kind === 1) truncateSync(join(store, name), random(size + 1));
        else if (size > 0)
          for (let flips = random(20); flips >= 0; flips--) flip(join(store, name), random(size), random(8));
        if (filesOf(join(store, '..')).length === 0) return;
      }
    });
  }
});

test('files that are none of LevelDB are left alone', async () => {
  const directory = copyOf(scene);
  writeFileSync(join(directory, 'store', 'notes.txt'), 'mine');
  writeFileSync(join(directory, 'store', 'LOCK'), 'left over');
  const started = await start(directory);
  assert.deepEqual(await allOf(started), whole);
  await started.engine.stop();
  assert.deepEqual(started.lines, []);
  assert.equal(readFileSync(join(directory, 'store', 'notes.txt'), 'utf8'), 'mine');
});

test('folders that are made for messages are closed to other users; a store that is there keeps its mode', async () => {
  const directory = newDirectory();
  const modeOf = (name: string): number => statSync(join(directory, name)).mode & 0o777;
  const umask = process.umask(0o022);
  try {
    await (await start(directory)).engine.stop();
    assert.equal(modeOf('store'), 0o700);
    chmodSync(join(directory, 'store'), 0o750);
    await (await start(directory)).engine.stop();
    assert.equal(modeOf('store'), 0o750);
    rmSync(join(directory, 'store', 'CURRENT'));
    await (await start(directory)).engine.stop();
    assert.equal(modeOf('store'), 0o700);
    assert.equal(modeOf(foldersOf(directory)[0]), 0o700);
    assert.equal(modeOf(join(foldersOf(directory)[0], 'store')), 0o750);
  } finally {
    process.umask(umask);
  }
});
