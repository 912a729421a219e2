/** How many handshakes begin in a second, of one host and in all: they are counted before anything of them costs computing time. */
import type { Clock } from '../timers.js';
import type { DtlsCounters } from './counters.js';
import type { DtlsLimits } from './limits.js';

/** Milliseconds. */
const SECOND = 1_000;

type Rates = Pick<DtlsLimits, 'handshakesPerSecond' | 'hostHandshakesPerSecond'>;

export class HandshakeRate {
  readonly #limits: Rates;
  readonly #counters: DtlsCounters;
  readonly #clock: Clock;
  /** When the present second began, and what has begun in it. */
  #since = Number.NEGATIVE_INFINITY;
  #all = 0;
  /** Hosts of which a handshake has begun in it: no more of them than handshakes. */
  readonly #byHost = new Map<string, number>();

  constructor(limits: Rates, counters: DtlsCounters, clock: Clock) {
    this.#limits = limits;
    this.#counters = counters;
    this.#clock = clock;
  }

  /** Counts a handshake of a host, unless that is one too many: then the name of the limit. */
  take(host: string): keyof Rates | undefined {
    const now = this.#clock.now();
    if (now - this.#since >= SECOND) {
      this.#since = now;
      this.#all = 0;
      this.#byHost.clear();
    }
    const begun = this.#byHost.get(host) ?? 0;
    if (begun >= this.#limits.hostHandshakesPerSecond) {
      this.#counters.handshakesOverHostRate++;
      return 'hostHandshakesPerSecond';
    }
    if (this.#all >= this.#limits.handshakesPerSecond) {
      this.#counters.handshakesOverRate++;
      return 'handshakesPerSecond';
    }
    this.#all++;
    this.#byHost.set(host, begun + 1);
    return undefined;
  }
}
