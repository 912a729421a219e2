/**
 * How the store keeps up: how many bytes wait to be written, whether it works at all, and whom it makes wait.
 *
 * Invariant: `strained` is `ailing || crowded`. While it is false, nothing that comes has to ask any further.
 */

/** Who has put something off until the store is better off. */
export interface Waiting {
  /** The store has room again, or has begun or ceased to ail. What still has to wait is put off again. */
  storeChanged(): void;
}

/** Seconds that a write may take before the store is said not to answer. */
export const PATIENCE = 5;
/** One client may have this part of `store.unwritten_bytes`, so that it leaves room for others. */
const SHARE = 8;

export class StoreLoad {
  /** `store.unwritten_bytes`. */
  readonly limit: number;
  /** Unwritten bytes that one client may cause before it is not read further. */
  readonly share: number;
  /** Bytes that wait to be written, about as they take up memory. */
  bytes = 0;
  /** Grows with all bytes that come to wait, so that a caller can tell how many it has caused. */
  caused = 0;
  /** `bytes` has reached the limit. */
  crowded = false;
  /** The last write failed, and what it was to write has not been written yet. */
  failing = false;
  /** The write under way has taken longer than `PATIENCE`. */
  overdue = false;
  /** A fault of the broker keeps everything from being written. */
  faulty = false;
  strained = false;
  readonly #waiting = new Set<Waiting>();

  constructor(limit: number) {
    this.limit = limit;
    this.share = Math.ceil(limit / SHARE);
  }

  /** Nobody knows when something can be written again. */
  get ailing(): boolean {
    return this.failing || this.overdue || this.faulty;
  }

  /** The name under which the log says why something is refused. */
  get cause(): string {
    if (this.faulty) return 'internal fault';
    return this.ailing ? 'store failing' : 'store.unwritten_bytes';
  }

  /** Bytes come to wait. */
  add(bytes: number): void {
    this.caused += bytes;
    this.bytes += bytes;
    if (this.bytes < this.limit || this.crowded) return;
    this.crowded = true;
    this.strained = true;
  }

  /** Bytes have been written. */
  remove(bytes: number): void {
    this.bytes -= bytes;
    this.crowded = this.bytes >= this.limit;
    this.strained = this.ailing || this.crowded;
    if (!this.crowded) this.#tell(false);
  }

  /** The store has begun or ceased to fail, or not to answer, or a fault to hold it up. */
  ail(failing: boolean, overdue: boolean, faulty = false): void {
    if (failing === this.failing && overdue === this.overdue && faulty === this.faulty) return;
    this.failing = failing;
    this.overdue = overdue;
    this.faulty = faulty;
    this.strained = this.ailing || this.crowded;
    this.#tell(true);
  }

  /** Tells `who` once when something has changed. */
  wait(who: Waiting): void {
    this.#waiting.add(who);
  }

  forget(who: Waiting): void {
    this.#waiting.delete(who);
  }

  /** Tells those that wait now, in the order in which they began to; without `all` only as long as there is room. */
  #tell(all: boolean): void {
    let left = this.#waiting.size;
    for (const who of this.#waiting) {
      if (left-- === 0 || (this.crowded && !all)) return;
      this.#waiting.delete(who);
      who.storeChanged();
    }
  }
}
