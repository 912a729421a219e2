/** How late the event loop is: what every client of one process waits for, whatever it asks. */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

/** Seconds by which timers came late in one interval. */
export interface LoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Milliseconds between looks. The histogram has the time from one look to the next, so this much is no delay. */
const RESOLUTION = 20;

export class EventLoop {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION });
  #timer: NodeJS.Timeout | null = null;
  /** The delays of the last complete interval; zeros before there is one. */
  delay: LoopDelay = { p50: 0, p99: 0, max: 0 };

  /** @param interval seconds */
  start(interval: number): void {
    this.#histogram.enable();
    this.#timer = setInterval(() => this.#complete(), interval * 1000);
    this.#timer.unref();
  }

  stop(): void {
    this.#histogram.disable();
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #complete(): void {
    const histogram = this.#histogram;
    this.delay = {
      p50: seconds(histogram.percentile(50)),
      p99: seconds(histogram.percentile(99)),
      max: seconds(histogram.max),
    };
    histogram.reset();
  }
}

/** Whole microseconds: what is below is noise of the clock. */
function seconds(nanoseconds: number): number {
  return Math.max(0, Math.round(nanoseconds / 1000 - RESOLUTION * 1000)) / 1e6;
}
