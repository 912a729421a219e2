/** The files of `access` that say who MQTT clients and devices are, and what they may do; read together, replaced together. */
import { createHash } from 'node:crypto';
import type { Acl } from '../access/acl/acl.js';
import { readAcl } from '../access/acl/load.js';
import { readAll } from '../access/every-fault.js';
import { PasswordFile } from '../access/password-file.js';
import type { ScramCredentials } from '../access/scram.js';
import { readScramFile } from '../access/scram-file.js';
import { readSecurityFile, withoutMark } from '../access/security-file.js';
import type { Config } from '../config/schema.js';

const nothing = Promise.resolve(null);

/** What the files have. Null: there is no such file. */
export interface AccessFiles {
  readonly passwords: PasswordFile | null;
  /** What stands behind each user in the password file, as a digest. */
  readonly users: ReadonlyMap<string, string> | null;
  readonly scram: ReadonlyMap<string, ScramCredentials> | null;
  readonly acl: Acl | null;
}

/**
 * Reads the files that a configuration names.
 * @throws PorticoError `PORTICO_SECURITY_FILE` or `PORTICO_CONFIGURATION`
 */
export async function readAccessFiles({ access }: Pick<Config, 'access'>): Promise<AccessFiles> {
  const { password_file: passwords, scram_file: scram } = access;
  const [read, users, credentials, acl] = await readAll(
    passwords === undefined ? nothing : PasswordFile.load(passwords),
    passwords === undefined ? nothing : digestsOf(passwords),
    scram === undefined ? nothing : readScramFile(scram),
    readAcl(access),
  );
  return { passwords: read, users, scram: credentials, acl };
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

/** Who is not the user any more that it was: it is gone, or has another password, or nobody was asked for one before. */
export function changedUsers(before: AccessFiles, now: AccessFiles): (username: string) => boolean {
  return (username) =>
    now.users !== null && (!now.users.has(username) || before.users?.get(username) !== now.users.get(username));
}
