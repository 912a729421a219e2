/** New connections that wait to be read from: `limits.connects_per_second`. */
import { Bucket } from './bucket.js';
import type { RateTimer, Waiting } from './rate-timer.js';

/** A new connection. */
export interface Arrival {
  readonly closed: boolean;
  hold(): void;
  unhold(): void;
}

export class Arrivals<Kind extends Arrival> implements Waiting {
  #bucket: Bucket;
  readonly #timer: RateTimer;
  /** Called for each that has to wait. */
  readonly #onWait: (arrival: Kind) => void;
  /** In the order in which they came. */
  readonly #waiting = new Set<Kind>();

  /** @param rate connections a second */
  constructor(rate: number, timer: RateTimer, onWait: (arrival: Kind) => void) {
    this.#bucket = new Bucket(rate, timer.now());
    this.#timer = timer;
    this.#onWait = onWait;
  }

  /** Puts another rate in the place of the one there is. @param rate connections a second */
  replace(rate: number): void {
    this.#bucket = new Bucket(rate, this.#timer.now());
  }

  /** Reads from a new connection, now or when its turn comes. */
  take(arrival: Kind): void {
    this.#bucket.refill(this.#timer.now());
    if (this.#waiting.size === 0 && this.#bucket.tokens >= 1) {
      this.#bucket.tokens--;
      return;
    }
    this.#onWait(arrival);
    arrival.hold();
    this.#waiting.add(arrival);
    this.#timer.add(this);
  }

  letOn(now: number): boolean {
    this.#bucket.refill(now);
    for (const arrival of this.#waiting) {
      if (!arrival.closed && this.#bucket.tokens < 1) return true;
      this.#waiting.delete(arrival);
      // It costs nothing to let a connection go that waited in vain.
      if (arrival.closed) continue;
      this.#bucket.tokens--;
      arrival.unhold();
    }
    return false;
  }
}
