/** The format of a backup (docs/backup.md): written, read in pieces of any size, and refused when anything is wrong. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Level } from 'level';
import { PorticoError } from '../../src/errors.js';
import { type BackupHeader, backupOf } from '../../src/store/backup.js';
import { BackupReader } from '../../src/store/backup-reader.js';
import type { Damage } from '../../src/store/damage.js';
import { versionKey } from '../../src/store/keys.js';
import { LevelStore } from '../../src/store/level-store.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { Operation, Store } from '../../src/store/store.js';
import { encodeVersion } from '../../src/store/upgrade.js';
import { mulberry32 } from '../support/disk.js';

const HEADER: BackupHeader = { portico: '0.1.0', store: 1, writer: '0.1.0', date: '2026-01-02T03:04:05.678Z' };
const VERSION: [Buffer, Buffer] = [versionKey(), encodeVersion({ version: 1, writer: '0.1.0' })];
const SMALL: [Buffer, Buffer][] = [
  VERSION,
  [Buffer.from('k'), Buffer.from('value')],
  [Buffer.from('l'), Buffer.alloc(0)],
];

const folder = mkdtempSync(join(tmpdir(), 'portico-backup-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

async function write(entries: AsyncIterable<[Buffer, Buffer]>, header = HEADER): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of backupOf(header, entries)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

interface Restored {
  readonly header: BackupHeader;
  readonly records: [string, string][];
}

const hex = (bytes: Buffer): string => bytes.toString('hex');

/** Reads a backup in pieces of `size` bytes. */
function read(bytes: Buffer, size = bytes.length): Restored {
  const records: [string, string][] = [];
  const reader = new BackupReader(undefined, (key, value) => records.push([hex(key), hex(value)]));
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
  const header = reader.end();
  assert.equal(reader.records, records.length);
  assert.equal(reader.bytes, bytes.length);
  return { header, records };
}

/** What a backup is refused with. */
function refusal(bytes: Buffer, size?: number): string {
  try {
    read(bytes, size);
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_BACKUP', String(error));
    return error.message;
  }
  return 'not refused';
}

/** A backup of any bytes with the right digest. */
function sealed(...parts: (Buffer | number[])[]): Buffer {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]);
}

const json = Buffer.from(JSON.stringify(HEADER));
const PREAMBLE = [...Buffer.from('PORTICOB'), 0, 1, 0, 0, 0, json.length, ...json];
const record = (key: number[], value: number[]): number[] => [
  0,
  0,
  0,
  key.length,
  0,
  0,
  0,
  value.length,
  ...key,
  ...value,
];
const end = (count: number): number[] => [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, count];

test('the bytes are those of docs/backup.md', async () => {
  const expected = sealed(PREAMBLE, record([1], [1]), record([0x10, 0x61], [7, 8]), end(2));
  const entries: [Buffer, Buffer][] = [
    [Buffer.from([1]), Buffer.from([1])],
    [Buffer.from([0x10, 0x61]), Buffer.from([7, 8])],
  ];
  assert.deepEqual(await write(each(entries)), expected);
});

test('an empty store has a backup too', async () => {
  const bytes = await write(each([]), { ...HEADER, store: 0, writer: '' });
  assert.deepEqual(read(bytes), { header: { ...HEADER, store: 0, writer: '' }, records: [] });
});

test('keys and values of any size come back, whatever the pieces in which they are read', async () => {
  const random = mulberry32(1);
  const store = new MemoryStore();
  const operations: Operation[] = [{ type: 'put', key: VERSION[0], value: VERSION[1] }];
  for (let i = 0; i < 200; i++) {
    const key = Buffer.from(Array.from({ length: 1 + random(40) }, () => 2 + random(250)));
    const length = random(20) === 0 ? random(300_000) : random(300);
    operations.push({ type: 'put', key, value: Buffer.alloc(length, random(256)) });
  }
  await store.write(operations, true);
  const expected: [string, string][] = [];
  for await (const [key, value] of store.snapshot()) expected.push([hex(key), hex(value)]);
  const bytes = await write(store.snapshot());
  for (const size of [1, 2, 13, 4096, 65_536, 100_000, bytes.length]) {
    const { header, records } = read(bytes, size);
    assert.deepEqual(header, HEADER);
    assert.equal(records.length, expected.length);
    assert.ok(
      records.every(([key, value], i) => key === expected[i][0] && value === expected[i][1]),
      `pieces of ${size}`,
    );
  }
});

test('a large value leaves in chunks of 64 KiB', async () => {
  const lengths: number[] = [];
  const entries = each<[Buffer, Buffer]>([VERSION, [Buffer.from('k'), Buffer.alloc(1_000_000)]]);
  for await (const chunk of backupOf(HEADER, entries)) lengths.push(chunk.length);
  assert.deepEqual(lengths.slice(0, 15), new Array(15).fill(65_536));
  assert.ok(lengths.every((length) => length <= 65_536));
});

test('any bit that differs is found', async () => {
  const bytes = await write(each(SMALL));
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [0, 3, 7]) {
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 1 << bit;
      assert.notEqual(refusal(damaged, 50), 'not refused', `byte ${at}, bit ${bit}`);
    }
  }
});

test('a backup that is cut short anywhere is refused', async () => {
  const bytes = await write(each(SMALL));
  assert.equal(refusal(Buffer.alloc(0)), 'it is empty');
  for (let length = 1; length < bytes.length; length++) {
    assert.match(refusal(bytes.subarray(0, length)), /^it is cut short after \d records$/, `${length} bytes`);
  }
});

test('nothing may follow the end', async () => {
  const bytes = await write(each(SMALL));
  assert.equal(refusal(Buffer.concat([bytes, Buffer.from([0])])), 'something follows its end');
  assert.equal(refusal(Buffer.concat([bytes, bytes]), 7), 'something follows its end');
});

