/** The states of the deliveries that a session has under way: a ring of bytes by sequence number. */

/** State of a delivery in `[base, sent)`. */
export const Delivery = {
  Done: 0,
  /** QoS 1, sent: awaits PUBACK. */
  AwaitsPuback: 1,
  /** QoS 2, sent: awaits PUBREC. */
  AwaitsPubrec: 2,
  /** PUBREC has come; PUBREL leaves after the commit. */
  Releasing: 3,
  /** PUBREL sent: awaits PUBCOMP. */
  AwaitsPubcomp: 4,
} as const;

/** What all have that have nothing under way: most sessions of absent clients. Nobody writes it. */
const NO_STATES = new Uint8Array(8);

/**
 * Invariant: numbers from `from` to the highest that was set have a state. The ring's size is a power of two and grows
 * with the distance between them.
 */
export class DeliveryStates {
  #ring = NO_STATES;

  get(sequence: number): number {
    return this.#ring[sequence & (this.#ring.length - 1)];
  }

  /**
   * @param from lowest number whose state still counts
   * @param end number after the highest one that has a state
   */
  set(sequence: number, state: number, from: number, end: number): void {
    if (this.#ring === NO_STATES || sequence - from >= this.#ring.length) this.#grow(sequence, from, end);
    this.#ring[sequence & (this.#ring.length - 1)] = state;
  }

  #grow(sequence: number, from: number, end: number): void {
    let size = this.#ring.length;
    while (sequence - from >= size) size *= 2;
    const ring = new Uint8Array(size);
    for (let at = from; at < end; at++) ring[at & (size - 1)] = this.get(at);
    this.#ring = ring;
  }
}
