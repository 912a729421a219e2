/** Mending a store where there is no room for it, or somebody else is at it; and what is no damage. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Level } from 'level';
import { isDamage } from '../../src/store/level-errors.js';
import { LevelStore } from '../../src/store/level-store.js';
import { SmallDisk } from '../support/small-disk.js';
import { foldersOf, newDirectory } from './damage-scene.js';

const RECORDS = 300;
const keyOf = (i: number): Buffer => Buffer.from([0x23, i >> 8, i & 0xff]);

/** A store of about 3 MB that does not compress, closed. */
async function newStore(path: string): Promise<void> {
  const store = new LevelStore(path);
  await store.open();
  for (let i = 0; i < RECORDS; i++) {
    const value = Buffer.from(Array.from({ length: 10_000 }, (_, at) => (at * (i + 7) * 31 + ((at * at) >> 5)) & 0xff));
    await store.write([{ type: 'put', key: keyOf(i), value }], false);
  }
  await store.close();
}

function smallDisk(context: TestContext, megabytes: number): SmallDisk {
  const disk = new SmallDisk(megabytes);
  context.after(() => disk.remove());
  return disk;
}

async function assertWhole(path: string): Promise<void> {
  const store = new LevelStore(path);
  await store.open();
  for (let i = 0; i < RECORDS; i++) assert.equal((await store.get(keyOf(i)))?.length, 10_000, `${i}`);
  await store.close();
}

test('a disk that is full while a store is mended: the start says so, gives back what it took, and mends it when there is room', async (context) => {
  const origin = join(newDirectory(), 'store');
  await newStore(origin);
  const disk = smallDisk(context, 12);
  const path = join(disk.path, 'store');
  cpSync(origin, path, { recursive: true });
  writeFileSync(join(path, 'CURRENT'), '');
  disk.fill(7);
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(new LevelStore(path).open(), { code: 'PORTICO_STORE_OPEN', message: /the disk is full/ });
    assert.ok(!existsSync(`${path}.rebuilding`));
    assert.deepEqual(foldersOf(disk.path), []);
    assert.equal(readFileSync(join(path, 'CURRENT'), 'utf8'), '');
  }
  disk.empty();
  await assertWhole(path);
  assert.equal(foldersOf(disk.path).length, 1);
});

test('a damaged table is mended with room for that table only: sound ones are not written anew', async (context) => {
  const disk = smallDisk(context, 14);
  const path = join(disk.path, 'store');
  // Each start makes a table of what the one before has left in the log: four of about 2 MB.
  const LIVES = 4;
  const contentOf = (life: number, i: number): Buffer => {
    const bytes = Buffer.alloc(10_000);
    for (let at = 0; at < bytes.length; at += 32)
      createHash('sha256').update(`${life} ${i} ${at}`).digest().copy(bytes, at);
    return bytes;
  };
  for (let life = 0; life <= LIVES; life++) {
    const store = new LevelStore(path);
    await store.open();
    const puts = Array.from({ length: life === LIVES ? 1 : 200 }, (_, i) => i);
    for (const i of puts) {
      await store.write([{ type: 'put', key: Buffer.from([0x23, life, i]), value: contentOf(life, i) }], false);
    }
    await store.close();
  }
  const tables = readdirSync(path).filter((name) => name.endsWith('.ldb'));
  assert.ok(tables.length >= LIVES, `${tables}`);
  const sizes = tables.map((name) => statSync(join(path, name)).size);
  const bytes = readFileSync(join(path, tables[1]));
  bytes[bytes.length >> 1] ^= 1;
  writeFileSync(join(path, tables[1]), bytes);
  const { bavail, bsize } = statfsSync(disk.path);
  const whole = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(whole > bavail * bsize, `${bavail * bsize} bytes have no room for ${whole}`);
  const store = new LevelStore(path);
  await store.open();
  let missing = 0;
  for (let life = 0; life < LIVES; life++) {
    for (let i = 0; i < 200; i++) {
      const found = await store.get(Buffer.from([0x23, life, i]));
      if (found === undefined) missing++;
      else assert.ok(found.equals(contentOf(life, i)));
    }
  }
  assert.ok(missing === 1, `${missing} values are gone, each of which is a block`);
  await store.close();
  assert.equal(foldersOf(disk.path).length, 1);
});

