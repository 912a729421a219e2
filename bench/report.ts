/** From the figures of single runs to medians, verdicts, a table and JSON. */
import { baselines, type PeerName } from './brokers.js';
import type { LoadResult } from './load.js';
import type { Scenario, Timing } from './scenarios.js';

/** One run of one scenario against one peer. */
export interface RunResult extends LoadResult {
  /** Resident memory in MiB at the end of the load, and its highest until then. */
  readonly rssMiB: number;
  readonly peakRssMiB: number;
}

/** Runs of one peer in one scenario: one figure or one failure for each round. */
export interface PeerRuns {
  readonly peer: PeerName;
  readonly runs: readonly RunResult[];
  readonly failures: readonly string[];
}

/**
 * `PASS` or `FAIL` against the floor; `UNCHECKED` where the floor could not be measured, because a peer is missing;
 * `DISTURBED` where other work on the machine makes the ratio worthless, whichever way it came out; `ERROR` where a run
 * of this scenario failed; `-` where there is no floor.
 */
export type Verdict = 'PASS' | 'FAIL' | 'UNCHECKED' | 'DISTURBED' | 'ERROR' | '-';

export interface PeerSummary extends PeerRuns {
  /** Median of each figure over the rounds; undefined if every round failed. */
  readonly median: RunResult | undefined;
}

export interface ScenarioSummary {
  readonly scenario: Scenario;
  readonly peers: readonly PeerSummary[];
  /**
   * Median over the rounds of Portico's rate over the baseline's, or over its own in another scenario; undefined if a
   * side has no, or fewer, figures.
   */
  readonly ratio: number | undefined;
  readonly verdict: Verdict;
}

