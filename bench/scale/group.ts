/** The groups of scenarios: each against each peer that it names, on a broker of its own. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import type { Peer } from '../brokers.js';
import { coap } from '../coap/scenarios.js';
import { flood } from '../isolation/flood.js';
import { stalled } from '../isolation/stalled.js';
import { storms } from '../isolation/storms.js';
import { checkoutRoot, compileGenerator, type Generator } from '../load.js';
import { BenchError, requireDisk, twoCores } from '../processes.js';
import { matching } from './matching.js';
import { Others } from './others.js';
import { queues } from './queues.js';
import { type ScaleResult, scaleExitCode, scaleJson, scaleText } from './report.js';
import { retained } from './retained.js';
import { combined } from './rounds.js';
import { sessions } from './sessions.js';
import { type ScaleOptions, type ScaleScenario, Stage } from './stage.js';

/** By group, in the order of the report. */
export const groups = {
  scale: [retained, sessions, queues, matching],
  isolation: [stalled, ...storms, ...flood],
  coap,
} as const satisfies Record<string, readonly ScaleScenario[]>;

export interface ScaleArguments {
  readonly scenarios: readonly ScaleScenario[];
  readonly peers: readonly Peer[];
  readonly options: ScaleOptions;
  /** Where to write the results as JSON. */
  readonly json?: string;
  readonly check: boolean;
}

async function runOne(scenario: ScaleScenario, stage: Stage, options: ScaleOptions): Promise<ScaleResult> {
  const others = new Others();
  const peer = stage.peer.name;
  try {
    const figures = await scenario.run(stage, options);
    return { scenario, peer, figures, others: others.share(stage.pid) };
  } catch (error) {
    if (!(error instanceof BenchError)) throw error;
    return { scenario, peer, figures: [], failure: error.message, others: others.share(stage.pid) };
  } finally {
    await stage.close();
  }
}

/** Runs the group; returns the exit code. */
export async function runScale(args: ScaleArguments): Promise<number> {
  const root = checkoutRoot();
  const folder = join(root, '.build', 'bench');
  mkdirSync(folder, { recursive: true });
  requireDisk(folder);
  if (args.json !== undefined) mkdirSync(dirname(args.json), { recursive: true });
  const generator = (name: Generator): string => compileGenerator(name, root, folder);
  const cores = twoCores();
  // This process is the load generator of most scenarios.
  spawnSync('taskset', ['-apc', String(cores.load), String(process.pid)]);
  const versions = new Map(args.peers.map((peer) => [peer, peer.version(root)]));
  const results: ScaleResult[] = [];
  for (const scenario of args.scenarios) {
    const peers = [...versions].flatMap(([peer, version]) => {
      if (!scenario.peers.includes(peer.name)) return [];
      if (version !== undefined) return [peer];
      console.error(`${peer.name} is not installed and left out: ${peer.install}`);
      return [];
    });
    const { rounds = 1 } = scenario;
    const runs = new Map<Peer, ScaleResult[]>(peers.map((peer) => [peer, []]));
    for (let round = 1; round <= rounds; round++) {
      for (const peer of round % 2 === 1 ? peers : peers.toReversed()) {
        const result = await runOne(scenario, new Stage(peer, cores, folder, generator), args.options);
        runs.get(peer)!.push(result);
        const label = rounds === 1 ? '' : `round ${round}  `;
        console.error(
          `${label}${scenario.name}  ${peer.name}  ${result.failure ?? `${result.figures.length} figures`}`,
        );
      }
    }
    results.push(...combined(scenario, [...runs.values()]));
  }
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    kernel: release(),
    node: process.version,
  };
  const { factor } = args.options;
  const date = new Date().toISOString();
  const named = [...versions].flatMap(([{ name }, version]) => (version === undefined ? [] : [[name, version]]));
  const head = [
    `${date}  ${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`,
    `${named.map((one) => one.join(' ')).join(', ')}; ${factor === 1 ? 'full size' : `${factor} of the full size`}`,
  ];
  console.log(scaleText(head.join('\n'), results));
  if (args.json !== undefined) {
    const about = { date, machine, versions: Object.fromEntries(named), factor, seconds: args.options.seconds };
    writeFileSync(args.json, scaleJson(about, results));
  }
  return scaleExitCode(results, args.check);
}
