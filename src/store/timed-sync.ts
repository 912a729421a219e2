/**
 * `store.sync: interval`: what was written is brought to the disk by a timer. No acknowledgement waits for it; what was
 * acknowledged since the last sync that succeeded does not survive a power cut.
 */
import type { Counters } from '../bus/counters.js';

export class TimedSync {
  readonly #sync: () => Promise<void>;
  readonly #counters: Counters;
  readonly #timer: NodeJS.Timeout;
  #wanted = false;
  /** `performance.now()` at the first one that failed since one that did not; 0 before. */
  #failingSince = 0;
  /** Told of each one that fails; it is tried again at the next interval. */
  onFailure: ((error: unknown) => void) | null = null;
  /** Told when one succeeds again, and how many milliseconds after the first that failed. */
  onRecovery: ((milliseconds: number) => void) | null = null;

  /** @param interval in milliseconds */
  constructor(interval: number, sync: () => Promise<void>, counters: Counters) {
    this.#sync = sync;
    this.#counters = counters;
    this.#timer = setInterval(() => void this.#run(), interval);
    this.#timer.unref();
  }

  /** Something was written. */
  want(): void {
    this.#wanted = true;
  }

  async #run(): Promise<void> {
    if (!this.#wanted) return;
    this.#wanted = false;
    try {
      await this.#sync();
    } catch (error) {
      this.#wanted = true;
      this.#counters.syncFailures++;
      if (this.#failingSince === 0) this.#failingSince = performance.now();
      this.onFailure?.(error);
      return;
    }
    if (this.#failingSince === 0) return;
    this.onRecovery?.(performance.now() - this.#failingSince);
    this.#failingSince = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
