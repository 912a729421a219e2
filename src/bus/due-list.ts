/** Keys by the second in which they are due, for what has to happen some time after then. */

/** Keys are given out in no particular order, at most a second late. A key may stand in it more than once. */
export class DueList<Key> {
  readonly #bySecond = new Map<number, Key[]>();
  /** No key is due before. */
  #earliest = Number.POSITIVE_INFINITY;
  /** Number of keys. */
  size = 0;

  /** @param due milliseconds since the epoch */
  add(key: Key, due: number): void {
    const second = Math.ceil(due / 1000);
    const keys = this.#bySecond.get(second);
    if (keys === undefined) this.#bySecond.set(second, [key]);
    else keys.push(key);
    if (second < this.#earliest) this.#earliest = second;
    this.size++;
  }

  /** Removes and returns what is due. @param now milliseconds since the epoch */
  take(now: number): Key[] {
    const last = Math.floor(now / 1000);
    const taken: Key[] = [];
    if (last < this.#earliest) return taken;
    if (last - this.#earliest < this.#bySecond.size) {
      for (let second = this.#earliest; second <= last; second++) this.#take(second, taken);
    } else {
      for (const second of this.#bySecond.keys()) if (second <= last) this.#take(second, taken);
    }
    this.#earliest = this.#bySecond.size === 0 ? Number.POSITIVE_INFINITY : last + 1;
    this.size -= taken.length;
    return taken;
  }

  #take(second: number, taken: Key[]): void {
    for (const key of this.#bySecond.get(second) ?? []) taken.push(key);
    this.#bySecond.delete(second);
  }

  clear(): void {
    this.#bySecond.clear();
    this.#earliest = Number.POSITIVE_INFINITY;
    this.size = 0;
  }
}
