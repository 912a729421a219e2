/** When to warn that a certificate, or a list of revoked ones, will be past its time. */
import type { Expiring } from './tls-files.js';

const DAY = 86_400_000;
/** Days left at which it is said once, and from which on it is said every day. */
const ONCE = 30;
const DAILY = 7;
/** Lists live days or weeks: what is soon for a certificate is usual for them. */
const DAILY_OF_LISTS = 2;

const CA = 'the certificate of a CA in it';
const WORDS: Readonly<Record<Expiring, string>> = {
  cert_file: 'a certificate in it',
  ca_file: CA,
  http_ca_file: CA,
  jwt_jwks_ca_file: CA,
  crl_file: 'the list of revoked certificates in it',
};

/** Days from a moment to another, whole ones; negative if it is past. */
export function daysBetween(now: number, end: number): number {
  return Math.floor((end - now) / DAY);
}

/** What has been said of one file. */
export class ExpiryNotice {
  readonly #file: Expiring;
  #end = Number.NaN;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(file: Expiring) {
    this.#file = file;
  }

  /**
   * A sentence that is due, or null.
   * @param end of what is in force, and
   * @param now in milliseconds since the epoch
   */
  due(end: number, now: number): string | null {
    if (end !== this.#end) {
      this.#end = end;
      this.#toldAt = Number.NEGATIVE_INFINITY;
    }
    const days = daysBetween(now, end);
    const daily = this.#file === 'crl_file' ? DAILY_OF_LISTS : DAILY;
    const first = this.#toldAt === Number.NEGATIVE_INFINITY;
    if (days >= (this.#file === 'crl_file' ? daily : ONCE)) return null;
    if (!first && (days >= daily || now - this.#toldAt < DAY)) return null;
    this.#toldAt = now;
    const date = new Date(end).toISOString();
    if (end <= now) return `${WORDS[this.#file]} has expired, at ${date}`;
    const left = days === 0 ? 'within a day' : days === 1 ? 'in 1 day' : `in ${days} days`;
    return `${WORDS[this.#file]} expires ${left}, at ${date}`;
  }
}
