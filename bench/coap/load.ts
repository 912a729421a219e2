/** What the scenarios of CoAP share: how a generator is pointed at the server, and one that stays when it is done. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Generator, GeneratorOutput } from '../load.js';
import { BenchError, Child } from '../processes.js';
import type { Stage } from '../scale/stage.js';

const POLL_MS = 50;
const WARMUP_SECONDS = 1;
/** Seconds until a request counts as lost: an fsync of a busy disk may take one or two. */
const PATIENCE_SECONDS = 10;

/** Arguments that name the server's plain port and its process. */
export function plain(stage: Stage): string[] {
  return ['-p', String(stage.coapPort), '-i', String(stage.pid)];
}

/** The same for its port of DTLS. */
export function secure(stage: Stage): string[] {
  return ['-p', String(stage.coapPort + 1), '-i', String(stage.pid)];
}

/** Arguments for an interval of so many seconds after some of warm-up. */
export function measured(seconds: number): string[] {
  return ['-u', String(Math.min(WARMUP_SECONDS, seconds)), '-d', String(seconds), '-t', String(PATIENCE_SECONDS)];
}

/** A generator that has done its work and stays with its sockets until it is killed. */
export interface Held {
  readonly child: Child;
  readonly out: GeneratorOutput;
}

/**
 * Starts a generator and waits for its report.
 * @throws BenchError if it failed or lost anything, with its own words
 */
export async function hold(stage: Stage, name: Generator, args: readonly string[]): Promise<Held> {
  const child = await Child.start(stage.loadCore, stage.generator(name), [...args, '-H']);
  while (!child.stdout.endsWith('}\n')) {
    if (!child.running) throw new BenchError(`load generator has ended: ${child.output}`);
    await sleep(POLL_MS);
  }
  return { child, out: JSON.parse(child.stdout) as GeneratorOutput };
}
