/**
 * How much of what a topic filter matches a client may receive. The filter and all rules are walked together, level by
 * level: of the names that a level may have, only those that some rule knows differ, and one that none knows stands for all
 * others.
 */
import type { Stage } from './acl.js';
import type { FilterDecision, Rule, Subject } from './rule.js';
import { Findings, fillIn, type RuleNode } from './rule-tree.js';

/** Steps of the walk, about a millisecond. Beyond it a filter counts as partly allowed: each message is asked about anyway. */
const MOST_STEPS = 5000;

/** Stands for a name that no rule has. */
const OTHER = null;

/** A place in the rules of a stage. */
interface Place {
  readonly stage: number;
  readonly node: RuleNode;
}

/** @param filter well-formed, and no shared subscription */
export function shareOf(filter: string, stages: readonly Stage[], subject: Subject): FilterDecision {
  return new Survey(filter.split('/'), stages, subject).result();
}

class Survey {
  readonly #levels: readonly string[];
  readonly #stages: readonly Stage[];
  readonly #subject: Subject;
  #steps = 0;
  #allowed = false;
  #denied = false;
  #allowing: Rule | null = null;
  #denying: Rule | null = null;

  constructor(levels: readonly string[], stages: readonly Stage[], subject: Subject) {
    this.#levels = levels;
    this.#stages = stages;
    this.#subject = subject;
  }

  result(): FilterDecision {
    const places: Place[] = [];
    const above = this.#stages.map(({ trees }, stage) => {
      const findings = new Findings();
      for (const tree of trees) {
        places.push({ stage, node: tree.root });
        findings.deny ??= tree.blocking('receive', this.#subject);
      }
      return findings;
    });
    this.#visit(0, 0, places, above, true);
    const share = this.#allowed ? (this.#denied ? 'partly' : 'all') : 'none';
    return { share, denying: this.#denying, allowing: this.#allowing, steps: this.#steps };
  }

  /** Whether nothing more can be learned. */
  get #decided(): boolean {
    return this.#allowed && this.#denied;
  }

  /**
   * @param at level of the filter; stays at its `#`
   * @param depth levels of the topics so far
   * @param above what rules that end with `#` above say
   * @param empty whether the levels so far are no topic: there is none of no characters [MQTT-4.7.3-1]
   */
  #visit(at: number, depth: number, places: readonly Place[], above: readonly Findings[], empty: boolean): void {
    const level = this.#levels[at];
    if (!empty && (level === undefined || level === '#')) this.#end(places, above);
    if (level === undefined) return;
    const any = level === '+' || level === '#';
    const next = level === '#' ? at : at + 1;
    for (const name of any ? this.#names(places, depth) : [level]) {
      if (this.#decided || !this.#hasTime(1 + places.length)) return;
      const dollar = depth === 0 && name !== OTHER && name.startsWith('$');
      if (any && dollar) continue;
      const below = dollar ? above : withHashes(places, above);
      const reached = this.#step(places, name, depth, dollar);
      if (level === '#' && reached.every(({ node }) => node.isLeaf && node.own === null && node.hash === null)) {
        this.#take(below);
      } else this.#visit(next, depth + 1, reached, below, depth === 0 && name === '');
    }
  }

  /** Counts steps; if they are too many, the answer is that a part is allowed. */
  #hasTime(steps: number): boolean {
    this.#steps += steps;
    if (this.#steps <= MOST_STEPS) return true;
    this.#allowed = true;
    this.#denied = true;
    return false;
  }

  /** A topic may end here. */
  #end(places: readonly Place[], above: readonly Findings[]): void {
    const findings = above.map((one) => one.copy());
    for (const { stage, node } of places) {
      findings[stage].take(node.hash, 'receive');
      findings[stage].take(node.own, 'receive');
    }
    this.#take(findings);
  }

  /** Decides on one kind of topics. */
  #take(stages: readonly Findings[]): void {
    for (const { deny, allow } of stages) {
      if (deny !== null) {
        this.#denied = true;
        this.#denying ??= deny;
        return;
      }
      if (allow !== null) {
        this.#allowed = true;
        this.#allowing ??= allow;
        return;
      }
    }
    this.#denied = true;
  }

  #names(places: readonly Place[], depth: number): Iterable<string | null> {
    const names = new Set<string | null>([OTHER]);
    for (const { node } of places) {
      for (const name of node.names.keys()) {
        // What is more than can be looked at need not be collected.
        if (names.size > MOST_STEPS) return names;
        names.add(name);
      }
      for (const { level } of node.templates ?? []) {
        const name = fillIn(level, this.#subject, depth === 0);
        if (name !== null) names.add(name);
      }
    }
    return names;
  }

  #step(places: readonly Place[], name: string | null, depth: number, dollar: boolean): Place[] {
    const reached: Place[] = [];
    for (const { stage, node } of places) {
      if (node.plus !== null && !dollar) reached.push({ stage, node: node.plus });
      if (name === OTHER) continue;
      const child = node.names.get(name);
      if (child !== undefined) reached.push({ stage, node: child });
      for (const template of node.templates ?? []) {
        if (fillIn(template.level, this.#subject, depth === 0) === name) reached.push({ stage, node: template.node });
      }
    }
    return reached;
  }
}

function withHashes(places: readonly Place[], above: readonly Findings[]): readonly Findings[] {
  if (places.every(({ node }) => node.hash === null)) return above;
  const findings = above.map((one) => one.copy());
  for (const { stage, node } of places) findings[stage].take(node.hash, 'receive');
  return findings;
}
