/** Why a client may do something, or not, in words. */
import { type Acl, Rights } from './acl.js';
import { type Action, type FilterDecision, type Subject, words } from './rule.js';

/** One line: the answer, and the line of the file that it rests on. */
export function explain(acl: Acl, subject: Subject, action: Action, topic: string): string {
  const rights = new Rights(acl, subject);
  const who = subject.username === null ? 'a client without user name' : `user ${JSON.stringify(subject.username)}`;
  const what = `${who}, client ${JSON.stringify(subject.clientId)}, ${action} ${topic}`;
  if (action === 'subscribe') return `${what}: ${shareWords(rights.decideFilter(topic))}`;
  const { allowed, rule } = rights.decide(action, topic);
  return `${what}: ${allowed ? 'allowed' : 'denied'}; ${words(rule)}`;
}

function shareWords({ share, denying, allowing }: FilterDecision): string {
  if (share === 'none') return `refused; ${words(denying)}`;
  if (share === 'all') return `granted; ${words(allowing)}`;
  const denied = denying === null ? 'no rule allows the rest' : `not all of it: ${words(denying)}`;
  return allowing === null ? `granted in part; ${denied}` : `granted in part; ${words(allowing)}; ${denied}`;
}
