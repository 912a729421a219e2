/**
 * Fuzzing that is guided by coverage: inputs are changed at random, and those that reach something new are kept, to be
 * changed further. The same seed gives the same inputs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../../support/checkout.js';
import { Random } from '../../support/random.js';
import type { Target } from '../target.js';
import type { Coverage } from './coverage.js';
import type { Memory } from './memory.js';
import { mutate } from './mutation.js';
import type { Watchdog } from './watchdog.js';

/** Inputs between two readings of the coverage, each of which takes a few milliseconds. */
const BATCH = 128;
/** The same for inputs of which many are likely to be kept. */
const FEW = 4;
/** Words for outcomes that are told apart; a target with more would keep every input. */
const MOST_OUTCOMES = 300;

/** An input that breaks an invariant. */
export class Finding extends Error {
  readonly input: Buffer;

  constructor(target: string, input: Buffer, cause: unknown) {
    const words = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    super(`${target} fails with ${input.length} bytes: ${input.toString('hex')}\n${words}`, { cause });
    this.name = 'Finding';
    this.input = input;
  }
}

const folder = join(checkout, 'test', 'fuzz', 'corpus');

/** The inputs that are kept for a target: one a line, in hexadecimal digits. */
export function corpusOf(name: string): Buffer[] {
  if (!readdirSync(folder).includes(`${name}.txt`)) return [];
  const lines = readFileSync(corpusFile(name), 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => Buffer.from(line, 'hex'));
}

export function corpusFile(name: string): string {
  return join(folder, `${name}.txt`);
}

/** What observes a run. */
export interface Observers {
  readonly coverage: Coverage;
  readonly memory: Memory;
  readonly watchdog: Watchdog;
  /** Exceptions that nobody has caught. */
  readonly stray: unknown[];
}

export class Guided {
  readonly target: Target;
  /** What has reached something new, oldest first. */
  readonly corpus: Buffer[] = [];
  executions = 0;
  readonly #observers: Observers;
  readonly #random: Random;
  readonly #words: readonly Buffer[];
  readonly #patience: number;
  readonly #outcomes = new Set<string>();

  /** @param patience milliseconds that one input may take; without it only the watchdog looks */
  constructor(target: Target, observers: Observers, seed: number, patience: number = Number.POSITIVE_INFINITY) {
    this.target = target;
    this.#observers = observers;
    this.#random = new Random(seed);
    this.#patience = patience;
    this.#words = target.words.map((word) => Buffer.from(word));
    observers.coverage.begin(target.scope);
  }

  /**
   * Runs inputs as they are, and keeps those that reach something new.
   * @throws Finding
   */
  async begin(inputs: readonly Buffer[]): Promise<void> {
    for (let i = 0; i < inputs.length; i += FEW) await this.#keep(inputs.slice(i, i + FEW));
    if (this.corpus.length === 0) this.corpus.push(Buffer.alloc(0));
  }

  /**
   * Runs a batch of changed inputs.
   * @throws Finding
   */
  async batch(size = BATCH): Promise<void> {
    const { longest } = this.target;
    const inputs = Array.from({ length: size }, () => mutate(this.corpus, this.#words, longest, this.#random));
    await this.#keep(inputs);
  }

  /** Runs inputs, and keeps those that reach something new: found by halves, since reading the coverage takes long. */
  async #keep(inputs: readonly Buffer[]): Promise<void> {
    const { coverage } = this.#observers;
    const only = inputs.length === 1;
    for (const input of inputs) if (await this.#execute(input)) this.corpus.push(input);
    const fresh = coverage.take(only) > 0;
    if (!fresh) return;
    if (only && this.corpus.at(-1) !== inputs[0]) this.corpus.push(inputs[0]);
    if (only) return;
    const half = inputs.length >> 1;
    await this.#keep(inputs.slice(0, half));
    await this.#keep(inputs.slice(half));
  }

  /** Runs one input; returns whether its outcome is new. */
  async #execute(input: Buffer): Promise<boolean> {
    const { memory, watchdog, stray } = this.#observers;
    this.executions++;
    watchdog.begin(input);
    memory.asked = 0;
    const started = performance.now();
    let outcome: string | undefined;
    try {
      const result = this.target.run(Buffer.from(input));
      outcome = typeof result === 'object' ? await result : result;
      memory.check(input.length);
      if (stray.length > 0) throw stray.shift();
      const took = performance.now() - started;
      if (took > this.#patience) throw new Error(`it took ${Math.round(took)} ms`);
    } catch (error) {
      throw new Finding(this.target.name, input, error);
    } finally {
      watchdog.rest();
    }
    if (outcome === undefined || this.#outcomes.has(outcome) || this.#outcomes.size >= MOST_OUTCOMES) return false;
    this.#outcomes.add(outcome);
    return true;
  }
}
