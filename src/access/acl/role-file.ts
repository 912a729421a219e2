/**
 * Access control lists in our own form, YAML:
 *
 *     roles:
 *       sensor:
 *         - allow: publish
 *           topic: sensors/%c/#
 *     groups:
 *       plant: { roles: [sensor], users: [pump, fan] }
 *     users:
 *       alice:
 *         roles: [sensor]
 *         rules: [{ allow: [publish, receive], topic: 'alice/#' }]
 *     anonymous: { roles: [], rules: [] }
 *     everyone: { roles: [], rules: [] }
 *
 * A client's own rules decide first, then those of its roles, by itself or by its groups, then everyone's. Within one of the
 * three what one rule denies is denied. `filter`, in place of `topic`, makes a `subscribe` rule one about that filter alone.
 */
import { isUtf8 } from 'node:buffer';
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { isValidFilter } from '../../bus/topics.js';
import { ErrorKinds, meant, noneOf, PorticoError } from '../../errors.js';
import { readSecurityFile } from '../security-file.js';
import type { Acl, Stage } from './acl.js';
import { ACTIONS, type Action, type Effect, type Rule } from './rule.js';
import { hasPlaceholder, RuleTree } from './rule-tree.js';

/** Whom rules are for, as one entry of the file says it. */
interface Grant {
  readonly rules: RuleTree;
  readonly roles: string[];
}

