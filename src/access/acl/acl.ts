/**
 * An access control list, as both forms of its file are compiled. A client's rules stand in stages: the first stage with a
 * rule about something decides, and within a stage what is denied by one rule is denied, whatever others allow. What no
 * rule is about is denied.
 */
import { isShared, sharedPartsOf } from '../../bus/topics.js';
import { shareOf } from './coverage.js';
import type { Action, Decision, FilterDecision, Subject } from './rule.js';
import { Findings, type RuleTree } from './rule-tree.js';

/** Rules that decide together. */
export interface Stage {
  readonly trees: readonly RuleTree[];
  /** Whether nobody with `+` or `#` in the user name or client identifier gets anything by it, as Mosquitto's patterns. */
  readonly guarded: boolean;
}

/** What a file says. */
export interface Acl {
  /** Number of rules. */
  readonly size: number;
  /** What is no fault and probably not what was meant, `FILE:LINE: sentence`. */
  readonly warnings: readonly string[];
  /**
   * The stages of a client, in their order.
   * @param groups that it belongs to, besides those that name it
   */
  stagesOf(username: string | null, groups: readonly string[]): readonly Stage[];
}

const NO_RULE: Decision = { allowed: false, rule: null };
/** For whom no rules are. */
const EVERYTHING: Decision = { allowed: true, rule: null };

/** What one client may do. */
export class Rights {
  readonly #subject: Subject;
  readonly #stages: readonly Stage[];

  constructor(acl: Acl, subject: Subject) {
    this.#subject = subject;
    const dangerous = /[+#]/.test(subject.clientId) || /[+#]/.test(subject.username ?? '');
    this.#stages = acl
      .stagesOf(subject.username, subject.grant?.groups ?? [])
      .filter((stage) => !(dangerous && stage.guarded));
  }

  /** Whether the client may publish on a topic, or receive from it. */
  decide(action: 'publish' | 'receive', topic: string): Decision {
    return this.#decide(action, topic) ?? NO_RULE;
  }

  #decide(action: Action, topic: string): Decision | null {
    if (this.#subject.grant?.superuser) return EVERYTHING;
    const levels = topic.split('/');
    for (const { trees } of this.#stages) {
      const findings = new Findings();
      for (const tree of trees) tree.find(action, levels, this.#subject, findings);
      if (findings.deny !== null) return { allowed: false, rule: findings.deny };
      if (findings.allow !== null) return { allowed: true, rule: findings.allow };
    }
    return null;
  }

  /**
   * How much of what a subscription could deliver the client may receive; `none` as well if it may not have that
   * subscription at all.
   * @param filter well-formed; of a shared subscription with `$share` and its name
   */
  decideFilter(filter: string): FilterDecision {
    const asked = isShared(filter) ? sharedPartsOf(filter)[1] : filter;
    const own = this.#decide('subscribe', asked);
    if (this.#subject.grant?.superuser) return { share: 'all', denying: null, allowing: null, steps: 1 };
    if (own !== null && !own.allowed) return { share: 'none', denying: own.rule, allowing: null, steps: 1 };
    return shareOf(asked, this.#stages, this.#subject);
  }
}
