/** What the reader of a store's files finds is what LevelDB finds, whatever was written, merged and interrupted before. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Aside } from '../../src/store/aside.js';
import type { Damage } from '../../src/store/damage.js';
import { everything, versionKey } from '../../src/store/keys.js';
import { LevelStore } from '../../src/store/level-store.js';
import { type Inspection, inspect } from '../../src/store/leveldb/inspection.js';
import { maintain } from '../../src/store/maintenance.js';
import { type Losses, noLosses, salvage } from '../../src/store/salvage.js';
import { sealAll } from '../../src/store/seal.js';
import type { Operation } from '../../src/store/store.js';
import { mulberry32, type Random } from '../support/disk.js';
import { seeds } from '../support/seeds.js';
import { batchOf, keyOf, SmallTables } from './random-batches.js';

const WRITER = fileURLToPath(new URL('./random-writer.js', import.meta.url));

const root = mkdtempSync(join(tmpdir(), 'portico-salvage-'));
after(() => rmSync(root, { recursive: true, force: true }));

const newDirectory = (): string => join(mkdtempSync(join(root, 'store-')), 'store');

type Contents = Map<string, string>;

/** Reads a copy with LevelDB, which changes what it opens. */
async function asLevelDb(directory: string): Promise<Contents> {
  const copy = newDirectory();
  cpSync(directory, copy, { recursive: true });
  const db = new SmallTables(copy);
  try {
    const contents: Contents = new Map();
    for await (const [key, value] of db.iterator()) contents.set(key.toString('hex'), value.toString('base64'));
    return contents;
  } finally {
    await db.close();
    rmSync(copy, { recursive: true });
  }
}

/** Reads with the reader of damaged stores. */
async function asSalvaged(inspection: Inspection, losses: Losses): Promise<Contents> {
  const contents: Contents = new Map();
  for await (const { key, value } of salvage(inspection, losses)) {
    contents.set(key.toString('hex'), value.toString('base64'));
  }
  return contents;
}

/** Reads a sound store with the reader of damaged ones. */
async function asSalvagedWhole(inspection: Inspection): Promise<Contents> {
  const losses = noLosses();
  const contents = await asSalvaged(inspection, losses);
  assert.deepEqual(losses, noLosses());
  return contents;
}

async function assertSame(directory: string, words: string): Promise<Inspection> {
  const inspection = await inspect(directory, () => false);
  assert.deepEqual(inspection.faults, [], `${words}: a healthy store`);
  const salvaged = await asSalvagedWhole(inspection);
  const expected = await asLevelDb(directory);
  assert.equal(salvaged.size, expected.size, words);
  for (const [key, value] of expected) assert.ok(salvaged.get(key) === value, `${words}: ${key}`);
  return inspection;
}

/** From opening a store to closing it: so many batches, with about one compaction. */
async function live(
  random: Random,
  directory: string,
  { least, beyond, compression = true }: { least: number; beyond: number; compression?: boolean },
): Promise<void> {
  const db = new SmallTables(directory, compression);
  await db.open();
  for (let n = least + random(beyond); n > 0; n--) {
    await db.batch(batchOf(random), { sync: false });
    if (random(least) > 0) continue;
    const ends = [keyOf(random), keyOf(random)].sort(Buffer.compare);
    await db.compactRange(ends[0], ends[1]);
  }
  await db.close();
}

for (const compression of [true, false]) {
  test(`what was put, overwritten and deleted over many tables is salvaged as LevelDB reads it, ${compression ? 'with' : 'without'} compression`, async () => {
    for (const seed of seeds(2)) {
      const random = mulberry32(seed);
      const directory = newDirectory();
      for (let life = 0; life < 3; life++) {
        await live(random, directory, { least: 25, beyond: 25, compression });
        const inspection = await assertSame(directory, `seed ${seed}, life ${life}`);
        assert.deepEqual(inspection.torn, [], 'it was closed');
        if (life < 2) continue;
        assert.ok((inspection.manifest?.tables.size ?? 0) > 1, 'several tables');
        // Without a MANIFEST all files are read: none of them may bring back what was deleted.
        assert.deepEqual(await asSalvagedWhole({ ...inspection, manifest: null }), await asLevelDb(directory));
      }
    }
  });
}

