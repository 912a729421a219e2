/**
 * The load generators: compiled when stale, run on their own core, their one line of JSON read back. They are C
 * because a generator in Node could not load the brokers that are measured.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BenchError, Child, environment } from './processes.js';

/** How each generator is compiled from a file in `bench/load`. */
const programs = {
  mqttload: { source: 'mqttload.c', flags: [] },
  coapload: { source: 'coapload.c', flags: [] },
  coapsload: { source: 'coapload.c', flags: ['-DWITH_DTLS', '-lssl', '-lcrypto'] },
  observeload: { source: 'observeload.c', flags: [] },
  blockload: { source: 'blockload.c', flags: [] },
} as const satisfies Record<string, { readonly source: string; readonly flags: readonly string[] }>;

export type Generator = keyof typeof programs;

/** What a generator measured in its interval. */
export interface LoadResult {
  /** Deliveries (MQTT) or responses (CoAP) per second. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of its core that the process was charged with, 0 to 1; the kernel's network interrupts are not in it. */
  readonly brokerCpu: number;
  readonly loadCpu: number;
  /** Share of the interval in which that core had nothing to do. */
  readonly brokerIdle: number;
  readonly loadIdle: number;
  /** Share that processes outside the benchmark took of the core where they took most. */
  readonly otherCpu: number;
}

/** The checkout: the nearest folder above this file that holds the generators' sources. */
export function checkoutRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'bench', 'load', 'mqttload.c'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new BenchError('no bench/load/mqttload.c above the benchmark: it runs in a checkout');
    folder = parent;
  }
  return folder;
}

function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/**
 * Compiles a generator to `<folder>/<name>` unless that is newer than every source.
 * @param root folder of the checkout
 * @returns the path of the program
 * @throws BenchError without a C compiler, or without OpenSSL's headers for `coapsload`
 */
export function compileGenerator(name: Generator, root: string, folder: string): string {
  const sources = join(root, 'bench', 'load');
  const program = join(folder, name);
  const newest = Math.max(...readdirSync(sources).map((file) => modified(join(sources, file))));
  if (modified(program) > newest) return program;
  mkdirSync(folder, { recursive: true });
  const fresh = `${program}.${process.pid}`;
  const { source, flags } = programs[name];
  try {
    execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', fresh, join(sources, source), ...flags], {
      env: environment,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      const missing = name === 'coapsload' ? ': sudo apt install libssl-dev' : '';
      throw new BenchError(`cc could not compile ${name}${missing}`);
    }
    throw new BenchError('no C compiler (cc): sudo apt install gcc libc6-dev');
  }
  renameSync(fresh, program); // whoever runs beside us never sees half a program
  return program;
}

/** The object that a generator prints; each prints some numbers of its own, too. */
export interface GeneratorOutput extends Omit<LoadResult, 'p50Ms' | 'p99Ms'> {
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  /** Until all observers were registered (`observeload`), or all lines were open (`coapload`, `coapsload`). */
  readonly registeringSeconds?: number;
  readonly openingSeconds?: number;
  /** Requests, or states of an observed resource, a second. */
  readonly sentPerSecond: number;
  /** Measured seconds. */
  readonly seconds: number;
}

/**
 * Runs a generator to its end.
 * @returns all that it printed
 * @throws BenchError if it failed or lost anything, with its own words
 */
export async function runGenerator(core: number, program: string, args: readonly string[]): Promise<GeneratorOutput> {
  const child = await Child.start(core, program, args);
  const code = await child.wait();
  if (code !== 0) throw new BenchError(`load generator ended with ${code}: ${child.output}`);
  return JSON.parse(child.stdout) as GeneratorOutput;
}

/** As {@link runGenerator}, with the figures that all generators print. */
export async function runLoad(core: number, program: string, args: readonly string[]): Promise<LoadResult> {
  const out = await runGenerator(core, program, args);
  const { perSecond, latencyMs, brokerCpu, loadCpu, brokerIdle, loadIdle, otherCpu } = out;
  const { p50: p50Ms, p99: p99Ms } = latencyMs;
  return { perSecond, p50Ms, p99Ms, brokerCpu, loadCpu, brokerIdle, loadIdle, otherCpu };
}
