/** One write per dirty connection per turn of the event loop. */

export interface Flushable {
  /** In the flusher's list; owned by the flusher. */
  dirty: boolean;
  flush(): void;
}

export class Flusher {
  #dirty: Flushable[] = [];
  /** Emptied by the last flush: most turns have as many as the one before. */
  #spare: Flushable[] | null = null;
  #scheduled = false;

  /** Flushes `target` at the end of this turn. */
  add(target: Flushable): void {
    if (target.dirty) return;
    target.dirty = true;
    this.#dirty.push(target);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  /** Flushes everything now. */
  flush(): void {
    const dirty = this.#dirty;
    if (dirty.length === 0) return;
    this.#dirty = this.#spare ?? [];
    this.#spare = null;
    for (const target of dirty) {
      target.dirty = false;
      target.flush();
    }
    while (dirty.length > 0) dirty.pop();
    this.#spare = dirty;
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    this.flush();
  };
}
