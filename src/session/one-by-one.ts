/**
 * Long work that nobody waits for, one after the other: however many sessions end at once, what has to be looked for in the
 * store for them holds up neither memory nor the commits of others.
 */
export class OneByOne {
  readonly #waiting = new Set<() => Promise<void>>();
  #busy = false;

  /** Does it when its turn comes. @param work never rejects */
  add(work: () => Promise<void>): void {
    this.#waiting.add(work);
    if (!this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    for (const work of this.#waiting) {
      this.#waiting.delete(work);
      await work();
    }
    this.#busy = false;
  }
}
