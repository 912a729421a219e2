/** The soak's findings as text and as JSON. */
import type { Tally } from './stage.js';
import { type Findings, grown, holds, type Row } from './verdict.js';

export interface Report {
  readonly head: {
    readonly date: string;
    readonly cpu: string;
    readonly cores: number;
    readonly kernel: string;
    readonly node: string;
    readonly minutes: number;
    readonly warmup: number;
    readonly clients: readonly string[];
  };
  readonly rows: readonly Row[];
  readonly findings: Findings;
  readonly done: Tally;
  readonly troubles: readonly string[];
}

const TROUBLES_TOLD = 10;
const CLASSES_TOLD = 15;
/** Samples of the JSON, evenly spaced. */
const SAMPLES_TOLD = 180;

function formatted(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  return value.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

function table(cells: readonly (readonly string[])[], right: readonly number[]): string[] {
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells.map((row) =>
    row
      .map((cell, column) => (right.includes(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** Without the last line break. */
export function soakText({ head, rows, findings, done, troubles }: Report): string {
  const judged = rows.map((row) => [
    row.name,
    formatted(row.value),
    row.unit,
    row.most === undefined ? '' : `<= ${formatted(row.most)}`,
    row.most === undefined ? '' : holds(row) ? 'PASS' : 'FAIL',
  ]);
  const counts = [...done.counts].toSorted(([a], [b]) => a.localeCompare(b));
  const more = (of: 'objects' | 'shapes'): string =>
    grown(findings.before, findings.after, of)
      .slice(0, CLASSES_TOLD)
      .map(({ name, more: count }) => `${name} ${count}`)
      .join(', ') || 'none';
  return [
    `${head.date}  ${head.cpu}, ${head.cores} cores, Linux ${head.kernel}, Node ${head.node}`,
    `${head.minutes} minutes after ${head.warmup} minutes of warm-up; ${head.clients.join(', ')}`,
    '',
    ...table([['', 'value', 'unit', 'limit', 'verdict'], ...judged], [1]),
    '',
    'What was done:',
    ...table(
      counts.map(([name, count]) => [name, formatted(count)]),
      [1],
    ),
    '',
    `Objects that are more than after the warm-up: ${more('objects')}`,
    `Of them plain objects, by their properties: ${more('shapes')}`,
    ...troubles.slice(0, TROUBLES_TOLD).map((sentence) => `trouble: ${sentence}`),
    rows.every(holds) ? 'PASS' : 'FAIL',
  ].join('\n');
}

export function soakJson({ head, rows, findings, done, troubles }: Report): string {
  const { before, after, samples, deliveries } = findings;
  const rest = ({ descriptors, metrics, heap, resident, stored }: typeof before): object => ({
    descriptors,
    metrics: Object.fromEntries(metrics),
    heap: heap.used,
    resident,
    stored,
  });
  const all = {
    ...head,
    rows: rows.map((row) => ({ ...row, verdict: row.most === undefined ? '-' : holds(row) ? 'PASS' : 'FAIL' })),
    deliveries,
    done: Object.fromEntries(done.counts),
    grown: grown(before, after),
    grownShapes: grown(before, after, 'shapes'),
    troubles,
    before: rest(before),
    after: rest(after),
    samples: samples.filter((_, i) => i % Math.ceil(samples.length / SAMPLES_TOLD) === 0),
  };
  const round = (_: string, value: unknown): unknown =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
  return `${JSON.stringify(all, round, 2)}\n`;
}
