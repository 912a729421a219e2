/**
 * What files of users have in common: one `user:secret` a line; blank lines and lines that begin with `#` are comments.
 * Sentences about faults never repeat what was read: it may be a password in the clear.
 */
import { isUtf8 } from 'node:buffer';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { ErrorKinds, mayNot, PorticoError } from '../errors.js';

/** What may stand in a file. */
export interface UserFileFormat<Secret> {
  /** What the file is, in words: `password file`. */
  readonly kind: string;
  /** What a line is: `user:hash`. */
  readonly line: string;
  /** What stands between name and secret. Without it, a colon. */
  readonly separator?: string;
  /** What a name stands for, `user` without it, and what is said of one that cannot be. */
  readonly who?: string;
  readonly badName?: string;
  /** The secret behind the first colon, or separator; or what is wrong with it. */
  parse(text: string): Secret | string;
  /** The form of a name under which it is looked up, or null if the name cannot be one. Without it, as it stands. */
  prepare?(name: string): string | null;
}

/**
 * Reads a file of users.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export async function readUserFile<Secret>(file: string, format: UserFileFormat<Secret>): Promise<Map<string, Secret>> {
  const bytes = await readSecurityFile(file, format.kind);
  return parse(file, bytes, format);
}

/**
 * The bytes of a file.
 * @param kind what it is, in words
 * @param name what the sentence about a fault begins with
 * @param secret whether it is a fault that everybody may read it
 * @throws PorticoError `PORTICO_SECURITY_FILE`
 */
export async function readSecurityFile(file: string, kind: string, name = file, secret = false): Promise<Buffer> {
  try {
    // A pipe is opened at once, too, and not when somebody writes to it.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = await handle.stat();
      const { mode } = stat;
      if (!stat.isFile()) {
        const what = stat.isDirectory() ? 'a folder' : 'no regular file';
        throw new PorticoError(ErrorKinds.SecurityFile, `${name}: the ${kind} cannot be read: it is ${what}`);
      }
      if (stat.size > MOST_BYTES) {
        const sentence = `the ${kind} has more than ${MOST_BYTES} bytes`;
        throw new PorticoError(ErrorKinds.SecurityFile, `${name}: ${sentence}`);
      }
      if ((mode & WRITABLE_BY_ALL) !== 0) {
        const cure = `chmod o-w ${file}`;
        throw new PorticoError(
          ErrorKinds.SecurityFile,
          `${name}: everybody may write the ${kind}; ${cure} takes that away`,
        );
      }
      if (secret && (mode & READABLE_BY_ALL) !== 0) {
        const cure = `chmod o-r ${file} takes that away (in Kubernetes, defaultMode: 0440 of the volume)`;
        throw new PorticoError(ErrorKinds.SecurityFile, `${name}: everybody may read the ${kind}; ${cure}`);
      }
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof PorticoError) throw error;
    const message = `${name}: the ${kind} cannot be read: ${unreadable(error)}`;
    throw new PorticoError(ErrorKinds.SecurityFile, message, { cause: error });
  }
}

/** Bytes of the largest file: millions of users. */
const MOST_BYTES = 2 ** 28;

/** Why a file cannot be read, in words. */
export function unreadable(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EACCES') return mayNot();
  return UNREADABLE[code ?? ''] ?? message;
}

/** The bits of a file's mode by which everybody may write or read it; a link has the mode of what it leads to. */
const WRITABLE_BY_ALL = 0o002;
const READABLE_BY_ALL = 0o004;

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is none of that name',
  EISDIR: 'it is a folder',
  ELOOP: 'its symbolic links lead in a circle',
  ENOTDIR: 'a part of its path is no folder',
};

/** A text without the byte order mark that editors of Windows put in front of it. */
export function withoutMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function parse<Secret>(file: string, bytes: Buffer, format: UserFileFormat<Secret>): Map<string, Secret> {
  const utf8 = isUtf8(bytes);
  const text = withoutMark(bytes.toString('utf8'));

  const users = new Map<string, Secret>();
  const lines = new Map<string, number>();
  const faults: string[] = [];
  text.split('\n').forEach((whole, i) => {
    const line = whole.trimEnd();
    if (line === '' || line.startsWith('#')) return;
    const { separator = ':', who = 'user', badName = 'the name has a character that no user name may have' } = format;
    const colon = line.indexOf(separator);
    const name = line.slice(0, Math.max(0, colon));
    const user = format.prepare === undefined ? name : format.prepare(name);
    const outcome = colon < 1 ? `the line is not ${format.line}` : format.parse(line.slice(colon + 1));
    const first = user === null ? undefined : lines.get(user);
    // Such a name could not be told from another, and no client could say it.
    if (name.includes('\0') || (!utf8 && line.includes('\ufffd'))) {
      faults.push(`${file}:${i + 1}: the line is not UTF-8, or has a NUL in it`);
    } else if (typeof outcome === 'string') faults.push(`${file}:${i + 1}: ${outcome}`);
    else if (user === null) faults.push(`${file}:${i + 1}: ${badName}`);
    else if (first !== undefined) faults.push(`${file}:${i + 1}: ${who} ${user} is already on line ${first}`);
    else {
      users.set(user, outcome);
      lines.set(user, i + 1);
    }
  });
  if (faults.length > 0) throw new PorticoError(ErrorKinds.SecurityFile, faults.join('\n'));
  return users;
}

/** Strict base64, or null: Node's own decoder skips what it does not know. */
export function decodeBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}
