/**
 * Packets that have not arrived in full. Together they may take as much memory as `limits.memory` says; beyond that, the
 * one is given up that has made no progress for longest. So clients that never finish their packets make room for others.
 */

/** Bytes below which a packet does not count: its connection takes more. */
const LEAST = 4096;

/** Whoever sends a packet. */
export interface Sending {
  /** Ends it, and takes its bytes back with `set(this, 0)`. */
  giveUp(): void;
}

export class Arriving {
  /** Bytes (`limits.memory`); a reload may change it. */
  limit: number;
  /** Bytes; the latest to make progress last. */
  readonly #unfinished = new Map<Sending, number>();
  /** Bytes of all of them. */
  used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** So many bytes of a packet have come. */
  set(sending: Sending, bytes: number): void {
    const former = this.#unfinished.get(sending) ?? 0;
    if (bytes < LEAST) {
      if (former === 0) return;
      this.used -= former;
      this.#unfinished.delete(sending);
      return;
    }
    this.used += bytes - former;
    this.#unfinished.delete(sending);
    this.#unfinished.set(sending, bytes);
    for (const [other] of this.#unfinished) {
      if (this.used <= this.limit || other === sending) return;
      other.giveUp();
    }
  }
}
