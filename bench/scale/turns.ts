/** Two brokers of one kind in turn: what differs between them must not matter, and a machine is not as fast at each moment. */
import { median } from '../report.js';
import type { Figure, ScaleOptions, Stage } from './stage.js';

/** An odd number, so that the median is one of them; fewer where the size says that only the way is tried. */
const ROUNDS = 5;
const LEAST_JUDGED = 0.05;

/** What is measured on each of two brokers. */
export interface Turn {
  /** Of the two figures, after `few` and `many`. */
  readonly name: string;
  /** Of the figure that is judged. */
  readonly ratio: string;
  /** Least ratio of the rate of `many` to that of `few`. */
  readonly least: number;
  /** Something a second. */
  readonly rate: (stage: Stage, which: 'few' | 'many') => Promise<number>;
}

/**
 * Measures on both brokers in alternating order; judged is the median of the ratios of each round. What runs first is
 * not compiled yet: a round before the others does not count.
 */
export async function takeTurns(
  few: Stage,
  many: Stage,
  turns: readonly Turn[],
  { factor }: ScaleOptions,
): Promise<Figure[]> {
  const rounds = factor < LEAST_JUDGED ? 1 : ROUNDS;
  const rates = turns.map(() => ({ few: [] as number[], many: [] as number[] }));
  for (let round = 0; round <= rounds; round++) {
    for (const [i, { rate }] of turns.entries()) {
      for (const which of round % 2 === 0 ? (['few', 'many'] as const) : (['many', 'few'] as const)) {
        const value = await rate(which === 'few' ? few : many, which);
        if (round > 0) rates[i]![which].push(value);
      }
    }
  }
  return turns.flatMap(({ name, ratio, least }, i): Figure[] => {
    const { few: without, many: among } = rates[i]!;
    return [
      { name: `few others, ${name}`, value: median(without), unit: 'per second' },
      { name: `many others, ${name}`, value: median(among), unit: 'per second' },
      {
        name: ratio,
        value: median(among.map((value, round) => value / without[round]!)),
        unit: 'ratio',
        limit: { least },
      },
    ];
  });
}
