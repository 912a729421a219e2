/** Figures of the scale group: verdicts, a table and JSON. */
import type { PeerName } from '../brokers.js';
import type { Verdict } from '../report.js';
import type { Figure, ScaleScenario } from './stage.js';

/** Share of a core that others may take before a figure of time means nothing. */
const MOST_OTHERS = 0.1;

/** One scenario against one peer. */
export interface ScaleResult {
  readonly scenario: ScaleScenario;
  readonly peer: PeerName;
  readonly figures: readonly Figure[];
  /** Why there are no figures. */
  readonly failure?: string;
  /** Share of a core that processes outside the benchmark took. */
  readonly others: number;
}

/** Limits are Portico's. Memory is what it is, whatever else runs; time is not. A figure that is NaN was not measured. */
export function verdictOf({ peer, others }: ScaleResult, { value, unit, limit }: Figure): Verdict {
  if (limit === undefined || peer !== 'portico') return '-';
  if (Number.isNaN(value)) return 'UNCHECKED';
  if (others > MOST_OTHERS && unit !== 'bytes' && unit !== 'MiB') return 'DISTURBED';
  const holds = 'most' in limit ? value <= limit.most : value >= limit.least;
  return holds ? 'PASS' : 'FAIL';
}

/** Exit code: 1 after a failed run, and with `check` also unless every limit was measured and holds. */
export function scaleExitCode(results: readonly ScaleResult[], check: boolean): 0 | 1 {
  const bad = results.some((result) => {
    if (result.failure !== undefined) return true;
    const verdicts = result.figures.map((figure) => verdictOf(result, figure));
    return check && verdicts.some((verdict) => verdict !== 'PASS' && verdict !== '-');
  });
  return bad ? 1 : 0;
}

function formatted(value: number): string {
  if (Number.isNaN(value)) return '';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function limitText(limit: Figure['limit']): string {
  if (limit === undefined) return '';
  return 'most' in limit ? `<= ${limit.most}` : `>= ${limit.least}`;
}

/** The table of one scenario: a row for each figure, a column for each peer. */
function tableOf(scenario: ScaleScenario, results: readonly ScaleResult[]): string[] {
  const ours = results.find(({ peer }) => peer === 'portico');
  const names = [...new Set(results.flatMap(({ figures }) => figures.map(({ name }) => name)))];
  const rows = [['', 'unit', ...results.map(({ peer }) => peer), 'limit', 'verdict']];
  for (const name of names) {
    const figures = results.map(({ figures: all }) => all.find((figure) => figure.name === name));
    const known = figures.find((figure) => figure !== undefined);
    const own = ours?.figures.find((figure) => figure.name === name);
    rows.push([
      name,
      known?.unit ?? '',
      ...figures.map((figure) => (figure === undefined ? '' : formatted(figure.value))),
      limitText(own?.limit),
      ours && own ? verdictOf(ours, own) : '',
    ]);
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const isText = (column: number): boolean => column < 2 || column > results.length + 1;
  const lines = rows.map((row) =>
    row
      .map((cell, column) => (isText(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
  const others = results.map(({ peer, others: share }) => `${peer} ${Math.round(share * 100)}%`).join(', ');
  return [
    `${scenario.name}: ${scenario.title}`,
    ...lines,
    `other processes took of a core: ${others}`,
    ...results.flatMap(({ peer, failure }) => (failure === undefined ? [] : [`${peer}: ${failure}`])),
    '',
  ];
}

/** The report as text, without the last line break. */
export function scaleText(head: string, results: readonly ScaleResult[]): string {
  const scenarios = [...new Set(results.map(({ scenario }) => scenario))];
  const tables = scenarios.flatMap((one) =>
    tableOf(
      one,
      results.filter(({ scenario }) => scenario === one),
    ),
  );
  return [head, '', ...tables].join('\n').trimEnd();
}

/** The report as JSON. */
export function scaleJson(head: Readonly<Record<string, unknown>>, results: readonly ScaleResult[]): string {
  const all = results.map((result) => ({
    scenario: result.scenario.name,
    title: result.scenario.title,
    peer: result.peer,
    others: result.others,
    failure: result.failure,
    figures: result.figures.map((figure) => ({ ...figure, verdict: verdictOf(result, figure) })),
  }));
  return `${JSON.stringify({ ...head, results: all }, null, 2)}\n`;
}
