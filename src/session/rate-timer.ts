/** One timer for all that waits for a rate: nobody who waits has a timer of its own. */

/** Milliseconds between two looks. */
const INTERVAL = 50;

/** A kind of waiting. */
export interface Waiting {
  /** Lets on who may go on; returns whether others still wait. */
  letOn(now: number): boolean;
}

export class RateTimer {
  readonly #now: () => number;
  readonly #waiting = new Set<Waiting>();
  #timer: NodeJS.Timeout | null = null;

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  now(): number {
    return this.#now();
  }

  /** Somebody waits, and did not before. */
  add(waiting: Waiting): void {
    this.#waiting.add(waiting);
    this.#timer ??= setInterval(() => this.run(), INTERVAL);
  }

  /** Looks after those who wait; also to be called where time is not the system's. */
  run(): void {
    for (const waiting of this.#waiting) if (!waiting.letOn(this.#now())) this.#waiting.delete(waiting);
    if (this.#waiting.size === 0) this.stop();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
