/**
 * The benchmark: every scenario against Portico and its peers in turn, a fresh broker for each run, one core each.
 * Exit codes: 0; 1 after a failed run, or with --check unless every floor holds; 2 if it could not begin.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { type BenchArguments, parseArguments, usage } from './arguments.js';
import { freePorts, type Peer, type PeerName, startBroker } from './brokers.js';
import { checkoutRoot, compileGenerator, type Generator, type LoadResult, runLoad } from './load.js';
import {
  BenchError,
  cleanUpOnExit,
  removeFolder,
  requireDisk,
  residentMemory,
  temporaryFolder,
  twoCores,
} from './processes.js';
import { type BenchReport, exitCode, type RunResult, reportJson, reportText, summarize } from './report.js';
import { runScale } from './scale/group.js';
import { coapLoadArguments, coapPrimingArguments, mqttLoadArguments, type Scenario, type Timing } from './scenarios.js';

/** What every run of one benchmark shares. */
interface Bench {
  readonly root: string;
  /** On a disk: compiled generators, and the brokers' state. */
  readonly folder: string;
  readonly cores: ReturnType<typeof twoCores>;
  readonly generators: Readonly<Record<Extract<Generator, 'mqttload' | 'coapload'>, string>>;
}

interface Runs {
  readonly peer: PeerName;
  readonly runs: RunResult[];
  readonly failures: string[];
}

function prepare(scenarios: readonly Scenario[]): Bench {
  const root = checkoutRoot();
  const folder = join(root, '.build', 'bench');
  mkdirSync(folder, { recursive: true });
  if (scenarios.some((one) => one.protocol === 'coap' || one.persistent)) requireDisk(folder);
  const generators = {
    mqttload: compileGenerator('mqttload', root, folder),
    coapload: compileGenerator('coapload', root, folder),
  };
  return { root, folder, generators, cores: twoCores() };
}

/** The peers that are installed and serve one of the scenarios, with their versions. */
function findPeers(bench: Bench, args: BenchArguments): Map<Peer, string> {
  const found = new Map<Peer, string>();
  const protocols = new Set(args.scenarios.map(({ protocol }) => protocol));
  for (const peer of args.peers) {
    if (!peer.protocols.some((protocol) => protocols.has(protocol))) continue;
    const version = peer.version(bench.root);
    if (version !== undefined) found.set(peer, version);
    else if (peer.name === 'portico' || args.required.has(peer.name)) {
      throw new BenchError(`${peer.name} is not there: ${peer.install}`);
    } else console.error(`${peer.name} is not installed and left out: ${peer.install}`);
  }
  return found;
}

async function putLoad(bench: Bench, scenario: Scenario, timing: Timing, address: string[]): Promise<LoadResult> {
  const { generators, cores } = bench;
  if (scenario.protocol === 'mqtt') {
    return runLoad(cores.load, generators.mqttload, [...address, ...mqttLoadArguments(scenario, timing)]);
  }
  if (scenario.method === 'get') {
    await runLoad(cores.load, generators.coapload, [...address, ...coapPrimingArguments]);
  }
  return runLoad(cores.load, generators.coapload, [...address, ...coapLoadArguments(scenario, timing)]);
}

/** Starts a broker, puts one scenario's load on it and takes it down. */
async function runOnce(bench: Bench, peer: Peer, scenario: Scenario, timing: Timing): Promise<RunResult> {
  const folder = temporaryFolder(bench.folder);
  const ports = await freePorts();
  const persistent = scenario.protocol === 'mqtt' && scenario.persistent;
  const setup = { core: bench.cores.broker, folder, ports, persistent };
  try {
    const broker = await startBroker(peer, setup, scenario.protocol);
    try {
      const address = ['-h', '127.0.0.1', '-p', String(ports[scenario.protocol]), '-i', String(broker.pid)];
      const load = await putLoad(bench, scenario, timing, address);
      const memory = residentMemory(broker.pid);
      return { ...load, rssMiB: memory.now, peakRssMiB: memory.peak };
    } catch (error) {
      const words = broker.output === '' ? '' : `; ${peer.name} wrote: ${broker.output}`;
      throw new BenchError(`${(error as Error).message}${broker.running ? '' : ' (broker has ended)'}${words}`);
    } finally {
      await broker.stop();
    }
  } finally {
    removeFolder(folder);
  }
}

/** All rounds. The peers of a scenario follow each other, in reverse order in every second round. */
async function runAll(bench: Bench, args: BenchArguments, found: readonly Peer[]): Promise<Map<Scenario, Runs[]>> {
  const results = new Map<Scenario, Runs[]>();
  const serving = (scenario: Scenario) => found.filter(({ protocols }) => protocols.includes(scenario.protocol));
  for (const scenario of args.scenarios) {
    results.set(
      scenario,
      serving(scenario).map(({ name }) => ({ peer: name, runs: [], failures: [] })),
    );
  }
  for (let round = 1; round <= args.rounds; round++) {
    for (const scenario of args.scenarios) {
      const order = round % 2 === 1 ? serving(scenario) : serving(scenario).reverse();
      for (const peer of order) {
        const mine = results.get(scenario)!.find((one) => one.peer === peer.name)!;
        await runInto(mine, `round ${round}  ${scenario.name}  ${peer.name}`, () =>
          runOnce(bench, peer, scenario, args.timing),
        );
      }
    }
  }
  return results;
}

/** One failed run does not end the benchmark; it is reported, and fails it in the end. */
async function runInto(runs: Runs, label: string, run: () => Promise<RunResult>): Promise<void> {
  try {
    const result = await run();
    runs.runs.push(result);
    console.error(`${label}  ${Math.round(result.perSecond).toLocaleString('en-US')}/s`);
  } catch (error) {
    if (!(error instanceof BenchError)) throw error;
    runs.failures.push(error.message);
    console.error(`${label}  failed: ${error.message}`);
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const args = parseArguments(argv);
  if (!args) {
    console.log(usage);
    return 0;
  }
  if (args.scale !== undefined) return runScale(args.scale);
  const bench = prepare(args.scenarios);
  if (args.json !== undefined) mkdirSync(dirname(args.json), { recursive: true });
  if (bench.cores.broker === bench.cores.load) console.error('one core only: broker and load generator share it');
  const found = findPeers(bench, args);
  const results = await runAll(bench, args, [...found.keys()]);
  const report: BenchReport = {
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, kernel: release(), node: process.version },
    versions: Object.fromEntries([...found].map(([{ name }, version]) => [name, version])),
    rounds: args.rounds,
    timing: args.timing,
    summaries: [...results].map(([scenario, runs]) =>
      summarize(scenario, runs, [...results].find(([other]) => other.name === scenario.against)?.[1]),
    ),
  };
  console.log(reportText(report));
  if (args.json !== undefined) writeFileSync(args.json, reportJson(report));
  return exitCode(report.summaries, args.check);
}

cleanUpOnExit();
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof BenchError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}
