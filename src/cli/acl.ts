/** `portico acl explain`: what a client may do, and by which line of the file. */
import { explain } from '../access/acl/explain.js';
import { readAcl } from '../access/acl/load.js';
import type { Action } from '../access/acl/rule.js';
import { isShared, isValidFilter, isValidName, isValidShared } from '../bus/topics.js';
import { accessOf, accessOption } from '../config/listener-access.js';
import { type LoadRequest, loadConfig } from '../config/load.js';
import type { Config, ListenerConfig } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';

/** What is asked. */
export interface AclQuestion {
  readonly action: Action;
  /** Null for none. */
  readonly username: string | null;
  readonly clientId: string;
  /** A topic name; a topic filter for `subscribe`. */
  readonly topic: string;
  /** The listener that the client comes by: its port, its path, or its place as `listeners.0`. Null if it does not matter. */
  readonly listener: string | null;
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
  const { section, name } = sectionOf(loadConfig(request).config, question.listener);
  const acl = await readAcl(section, name);
  if (acl === null) return `allowed; there is no access control list (${name}.acl_file, ${name}.acl)`;
  return explain(acl, { username, clientId }, action, topic);
}

function isAskable(action: Action, topic: string): boolean {
  if (action !== 'subscribe') return isValidName(topic);
  return isShared(topic) ? isValidShared(topic) : isValidFilter(topic);
}

/** The section that holds for clients of a listener, and what it is called. */
function sectionOf(config: Config, wanted: string | null): { section: Partial<Config['access']>; name: string } {
  const places = config.listeners.flatMap((listener, i) => (listener.type === 'http' ? [] : [{ listener, i }]));
  const meant = wanted === null ? places : places.filter(({ listener, i }) => namesOf(listener, i).includes(wanted));
  const named = (words: string): string =>
    `${words}; name one of them: ${places.map(({ listener, i }) => namesOf(listener, i)[0]).join(', ')}`;
  if (wanted !== null && meant.length === 0) {
    throw new PorticoError(ErrorKinds.Configuration, named(`--listener ${wanted}: there is no such listener`));
  }
  const lists = meant.map(({ listener }) => accessOf(config, listener));
  const [section = config.access] = lists;
  if (lists.some((other) => other.acl_file !== section.acl_file || other.acl !== section.acl)) {
    const words = 'listeners have different access control lists, so --listener has to say which one is meant';
    throw new PorticoError(ErrorKinds.Configuration, named(words));
  }
  const [first] = meant;
  return { section, name: first === undefined ? 'access' : accessOption(first.listener, first.i, 'access') };
}

/** What a listener may be called on the command line; the first one tells the most. */
function namesOf(listener: ListenerConfig, i: number): string[] {
  const place = listener.type === 'unix' ? listener.path : 'port' in listener ? String(listener.port) : '';
  const hosts = 'host' in listener ? [listener.host].flat().map((host) => `${host}:${place}`) : [];
  return [place, `listeners.${i}`, ...hosts];
}
