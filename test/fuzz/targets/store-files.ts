/** LevelDB's files as a start reads them before LevelDB does: any bytes are read as far as they can be. */
import assert from 'node:assert/strict';
import { type Change, changesOf, readLog } from '../../../src/store/leveldb/log-file.js';
import { Type } from '../../../src/store/leveldb/log-format.js';
import { fragment, masked, varint } from '../../../src/store/leveldb/log-writer.js';
import { manifestOf, readManifest } from '../../../src/store/leveldb/manifest.js';
import { uncompress } from '../../../src/store/leveldb/snappy.js';
import { faultOf, readTable } from '../../../src/store/leveldb/table-file.js';
import { Feed, input, type Target } from '../target.js';

const MAGIC = Buffer.from('57fb808b247547db', 'hex');
const FOOTER_HANDLES = 40;

/** A block of a table with the right checksum. */
function block(compression: number, data: Buffer): Buffer {
  const bytes = Buffer.concat([data, Buffer.from([compression])]);
  return Buffer.concat([bytes, masked(bytes)]);
}

/** Fragments and other bytes in turn, as an input says. */
function logOf(feed: Feed): Buffer {
  const parts: Buffer[] = [];
  while (!feed.empty) {
    const type = feed.byte();
    const data = Buffer.from(feed.take(feed.byte()));
    parts.push(type < 0x80 ? fragment(data, type & 7) : data);
  }
  return Buffer.concat(parts);
}

/** A table of blocks whose checksums are right, the last two of which are the indexes of metadata and of data. */
function tableOf(feed: Feed): Buffer {
  const parts: Buffer[] = [];
  const handles: Buffer[] = [];
  let at = 0;
  while (!feed.empty) {
    const compression = feed.byte() & 3;
    const data = Buffer.from(feed.take(feed.byte()));
    handles.push(Buffer.concat([varint(at), varint(data.length)]));
    const bytes = block(compression, data);
    parts.push(bytes);
    at += bytes.length;
  }
  const footer = Buffer.alloc(FOOTER_HANDLES);
  Buffer.concat(handles.slice(-2)).copy(footer);
  return Buffer.concat([...parts, footer, MAGIC]);
}

function checkChanges(changes: readonly Change[]): void {
  for (const { key, value, sequence } of changes) {
    assert.ok(Buffer.isBuffer(key) && (value === null || Buffer.isBuffer(value)) && sequence >= 0);
  }
}

function log(bytes: Buffer): string {
  const { records, behindDamage, damagedBytes, tornBytes } = readLog(bytes);
  assert.equal(behindDamage.length, records.length);
  const size = records.reduce((sum, record) => sum + record.length, 0);
  assert.ok(size <= bytes.length && tornBytes <= bytes.length, 'no byte is read twice');
  assert.ok(damagedBytes >= 0 && tornBytes >= 0);
  for (const record of records) checkChanges(changesOf(record) ?? []);
  return `log ${records.length > 0} ${damagedBytes > 0} ${tornBytes > 0}`;
}

function table(bytes: Buffer): string {
  const isGenuine = (key: Buffer, value: Buffer): boolean => key.length <= value.length;
  const { changes, damagedBytes, gaps } = readTable(bytes, isGenuine);
  checkChanges(changes);
  assert.ok(damagedBytes >= 0);
  const fault = faultOf(bytes, bytes.length, true);
  return `table ${changes.length > 0} ${gaps.length > 0} ${fault?.replaceAll(/\d+/g, '0') ?? ''}`;
}

function run(bytes: Buffer): string {
  const feed = new Feed(bytes);
  switch (feed.byte() % 6) {
    case 0:
      return log(Buffer.from(feed.rest()));
    case 1:
      return log(logOf(feed));
    case 2: {
      const { tables, lastSequence, damaged } = readManifest(fragment(Buffer.from(feed.rest())));
      if (!damaged) {
        const again = readManifest(manifestOf([...tables.values()], 9, lastSequence));
        assert.deepEqual(again, { tables, logNumber: 9, previousLog: 0, lastSequence, damaged });
      }
      return `manifest ${tables.size > 0} ${damaged}`;
    }
    case 3:
      return table(Buffer.from(feed.rest()));
    case 4:
      return table(tableOf(feed));
    default:
      return `snappy ${uncompress(Buffer.from(feed.rest())) !== null}`;
  }
}

function hex(...parts: string[]): Buffer {
  return Buffer.from(parts.join(''), 'hex');
}

/** What stands behind the key of an entry: it is no deletion, and has sequence number 1. */
const FIRST = '0101000000000000';
/** A batch that puts `a` and deletes `b`. */
const BATCH = hex('0100000000000000', '02000000', '0101610176', '000162');
const COMPARATOR = Buffer.from('leveldb.BytewiseComparator').toString('hex');
/** Comparator, log 5, next file 9, last sequence 7, and table 4 of 100 bytes in level 0. */
const EDIT = hex('011a', COMPARATOR, '0205', '0309', '0407', '07000464', '0961', FIRST, '0962', FIRST);
/** The list of restarts of a block. */
const RESTARTS = hex('00000000', '01000000');
/** A block of one entry: `k` with `value`. */
const ENTRIES = Buffer.concat([hex('000905', '6b', FIRST, '76616c7565'), RESTARTS]);
/** An entry that says where the block of `ENTRIES` is. */
const INDEX = Buffer.concat([hex('000902', '6b', FIRST), Buffer.from([0, ENTRIES.length]), RESTARTS]);
/** Ten times `a`: a literal and a copy. */
const SNAPPY = hex('0a', '0061', '1501');

function part(first: number, data: Buffer): Buffer {
  return input(first, data.length, data);
}

export const storeFiles: Target = {
  name: 'store-files',
  scope: ['/src/store/leveldb/'],
  longest: 1200,
  words: [part(Type.Full, BATCH), part(2, BATCH), part(4, BATCH), part(0, ENTRIES), fragment(BATCH), MAGIC, EDIT],
  seeds: () => [
    input(0, fragment(BATCH), fragment(BATCH)),
    input(0, fragment(BATCH).subarray(0, 20)),
    input(1, part(Type.Full, BATCH), part(0x80, BATCH), part(2, BATCH.subarray(0, 9)), part(4, BATCH.subarray(9))),
    input(2, EDIT),
    input(3, tableOf(new Feed(input(part(0, ENTRIES), part(0, RESTARTS), part(0, INDEX))))),
    input(4, part(0, ENTRIES), part(0, RESTARTS), part(0, INDEX)),
    input(5, SNAPPY),
  ],
  run,
};