test('what is whole and still no backup is refused in words', () => {
  const cases: [bytes: Buffer, sentence: RegExp][] = [
    [sealed(Buffer.from('another kind of file')), /not a backup of Portico/],
    [sealed(Buffer.from('PORTICOB'), [0, 2, 0, 0, 0, 2], Buffer.from('{}')), /format has version 2, .* knows 1/],
    [sealed(Buffer.from('PORTICOB'), [0, 1, 0, 0, 0, 2], Buffer.from('{}'), end(0)), /header is damaged/],
    [sealed(Buffer.from('PORTICOB'), [0, 1, 0, 0, 0, 0], end(0)), /header is damaged/],
    [sealed(Buffer.from('PORTICOB'), [0, 1, 0xff, 0, 0, 0], end(0)), /header is damaged/],
    [sealed(PREAMBLE, record([1], [1]), end(2)), /number of records/],
    [sealed(PREAMBLE, record([1], [2]), end(1)), /header and its records disagree/],
    [sealed(PREAMBLE, record([1], []), end(1)), /header and its records disagree/],
    [sealed(PREAMBLE, record([9], [1]), end(1)), /says no version/],
    [sealed(PREAMBLE, record([1], [1]), record([9], [1]), record([9], [2]), end(3)), /damaged behind 2 records/],
    [sealed(PREAMBLE, record([1], [1]), record([9], [1]), record([8], [2]), end(3)), /damaged behind 2 records/],
    [sealed(PREAMBLE, record([1], [1]), record([], [1]), end(2)), /damaged behind 1 records/],
    [sealed(PREAMBLE, [0xff, 0, 0, 0, 0, 0, 0, 0], end(0)), /damaged behind 0 records/],
    [sealed(PREAMBLE, [0, 0, 0, 1, 0xff, 0, 0, 0], end(0)), /damaged behind 0 records/],
  ];
  for (const [bytes, sentence] of cases) assert.match(refusal(bytes), sentence);
});

test('the header can refuse before any record is read', async () => {
  const reader = new BackupReader(
    () => {
      throw new Error('too new');
    },
    () => assert.fail('a record'),
  );
  const bytes = await write(each(SMALL));
  assert.throws(() => reader.push(bytes), /too new/);
});

for (const [name, open] of [
  ['memory', async () => new MemoryStore()],
  ['level', async () => new LevelStore(join(folder, 'level'))],
] as [string, () => Promise<Store>][]) {
  test(`a backup is one snapshot: what is written while it is read is not in it (${name})`, async () => {
    const store = await open();
    await store.open();
    const put = (key: string, value: string | Buffer): Operation => {
      return { type: 'put', key: Buffer.from(key), value: Buffer.from(value) };
    };
    const big = Buffer.alloc(100_000, 'x');
    await store.write([{ type: 'put', key: VERSION[0], value: VERSION[1] }], true);
    for (const key of ['a', 'b', 'c', 'd']) await store.write([put(key, big)], true);
    const reader = new BackupReader(undefined, (key, value) => seen.set(key.latin1Slice(), value.length));
    const seen = new Map<string, number>();
    let first = true;
    for await (const chunk of backupOf(HEADER, store.snapshot())) {
      reader.push(chunk);
      if (!first) continue;
      first = false;
      await store.write(
        [put('a', 'new'), put('d', 'new'), put('e', 'new'), { type: 'del', key: Buffer.from('c') }],
        true,
      );
    }
    reader.end();
    assert.deepEqual(
      [...seen],
      [
        ['\x01', VERSION[1].length],
        ['a', big.length],
        ['b', big.length],
        ['c', big.length],
        ['d', big.length],
      ],
    );
    await store.close();
  });
}

test('a damaged record is left out of a snapshot, and said to be', async () => {
  const path = join(folder, 'damaged-record', 'store');
  const raw = new Level<Buffer, Buffer>(path, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await raw.put(Buffer.from('b'), Buffer.from('without a checksum'));
  await raw.close();
  const store = new LevelStore(path);
  const damages: Damage[] = [];
  store.onDamage = (damage) => damages.push(damage);
  await store.open();
  await store.write(
    ['a', 'c'].map((key) => ({ type: 'put', key: Buffer.from(key), value: Buffer.from('x') })),
    true,
  );
  for (const expected of [['b'], []]) {
    const leftOut: string[] = [];
    const keys: string[] = [];
    for await (const [key] of store.snapshot((left) => leftOut.push(String(left)))) keys.push(String(key));
    assert.deepEqual(keys, ['a', 'c']);
    assert.deepEqual(leftOut, expected);
  }
  assert.deepEqual(
    damages.map(({ kind }) => kind),
    ['record'],
  );
  await store.close();
});

test('a snapshot whose store is opened anew ends with an error, not with later entries', async () => {
  const store = new LevelStore(join(folder, 'anew'));
  await store.open();
  const records = Array.from({ length: 2000 }, (_, i): Operation => {
    return { type: 'put', key: Buffer.from(String(i)), value: Buffer.alloc(100) };
  });
  await store.write(records, true);
  const entries = store.snapshot()[Symbol.asyncIterator]();
  assert.equal((await entries.next()).done, false);
  await store.close();
  await store.open();
  await assert.rejects(async () => {
    while ((await entries.next()).done === false);
  });
  await store.close();
});

test('a reader that stops early closes the snapshot', async () => {
  let closed = false;
  async function* entries(): AsyncGenerator<[Buffer, Buffer]> {
    try {
      for (;;) yield [Buffer.from('k'), Buffer.alloc(1000)];
    } finally {
      closed = true;
    }
  }
  for await (const _ of backupOf(HEADER, entries())) break;
  assert.ok(closed);
});
