/**
 * The engine against a reference that is written from the specification: random runs of five clients, shortened when one
 * fails. `MODEL_RUNS` says how many, `MODEL_SEED` which (a number, or `random`), `MODEL_PATH` goes straight to the
 * shortened one. What failed once is kept in regressions.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from './arbitrary.js';
import { performAll, type Run } from './commands.js';
import { REGRESSIONS } from './regressions.js';
import { World } from './world.js';

const RUNS = Number(process.env.MODEL_RUNS ?? 400);
const CHOSEN = process.env.MODEL_SEED ?? '1';
const SEED = CHOSEN === 'random' ? Date.now() % 1_000_000_000 : Number(CHOSEN);
const PATH = process.env.MODEL_PATH ?? '';
/** Commands of a run, at most, behind its beginning. */
const LONGEST = 60;

async function play({ setting, commands }: Run): Promise<void> {
  const world = await World.create(setting);
  try {
    await performAll(world, commands);
  } finally {
    await world.close();
  }
}

for (const [title, run] of Object.entries(REGRESSIONS)) test(title, () => play(run));

test(`every client sees what the specification says, in ${RUNS} random runs (seed ${SEED})`, async () => {
  const property = fc.asyncProperty(runs(LONGEST), play);
  const { failed, counterexample, errorInstance, counterexamplePath } = await fc.check(property, {
    seed: SEED,
    path: PATH,
    numRuns: RUNS,
  });
  if (!failed) return;
  const example = counterexample?.[0].commands.map((command) => JSON.stringify(command)).join(',\n');
  const again = `MODEL_SEED=${SEED} MODEL_PATH=${counterexamplePath}`;
  assert.fail(`${again}\n${JSON.stringify(counterexample?.[0].setting)}\n${example}\n${errorInstance}`);
});
