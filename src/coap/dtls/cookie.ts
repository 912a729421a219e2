/** Cookies of the stateless exchange (RFC 6347 4.2.1): a client shows that it receives what is sent to its address. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../timers.js';
import type { DatagramAddress } from '../transport.js';
import type { HelloStart } from './client-hello.js';

export const COOKIE_BYTES = 16;
/** Milliseconds between two secrets. A cookie is good for one to two of these. */
export const COOKIE_PERIOD = 60_000;
const SECRET_BYTES = 32;

/**
 * The fields of a ClientHello that its cookie covers: those in front of it, so that a fragment suffices. The cipher suites
 * and compression methods behind it are left out; Finished covers them.
 */
export type CookieFields = Pick<HelloStart, 'version' | 'random' | 'sessionId'>;

export class Cookies {
  readonly #clock: Clock;
  #secret = randomBytes(SECRET_BYTES);
  #before = randomBytes(SECRET_BYTES);
  #since: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** The cookie for a ClientHello. */
  make(source: DatagramAddress, fields: CookieFields): Buffer {
    this.#rotate();
    return mac(this.#secret, source, fields);
  }

  verify(cookie: Buffer, source: DatagramAddress, fields: CookieFields): boolean {
    if (cookie.length !== COOKIE_BYTES) return false;
    this.#rotate();
    return (
      timingSafeEqual(cookie, mac(this.#secret, source, fields)) ||
      timingSafeEqual(cookie, mac(this.#before, source, fields))
    );
  }

  #rotate(): void {
    const periods = Math.floor((this.#clock.now() - this.#since) / COOKIE_PERIOD);
    if (periods < 1) return;
    this.#before = periods === 1 ? this.#secret : randomBytes(SECRET_BYTES);
    this.#secret = randomBytes(SECRET_BYTES);
    this.#since += periods * COOKIE_PERIOD;
  }
}

/** The text ends with a space and the random has 32 bytes, so no two sets of fields look the same. */
function mac(secret: Buffer, source: DatagramAddress, fields: CookieFields): Buffer {
  return createHmac('sha256', secret)
    .update(`${source.address} ${source.port} ${fields.version} `)
    .update(fields.random)
    .update(fields.sessionId)
    .digest()
    .subarray(0, COOKIE_BYTES);
}
