/**
 * Addresses that are not up yet when the broker starts: an interface without its address, a name that no resolver knows. They
 * are tried again, ever more rarely, until they are there.
 */
import { PorticoError } from '../errors.js';

/** Milliseconds before the first further attempt, and between attempts at most. */
const FIRST_DELAY = 1000;
const LONGEST_DELAY = 60_000;

/** What may be there later. What another program uses, or this user may not open, stays a fault. */
const NOT_YET: readonly unknown[] = ['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN'];

/** Whether a listener could not be opened because its address is not there yet. */
export function isNotYet(error: unknown): boolean {
  if (!(error instanceof PorticoError) || !(error.cause instanceof Error) || !('code' in error.cause)) return false;
  return NOT_YET.includes(error.cause.code);
}

/** What is told of them. */
export interface LatecomersLog {
  /** An attempt failed for another reason than the one before. */
  late(error: unknown): void;
  /** @param attempts that it took */
  opened(what: string, attempts: number): void;
}

export class Latecomers {
  readonly #log: LatecomersLog;
  readonly #firstDelay: number;
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Attempts that are under way. */
  readonly #attempts = new Set<Promise<void>>();
  #stopped = false;

  /** @param firstDelay milliseconds */
  constructor(log: LatecomersLog, firstDelay = FIRST_DELAY) {
    this.#log = log;
    this.#firstDelay = firstDelay;
  }

  /**
   * Opens something later, that could not be opened now.
   * @param open called until it resolves
   * @param error of the first attempt
   */
  add(what: string, open: () => Promise<void>, error: unknown): void {
    this.#log.late(error);
    this.#wait(what, open, wordsOf(error), 1);
  }

  #wait(what: string, open: () => Promise<void>, last: string, attempts: number): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        const attempt = this.#try(what, open, last, attempts + 1).finally(() => this.#attempts.delete(attempt));
        this.#attempts.add(attempt);
      },
      Math.min(this.#firstDelay * 2 ** (attempts - 1), LONGEST_DELAY),
    );
    this.#timers.add(timer);
  }

  async #try(what: string, open: () => Promise<void>, last: string, attempts: number): Promise<void> {
    try {
      await open();
      this.#log.opened(what, attempts);
    } catch (error) {
      if (wordsOf(error) !== last) this.#log.late(error);
      if (!this.#stopped) this.#wait(what, open, wordsOf(error), attempts);
    }
  }

  /** Tries no more. Resolves when nothing more can be opened. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(this.#attempts);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
