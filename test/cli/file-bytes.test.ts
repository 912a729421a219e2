/** A file read through a window is the file, wherever it is read. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileBytes } from '../../src/cli/import/file-bytes.js';
import { temporaryFolder } from '../support/portico.js';
import { Random } from '../support/random.js';
import { seeds } from '../support/seeds.js';

for (const seed of seeds(3)) {
  test(`a file is the same in pieces anywhere, as long or short as they are (seed ${seed})`, () => {
    const random = new Random(seed);
    const whole = random.bytes(600_000 + random.below(1000));
    const path = join(temporaryFolder(), 'file');
    writeFileSync(path, whole);
    const file = new FileBytes(path);
    try {
      assert.equal(file.size, whole.length);
      let at = 0;
      for (let i = 0; i < 3000; i++) {
        const length = random.pick([8, 16, 64, 65, 1000, 100_000, 300_000]);
        at = random.below(4) === 0 ? random.below(whole.length + 100) : at + random.below(2 * length);
        assert.ok(file.read(at, length).equals(whole.subarray(at, at + length)), `${length} bytes at ${at}`);
        if (at > whole.length) at = 0;
      }
    } finally {
      file.close();
    }
  });
}
