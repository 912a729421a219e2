/**
 * Rules by the levels of their filters. A decision walks the levels of a topic and looks at most at three branches of each
 * node, whatever the number of rules.
 */
import { type Action, isUnsafe, type Rule, type Subject } from './rule.js';

/** The first rule of each effect for one action. */
interface Ends {
  allow: Rule | null;
  deny: Rule | null;
}

/** The rules whose filters end at a place. */
class Entry {
  readonly publish: Ends = { allow: null, deny: null };
  readonly receive: Ends = { allow: null, deny: null };
  readonly subscribe: Ends = { allow: null, deny: null };

  add(rule: Rule): void {
    for (const action of rule.actions) {
      const ends = this[action];
      ends[rule.effect] = earlier(ends[rule.effect], rule);
    }
  }
}

/** A level with a placeholder in it. */
export interface Template {
  readonly level: string;
  readonly node: RuleNode;
}

export class RuleNode {
  /** Levels that are names. */
  readonly names = new Map<string, RuleNode>();
  templates: Template[] | null = null;
  plus: RuleNode | null = null;
  /** Rules whose filter ends here. */
  own: Entry | null = null;
  /** Rules whose filter ends with `#` below. */
  hash: Entry | null = null;

  /** Whether no filter goes on below, but for `#`. */
  get isLeaf(): boolean {
    return this.names.size === 0 && this.plus === null && this.templates === null;
  }
}

/** What the rules that are about something say. */
export class Findings {
  allow: Rule | null = null;
  deny: Rule | null = null;

  take(entry: Entry | null, action: Action): void {
    if (entry === null) return;
    const { allow, deny } = entry[action];
    if (allow !== null) this.allow = earlier(this.allow, allow);
    if (deny !== null) this.deny = earlier(this.deny, deny);
  }

  copy(): Findings {
    const copy = new Findings();
    copy.allow = this.allow;
    copy.deny = this.deny;
    return copy;
  }
}

export class RuleTree {
  readonly root = new RuleNode();
  /** `subscribe` rules about one filter alone. */
  readonly #exact = new Map<string, Entry>();
  /** Rules that deny, and have the placeholder. */
  readonly #denyingUsers: Rule[] = [];
  readonly #denyingClients: Rule[] = [];
  /** Number of rules. */
  size = 0;

  add(rule: Rule): void {
    this.size++;
    if (rule.exact) {
      const entry = this.#exact.get(rule.filter) ?? new Entry();
      this.#exact.set(rule.filter, entry);
      entry.add(rule);
      return;
    }
    if (rule.templated && rule.effect === 'deny') {
      if (rule.filter.includes('%u')) this.#denyingUsers.push(rule);
      if (rule.filter.includes('%c')) this.#denyingClients.push(rule);
    }
    const levels = rule.filter.split('/');
    const hash = levels[levels.length - 1] === '#';
    if (hash) levels.pop();
    let node = this.root;
    for (const level of levels) node = descend(node, level, rule.templated);
    if (hash) {
      node.hash ??= new Entry();
      node.hash.add(rule);
    } else {
      node.own ??= new Entry();
      node.own.add(rule);
    }
  }

  /** Adds what the rules say about a topic, or for `subscribe` about a topic filter: a rule is about all that it covers. */
  find(action: Action, levels: readonly string[], subject: Subject, findings: Findings): void {
    const blocking = this.blocking(action, subject);
    if (blocking !== null) findings.deny = earlier(findings.deny, blocking);
    if (action === 'subscribe') findings.take(this.#exact.get(levels.join('/')) ?? null, action);
    walk(this.root, 0, levels, action, subject, findings);
  }

  /**
   * A rule that denies and cannot be applied: the name that would stand in its place has `+`, `#` or `/` in it. What it
   * should keep from the client is not known, so it keeps everything from it.
   */
  blocking(action: Action, { username, clientId }: Subject): Rule | null {
    if (this.#denyingUsers.length > 0 && username !== null && isUnsafe(username)) {
      const rule = this.#denyingUsers.find(({ actions }) => actions.includes(action));
      if (rule !== undefined) return rule;
    }
    if (this.#denyingClients.length > 0 && isUnsafe(clientId)) {
      return this.#denyingClients.find(({ actions }) => actions.includes(action)) ?? null;
    }
    return null;
  }
}

function earlier(known: Rule | null, rule: Rule): Rule {
  return known === null || rule.line < known.line ? rule : known;
}

function descend(node: RuleNode, level: string, templated: boolean): RuleNode {
  if (level === '+') {
    node.plus ??= new RuleNode();
    return node.plus;
  }
  if (templated && hasPlaceholder(level)) {
    node.templates ??= [];
    const known = node.templates.find((template) => template.level === level);
    if (known !== undefined) return known.node;
    const template = { level, node: new RuleNode() };
    node.templates.push(template);
    return template.node;
  }
  const known = node.names.get(level);
  if (known !== undefined) return known;
  const child = new RuleNode();
  node.names.set(level, child);
  return child;
}

export function hasPlaceholder(text: string): boolean {
  return text.includes('%c') || text.includes('%u');
}

/** A level with the names of a client in it; null if it cannot have them. */
export function fillIn(level: string, { username, clientId }: Subject, first: boolean): string | null {
  if (level.includes('%u') && (username === null || isUnsafe(username))) return null;
  if (level.includes('%c') && isUnsafe(clientId)) return null;
  const name = level.replace(/%[cu]/g, (placeholder) => (placeholder === '%c' ? clientId : (username ?? '')));
  // Nobody gets at $SYS by a name that begins so.
  if (first && name.startsWith('$') && !level.startsWith('$')) return null;
  return name;
}

function walk(
  node: RuleNode,
  depth: number,
  levels: readonly string[],
  action: Action,
  subject: Subject,
  findings: Findings,
): void {
  const level = levels[depth];
  // [MQTT-4.7.2-1]
  const dollar = depth === 0 && level.startsWith('$');
  if (node.hash !== null && !dollar) findings.take(node.hash, action);
  if (depth === levels.length) {
    findings.take(node.own, action);
    return;
  }
  // The `#` of a filter is only covered by `#`.
  if (level === '#') return;
  const child = node.names.get(level);
  if (child !== undefined) walk(child, depth + 1, levels, action, subject, findings);
  if (node.plus !== null && !dollar) walk(node.plus, depth + 1, levels, action, subject, findings);
  if (node.templates === null) return;
  for (const template of node.templates) {
    if (fillIn(template.level, subject, depth === 0) === level) {
      walk(template.node, depth + 1, levels, action, subject, findings);
    }
  }
}
