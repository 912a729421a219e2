/** `portico passwd`: users and passwords of a password file, with the options of `mosquitto_passwd`. */
import { looksHashed, mosquittoHash, parseHash, scryptHash } from '../access/password-hash.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { PasswdRequest } from './passwd-arguments.js';
import { readPassword } from './password-input.js';
import { ReplacedFile } from './replaced-file.js';

/** Bytes of the longest password, and user name, of MQTT (5.0 1.5.6, 1.5.4). */
const MOST_BYTES = 0xffff;

/**
 * Sets or deletes the password of a user, or hashes all passwords that stand in a file in the clear. Comments, and the
 * order of lines, stay. What an admin should know is said on standard error.
 * @throws PorticoError `PORTICO_CONFIGURATION` for a name or password that cannot be one, `PORTICO_SECURITY_FILE`
 */
export async function passwd(request: PasswdRequest): Promise<void> {
  const { file: name, action, user, create } = request;
  if (action !== 'hash all') checkName(user);
  const file = await ReplacedFile.open(name);
  if (!file.exists && !create) {
    const cure = action === 'set' ? '; -c makes it' : '';
    throw failed(name, `there is none of that name${cure}`);
  }
  // One byte, one character: a name or comment that is no UTF-8 stays as it is.
  const former = file.bytes.toString('latin1');
  const text = create ? '' : former;
  const lines = await changed(text, request);
  if (action === 'hash all' && lines === former) return;
  await file.replace(Buffer.from(lines, 'latin1'));
  const lost = create ? usersIn(former) : 0;
  if (lost > 0) say(`${name}: made anew; users that were in it and are not any more: ${lost}`);
  if (file.isOpenToAll) say(`${name}: everybody may read it; chmod o-r ${name} takes that away`);
  if (!file.exists && process.getuid?.() === 0) {
    say(`${name}: belongs to root, mode 0600; the user of the broker has to be able to read it`);
  }
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

function changed(text: string, request: PasswdRequest): string | Promise<string> {
  const { file, action, user } = request;
  switch (action) {
    case 'delete':
      return withoutUser(text, user) ?? Promise.reject(failed(file, `there is no user ${user}`));
    case 'hash all':
      return hashAll(text, request);
    case 'set':
      return setPassword(text, request);
  }
}

async function setPassword(text: string, request: PasswdRequest): Promise<string> {
  const { user, password } = request;
  const bytes = password === null ? await readPassword('passwd', user, true) : Buffer.from(password);
  return withUser(text, user, await hashOf(bytes, request));
}

function hashOf(password: Buffer, { mosquitto, cost }: PasswdRequest): Promise<string> {
  const fault = passwordFault(password);
  if (fault !== null) throw wrong(fault);
  return mosquitto ? mosquittoHash(password) : scryptHash(password, cost);
}

function passwordFault(password: Buffer): string | null {
  if (password.length === 0) return 'the password is empty';
  if (password.length > MOST_BYTES) return `the password is longer than ${MOST_BYTES} bytes`;
  // Mosquitto would stop there.
  return password.includes(0) ? 'the password has a character that no password may have' : null;
}

function checkName(user: string): void {
  if (user === '' || /\p{Cc}/u.test(user) || Buffer.byteLength(user) > MOST_BYTES) {
    throw wrong('the user name is empty, too long, or has a character that no user name may have');
  }
  if (user.includes(':') || user.startsWith('#') || user.trim() !== user) {
    throw wrong('a name in the file has no colon, does not begin with # and has no spaces around it');
  }
}

// --- lines ------------------------------------------------------------------------------------------------------------

/** The user of a line; undefined for a blank line, a comment, and what is no line of a user. */
function userOf(line: string): string | undefined {
  const colon = line.indexOf(':');
  return line.startsWith('#') || colon < 1 ? undefined : line.slice(0, colon);
}

function usersIn(text: string): number {
  return text.split('\n').filter((line) => userOf(line) !== undefined).length;
}

function asLatin1(user: string): string {
  return Buffer.from(user).toString('latin1');
}

/** Without the lines of a user; null if there are none. */
function withoutUser(text: string, user: string): string | null {
  const name = asLatin1(user);
  const lines = text.split('\n');
  const others = lines.filter((line) => userOf(line) !== name);
  return others.length === lines.length ? null : others.join('\n');
}

/** With the line of a user in the place of the former one, or at the end. */
function withUser(text: string, user: string, hash: string): string {
  const name = asLatin1(user);
  const line = `${name}:${hash}`;
  const lines = text.split('\n');
  const first = lines.findIndex((one) => userOf(one) === name);
  if (first < 0) {
    const end = /\r\n/.test(text) ? '\r\n' : '\n';
    return `${text}${text === '' || text.endsWith('\n') ? '' : end}${line}${end}`;
  }
  const end = lines[first].endsWith('\r') ? '\r' : '';
  return lines.flatMap((one, i) => (i === first ? [line + end] : userOf(one) === name ? [] : [one])).join('\n');
}

/** With each password in the clear hashed; what is hashed stays. */
async function hashAll(text: string, request: PasswdRequest): Promise<string> {
  const faults: string[] = [];
  const lines = text.split('\n');
  const plain: number[] = [];
  for (const [i, whole] of lines.entries()) {
    if (whole.startsWith('#') || whole.trimEnd() === '') continue;
    const fault = faultOf(whole);
    if (fault === null) plain.push(i);
    else if (fault !== '') faults.push(`${request.file}:${i + 1}: ${fault}`);
  }
  // All or nothing: a file half of whose passwords are in the clear is of no use.
  if (faults.length > 0) throw new PorticoError(ErrorKinds.SecurityFile, faults.join('\n'));
  for (const i of plain) {
    const end = lines[i].endsWith('\r') ? '\r' : '';
    const [user, password] = split(lines[i]);
    lines[i] = `${user}:${await hashOf(Buffer.from(password, 'latin1'), request)}${end}`;
  }
  return lines.join('\n');
}

function split(line: string): [user: string, rest: string] {
  const colon = line.indexOf(':');
  return [line.slice(0, Math.max(0, colon)), line.slice(colon + 1).replace(/\r$/, '')];
}

/** Why a line cannot be hashed: null if it can, empty if it is already. */
function faultOf(line: string): string | null {
  const [user, rest] = split(line);
  if (user === '') return 'the line is not user:password';
  if (!looksHashed(rest)) return passwordFault(Buffer.from(rest, 'latin1'));
  const hash = parseHash(rest.trimEnd());
  return typeof hash === 'string' ? `the password looks like a hash, but ${hash}` : '';
}

function wrong(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.Configuration, `passwd: ${sentence}`);
}

function failed(file: string, sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.SecurityFile, `${file}: ${sentence}`);
}
