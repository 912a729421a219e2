/** Asks for pre-shared keys so that the answer cannot be told from outside. */
import { isUtf8 } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import type { DatagramAddress } from '../transport.js';
import type { DtlsCounters } from './counters.js';

/**
 * The key of an identity, 1 to 65,535 bytes; null if there is no such identity, or it may not be used from there. Must not block;
 * the bytes are not changed.
 * @param remote whence the handshake comes, which a cookie has shown
 */
export type PskFunction = (identity: string, remote: DatagramAddress) => Buffer | null;

const STAND_IN_BYTES = 16;
const LONGEST_KEY = 65_535;

export class PskLookup {
  readonly #psk: PskFunction;
  readonly #counters: DtlsCounters;
  readonly #longest: number;
  readonly #onTooLong: () => void;

  /** @param longest bytes of the longest identity; `onTooLong` is told of a longer one */
  constructor(psk: PskFunction, counters: DtlsCounters, longest: number, onTooLong: () => void) {
    this.#psk = psk;
    this.#counters = counters;
    this.#longest = longest;
    this.#onTooLong = onTooLong;
  }

  /**
   * The identity and a copy of its key. An unknown identity goes on with a random key and fails where a wrong key fails
   * (RFC 4279 2).
   */
  find(bytes: Buffer, remote: DatagramAddress): { readonly identity: string; readonly key: Buffer } {
    const standIn = randomBytes(STAND_IN_BYTES);
    // RFC 4279 5.1: an identity is UTF-8. What is not could be mistaken for another.
    const isIdentity = bytes.length <= this.#longest && isUtf8(bytes);
    if (bytes.length > this.#longest) {
      this.#counters.identitiesTooLong++;
      this.#onTooLong();
    }
    const identity = isIdentity ? bytes.toString() : '';
    let key: Buffer | null = null;
    try {
      if (isIdentity) key = this.#psk(identity, remote);
    } catch {
      this.#counters.keyErrors++;
    }
    const usable = key !== null && key.length > 0 && key.length <= LONGEST_KEY;
    return { identity, key: usable ? Buffer.from(key!) : standIn };
  }
}
