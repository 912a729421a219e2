/**
 * The load generators: compiled when stale, run on their own core, their one line of JSON read back. They are C
 * because a generator in Node could not load the brokers that are measured.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BenchError, Child, environment } from './processes.js';

export type Generator = 'mqttload' | 'coapload';

/** What a generator measured in its interval. */
export interface LoadResult {
  /** Deliveries (MQTT) or responses (CoAP) per second. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of one core, 0 to 1. */
  readonly brokerCpu: number;
  readonly loadCpu: number;
}

/** The checkout: the nearest folder above this file that has a package.json. */
export function checkoutRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new BenchError('no package.json above the benchmark');
    folder = parent;
  }
  return folder;
}

function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/**
 * Compiles `bench/load/<name>.c` to `<folder>/<name>` unless that is newer than every source.
 * @param root folder of the checkout
 * @returns the path of the program
 * @throws BenchError without a C compiler
 */
export function compileGenerator(name: Generator, root: string, folder: string): string {
  const sources = join(root, 'bench', 'load');
  const program = join(folder, name);
  const newest = Math.max(...readdirSync(sources).map((file) => modified(join(sources, file))));
  if (modified(program) > newest) return program;
  mkdirSync(folder, { recursive: true });
  const fresh = `${program}.${process.pid}`;
  try {
    execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', fresh, join(sources, `${name}.c`)], {
      env: environment,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new BenchError(`cc could not compile ${name}.c`);
    throw new BenchError('no C compiler (cc): sudo apt install gcc libc6-dev');
  }
  renameSync(fresh, program); // whoever runs beside us never sees half a program
  return program;
}

interface GeneratorOutput {
  readonly perSecond: number;
  readonly brokerCpu: number;
  readonly loadCpu: number;
  readonly latencyMs: { readonly p50: number; readonly p99: number };
}

/**
 * Runs a generator to its end.
 * @throws BenchError if it failed or lost anything, with its own words
 */
export async function runLoad(core: number, program: string, args: readonly string[]): Promise<LoadResult> {
  const child = await Child.start(core, program, args);
  const code = await child.wait();
  if (code !== 0) throw new BenchError(`load generator ended with ${code}: ${child.output}`);
  const { perSecond, brokerCpu, loadCpu, latencyMs } = JSON.parse(child.stdout) as GeneratorOutput;
  return { perSecond, brokerCpu, loadCpu, p50Ms: latencyMs.p50, p99Ms: latencyMs.p99 };
}
