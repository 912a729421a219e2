/**
 * A process that opens a damaged store and sends itself a signal before the n-th step that changes something on the disk,
 * which it says; if it comes to its end it closes the store and says how many steps there were. Arguments: the store's
 * directory, n, the signal.
 */
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Level } from 'level';
import { LevelStore } from '../../src/store/level-store.js';

const [, , directory, last, signal] = process.argv;
let steps = 0;

function step(): void {
  if (steps++ !== Number(last)) return;
  writeSync(1, 'there\n');
  process.kill(process.pid, signal);
}

for (const name of ['mkdir', 'link', 'rename', 'rm', 'writeFile', 'open'] as const) {
  const original = fs[name] as (...args: unknown[]) => unknown;
  Object.assign(fs, {
    [name]: (...args: unknown[]) => {
      step();
      return original(...args);
    },
  });
}
syncBuiltinESMExports();
for (const name of ['open', 'close', 'batch'] as const) {
  const original = Level.prototype[name] as (...args: unknown[]) => unknown;
  Object.assign(Level.prototype, {
    [name](...args: unknown[]) {
      step();
      return original.apply(this, args);
    },
  });
}

const store = new LevelStore(directory);
await store.open();
await store.close();
writeSync(1, String(steps));
