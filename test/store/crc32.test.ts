import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 as native } from 'node:zlib';
import { crc32 } from '../../src/store/crc32.js';

test('the CRC of a run of any length is that of zlib, also behind another run', () => {
  const bytes = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 37) & 0xff));
  for (let end = 0; end <= bytes.length; end++) {
    assert.equal(crc32(bytes, end), native(bytes.subarray(0, end)));
    assert.equal(crc32(bytes, end, 0xdeadbeef), native(bytes.subarray(0, end), 0xdeadbeef));
  }
});
