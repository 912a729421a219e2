/** How long a remote endpoint takes to acknowledge, and when a retransmission is due by that (RFC 6298, RFC 7252 4.8.1). */

/** No retransmission comes sooner, in milliseconds: the endpoint and its remote have other things to do. */
const LEAST = 500;
/** What an acknowledgement may be late where round-trip times do not vary at all, in milliseconds. */
const MARGIN = 100;

export class RoundTrip {
  /** In milliseconds, smoothed. */
  smoothed: number;
  #variation: number;

  /** @param milliseconds of the first measurement */
  constructor(milliseconds: number) {
    this.smoothed = milliseconds;
    this.#variation = milliseconds / 2;
  }

  /** A message that was sent once was acknowledged after so many milliseconds (RFC 6298 2, 3). */
  measured(milliseconds: number): void {
    this.#variation = (3 * this.#variation + Math.abs(this.smoothed - milliseconds)) / 4;
    this.smoothed = (7 * this.smoothed + milliseconds) / 8;
  }

  /** Milliseconds after which an acknowledgement is overdue (RFC 6298 2); `most` at most. */
  timeout(most: number): number {
    return Math.min(most, Math.max(LEAST, this.smoothed + Math.max(MARGIN, 4 * this.#variation)));
  }
}