test('a store that another process is mending is left to it', async () => {
  const path = join(newDirectory(), 'store');
  await newStore(path);
  writeFileSync(join(path, 'CURRENT'), '');
  const other = new Level(`${path}.rebuilding`);
  await other.open();
  await assert.rejects(new LevelStore(path).open(), { code: 'PORTICO_STORE_OPEN', message: /another process uses it/ });
  await other.put('still', 'there');
  assert.ok(existsSync(join(`${path}.rebuilding`, 'CURRENT')));
  await other.close();
  // It was killed: its work is done again.
  await assertWhole(path);
  assert.equal(foldersOf(dirname(path)).length, 1);
});

test('a full disk is no damage, for which a whole store would be read', async (context) => {
  const disk = smallDisk(context, 2);
  const store = new LevelStore(join(disk.path, 'store'));
  await store.open();
  disk.fill();
  const value = Buffer.alloc(100_000);
  await assert.rejects(store.write([{ type: 'put', key: keyOf(0), value }], true), (error) => {
    assert.match(String(error), /no space left/i);
    return !isDamage(error);
  });
  await store.close();
});

test('without room to mend it, a store in which damage turns up stays open and serves the rest', async (context) => {
  const disk = smallDisk(context, 8);
  const path = join(disk.path, 'store');
  const value = Buffer.from('abcd'.repeat(2000));
  const writer = new LevelStore(path);
  await writer.open();
  for (let i = 0; i < RECORDS; i++) await writer.write([{ type: 'put', key: keyOf(i), value }], false);
  await writer.close();
  // The log becomes a table.
  const store = new LevelStore(path);
  await store.open();
  const name = readdirSync(path).find((name) => name.endsWith('.ldb'));
  assert.ok(name !== undefined);
  const bytes = readFileSync(join(path, name));
  // A copy of four bytes before in a compressed block now reaches behind the beginning: it does not unpack any more.
  const at = bytes.indexOf(Buffer.from([0xfe, 4, 0]), bytes.length >> 1) + 2;
  const file = openSync(join(path, name), 'r+');
  writeSync(file, Buffer.from([0x80]), 0, 1, at);
  closeSync(file);
  disk.fill();
  const read = async (): Promise<number> => {
    let failed = 0;
    for (let i = 0; i < RECORDS; i++) {
      const found = await store.get(keyOf(i)).catch((error) => assert.match(String(error), /no space left/));
      if (found === undefined) failed++;
      else assert.ok(found.equals(value));
    }
    return failed;
  };
  const failed = await read();
  assert.ok(failed > 0 && failed < 20, `${failed}`);
  assert.deepEqual(foldersOf(disk.path), []);
  disk.empty();
  assert.equal(await read(), failed, 'what was in the block is gone, and the rest is there');
  assert.equal(foldersOf(disk.path).length, 1);
  await store.close();
});

test('only the record that was meant is set aside, not what was written under its key meanwhile', async () => {
  const directory = newDirectory();
  const store = new LevelStore(join(directory, 'store'));
  await store.open();
  const key = keyOf(0);
  await store.write([{ type: 'put', key, value: Buffer.from('old and new') }], true);
  await store.setAside([{ key, value: Buffer.from('old'), why: 'it does not decode' }]);
  assert.equal(String(await store.get(key)), 'old and new');
  // Folders may be deleted at any time.
  for (const folder of foldersOf(directory)) rmSync(join(directory, folder), { recursive: true });
  await store.setAside([{ key, value: Buffer.from('old and new'), why: 'it does not decode' }]);
  assert.equal(await store.get(key), undefined);
  assert.equal(foldersOf(directory).length, 1);
  await store.close();
});
