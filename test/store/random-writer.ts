/**
 * A process that writes random batches and compacts ranges until it is killed, and says how many batches it has written.
 * Arguments: the store's directory, a seed.
 */
import { writeSync } from 'node:fs';
import { mulberry32 } from '../support/disk.js';
import { batchOf, keyOf, SmallTables } from './random-batches.js';

const [, , directory, seed] = process.argv;
const random = mulberry32(Number(seed));
const db = new SmallTables(directory);
await db.open();
for (let n = 1; ; n++) {
  await db.batch(batchOf(random), { sync: random(4) === 0 });
  writeSync(1, `${n}\n`);
  if (random(20) > 0) continue;
  const ends = [keyOf(random), keyOf(random)].sort(Buffer.compare);
  // Not awaited: it goes on while the next batches are written.
  void db.compactRange(ends[0], ends[1]);
}
