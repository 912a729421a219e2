/** The anti-replay window of RFC 6347 4.1.2.6: the 64 sequence numbers up to the highest one received. */

const WINDOW = 64;

export class ReplayWindow {
  /** The highest sequence number received; -1 before the first. */
  highest = -1;
  // Bit n stands for `highest - n`; the numbers 0 to 31 in `#low`, 32 to 63 in `#high`.
  #low = 0;
  #high = 0;

  /** Whether a record may be new. Ask before it is opened. */
  isNew(sequence: number): boolean {
    const back = this.highest - sequence;
    if (back < 0) return true;
    if (back >= WINDOW) return false;
    return ((back < 32 ? this.#low >>> back : this.#high >>> (back - 32)) & 1) === 0;
  }

  /** Notes an authentic record. True if it is newer than all before. */
  accept(sequence: number): boolean {
    const ahead = sequence - this.highest;
    if (ahead <= 0) {
      const back = -ahead;
      if (back < 32) this.#low |= 1 << back;
      else if (back < WINDOW) this.#high |= 1 << (back - 32);
      return false;
    }
    this.highest = sequence;
    if (ahead >= WINDOW) {
      this.#high = 0;
      this.#low = 1;
    } else if (ahead >= 32) {
      this.#high = ahead === 32 ? this.#low : this.#low << (ahead - 32);
      this.#low = 1;
    } else {
      this.#high = (this.#high << ahead) | (this.#low >>> (32 - ahead));
      this.#low = (this.#low << ahead) | 1;
    }
    return true;
  }
}
