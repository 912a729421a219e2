/** What chooses the moments of crash tests: CRASH_SEED, the same by default; CRASH_ROUNDS for more or fewer of them. */
import type { Random } from '../support/disk.js';
import type { Portico } from '../support/portico.js';

export const crashSeed = Number(process.env.CRASH_SEED ?? 1);

/** How often a test kills the broker. */
export function crashRounds(usual: number): number {
  return Number(process.env.CRASH_ROUNDS ?? usual);
}

/** Kills the broker somewhere in the next turns, not right on what has just arrived, and starts it again. */
export async function killSoon(portico: Portico, choose: Random): Promise<void> {
  for (let turns = choose(40); turns > 0; turns--) await new Promise(setImmediate);
  await portico.kill();
  await portico.restart();
}
