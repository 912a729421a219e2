/**
 * A process whose files may not grow beyond the limit that it was started under, as on a full disk: writes 600 values
 * with `sync`, tries each again until the store has confirmed it, lifts the limit after some failures, says what
 * happened, and dies by SIGKILL. Arguments: the store's directory.
 */
import { execFileSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { LevelStore } from '../../src/store/level-store.js';

const VALUES = 600;
const FAILURES = 3;
const MOST_FAILURES = 50;

const store = new LevelStore(process.argv[2]);
await store.open();
let failures = 0;
for (let i = 0; i < VALUES; ) {
  const key = Buffer.from([0x23, i >> 8, i & 0xff]);
  try {
    await store.write([{ type: 'put', key, value: Buffer.alloc(1000, i) }], true);
    i++;
  } catch (error) {
    if (++failures > MOST_FAILURES) throw error;
    // The disk has room again.
    if (failures === FAILURES) execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited:unlimited']);
  }
}
writeSync(1, JSON.stringify({ confirmed: VALUES, failures }));
process.kill(process.pid, 'SIGKILL');
