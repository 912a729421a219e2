/** A token bucket: so many tokens a second, and one second's worth at once. */
export class Bucket {
  /** Tokens a second. */
  readonly #rate: number;
  #filledAt: number;
  /** Tokens that are left; below 0, those that have been taken too early. */
  tokens: number;

  /** @param now milliseconds */
  constructor(rate: number, now: number) {
    this.#rate = rate;
    this.tokens = rate;
    this.#filledAt = now;
  }

  /** Puts in what has come since the last time. A clock that was set back brings nothing. */
  refill(now: number): void {
    const elapsed = now - this.#filledAt;
    this.#filledAt = now;
    if (elapsed > 0) this.tokens = Math.min(this.#rate, this.tokens + (this.#rate * elapsed) / 1000);
  }

  /** Whether nothing has been taken, or all of it has come back. */
  get full(): boolean {
    return this.tokens >= this.#rate;
  }

  /** Seconds until there are so many tokens. */
  delay(tokens: number): number {
    return Math.max(0, tokens - this.tokens) / this.#rate;
  }
}
