/** A store in memory whose writes wait, fail and are counted as a test says. */
import { MemoryStore } from '../../src/store/memory-store.js';
import type { KeyRange, Operation, Store } from '../../src/store/store.js';

export interface RecordedWrite {
  readonly operations: readonly Operation[];
  readonly sync: boolean;
}

export class GatedStore implements Store {
  readonly #inner = new MemoryStore();
  #held: (() => void)[] | null = null;
  #failures: Error[] = [];
  #arrivals: (() => void)[] = [];
  /** Why every write fails, as long as it is set. */
  broken: Error | null = null;
  /** Every write that was asked for, failed ones too. */
  readonly writes: RecordedWrite[] = [];
  /** Writes that have neither succeeded nor failed. */
  inFlight = 0;
  mostInFlight = 0;

  /** From now on writes wait for `release`. */
  hold(): void {
    this.#held ??= [];
  }

  /** Lets the oldest waiting write go on; without one there is nothing to let go. */
  release(): void {
    this.#held?.shift()?.();
  }

  /** Lets all waiting writes go on and later ones pass. */
  letGo(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const go of held) go();
  }

  /** The next writes fail with these errors, one each. */
  fail(...errors: Error[]): void {
    this.#failures.push(...errors);
  }

  /** No write fails any more. */
  mend(): void {
    this.#failures = [];
  }

  /** Resolves when `count` writes have been asked for. */
  async arrived(count: number): Promise<void> {
    while (this.writes.length < count) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }

  /** What a broker finds that starts now on the same disk: held writes are not there. */
  afterCrash(): Store {
    return this.#inner;
  }

  async open(): Promise<void> {}

  async write(operations: Operation[], sync: boolean): Promise<void> {
    this.writes.push({ operations: [...operations], sync });
    this.inFlight++;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    for (const arrived of this.#arrivals.splice(0)) arrived();
    try {
      const held = this.#held;
      if (held !== null) await new Promise<void>((resolve) => held.push(resolve));
      const failure = this.broken ?? this.#failures.shift();
      if (failure !== undefined) throw failure;
      await this.#inner.write(operations, sync);
    } finally {
      this.inFlight--;
    }
  }

  get(key: Buffer): Promise<Buffer | undefined> {
    return this.#inner.get(key);
  }

  entries(range: KeyRange): AsyncIterable<[Buffer, Buffer]> {
    return this.#inner.entries(range);
  }

  keys(range: KeyRange): AsyncIterable<Buffer> {
    return this.#inner.keys(range);
  }

  snapshot(): AsyncIterable<[Buffer, Buffer]> {
    return this.#inner.snapshot();
  }

  clear(range: KeyRange): Promise<void> {
    return this.#inner.clear(range);
  }

  async close(): Promise<void> {}
}
