/** What the reader of a store's files finds is what LevelDB finds, whatever was written, merged and interrupted before. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Inspection, inspect } from '../../src/store/leveldb/inspection.js';
import { type Losses, salvage } from '../../src/store/salvage.js';
import { mulberry32 } from '../support/disk.js';
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
  const contents: Contents = new Map();
  for await (const [key, value] of db.iterator()) contents.set(key.toString('hex'), value.toString('base64'));
  await db.close();
  rmSync(copy, { recursive: true });
  return contents;
}

/** Reads with the reader of damaged stores. */
async function asSalvaged(inspection: Inspection): Promise<Contents> {
  const losses: Losses = { changes: 0, bytes: 0, gaps: [], values: [] };
  const contents: Contents = new Map();
  for await (const { key, value } of salvage(inspection, losses)) {
    contents.set(key.toString('hex'), value.toString('base64'));
  }
  assert.deepEqual(losses, { changes: 0, bytes: 0, gaps: [], values: [] });
  return contents;
}

async function assertSame(directory: string, words: string): Promise<Inspection> {
  const inspection = await inspect(directory, () => false);
  assert.deepEqual(inspection.faults, [], `${words}: a healthy store`);
  const salvaged = await asSalvaged(inspection);
  const expected = await asLevelDb(directory);
  assert.equal(salvaged.size, expected.size, words);
  for (const [key, value] of expected) assert.ok(salvaged.get(key) === value, `${words}: ${key}`);
  return inspection;
}

for (const compression of [true, false]) {
  test(`what was put, overwritten and deleted over many tables is salvaged as LevelDB reads it, ${compression ? 'with' : 'without'} compression`, async () => {
    for (const seed of seeds(2)) {
      const random = mulberry32(seed);
      const directory = newDirectory();
      for (let life = 0; life < 3; life++) {
        const db = new SmallTables(directory, compression);
        await db.open();
        for (let n = 25 + random(25); n > 0; n--) {
          await db.batch(batchOf(random), { sync: false });
          if (random(25) > 0) continue;
          const ends = [keyOf(random), keyOf(random)].sort(Buffer.compare);
          await db.compactRange(ends[0], ends[1]);
        }
        await db.close();
        const inspection = await assertSame(directory, `seed ${seed}, life ${life}`);
        assert.deepEqual(inspection.torn, [], 'it was closed');
        if (life < 2) continue;
        assert.ok((inspection.manifest?.tables.size ?? 0) > 1, 'several tables');
        // Without a MANIFEST all files are read: none of them may bring back what was deleted.
        assert.deepEqual(await asSalvaged({ ...inspection, manifest: null }), await asLevelDb(directory));
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