/**
 * Reads a file.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export async function readRoleAcl(file: string): Promise<Acl> {
  const bytes = await readSecurityFile(file, 'ACL file');
  if (!isUtf8(bytes)) throw new PorticoError(ErrorKinds.SecurityFile, `${file}:1: the file is not UTF-8`);
  return parseRoleAcl(bytes.toString('utf8'), file);
}

/**
 * @param file its name, for sentences
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export function parseRoleAcl(text: string, file: string): Acl {
  const reader = new Reader(text, file);
  const acl = reader.read();
  if (reader.faults.length > 0) throw new PorticoError(ErrorKinds.SecurityFile, reader.faults.join('\n'));
  return acl;
}

class RoleAcl implements Acl {
  readonly roles = new Map<string, RuleTree>();
  readonly users = new Map<string, Grant>();
  /** Roles that users have by their groups. */
  readonly byGroup = new Map<string, string[]>();
  /** Roles of the groups themselves. */
  readonly groups = new Map<string, string[]>();
  anonymous: Grant | null = null;
  everyone: Grant | null = null;
  readonly warnings: string[] = [];
  size = 0;

  stagesOf(username: string | null, granted: readonly string[]): readonly Stage[] {
    const own = (username === null ? this.anonymous : this.users.get(username)) ?? null;
    const groups = username === null ? [] : (this.byGroup.get(username) ?? []);
    const shown = granted.flatMap((group) => this.groups.get(group) ?? []);
    const roles = new Set([...(own?.roles ?? []), ...groups, ...shown]);
    const stages: Stage[] = [];
    if (own !== null) stages.push({ trees: [own.rules], guarded: false });
    stages.push({ trees: this.#trees(roles), guarded: false });
    if (this.everyone !== null) {
      stages.push({ trees: [this.everyone.rules, ...this.#trees(new Set(this.everyone.roles))], guarded: false });
    }
    return stages;
  }

  #trees(roles: ReadonlySet<string>): RuleTree[] {
    return [...roles].flatMap((role) => this.roles.get(role) ?? []);
  }
}

const SECTIONS = ['roles', 'groups', 'users', 'anonymous', 'everyone'];

class Reader {
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #text: string;
  readonly #acl = new RoleAcl();
  /** Where roles are named, to be looked up once all are known. */
  readonly #named: [role: string, node: Node][] = [];
  readonly faults: string[] = [];

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  read(): Acl {
    const document = parseDocument(this.#text, { lineCounter: this.#lines });
    for (const { pos, message } of document.errors) {
      this.faults.push(`${this.#file}:${this.#lines.linePos(pos[0]).line}: ${message.split('\n')[0]}`);
    }
    if (this.faults.length > 0) return this.#acl;
    const root = document.contents as Node | null;
    if (root === null) return this.#acl;
    for (const [key, node] of this.#entries(root, 'the file')) {
      if (key === 'roles') for (const [name, rules] of this.#entries(node, 'roles')) this.#role(name, rules);
      else if (key === 'groups') for (const [name, group] of this.#entries(node, 'groups')) this.#group(name, group);
      else if (key === 'users')
        for (const [name, user] of this.#entries(node, 'users')) this.#acl.users.set(name, this.#grant(user));
      else if (key === 'anonymous') this.#acl.anonymous = this.#grant(node);
      else if (key === 'everyone') this.#acl.everyone = this.#grant(node);
      else this.#fault(node, noneOf(key, SECTIONS));
    }
    for (const [role, node] of this.#named)
      if (!this.#acl.roles.has(role)) {
        const hint = meant(role, [...this.#acl.roles.keys()]);
        this.#fault(node, `there is no role ${JSON.stringify(role)}${hint}`);
      }
    return this.#acl;
  }

  #role(name: string, node: Node): void {
    const tree = new RuleTree();
    this.#rules(node, tree);
    this.#acl.roles.set(name, tree);
  }

  #group(name: string, node: Node): void {
    const roles: string[] = [];
    const users: string[] = [];
    for (const [key, list] of this.#entries(node, 'a group')) {
      if (key === 'roles') roles.push(...this.#roleNames(list));
      else if (key === 'users') users.push(...this.#texts(this.#items(list)).map(([user]) => user));
      else this.#fault(list, noneOf(key, ['roles', 'users']));
    }
    this.#acl.groups.set(name, roles);
    for (const user of users) {
      const known = this.#acl.byGroup.get(user);
      if (known === undefined) this.#acl.byGroup.set(user, [...roles]);
      else known.push(...roles);
    }
  }

  #grant(node: Node): Grant {
    const grant: Grant = { rules: new RuleTree(), roles: [] };
    for (const [key, list] of this.#entries(node, 'an entry')) {
      if (key === 'roles') grant.roles.push(...this.#roleNames(list));
      else if (key === 'rules') this.#rules(list, grant.rules);
      else this.#fault(list, noneOf(key, ['roles', 'rules']));
    }
    return grant;
  }

  #rules(node: Node, tree: RuleTree): void {
    if (!isSeq<Node>(node)) {
      this.#fault(node, 'rules are a list');
      return;
    }
    for (const item of node.items) {
      const rule = this.#rule(item);
      if (rule === null) continue;
      this.#acl.size++;
      tree.add(rule);
    }
  }

  #rule(node: Node): Rule | null {
    const before = this.faults.length;
    let effect: Effect | null = null;
    let actions: Action[] = [];
    let filter: string | null = null;
    let exact = false;
    for (const [key, value] of this.#entries(node, 'a rule')) {
      if (key === 'allow' || key === 'deny') {
        if (effect !== null) this.#fault(value, 'a rule has either allow or deny');
        effect = key;
        actions = this.#actions(value);
      } else if (key === 'topic' || key === 'filter') {
        if (filter !== null) this.#fault(value, 'a rule has either topic or filter');
        filter = this.#textOf(value);
        exact = key === 'filter';
        if (filter !== null && !isValidFilter(filter))
          this.#fault(value, `${JSON.stringify(filter)} is no topic filter`);
      } else this.#fault(value, noneOf(key, ['allow', 'deny', 'topic', 'filter']));
    }
    if (this.faults.length > before) return null;
    if (effect === null) this.#fault(node, 'the rule has neither allow nor deny');
    else if (filter === null) this.#fault(node, 'the rule has neither topic nor filter');
    else if (exact && (actions.length !== 1 || actions[0] !== 'subscribe')) {
      this.#fault(node, 'filter is for subscribe alone; topic is for the others');
    } else if (exact && hasPlaceholder(filter)) this.#fault(node, 'filter has no placeholders');
    else {
      const line = this.#lineOf(node);
      const text = `${effect} ${actions.join(', ')} ${exact ? 'filter ' : ''}${filter}`;
      const templated = hasPlaceholder(filter);
      return { effect, actions, filter, templated, exact, place: `${this.#file}:${line}`, line, text };
    }
    return null;
  }

  #actions(node: Node): Action[] {
    const names = this.#texts(isSeq<Node>(node) ? node.items : [node]);
    const actions: Action[] = [];
    for (const [name, at] of names) {
      const action = ACTIONS.find((one) => one === name);
      if (action === undefined) this.#fault(at, noneOf(name, ACTIONS));
      else actions.push(action);
    }
    if (names.length === 0) this.#fault(node, `what is meant of ${ACTIONS.join(', ')} is missing`);
    return actions;
  }

  #roleNames(node: Node): string[] {
    const names = this.#texts(this.#items(node));
    this.#named.push(...names);
    return names.map(([name]) => name);
  }

  #items(node: Node): readonly Node[] {
    if (isSeq<Node>(node)) return node.items;
    this.#fault(node, 'this is a list');
    return [];
  }

  #texts(items: readonly Node[]): [string, Node][] {
    return items.flatMap((item) => {
      const text = this.#textOf(item);
      return text === null ? [] : [[text, item] as [string, Node]];
    });
  }

  #textOf(node: Node): string | null {
    // A user may well be called 007 or yes: what was written counts.
    if (isScalar(node) && node.value !== null && node.source !== undefined) return String(node.source);
    this.#fault(node, 'a text is missing');
    return null;
  }

  *#entries(node: Node, what: string): Iterable<[string, Node]> {
    if (isScalar(node) && node.value === null) return;
    if (!isMap<Node, Node | null>(node)) {
      this.#fault(node, `${what} is a list of names with what belongs to them`);
      return;
    }
    for (const { key, value } of node.items) {
      const name = this.#textOf(key);
      if (name === null) continue;
      if (value === null) this.#fault(key, `${JSON.stringify(name)} has nothing`);
      else yield [name, value];
    }
  }

  #lineOf(node: Node): number {
    return node.range ? this.#lines.linePos(node.range[0]).line : 1;
  }

  #fault(node: Node, sentence: string): void {
    this.faults.push(`${this.#file}:${this.#lineOf(node)}: ${sentence}`);
  }
}
