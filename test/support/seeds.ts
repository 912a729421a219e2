/**
 * Seeds of random tests. By default the same ones each time, so that a failure is one of the change that is tested.
 * `SEED=n` chooses the first, `SEED=random` any; `RUNS` how many.
 * @param runs how many by default; one if `SEED` names a number
 * @param found seeds that have found something, which are always among the default ones
 */
export function seeds(runs: number, found: readonly number[] = []): number[] {
  const { SEED: chosen, RUNS: count } = process.env;
  const first = chosen === undefined ? 1 : chosen === 'random' ? Date.now() % 1_000_000_000 : Number(chosen);
  const usual = chosen === undefined || chosen === 'random' ? runs : 1;
  const list = Array.from({ length: count === undefined ? usual : Number(count) }, (_, i) => first + i);
  return chosen === undefined ? [...found, ...list] : list;
}
