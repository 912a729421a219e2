/** Cookies of the stateless exchange (RFC 6347 4.2.1): a client shows that it receives what is sent to its address. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../timers.js';
import type { DatagramAddress } from '../transport.js';

export const COOKIE_BYTES = 16;
/** Milliseconds between two secrets. A cookie is good for one to two of these. */
export const COOKIE_PERIOD = 60_000;
const SECRET_BYTES = 32;

export class Cookies {
  readonly #clock: Clock;
  #secret = randomBytes(SECRET_BYTES);
  #before = randomBytes(SECRET_BYTES);
  #since: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** The cookie for a ClientHello. It covers what stands in front of the cookie there, so that a fragment suffices. */
  make(source: DatagramAddress, random: Buffer, sessionId: Buffer): Buffer {
    this.#rotate();
    return mac(this.#secret, source, random, sessionId);
  }

  verify(cookie: Buffer, source: DatagramAddress, random: Buffer, sessionId: Buffer): boolean {
    if (cookie.length !== COOKIE_BYTES) return false;
    this.#rotate();
    return (
      timingSafeEqual(cookie, mac(this.#secret, source, random, sessionId)) ||
      timingSafeEqual(cookie, mac(this.#before, source, random, sessionId))
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

function mac(secret: Buffer, source: DatagramAddress, random: Buffer, sessionId: Buffer): Buffer {
  return createHmac('sha256', secret)
    .update(`${source.address} ${source.port} `)
    .update(random)
    .update(sessionId)
    .digest()
    .subarray(0, COOKIE_BYTES);
}