test('a store whose writer was killed in the middle of writes and compactions is healthy, and salvaged as LevelDB reads it', async () => {
  for (const seed of seeds(4)) {
    const directory = newDirectory();
    const random = mulberry32(seed);
    for (let life = 0; life < 3; life++) {
      const writer = spawn(process.execPath, [WRITER, directory, String(seed * 10 + life)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = new Promise((resolve) => writer.once('exit', (_code, signal) => resolve(signal)));
      const last = 1 + random(80);
      for await (const line of createInterface(writer.stdout)) if (Number(line) >= last) break;
      writer.kill('SIGKILL');
      assert.equal(await exited, 'SIGKILL');
      assert.ok(readdirSync(directory).length > 0);
      await assertSame(directory, `seed ${seed}, life ${life}, killed behind batch ${last}`);
    }
  }
});

/** Changes bits of a file, or cuts it, where chance says. */
function damage(random: Random, path: string): void {
  const bytes = readFileSync(path);
  if (random(3) === 0) {
    truncateSync(path, random(bytes.length));
    return;
  }
  for (let n = 1 + random(5); n > 0; n--) bytes[random(bytes.length)] ^= 1 << random(8);
  writeFileSync(path, bytes);
}

/** A store of many tables in several levels, and a log. */
async function manyTables(random: Random): Promise<string> {
  const directory = newDirectory();
  for (let life = 0; life < 3; life++) await live(random, directory, { least: 40, beyond: 20 });
  return directory;
}

test('a store with damaged tables and logs is mended beside its sound tables, and holds what a copy of everything would', async () => {
  let [linked, behind] = [0, 0];
  for (const seed of seeds(3)) {
    const random = mulberry32(seed);
    const directory = await manyTables(random);
    const { files, manifest } = await inspect(directory, () => false);
    assert.ok(manifest !== null);
    const live = [...manifest.tables.keys()].map((number) => files.tables.get(number) as string);
    for (let round = 0; round < 4; round++) {
      const copy = newDirectory();
      cpSync(directory, copy, { recursive: true });
      for (let n = 1 + random(2); n > 0; n--) damage(random, join(copy, live[random(live.length)]));
      if (random(2) === 0) for (const name of files.logs.values()) damage(random, join(copy, name));
      const names = readdirSync(copy).filter((name) => !/^(LOG|LOG\.old|LOCK)$/.test(name));
      const before = new Map(names.map((name) => [name, readFileSync(join(copy, name))]));
      const inspection = await inspect(copy, () => false);
      const losses = noLosses();
      const expected = await asSalvaged(inspection, losses);
      const told: Damage[] = [];
      const { mended } = await maintain(
        { directory: copy, aside: new Aside(dirname(copy)), tell: (damage) => told.push(damage), ended: () => false },
        true,
      );
      const words = `seed ${seed}, round ${round}`;
      assert.equal(mended, inspection.faults.length > 0, words);
      if (!mended) continue;
      const [damaged] = told;
      assert.ok(damaged.kind === 'files');
      assert.deepEqual({ ...damaged.losses, values: [] }, { ...losses, values: [] }, words);
      const found = await asLevelDb(copy);
      found.delete(versionKey().toString('hex'));
      assert.deepEqual(found, expected, words);
      assert.deepEqual((await inspect(copy, () => false)).faults, [], words);
      for (const [name, bytes] of before) {
        assert.ok(
          readFileSync(join(damaged.folder, 'store', name)).equals(bytes),
          `${words}: ${name} is not what it was`,
        );
        if (name.endsWith('.ldb') && statSync(join(damaged.folder, 'store', name)).nlink === 2) linked++;
      }
      if (inspection.faults.some(({ file }) => file.endsWith('.ldb'))) behind++;
    }
  }
  assert.ok(linked > behind && behind > 5, `${linked} tables were kept in ${behind} stores with damaged ones`);
});

/** A store of two tables, of which the second has an entry that LevelDB does not read, and right checksums. */
async function unreadable(): Promise<{ directory: string; tableOf(group: string): Promise<string> }> {
  const directory = newDirectory();
  const nameOf = (group: string, i: number): string => `\x10${group}/${i + 1000}`;
  const put = (group: string, i: number): Operation => ({
    type: 'put',
    key: Buffer.from(nameOf(group, i)),
    value: Buffer.alloc(100, group),
  });
  for (const group of ['a', 'b', '']) {
    const db = new SmallTables(directory, false);
    await db.open();
    if (group !== '') await db.batch(sealAll(Array.from({ length: 300 }, (_, i) => put(group, i))));
    await db.close();
  }
  const tableOf = async (group: string): Promise<string> => {
    const { files, manifest } = await inspect(directory, () => false);
    const table = [...(manifest?.tables.values() ?? [])].find(({ smallest }) => smallest[1] === group.charCodeAt(0));
    return join(directory, files.tables.get(table?.number ?? -1) as string);
  };
  // LevelDB does not look at the checksum of what it merges: here the kind of a change, behind a key that stands whole.
  const merged = readFileSync(await tableOf('b'));
  let at = -1;
  for (let i = 100; at < 0; i++) at = merged.indexOf(nameOf('b', i), 0, 'latin1');
  merged[at + nameOf('b', 0).length] ^= 0x10;
  writeFileSync(await tableOf('b'), merged);
  const db = new SmallTables(directory, false);
  await db.open();
  await db.batch(sealAll([put('b', 0), put('b', 299)]));
  await db.compactRange(Buffer.from(nameOf('b', 0)), Buffer.from(nameOf('b', 299)));
  await db.close();
  assert.deepEqual((await inspect(directory, () => false)).faults, []);
  await assert.rejects(asLevelDb(directory), /corrupted internal key/);
  return { directory, tableOf };
}

test('what LevelDB does not read of a table whose checksums are right costs that entry, not the start', async () => {
  const { directory } = await unreadable();
  const losses = noLosses();
  const expected = await asSalvaged({ ...(await inspect(directory, () => false)), manifest: null }, losses);
  assert.equal(losses.gaps.length, 1);
  const store = new LevelStore(directory);
  const told: Damage[] = [];
  store.onDamage = (damage) => told.push(damage);
  await store.open();
  const found: Contents = new Map();
  for await (const [key, value] of store.entries(everything()))
    found.set(key.toString('hex'), value.toString('base64'));
  found.delete(versionKey().toString('hex'));
  assert.deepEqual([...found.keys()], [...expected.keys()]);
  assert.equal(told.length, 1, 'once');
  await store.close();
  const [damage] = told;
  assert.ok(damage.kind === 'files');
  assert.match(damage.faults[0].what, /cannot be read .*corrupted internal key/);
  assert.deepEqual(damage.losses, losses);
});

test('what LevelDB does not read of a table whose checksums are right costs that entry also where another table is damaged', async () => {
  const { directory, tableOf } = await unreadable();
  const bytes = readFileSync(await tableOf('a'));
  bytes[bytes.length >> 1] ^= 1;
  writeFileSync(await tableOf('a'), bytes);
  const losses = noLosses();
  const expected = await asSalvaged(await inspect(directory, () => false), losses);
  assert.equal(losses.gaps.length, 2);
  const told: Damage[] = [];
  const aside = new Aside(dirname(directory));
  await maintain({ directory, aside, tell: (damage) => told.push(damage), ended: () => false }, true);
  const found = await asLevelDb(directory);
  found.delete(versionKey().toString('hex'));
  assert.deepEqual(found, expected);
  assert.ok(told[0].kind === 'files');
  assert.deepEqual(told[0].losses, losses);
});
