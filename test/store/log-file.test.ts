/** LevelDB's log, as it is read where something in it is damaged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLog } from '../../src/store/leveldb/log-file.js';
import { fragment } from '../../src/store/leveldb/log-writer.js';

const BLOCK = 32768;

/** A record in which somebody has published what looks like a record. */
const BAIT = Buffer.concat([Buffer.alloc(300, 'a'), fragment(Buffer.from('bait')), Buffer.alloc(300, 'b')]);

function recordsOf(bytes: Buffer): string[] {
  return readLog(bytes).records.map(String);
}

test('a record that was cut off is not searched for records: what looks like one was published by somebody', () => {
  const first = fragment(Buffer.from('first'));
  const bytes = Buffer.concat([first, fragment(BAIT)]);
  for (let end = first.length + 1; end < bytes.length; end++) {
    const { records, damagedBytes, tornBytes } = readLog(bytes.subarray(0, end));
    assert.deepEqual(records.map(String), ['first'], `cut at ${end}`);
    assert.equal(damagedBytes, 0);
    assert.equal(tornBytes, end - first.length);
  }
});

test('a damaged record is not searched for records, and the one behind it is read', () => {
  for (const last of ['last', null]) {
    const bytes = Buffer.concat([fragment(BAIT), last === null ? Buffer.alloc(0) : fragment(Buffer.from(last))]);
    for (const at of [0, 6, 7, 100, 606]) {
      const damaged = Buffer.from(bytes);
      damaged[at] ^= 4;
      assert.deepEqual(recordsOf(damaged), last === null ? [] : [last], `byte ${at}`);
      assert.equal(readLog(damaged).damagedBytes, 7 + BAIT.length);
    }
  }
});

test('a record whose length is damaged is read, but is damage: LevelDB would lose what is in the rest of the block', () => {
  const padding = Buffer.alloc(BLOCK - 2 * 7 - BAIT.length, 'p');
  const logs = {
    'in a block': [fragment(BAIT), fragment(Buffer.from('last'))],
    'at the end of the file': [fragment(BAIT)],
    'at the end of a block': [fragment(padding), fragment(BAIT), fragment(Buffer.from('last'))],
  };
  for (const [where, fragments] of Object.entries(logs)) {
    const bytes = Buffer.concat(fragments);
    const start = bytes.indexOf(fragment(BAIT));
    for (let bit = 0; bit < 16; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[start + 4 + (bit >> 3)] ^= 1 << (bit & 7);
      assert.deepEqual(recordsOf(damaged), recordsOf(bytes), `${where}, bit ${bit}`);
      assert.equal(readLog(damaged).damagedBytes, 2, `${where}, bit ${bit}`);
    }
  }
});
