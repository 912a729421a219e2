/**
 * The rates of clients that may call themselves anything: those inside the process without a user name, such as anonymous
 * CoAP devices, count together by the address that stands behind them, an IPv6 address by its /64. A name costs nothing,
 * and no port does over UDP.
 */
import type { Counters } from '../bus/counters.js';
import type { SessionOptions } from './environment.js';
import type { Journal } from './journal.js';
import { Rates } from './throttle.js';

/** Addresses whose rates are remembered. */
export const MOST_ADDRESSES = 65_536;
/** Addresses that are looked at for each new one: more go than come, if they have nothing to remember. */
const LOOKS = 2;

export class AddressRates {
  #options: SessionOptions;
  readonly #counters: Counters;
  readonly #journal: Journal;
  /** In the order of their last use. */
  readonly #byAddress = new Map<string, Rates>();

  constructor(options: SessionOptions, counters: Counters, journal: Journal) {
    this.#options = options;
    this.#counters = counters;
    this.#journal = journal;
  }

  /** Other limits, for addresses that are heard for the first time. */
  replace(options: SessionOptions): void {
    this.#options = options;
  }

  get size(): number {
    return this.#byAddress.size;
  }

  /** The rates of an address; null if there is no limit. */
  of(address: string, now: number): Rates | null {
    let rates = this.#byAddress.get(address) ?? null;
    if (rates === null) {
      rates = Rates.of(this.#options, now);
      if (rates === null) return null;
      this.#tidy(now);
    } else this.#byAddress.delete(address);
    this.#byAddress.set(address, rates);
    return rates;
  }

  /** Rates of which nothing is used are as good as none. */
  #tidy(now: number): void {
    let looks = 0;
    for (const [address, rates] of this.#byAddress) {
      rates.refill(now);
      this.#byAddress.delete(address);
      if (!rates.full) this.#byAddress.set(address, rates);
      if (++looks === LOOKS) break;
    }
    if (this.#byAddress.size < MOST_ADDRESSES) return;
    const [oldest] = this.#byAddress.keys();
    this.#byAddress.delete(oldest);
    this.#counters.forgottenRates++;
    const option =
      this.#options.messagesPerSecond < Number.POSITIVE_INFINITY
        ? 'limits.messages_per_second'
        : 'limits.bytes_per_second';
    this.#journal.limit(null, option, `more than ${MOST_ADDRESSES} addresses: the rate of ${oldest} begins anew`);
  }
}