/** What was measured, on what. */
export interface BenchReport {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly kernel: string; readonly node: string };
  readonly versions: Readonly<Partial<Record<PeerName, string>>>;
  readonly rounds: number;
  readonly timing: Timing;
  readonly summaries: readonly ScenarioSummary[];
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function medianRun(runs: readonly RunResult[]): RunResult | undefined {
  if (runs.length === 0) return undefined;
  const of = (figure: keyof RunResult): number => median(runs.map((run) => run[figure]));
  return {
    perSecond: of('perSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    brokerCpu: of('brokerCpu'),
    loadCpu: of('loadCpu'),
    brokerIdle: of('brokerIdle'),
    loadIdle: of('loadIdle'),
    otherCpu: of('otherCpu'),
    rssMiB: of('rssMiB'),
    peakRssMiB: of('peakRssMiB'),
  };
}

function verdictOf(scenario: Scenario, ratio: number | undefined, peers: readonly PeerSummary[]): Verdict {
  if (peers.some(({ failures }) => failures.length > 0)) return 'ERROR';
  if (scenario.floor === undefined) return '-';
  if (ratio === undefined) return 'UNCHECKED';
  if (peers.some((one) => one.median && wasDisturbed(one.median))) return 'DISTURBED';
  return ratio >= scenario.floor ? 'PASS' : 'FAIL';
}

// The runs of one round follow each other, so what slows the machine for a while slows both sides of a ratio.
function ratioOf(
  scenario: Scenario,
  peerRuns: readonly PeerRuns[],
  against: readonly PeerRuns[] | undefined,
): number | undefined {
  const runsOf = (runs: readonly PeerRuns[], peer: PeerName) => runs.find((one) => one.peer === peer)?.runs ?? [];
  const ours = runsOf(peerRuns, 'portico');
  const theirs =
    scenario.against === undefined ? runsOf(peerRuns, baselines[scenario.protocol]) : runsOf(against ?? [], 'portico');
  if (ours.length === 0 || ours.length !== theirs.length) return undefined;
  return median(ours.map((run, round) => run.perSecond / theirs[round]!.perSecond));
}

/**
 * Medians, ratio and verdict of one scenario.
 * @param against the runs of the scenario that it is measured against, if it is against one
 */
export function summarize(
  scenario: Scenario,
  peerRuns: readonly PeerRuns[],
  against?: readonly PeerRuns[],
): ScenarioSummary {
  const summaries = peerRuns.map((one) => ({ ...one, median: medianRun(one.runs) }));
  const ratio = ratioOf(scenario, peerRuns, against);
  return { scenario, peers: summaries, ratio, verdict: verdictOf(scenario, ratio, summaries) };
}

/** Exit code: 1 after a failed run, and with `check` also unless every floor was measured and holds. */
export function exitCode(summaries: readonly ScenarioSummary[], check: boolean): 0 | 1 {
  const bad: readonly Verdict[] = check ? ['ERROR', 'FAIL', 'UNCHECKED', 'DISTURBED'] : ['ERROR'];
  return summaries.some(({ verdict }) => bad.includes(verdict)) ? 1 : 0;
}

/** True where a faster broker would have shown no higher figure: the generator's core had no time left, its own had. */
function loadWasTheLimit(run: RunResult): boolean {
  return run.loadIdle < 0.05 && run.brokerIdle > 0.05 && !wasDisturbed(run);
}

/** True where something outside the benchmark took so much of a core that the figure says little. */
function wasDisturbed(run: RunResult): boolean {
  return run.otherCpu > 0.1;
}

function mark(run: RunResult): string {
  if (wasDisturbed(run)) return '!';
  return loadWasTheLimit(run) ? '*' : ' ';
}

const columns = [
  'scenario',
  'peer',
  'per second',
  'ratio',
  'floor',
  'verdict',
  'p50 ms',
  'p99 ms',
  'RSS MiB',
  'peak',
  'cpu',
  'load',
  'other',
];
const leftAligned = new Set([0, 1, 5]);

const percent = (share: number): string => `${Math.round(share * 100)}%`;
const milliseconds = (ms: number): string => ms.toFixed(ms < 10 ? 2 : 1);

function rowsOf({ scenario, peers, ratio, verdict }: ScenarioSummary): string[][] {
  return peers.map(({ peer, median: run }, i) => {
    const head = [i === 0 ? scenario.name : '', peer];
    const isOurs = peer === 'portico';
    const judged = [
      isOurs && ratio !== undefined ? ratio.toFixed(2) : '',
      isOurs && scenario.floor !== undefined ? String(scenario.floor) : '',
      isOurs ? verdict : '',
    ];
    if (!run) return [...head, 'failed', ...judged, ...Array<string>(7).fill('')];
    return [
      ...head,
      Math.round(run.perSecond).toLocaleString('en-US') + mark(run),
      ...judged,
      milliseconds(run.p50Ms),
      milliseconds(run.p99Ms),
      run.rssMiB.toFixed(1),
      run.peakRssMiB.toFixed(1),
      percent(run.brokerCpu),
      percent(run.loadCpu),
      percent(run.otherCpu),
    ];
  });
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (leftAligned.has(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** The report as text, without the last line break. */
export function reportText(report: BenchReport): string {
  const { machine, versions, rounds, timing, summaries } = report;
  const names = Object.entries(versions).map(([peer, version]) => `${peer} ${version}`);
  const limit = timing.messages === undefined ? '' : `, at most ${timing.messages} messages`;
  const lines = [
    `${report.date}  ${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`,
    names.join(', '),
    `median of ${rounds}, ${timing.seconds} s after ${timing.warmupSeconds} s of warm-up${limit}; one core each`,
    '',
    ...aligned([columns, ...summaries.flatMap(rowsOf)]),
  ];
  const medians = summaries.flatMap(({ peers }) => peers.flatMap((one) => one.median ?? []));
  if (medians.some(loadWasTheLimit)) lines.push('', '* the load generator was the limit; the broker may be faster');
  if (medians.some(wasDisturbed))
    lines.push('', '! other processes took more than 10% of a core; run again without them');
  for (const { scenario, peers } of summaries) {
    for (const { peer, failures } of peers) {
      for (const failure of failures) lines.push('', `${scenario.name} ${peer}: ${failure}`);
    }
  }
  return lines.join('\n');
}

/** The report as JSON, every single run included. */
export function reportJson({ summaries, ...head }: BenchReport): string {
  const results = summaries.map(({ scenario, ratio, verdict, peers }) => ({
    scenario: scenario.name,
    title: scenario.title,
    floor: scenario.floor,
    ratio,
    verdict,
    peers: Object.fromEntries(
      peers.map(({ peer, median: figures, runs, failures }) => [
        peer,
        { median: figures, runs, failures: failures.map((message) => ({ message })) },
      ]),
    ),
  }));
  return `${JSON.stringify({ ...head, results }, null, 2)}\n`;
}
