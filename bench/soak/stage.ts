/** What all the actors of a soak share. */
import type { Acknowledgements } from './acknowledgements.js';
import type { Ledger } from './ledger.js';
import type { Target } from './target.js';

export interface Stage {
  readonly target: Target;
  readonly ledger: Ledger;
  readonly acknowledgements: Acknowledgements;
  readonly random: Random;
  /** What was done, by name. */
  readonly done: Tally;
  /** Says what ought not to happen; it fails the soak. */
  trouble(sentence: string): void;
}

/** Clients of one kind, which come and go until they are told to stop. */
export interface Actors {
  start(): Promise<void>;
  /** Ends what they do and waits until what they have begun is answered; connections of those who stay remain. */
  stop(): Promise<void>;
  /** Removes all that the broker keeps for them. */
  leave(): Promise<void>;
}

/** Numbers by name. */
export class Tally {
  readonly counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }
}

/** A generator of numbers from a seed (xorshift32), so that two runs do the same kind of things. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % bound;
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** True in one of `many` cases. */
  one(many: number): boolean {
    return this.below(many) === 0;
  }
}

/** Does something again and again until it is stopped, and waits for what it has begun. */
export class Routine {
  readonly #pending = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;

  /** @param act may take longer than the period; a rejection goes to `failed` */
  constructor(periodMs: number, act: () => Promise<void> | void, failed: (error: Error) => void) {
    this.#timer = setInterval(() => {
      const work = Promise.resolve()
        .then(act)
        .catch((error: Error) => failed(error))
        .finally(() => this.#pending.delete(work));
      this.#pending.add(work);
    }, periodMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
  }
}
