/** The buffer that packets are written into. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Output } from '../../src/wire/output.js';
import { mulberry32 } from '../support/disk.js';

test('runs of any length, from any offset, out of reused sources into reused buffers', () => {
  const random = mulberry32(7);
  const sources = [0, 1, 2].map(() => Buffer.alloc(3000));
  const out = new Output();
  for (let round = 0; round < 300; round++) {
    let expected = Buffer.alloc(0);
    for (let run = 0; run < 20; run++) {
      const source = sources[random(sources.length)];
      if (random(4) === 0) for (let i = 0; i < source.length; i++) source[i] = random(256);
      const start = random(2000);
      const end = start + random(random(2) === 0 ? 300 : 1000);
      // Nothing more than what is written: the last run ends where the buffer may end.
      out.reserve(end - start);
      out.writeBytes(source, start, end);
      expected = Buffer.concat([expected, source.subarray(start, end)]);
    }
    assert.ok(out.bytes().equals(expected));
    if (random(2) === 0) out.recycle();
    else out.release();
  }
});

for (const size of [1000, 1_000_000]) {
  test(`an output that is empty again holds no buffer of ${size} bytes`, async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const source = Buffer.alloc(300, 1);
    const out = new Output();
    const fill = (): WeakRef<Buffer> => {
      out.reserve(size);
      // The second of two runs from one source is copied in words.
      for (let i = 0; i < 2; i++) out.writeBytes(source, 0, 100);
      const held = new WeakRef(out.buffer);
      out.release();
      return held;
    };
    const held = fill();
    await new Promise<void>((resolve) => setImmediate(resolve));
    collect();
    assert.equal(held.deref(), undefined);
    assert.equal(out.length, 0);
  });
}

test('a buffer that somebody else has put there does not go to the pool', () => {
  const out = new Output();
  const borrowed = Buffer.alloc(4096);
  out.buffer = borrowed;
  out.length = borrowed.length;
  out.recycle();
  const others = Array.from({ length: 8 }, () => new Output());
  for (const other of others) {
    other.reserve(4096);
    assert.notEqual(other.buffer, borrowed);
  }
});
