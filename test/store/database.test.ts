/** The batch that is kept from one change to the next holds nothing of the former one, and everything of its own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Database } from '../../src/store/database.js';
import { everything } from '../../src/store/keys.js';
import { unsealed } from '../../src/store/seal.js';
import type { Operation } from '../../src/store/store.js';

const root = mkdtempSync(join(tmpdir(), 'portico-database-'));
after(() => rmSync(root, { recursive: true, force: true }));

const newDatabase = (): Database => new Database(join(mkdtempSync(join(root, 'of-')), 'store'));

const put = (key: string, value: Buffer): Operation => ({ type: 'put', key: Buffer.from(key), value });
const del = (key: string): Operation => ({ type: 'del', key: Buffer.from(key) });

/** Lengths of the values that are there, by key; each is what was written under its key. */
async function lengthsIn(db: Database): Promise<Record<string, number>> {
  const lengths: Record<string, number> = {};
  for await (const [key, stored] of db.iterator(everything())) {
    const value = unsealed(key, stored);
    assert.ok(value !== undefined, `${key} is sealed`);
    assert.deepEqual(value, Buffer.alloc(value.length, key));
    lengths[key.toString()] = value.length;
  }
  return lengths;
}

test('each change is applied by itself, whatever the one before it held', async () => {
  const db = newDatabase();
  await db.open();
  const of = (key: string, length: number): Operation => put(key, Buffer.alloc(length, key));
  await db.apply([of('a', 3), of('b', 0)], true);
  await db.apply([del('a')], false);
  // By itself: a change made again would undo it.
  await db.del(Buffer.from('b'));
  await db.apply([of('c', 5)], false);
  assert.deepEqual(await lengthsIn(db), { c: 5 });
  // The last change stands, also of one key.
  await db.apply([of('c', 6), del('c'), of('c', 7), of('d', 1), del('d')], true);
  assert.deepEqual(await lengthsIn(db), { c: 7 });
  await db.close();
});

test('values of any length are sealed, in changes that are kept and in those that are too large for it', async () => {
  const db = newDatabase();
  await db.open();
  const expected: Record<string, number> = {};
  for (const length of [0, 1, 65_531, 65_532, 65_533, 1_048_570, 1_048_576, 3_000_000]) {
    const key = `v${length}`;
    await db.apply([put(key, Buffer.alloc(length, key)), put('w', Buffer.alloc(9, 'w'))], false);
    expected[key] = length;
  }
  assert.deepEqual(await lengthsIn(db), { ...expected, w: 9 });
  await db.close();
});

test('a change that cannot be taken leaves nothing behind for the next one', async () => {
  const db = newDatabase();
  await db.open();
  let asked = 0;
  const broken: Operation = {
    type: 'put',
    key: Buffer.from('b'),
    get value() {
      if (asked++ > 0) throw new TypeError('not again');
      return Buffer.from('b');
    },
  };
  await assert.rejects(db.apply([put('a', Buffer.from('a')), broken], true), TypeError);
  await db.apply([put('c', Buffer.from('c'))], true);
  assert.deepEqual(await lengthsIn(db), { c: 1 });
  await db.close();
});

test('a closed database refuses changes, and takes them again when it is opened', async () => {
  const db = newDatabase();
  await db.open();
  for (const length of [1, 3_000_000]) {
    await db.apply([put('a', Buffer.alloc(length, 'a'))], true);
    await db.close();
    await assert.rejects(db.apply([put('b', Buffer.alloc(length, 'b'))], true), { code: 'LEVEL_DATABASE_NOT_OPEN' });
    await db.open();
    await db.apply([put('c', Buffer.alloc(length, 'c'))], true);
    assert.deepEqual(await lengthsIn(db), { a: length, c: length });
  }
  await db.close();
});
