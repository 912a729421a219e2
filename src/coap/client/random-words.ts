/** Unpredictable numbers: who does not see a request cannot forge its response (RFC 9175 4.1, RFC 7252 5.3.1). */
import { randomFillSync } from 'node:crypto';

/** Fills a buffer with random bytes. */
export type FillRandom = (bytes: Buffer) => void;

const POOL = 1_024;

/** Signed 32-bit numbers from a pool of random bytes. */
export class RandomWords {
  readonly #fill: FillRandom;
  readonly #pool = Buffer.alloc(POOL);
  #at = POOL;

  constructor(fill: FillRandom = (bytes) => void randomFillSync(bytes)) {
    this.#fill = fill;
  }

  next(): number {
    if (this.#at === POOL) {
      this.#fill(this.#pool);
      this.#at = 0;
    }
    const word = this.#pool.readInt32BE(this.#at);
    this.#at += 4;
    return word;
  }
}
