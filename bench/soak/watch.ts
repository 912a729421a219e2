/** Looks at the broker at regular times. */
import { Routine, type Stage } from './stage.js';

/** One look; numbers that are looked at less often are those of the last time. */
export interface Sample {
  /** Seconds since the beginning of the load. */
  readonly at: number;
  /** MiB. */
  readonly resident: number;
  /** MiB of it that no file stands behind: without the program, and the tables that LevelDB has mapped. */
  readonly anonymous: number;
  readonly sockets: number;
  readonly files: number;
  /** MiB of the data folder. */
  readonly stored: number;
  /** MiB of the JavaScript heap, garbage included. */
  readonly heap: number;
  readonly sessions: number;
  readonly connections: number;
  readonly retained: number;
  readonly queued: number;
  /** Seconds, of the last interval of `$SYS`. */
  readonly loopP99: number;
}

const PERIOD_MS = 1000;
/** Looks for each look at `/metrics` and at the data folder. */
const SELDOM = 5;

export class Watch {
  readonly samples: Sample[] = [];
  readonly #began = performance.now();
  readonly #stage: Stage;
  readonly #routine: Routine;
  #looks = 0;
  #metrics: ReadonlyMap<string, number> = new Map();
  #stored = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#routine = new Routine(
      PERIOD_MS,
      () => this.#look(),
      (error) => stage.trouble(`the broker does not say how it is: ${error.message}`),
    );
  }

  stop(): Promise<void> {
    return this.#routine.stop();
  }

  async #look(): Promise<void> {
    const { target, acknowledgements } = this.#stage;
    acknowledgements.check();
    if (!target.running) return;
    if (this.#looks++ % SELDOM === 0) {
      this.#metrics = await target.metrics();
      this.#stored = target.stored();
    }
    const { sockets, files } = target.descriptors();
    const { now: resident, anonymous } = target.memory();
    const metric = (name: string): number => this.#metrics.get(name) ?? Number.NaN;
    this.samples.push({
      at: Math.round((performance.now() - this.#began) / 1000),
      resident,
      anonymous,
      sockets,
      files,
      stored: this.#stored,
      heap: metric('nodejs_heap_size_used_bytes') / 2 ** 20,
      sessions: metric('portico_sessions'),
      connections: metric('portico_connections'),
      retained: metric('portico_retained_messages'),
      queued: metric('portico_queued_messages'),
      loopP99: metric('nodejs_eventloop_lag_p99_seconds'),
    });
  }
}
