/**
 * A walk over the topics of a tree that match a filter, one node at a time. It may be interrupted for as long as anybody
 * likes, for it keeps nothing but the node on which it stands: topics may come and go meanwhile.
 */
import { ROOT, type TopicTree } from './topic-tree.js';

const PLUS = 0x2b;

export class TopicWalk {
  readonly #tree: TopicTree;
  readonly #levels: readonly Buffer[];
  /** Level of `#`, from which on everything matches. */
  readonly #hash: number;
  /** The next node to look at, which is pinned; 0 at the end. */
  #node = ROOT;
  /** Levels above it. */
  #depth = 0;

  constructor(tree: TopicTree, filter: string) {
    const levels = filter.split('/');
    this.#tree = tree;
    this.#levels = levels.map((level) => Buffer.from(level));
    this.#hash = levels[levels.length - 1] === '#' ? levels.length - 1 : Number.POSITIVE_INFINITY;
    tree.pin(ROOT);
  }

  get done(): boolean {
    return this.#node === 0;
  }

  /** Goes on by one node; returns that node if its topic matches, else 0. It is good until the tree changes. */
  next(): number {
    const node = this.#node;
    const depth = this.#depth;
    if (node === 0) return 0;
    const matches = depth >= this.#hash || depth === this.#levels.length;
    this.#node = this.#below(node) || this.#behind(node);
    if (this.#node !== 0) this.#tree.pin(this.#node);
    this.#tree.unpin(node);
    return matches ? node : 0;
  }

  /** Ends the walk. Whoever does not walk to the end has to say so. */
  close(): void {
    if (this.#node !== 0) this.#tree.unpin(this.#node);
    this.#node = 0;
  }

  /** Whether every name matches at a depth. */
  #isWild(depth: number): boolean {
    if (depth >= this.#hash) return true;
    if (depth >= this.#levels.length) return false;
    const level = this.#levels[depth];
    return level.length === 1 && level[0] === PLUS;
  }

  /** The first child to look at. */
  #below(node: number): number {
    const depth = this.#depth;
    let child = 0;
    if (this.#isWild(depth)) child = this.#permitted(this.#tree.firstChild(node));
    else if (depth < this.#levels.length) child = this.#tree.child(node, this.#levels[depth]);
    if (child !== 0) this.#depth = depth + 1;
    return child;
  }

  /** The next node that is not below. */
  #behind(node: number): number {
    for (let at = node; at !== ROOT; at = this.#tree.parent(at), this.#depth--) {
      if (!this.#isWild(this.#depth - 1)) continue;
      const next = this.#permitted(this.#tree.sibling(at));
      if (next !== 0) return next;
    }
    return 0;
  }

  /** The node or the next of its siblings: a wildcard in the first level is not for `$` [MQTT-4.7.2-1]. */
  #permitted(node: number): number {
    let at = node;
    while (at !== 0 && this.#tree.parent(at) === ROOT && this.#tree.isReserved(at)) at = this.#tree.sibling(at);
    return at;
  }
}
