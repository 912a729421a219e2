/** Refusals that have to wait, so that guessing takes its time. */
import type { RateTimer, Waiting } from './rate-timer.js';

interface Refused {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly goOn: () => void;
}

export class Refusals implements Waiting {
  readonly #timer: RateTimer;
  readonly #waiting = new Set<Refused>();

  constructor(timer: RateTimer) {
    this.#timer = timer;
  }

  /** Lets a client that is to be refused wait for so many milliseconds; null if it need not. When the broker stops, nobody is let on. */
  wait(client: { readonly closed: boolean }, milliseconds: number): Promise<void> | null {
    if (milliseconds <= 0 || client.closed) return null;
    return new Promise((resolve) => {
      this.#waiting.add({ at: this.#timer.now() + milliseconds, goOn: resolve });
      this.#timer.add(this);
    });
  }

  letOn(now: number): boolean {
    for (const refused of this.#waiting) {
      if (now < refused.at) continue;
      this.#waiting.delete(refused);
      refused.goOn();
    }
    return this.#waiting.size > 0;
  }
}
