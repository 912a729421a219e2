/** LevelDB's MANIFEST, read and written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fragment, varint } from '../../src/store/leveldb/log-writer.js';
import { manifestOf, readManifest } from '../../src/store/leveldb/manifest.js';

/** A key with what LevelDB puts behind it. */
const keyOf = (key: string): Buffer => Buffer.concat([Buffer.from(key), Buffer.from('0101000000000000', 'hex')]);
const string = (bytes: Buffer): Buffer => Buffer.concat([varint(bytes.length), bytes]);
const COMPARATOR = [varint(1), string(Buffer.from('leveldb.BytewiseComparator'))];
const NUMBERS = [varint(2), varint(5), varint(3), varint(9), varint(4), varint(7)];

function table(level: number, number: number, first = keyOf('a'), last = keyOf('b')): Buffer {
  return Buffer.concat([varint(7), varint(level), varint(number), varint(100), string(first), string(last)]);
}

const read = (...parts: readonly Buffer[]) => readManifest(fragment(Buffer.concat(parts)));

test('what is written is read, also what takes many blocks', () => {
  const tables = Array.from({ length: 2000 }, (_, i) => {
    const [smallest, largest] = [Buffer.from(`key ${10_000 + 2 * i}`), Buffer.from(`key ${10_001 + 2 * i}`)];
    const [first, last] = [keyOf(String(smallest)), keyOf(String(largest))];
    return { number: 2 ** 40 + i, level: i % 7, size: 2 ** 33 + i, first, last, smallest, largest };
  });
  const bytes = manifestOf(tables, 2 ** 41, 2 ** 50);
  assert.ok(bytes.length > 2 * 32_768);
  assert.deepEqual(readManifest(bytes), {
    tables: new Map(tables.map((table) => [table.number, table])),
    logNumber: 2 ** 41,
    previousLog: 0,
    lastSequence: 2 ** 50,
    damaged: false,
  });
});

test('a table is gone from the level that it is deleted from, as LevelDB has it', () => {
  const moved = read(...COMPARATOR, ...NUMBERS, table(1, 8), varint(6), varint(1), varint(8), table(2, 8));
  assert.equal(moved.tables.get(8)?.level, 2);
  assert.equal(read(...COMPARATOR, ...NUMBERS, table(1, 8), varint(6), varint(1), varint(8)).tables.size, 0);
  assert.equal(read(...COMPARATOR, ...NUMBERS, table(1, 8), varint(6), varint(2), varint(8)).tables.size, 1);
});

const damages: readonly [string, readonly Buffer[]][] = [
  ['another order of keys', [varint(1), string(Buffer.from('mine')), ...NUMBERS]],
  ['no number of the log', [...COMPARATOR, ...NUMBERS.slice(2)]],
  ['no number of the next file', [...COMPARATOR, ...NUMBERS.slice(0, 2), ...NUMBERS.slice(4)]],
  ['no number of the last change', [...COMPARATOR, ...NUMBERS.slice(0, 4)]],
  ['a level that is none', [...COMPARATOR, ...NUMBERS, table(7, 8)]],
  ['a table without a number', [...COMPARATOR, ...NUMBERS, table(1, 0)]],
  ['a key that is too short', [...COMPARATOR, ...NUMBERS, table(1, 8, Buffer.from('short'))]],
  ['tables of one level that overlap', [...COMPARATOR, ...NUMBERS, table(1, 8), table(1, 9)]],
  ['an unknown tag', [...COMPARATOR, ...NUMBERS, varint(8)]],
  ['an edit that ends too early', [...COMPARATOR, ...NUMBERS, varint(6)]],
];
for (const [what, parts] of damages) {
  test(`${what}: LevelDB would refuse it or end the process, so it is damaged`, () => {
    assert.equal(read(...parts).damaged, true);
  });
}

test('tables of level 0 may overlap', () => {
  const { damaged, tables } = read(...COMPARATOR, ...NUMBERS, table(0, 8), table(0, 9));
  assert.deepEqual([damaged, tables.size], [false, 2]);
});
