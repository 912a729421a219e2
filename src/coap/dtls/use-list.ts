/** Associations in the order of their last use: a doubly linked list through `older` and `newer`. */
import type { Association } from './association.js';

export class UseList {
  #oldest: Association | undefined;
  #newest: Association | undefined;

  get oldest(): Association | undefined {
    return this.#oldest;
  }

  get newest(): Association | undefined {
    return this.#newest;
  }

  append(association: Association): void {
    association.older = this.#newest;
    association.newer = undefined;
    if (this.#newest !== undefined) this.#newest.newer = association;
    else this.#oldest = association;
    this.#newest = association;
  }

  remove(association: Association): void {
    const { older, newer } = association;
    if (older !== undefined) older.newer = newer;
    else this.#oldest = newer;
    if (newer !== undefined) newer.older = older;
    else this.#newest = older;
    association.older = undefined;
    association.newer = undefined;
  }
}
