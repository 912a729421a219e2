/** Fuzzing as a test: the corpus of a target and so many changed inputs, the same ones each time. */
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkout } from '../support/checkout.js';
import { seeds } from '../support/seeds.js';
import { Coverage } from './guide/coverage.js';
import { corpusOf, Guided } from './guide/guided.js';
import { Memory } from './guide/memory.js';
import { Watchdog } from './guide/watchdog.js';
import { TARGETS, type TargetName } from './targets.js';

/**
 * Makes a test of each target.
 * @param batches how many batches of changed inputs each of them gets
 */
export function fuzz(batches: Partial<Record<TargetName, number>>): void {
  // Before a target is loaded, so that its files are seen block by block.
  const coverage = new Coverage();
  const memory = new Memory();
  const watchdog = new Watchdog(join(checkout, 'fuzz-findings', 'endless.txt'));
  after(async () => {
    memory.close();
    coverage.close();
    await watchdog.close();
  });
  for (const [name, count] of Object.entries(batches)) {
    test(`${name}: no input breaks it`, async (t) => {
      const target = await TARGETS[name as TargetName]();
      try {
        for (const seed of seeds(1)) {
          // The test runner takes what nobody has caught.
          const guided = new Guided(target, { coverage, memory, watchdog, stray: [] }, seed);
          await guided.begin([...target.seeds(), ...corpusOf(name)]);
          const known = guided.corpus.length;
          for (let i = 0; i < count; i++) await guided.batch();
          t.diagnostic(
            `SEED=${seed}: ${guided.executions} inputs, ${guided.corpus.length - known} reached something new`,
          );
        }
      } finally {
        await target.close?.();
      }
    });
  }
}
