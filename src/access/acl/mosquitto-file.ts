/**
 * Access control lists as Mosquitto reads them (`acl_file`), a rule a line:
 *
 * - `topic [read|write|readwrite|deny] FILTER` for the user named by the last `user NAME` above; above the first of these, for
 *   clients without user name;
 * - `pattern [read|write|readwrite|deny] FILTER` for every client, with `%c` for its client identifier and `%u` for its user
 *   name. Patterns are asked when no `topic` of the user is about a topic.
 *
 * `read` is receiving, `write` publishing; without a word both. A topic that begins with `$` is only meant by a filter that
 * begins so. Blank lines and lines that begin with `#` are comments.
 */
import { isValidFilter } from '../../bus/topics.js';
import { ErrorKinds, meant, noneOf, PorticoError } from '../../errors.js';
import { readSecurityFile } from '../security-file.js';
import type { Acl, Stage } from './acl.js';
import type { Action, Effect, Rule } from './rule.js';
import { hasPlaceholder, RuleTree } from './rule-tree.js';

/** What a word gives. */
const KINDS: ReadonlyMap<string, readonly [Effect, readonly Action[]]> = new Map([
  ['read', ['allow', ['receive']]],
  ['write', ['allow', ['publish']]],
  ['readwrite', ['allow', ['publish', 'receive']]],
  ['deny', ['deny', ['publish', 'receive']]],
]);
const WORDS = [...KINDS.keys()];
/** What lines begin with. */
const BEGINNINGS = ['topic', 'pattern', 'user'];

/**
 * Reads a file.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export async function readMosquittoAcl(file: string): Promise<Acl> {
  return parseMosquittoAcl(await readSecurityFile(file, 'ACL file'), file);
}

/**
 * @param file its name, for sentences
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export function parseMosquittoAcl(bytes: Buffer, file: string): Acl {
  const acl = new MosquittoAcl();
  const faults: string[] = [];
  let user: string | null = null;
  // Latin-1 splits lines as bytes do; each is then read as UTF-8.
  for (const [index, raw] of bytes.toString('latin1').split('\n').entries()) {
    const line = Buffer.from(raw, 'latin1').toString('utf8');
    const place = `${file}:${index + 1}`;
    const text = trimEnd(line);
    if (text === '' || text.startsWith('#')) continue;
    const fault = (sentence: string): number => faults.push(`${place}: ${sentence}`);
    const [word, rest] = split(text);
    if (raw.includes('\0') || line.includes('\ufffd')) fault('the line is not UTF-8, or has a NUL in it');
    else if (word === 'user') {
      if (rest === '') fault('the name of the user is missing');
      else user = trim(rest);
    } else if (word === 'topic' || word === 'pattern') {
      const rule = ruleOf(word === 'pattern', rest, place, index + 1, text);
      if (typeof rule === 'string') fault(rule);
      else acl.add(rule, user, warningOf(rule, rest));
    } else fault(strangerWords(text, word));
  }
  if (faults.length > 0) throw new PorticoError(ErrorKinds.SecurityFile, faults.join('\n'));
  return acl;
}

class MosquittoAcl implements Acl {
  readonly #users = new Map<string, Stage>();
  readonly #strangers: Stage = { trees: [new RuleTree()], guarded: false };
  readonly #patterns: Stage = { trees: [new RuleTree()], guarded: true };
  readonly #nobody: readonly Stage[] = [this.#patterns];
  readonly warnings: string[] = [];
  size = 0;

  add(rule: Rule, user: string | null, warning: string | null): void {
    this.size++;
    if (warning !== null) this.warnings.push(`${rule.place}: ${warning}`);
    this.#stageOf(rule, user).trees[0].add(rule);
  }

  #stageOf(rule: Rule, user: string | null): Stage {
    if (rule.templated) return this.#patterns;
    if (user === null) return this.#strangers;
    const known = this.#users.get(user);
    if (known !== undefined) return known;
    const stage: Stage = { trees: [new RuleTree()], guarded: false };
    this.#users.set(user, stage);
    return stage;
  }

  stagesOf(username: string | null): readonly Stage[] {
    const own = username === null ? this.#strangers : this.#users.get(username);
    return own === undefined ? this.#nobody : [own, this.#patterns];
  }
}

/** The rule, or what is wrong with it. */
function ruleOf(templated: boolean, words: string, place: string, line: number, text: string): Rule | string {
  if (words === '') return 'the topic filter is missing';
  const [word, rest] = split(words);
  // One word alone is a filter, even if it reads like a kind.
  const kind = rest === '' ? KINDS.get('readwrite') : KINDS.get(word);
  const filter = rest === '' ? word : trim(rest);
  if (kind === undefined) return noneOf(word, WORDS);
  if (!isValidFilter(filter)) return `${JSON.stringify(filter)} is no topic filter`;
  const [effect, actions] = kind;
  return { effect, actions, filter, templated, exact: false, place, line, text: trim(text) };
}

function warningOf(rule: Rule, words: string): string | null {
  if (KINDS.has(trim(words))) return `${trim(words)} is taken as a topic filter, and allows everything on it`;
  if (rule.templated && !hasPlaceholder(rule.filter))
    return 'the pattern has neither %c nor %u: it is for every client';
  if (!rule.templated && hasPlaceholder(rule.filter)) return '%c and %u have a meaning only behind pattern, not topic';
  return null;
}

function strangerWords(text: string, word: string): string {
  if (word.startsWith('#')) return 'a comment begins at the beginning of its line';
  if (/^\s*(topic|pattern|user)\t/.test(text)) return 'what separates words is a space, not a tab';
  return `the line begins with none of ${BEGINNINGS.join(', ')}${meant(word, BEGINNINGS)}`;
}

/** The first word and the rest, as spaces alone separate them. */
function split(text: string): [word: string, rest: string] {
  const begin = text.search(/[^ ]/);
  if (begin < 0) return ['', ''];
  const end = text.indexOf(' ', begin);
  if (end < 0) return [text.slice(begin), ''];
  return [text.slice(begin, end), text.slice(end + 1).replace(/^ +/, '')];
}

/** The white space of C, which is less than that of JavaScript. */
function trimEnd(text: string): string {
  return text.replace(/[ \t\v\f\r]+$/, '');
}

function trim(text: string): string {
  return trimEnd(text).replace(/^[ \t\v\f\r]+/, '');
}
