/** The files of `access` that say who MQTT clients and devices are, and what they may do; read together, replaced together. */
import { createHash } from 'node:crypto';
import type { Acl } from '../access/acl/acl.js';
import { type AclFiles, readAcl } from '../access/acl/load.js';
import { readAll } from '../access/every-fault.js';
import { PasswordFile } from '../access/password-file.js';
import type { ScramCredentials } from '../access/scram.js';
import { readScramFile } from '../access/scram-file.js';
import { readSecurityFile, withoutMark } from '../access/security-file.js';
import { ownAccess } from '../config/listener-access.js';
import type { Config, ListenerConfig } from '../config/schema.js';

/** What the files have. Null: there is no such file. */
export interface AccessFiles {
  /** The path of the password file: listeners that name the same one share what is in it. */
  readonly passwordFile: string | null;
  readonly passwords: PasswordFile | null;
  /** What stands behind each user in the password file, as a digest. */
  readonly users: ReadonlyMap<string, string> | null;
  readonly scram: ReadonlyMap<string, ScramCredentials> | null;
  readonly acl: Acl | null;
}

/** Those of all clients, and those of the clients of listeners that have their own. */
export interface EveryAccess {
  readonly usual: AccessFiles;
  readonly own: ReadonlyMap<ListenerConfig, AccessFiles>;
}

type Section = AclFiles & Pick<Config['access'], 'password_file' | 'scram_file'>;

/**
 * Reads the files that a configuration names, each of them once.
 * @throws PorticoError `PORTICO_SECURITY_FILE` or `PORTICO_CONFIGURATION`
 */
export async function readAccessFiles({
  access,
  listeners,
}: Pick<Config, 'access' | 'listeners'>): Promise<EveryAccess> {
  const once = new Once();
  const sections = listeners.flatMap((listener, i) => {
    const section = ownAccess(listener);
    return section === undefined ? [] : [{ listener, section, name: `listeners.${i}.access` }];
  });
  const [usual, own] = await readAll(
    readSection(access, 'access', once),
    readAll<(readonly [ListenerConfig, AccessFiles])[]>(
      ...sections.map(
        async ({ listener, section, name }) => [listener, await readSection(section, name, once)] as const,
      ),
    ),
  );
  return { usual, own: new Map(own) };
}

async function readSection(section: Section, name: string, once: Once): Promise<AccessFiles> {
  const { password_file: passwords, scram_file: scram, acl_file: theirs, acl: ours } = section;
  const [read, users, credentials, acl] = await readAll(
    once.read('passwords', passwords, (file) => PasswordFile.load(file)),
    once.read('users', passwords, digestsOf),
    once.read('scram', scram, readScramFile),
    // That there are two of them is a fault of the section.
    theirs !== undefined && ours !== undefined
      ? readAcl(section, name)
      : once.read(theirs === undefined ? 'acl' : 'acl_file', theirs ?? ours, () => readAcl(section, name)),
  );
  return { passwordFile: passwords ?? null, passwords: read, users, scram: credentials, acl };
}

/** Readings that were begun, so that what several sections name is read, and kept, once. */
class Once {
  readonly #begun = new Map<string, Promise<unknown>>();

  /** @param file undefined for none, which gives null */
  read<T>(kind: string, file: string | undefined, read: (file: string) => Promise<T>): Promise<T | null> {
    if (file === undefined) return Promise.resolve(null);
    const key = `${kind} ${file}`;
    const begun = (this.#begun.get(key) as Promise<T> | undefined) ?? read(file);
    this.#begun.set(key, begun);
    return begun;
  }
}

/** By the user's name; a password file has one line for each. */
async function digestsOf(file: string): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  const text = (await readSecurityFile(file, 'password file')).toString('utf8');
  for (const line of withoutMark(text).split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 1 || line.startsWith('#')) continue;
    digests.set(line.slice(0, colon), createHash('sha256').update(line.trimEnd()).digest('base64'));
  }
  return digests;
}

/** Whether a user is not the one any more that it was: it is gone, or has another password, or nobody was asked for one before. */
export function isOther(username: string, before: AccessFiles, now: AccessFiles): boolean {
  return now.users !== null && (!now.users.has(username) || before.users?.get(username) !== now.users.get(username));
}
