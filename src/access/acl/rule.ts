/** What an access control list is made of, whichever form its file has. */
import type { Grant } from '../../bus/party.js';

/** `publish`: a message of the client; `receive`: a message to it; `subscribe`: which filters it may ask for. */
export type Action = 'publish' | 'receive' | 'subscribe';

export const ACTIONS: readonly Action[] = ['publish', 'receive', 'subscribe'];

export type Effect = 'allow' | 'deny';

/** One line of a file. */
export interface Rule {
  readonly effect: Effect;
  readonly actions: readonly Action[];
  /** A topic filter; with `templated`, `%c` stands for the client identifier and `%u` for the user name. */
  readonly filter: string;
  readonly templated: boolean;
  /** Whether a `subscribe` rule is about this filter alone, as it is written, and not about all that it covers. */
  readonly exact: boolean;
  /** `FILE:LINE`. */
  readonly place: string;
  /** From 1. */
  readonly line: number;
  /** The rule as the file has it, in one line. */
  readonly text: string;
}

/** An answer, and what it rests on. */
export interface Decision {
  readonly allowed: boolean;
  /** The deciding rule; null if no rule is about it. */
  readonly rule: Rule | null;
}

/** How much of what a subscription could deliver its client may receive. */
export type Share = 'all' | 'partly' | 'none';

export interface FilterDecision {
  readonly share: Share;
  /** The rule that refuses the subscription, or a part of what it could deliver; null if that is the lack of a rule. */
  readonly denying: Rule | null;
  /** A rule that allows a part; null for none. */
  readonly allowing: Rule | null;
  /** What it has cost, about as many nodes as have been looked at. */
  readonly steps: number;
}

/** Who is asking, as rules see it. */
export interface Subject {
  /** Null for none. */
  readonly username: string | null;
  readonly clientId: string;
  /** What a back-end has said of it; null or absent if none has let it in. */
  readonly grant?: Pick<Grant, 'groups' | 'superuser'> | null;
}

/** Whether a value put in the place of `%c` or `%u` would be more than a part of one level. */
export function isUnsafe(value: string): boolean {
  return value.includes('+') || value.includes('#') || value.includes('/');
}

export function words(rule: Rule | null): string {
  return rule === null ? 'no rule allows it' : `${rule.place}: ${rule.text}`;
}
