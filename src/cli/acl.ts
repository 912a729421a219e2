/** `portico acl explain`: what a client may do, and by which line of the file. */
import { explain } from '../access/acl/explain.js';
import { readAcl } from '../access/acl/load.js';
import type { Action } from '../access/acl/rule.js';
import { isShared, isValidFilter, isValidName, isValidShared } from '../bus/topics.js';
import { type LoadRequest, loadConfig } from '../config/load.js';
import { ErrorKinds, PorticoError } from '../errors.js';

/** What is asked. */
export interface AclQuestion {
  readonly action: Action;
  /** Null for none. */
  readonly username: string | null;
  readonly clientId: string;
  /** A topic name; a topic filter for `subscribe`. */
  readonly topic: string;
}

/**
 * The answer, in one line.
 * @throws PorticoError `PORTICO_CONFIGURATION` or `PORTICO_SECURITY_FILE`
 */
export async function explainAcl(request: LoadRequest, question: AclQuestion): Promise<string> {
  const { action, username, clientId, topic } = question;
  if (!isAskable(action, topic)) {
    const kind = action === 'subscribe' ? 'topic filter' : 'topic name';
    throw new PorticoError(ErrorKinds.Configuration, `--topic ${JSON.stringify(topic)} is no ${kind}`);
  }
  const acl = await readAcl(loadConfig(request).config.access);
  if (acl === null) return 'allowed; there is no access control list (access.acl_file, access.acl)';
  return explain(acl, { username, clientId }, action, topic);
}

function isAskable(action: Action, topic: string): boolean {
  if (action !== 'subscribe') return isValidName(topic);
  return isShared(topic) ? isValidShared(topic) : isValidFilter(topic);
}
