/**
 * The soak: the broker as a process under mixed load from real clients that come and go, for half an hour. It looks for
 * what only time shows: memory that grows, timers, sockets and files that stay, acknowledgements that never come.
 * Exit codes: 0; 1 if something is not as it has to be; 2 if it could not begin.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkoutRoot, compileGenerator } from '../load.js';
import { BenchError, cleanUpOnExit, requireDisk, temporaryFolder, twoCores } from '../processes.js';
import { Acknowledgements } from './acknowledgements.js';
import { parseArguments, type SoakArguments, usage } from './arguments.js';
import { Devices } from './devices.js';
import { type Deliveries, Ledger } from './ledger.js';
import { Programs } from './programs.js';
import { soakJson, soakText } from './report.js';
import { atRest, type Rest } from './rest.js';
import { type Actors, Random, type Stage, Tally } from './stage.js';
import { Strangers } from './strangers.js';
import { Target } from './target.js';
import { Tracked } from './tracked.js';
import { holds, rowsOf } from './verdict.js';
import { Visitors } from './visitors.js';
import { type Sample, Watch } from './watch.js';

const SEED = 1;
const TROUBLES_TOLD = 50;
const SETTLE_MS = 120_000;
/** Actors have so long to end what they do. */
const PATIENCE_MS = 180_000;
/** Milliseconds between two looks at whether the broker still runs. */
const POLL_MS = 500;
/** Minutes of load from which on memory can be said to be flat. */
const LONG = 10;
/** One round: clients come, stay for so many minutes, and leave. */
interface Round {
  readonly samples: readonly Sample[];
  readonly deliveries: Deliveries;
  readonly rest: Rest;
  readonly programs: readonly string[];
}

interface Soak {
  readonly target: Target;
  /** `/metrics` before the first client came. */
  readonly idle: Rest['metrics'];
  readonly acknowledgements: Acknowledgements;
  readonly trouble: (sentence: string) => void;
  readonly random: Random;
  /** Milliseconds that the broker is left alone at least once all clients have left. */
  readonly settle: number;
  /** Minutes of load before each round is sampled. */
  readonly warmup: number;
  readonly core: number;
  readonly mqttload: string;
  readonly root: string;
}

async function runRound(soak: Soak, minutes: number, before: Rest | null): Promise<Round & { done: Tally }> {
  const { target, acknowledgements, random, trouble } = soak;
  const done = new Tally();
  const ledger = new Ledger();
  const stage: Stage = { target, ledger, acknowledgements, random, done, trouble };
  const programs = new Programs(stage, soak.core, soak.mqttload, soak.root);
  const tracked = new Tracked(stage);
  // Those whose messages are followed stop last: their queues may still fill.
  const actors: Actors[] = [new Visitors(stage), new Devices(stage), new Strangers(stage), programs, tracked];
  const checks = setInterval(() => acknowledgements.check(), POLL_MS);
  for (const one of actors) await one.start();
  // The look at the heap before has emptied it: caches and heap fill up again before anything is sampled.
  await stay(target, soak.warmup * 60_000);
  const watch = new Watch(stage);
  await stay(target, minutes * 60_000);
  await watch.stop();
  console.error('the clients leave');
  for (const one of actors) await within(one.stop(), `${one.constructor.name} to stop`);
  for (const one of actors) await within(one.leave(), `${one.constructor.name} to leave`);
  const rest = await atRest(target, { most: SETTLE_MS, least: soak.settle }, soak.idle, before);
  clearInterval(checks);
  return { samples: watch.samples, deliveries: ledger.deliveries(), rest, programs: programs.names, done };
}

/** @throws BenchError if it takes too long */
async function within(work: Promise<void>, what: string): Promise<void> {
  const giveUp = new AbortController();
  const late = sleep(PATIENCE_MS, undefined, { signal: giveUp.signal }).then(() => {
    throw new BenchError(`waited ${PATIENCE_MS / 1000} s for ${what}`);
  });
  await Promise.race([work, late]);
  giveUp.abort();
  await late.catch(() => {});
}

/** @throws BenchError if the broker ends meanwhile */
async function stay(target: Target, milliseconds: number): Promise<void> {
  const end = performance.now() + milliseconds;
  while (performance.now() < end) {
    await sleep(Math.min(POLL_MS, end - performance.now()));
    if (!target.running) throw new BenchError(`the broker has ended: ${target.output}`);
  }
}

async function main(args: SoakArguments): Promise<number> {
  const root = checkoutRoot();
  const folder = join(root, '.build', 'bench');
  mkdirSync(folder, { recursive: true });
  requireDisk(folder);
  if (args.json !== undefined) mkdirSync(dirname(args.json), { recursive: true });
  const mqttload = compileGenerator('mqttload', root, folder);
  const cores = twoCores();
  spawnSync('taskset', ['-apc', String(cores.load), String(process.pid)]);
  const troubles: string[] = [];
  const trouble = (sentence: string): void => {
    if (troubles.length < TROUBLES_TOLD) console.error(`trouble: ${sentence}`);
    troubles.push(sentence);
  };
  const acknowledgements = new Acknowledgements(args.patience * 1000, trouble);
  const target = await Target.start(temporaryFolder(folder), cores.broker, args.expiry);
  const random = new Random(SEED);
  const idle = await target.metrics();
  const soak: Soak = {
    target,
    idle,
    acknowledgements,
    trouble,
    random,
    settle: args.settle * 1000,
    warmup: args.warmup,
    core: cores.load,
    mqttload,
    root,
  };
  try {
    console.error(`warm-up: ${args.warmup} minutes`);
    const first = await runRound(soak, 0, null);
    console.error(`load: ${args.minutes} minutes`);
    const { samples, deliveries, rest: after, done, programs } = await runRound(soak, args.minutes, first.rest);
    const findings = {
      acknowledgements,
      deliveries,
      samples,
      troubles: troubles.length,
      idle,
      before: first.rest,
      after,
      long: args.minutes >= LONG,
    };
    const rows = rowsOf(findings);
    const head = {
      date: new Date().toISOString(),
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      kernel: release(),
      node: process.version,
      minutes: args.minutes,
      warmup: args.warmup,
      clients: ['MQTT.js', 'coap', ...programs],
    };
    const all = { head, rows, findings, done, troubles };
    console.log(soakText(all));
    if (args.json !== undefined) writeFileSync(args.json, soakJson(all));
    return rows.every(holds) ? 0 : 1;
  } finally {
    await target.stop();
  }
}

cleanUpOnExit();
try {
  const args = parseArguments(process.argv.slice(2));
  if (args === undefined) console.log(usage);
  process.exit(args === undefined ? 0 : await main(args));
} catch (error) {
  if (!(error instanceof BenchError)) throw error;
  console.error(`soak: ${error.message}`);
  process.exit(2);
}
