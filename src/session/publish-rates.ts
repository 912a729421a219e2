/**
 * `limits.messages_per_second` and `limits.bytes_per_second` for a client inside the process. Nobody can be read more slowly
 * here: what comes too early is refused.
 */

import { addressOf } from '../access/address.js';
import type { Environment } from './environment.js';
import type { Party } from './journal.js';
import { Rates } from './throttle.js';

export class PublishRates {
  readonly #environment: Environment;
  readonly #party: Party;
  /** Its own rates; null if it has those of its address. */
  readonly #own: Rates | null;
  /** Whose rates it has: a client without a user name may call itself anything, and has those of its address. */
  readonly #address: string | null;

  private constructor(environment: Environment, party: Party, address: string | null, own: Rates | null) {
    this.#environment = environment;
    this.#party = party;
    this.#address = address;
    this.#own = own;
  }

  /** Null if the client may publish as fast as it can. */
  static of(environment: Environment, party: Party): PublishRates | null {
    const own = Rates.of(environment.options, environment.clock.now());
    if (own === null) return null;
    const address = party.username === null ? addressOf(party.remote) : null;
    return new PublishRates(environment, party, address, address === null ? own : null);
  }

  #rates(now: number): Rates | null {
    return this.#address === null ? this.#own : this.#environment.addressRates.of(this.#address, now);
  }

  /** Seconds until the client may publish again: its rates are used up. At least 1. */
  get retryAfter(): number {
    return Math.max(1, Math.ceil(this.#rates(this.#environment.clock.now())?.delay ?? 0));
  }

  /** Takes a publication of so many bytes. False if it comes too early; that is counted and logged. */
  take(bytes: number): boolean {
    const { counters, clock, journal } = this.#environment;
    const now = clock.now();
    const rates = this.#rates(now);
    if (rates === null) return true;
    rates.refill(now);
    const option = rates.spent;
    if (option === null) {
      rates.take(bytes);
      return true;
    }
    if (option === 'limits.bytes_per_second') counters.throttledBytes++;
    else counters.throttledMessages++;
    const whose = this.#address === null ? 'the client' : `clients without user name at ${this.#address}`;
    if (rates.isNews(now)) journal.limit(this.#party, option, `publications of ${whose} are refused`);
    return false;
  }
}
