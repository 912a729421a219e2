/**
 * The memory that waits for clients: messages in queues, and bytes that sockets have not taken. All of it together may
 * take as much as `limits.memory` says; what the retained messages and wills take counts as well.
 *
 * Where the limit is reached, whoever holds more than half of an even share may not hold more. So a client that does not
 * read cannot take the others' part, and all of them together hold at most half as much again.
 */
export class MemoryBudget {
  /** Bytes (`limits.memory`); a reload may change it. */
  limit: number;
  /** Bytes that are held now. */
  used = 0;
  /** Holdings that hold anything. */
  holders = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Whether the limit is reached. */
  get exceeded(): boolean {
    return this.used >= this.limit;
  }

  /** Whether `bytes` more fit into the limit. */
  hasRoom(bytes: number): boolean {
    return this.used + bytes <= this.limit;
  }
}

/** What one client's queue, or its connection, holds of the budget. */
export class Holding {
  readonly #budget: MemoryBudget;
  /** Bytes. */
  held = 0;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /** The holding is now `bytes`. */
  set(bytes: number): void {
    const budget = this.#budget;
    if (bytes === this.held) return;
    if (this.held === 0) budget.holders++;
    else if (bytes === 0) budget.holders--;
    budget.used += bytes - this.held;
    this.held = bytes;
  }

  /** Whether it may not grow by so many bytes: a single message may be larger than a part. */
  lacksRoomFor(bytes: number): boolean {
    const { used, limit, holders } = this.#budget;
    return used + bytes > limit && (this.held + bytes) * 2 * (this.held === 0 ? holders + 1 : holders) > limit;
  }

  /** Whether it may not grow. */
  get isOver(): boolean {
    const { used, limit, holders } = this.#budget;
    return used >= limit && this.held * 2 * holders >= limit;
  }
}
