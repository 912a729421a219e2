/** Users of this machine: whom a process of root becomes (option `user`). */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const FILE = '/etc/passwd';
/** What no name of a user has, and what would be more than a name to a program. */
const NO_NAME = /^[-+]|[\s:/\p{Cc}]/u;
/** The user that Mosquitto has by default, and the one in its place where there is none of that name. */
const MOSQUITTO = 'mosquitto';
const INSTEAD = 'nobody';
/** Milliseconds for which a directory of users is asked. */
const PATIENCE = 10_000;

export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  /** Number of the primary group. */
  readonly gid: number;
}

/** The user of a name; null for none. Users of other sources than `/etc/passwd` are found where the machine has `getent`. */
export function findUser(name: string): SystemUser | null {
  if (name === '' || NO_NAME.test(name)) return null;
  return userIn(readText(), name) ?? userIn(asked(name), name);
}

/** The user of a name in lines as those of `/etc/passwd`. */
export function userIn(lines: string, name: string): SystemUser | null {
  for (const line of lines.split('\n')) {
    const [found, , uid, gid] = line.split(':');
    if (found === name && /^\d+$/.test(uid) && /^\d+$/.test(gid)) return { name, uid: Number(uid), gid: Number(gid) };
  }
  return null;
}

function readText(): string {
  try {
    return readFileSync(FILE, 'utf8');
  } catch {
    return '';
  }
}

function asked(name: string): string {
  try {
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore'];
    return execFileSync('getent', ['passwd', name], { encoding: 'utf8', stdio, timeout: PATIENCE });
  } catch {
    return '';
  }
}

/** Whom the option names; null if there is no such user. */
export function namedUser(name: string, find: typeof findUser = findUser): SystemUser | null {
  const user = find(name);
  return user === null && name === MOSQUITTO ? find(INSTEAD) : user;
}

/** What is said of the option `user` where it is read. */
export interface UserFindings {
  readonly fault?: string;
  readonly warning?: string;
}

/**
 * Looks at the option.
 * @param own number of the user of this process
 * @param said whether somebody wrote it
 */
export function userFindings(name: string, own: number | undefined, said: boolean, find = findUser): UserFindings {
  // Where there are no such users, as on Windows, it has no meaning.
  if (own === undefined) return {};
  const user = namedUser(name, find);
  if (own !== 0) {
    if (!said || user?.uid === own) return {};
    const missing = user === null ? ', and there is none of that name' : '';
    return { warning: `user ${name} has no effect: only root can become another user${missing}` };
  }
  if (user === null) {
    const instead = 'name one that there is, or root to stay root';
    return { fault: `user is ${JSON.stringify(name)}, and this machine has no user of that name; ${instead}` };
  }
  if (user.name === name) return {};
  return { warning: `there is no user ${name}: Portico becomes ${user.name} in its place, as Mosquitto does` };
}
