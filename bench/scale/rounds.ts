/** From the rounds of a scenario to one result of each peer: medians, and the ratio of one figure to another peer's. */
import { median } from '../report.js';
import type { ScaleResult } from './report.js';
import type { Figure, ScaleScenario } from './stage.js';

/** The runs of one peer as one: the median of each figure, the first failure, the largest share of others. */
function merged(runs: readonly ScaleResult[]): ScaleResult {
  const [first] = runs;
  const others = Math.max(...runs.map((run) => run.others));
  const failed = runs.find(({ failure }) => failure !== undefined);
  if (failed !== undefined) return { ...failed, others };
  const figures = first!.figures.map((figure) => {
    const values = runs.flatMap((run) => run.figures.filter(({ name }) => name === figure.name));
    return { ...figure, value: median(values.map(({ value }) => value)) };
  });
  return { ...first!, figures, others };
}

function valueIn(run: ScaleResult | undefined, name: string): number {
  return run?.figures.find((figure) => figure.name === name)?.value ?? Number.NaN;
}

/** The median of the rounds' ratios, as what slows the machine for a while slows both sides; NaN without the other peer. */
function ratio(
  { peer, figure, least }: NonNullable<ScaleScenario['against']>,
  ours: readonly ScaleResult[],
  theirs: readonly ScaleResult[],
): Figure {
  const ratios = ours.map((run, round) => valueIn(run, figure) / valueIn(theirs[round], figure));
  const value = ratios.some(Number.isNaN) ? Number.NaN : median(ratios);
  return { name: `${figure}, over ${peer}`, value, unit: 'ratio', limit: { least } };
}

/**
 * One result for each peer.
 * @param runs the runs of each peer, in the order of the rounds
 */
export function combined(scenario: ScaleScenario, runs: readonly (readonly ScaleResult[])[]): ScaleResult[] {
  const results = runs.map(merged);
  const { against } = scenario;
  if (against === undefined) return results;
  const theirs = runs.find(([run]) => run?.peer === against.peer) ?? [];
  return results.map((result, i) => {
    if (result.peer !== 'portico' || result.failure !== undefined) return result;
    const others = Math.max(result.others, ...theirs.map((run) => run.others));
    return { ...result, others, figures: [...result.figures, ratio(against, runs[i]!, theirs)] };
  });
}
