/** The files of `access` that say who MQTT clients and devices are, and what they may do; read together, replaced together. */
import { createHash } from 'node:crypto';
import type { Acl } from './access/acl/acl.js';
import { readAcl } from './access/acl/load.js';
import { PasswordFile } from './access/password-file.js';
import type { ScramCredentials } from './access/scram.js';
import { readScramFile } from './access/scram-file.js';
import { readSecurityFile } from './access/security-file.js';
import type { Identify } from './broker.js';
import type { Config } from './config/schema.js';

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
  return {
    passwords: passwords === undefined ? null : await PasswordFile.load(passwords),
    users: passwords === undefined ? null : await digestsOf(passwords),
    scram: scram === undefined ? null : await readScramFile(scram),
    acl: await readAcl(access),
  };
}

/** By the user's name; a password file has one line for each. */
async function digestsOf(file: string): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const line of (await readSecurityFile(file, 'password file')).toString('utf8').split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 1 || line.startsWith('#')) continue;
    digests.set(line.slice(0, colon), createHash('sha256').update(line.trimEnd()).digest('base64'));
  }
  return digests;
}

/** Who may connect: users of the password file, and strangers where the listener takes them. */
export class Users {
  #files: AccessFiles;

  constructor(files: AccessFiles) {
    this.#files = files;
  }

  readonly identify: Identify = (username, password, anonymous) => {
    if (username === undefined) return anonymous;
    const { passwords } = this.#files;
    // Without a password file there is nobody to compare with: whoever may come without a name may come with one.
    if (passwords === null) return anonymous;
    return passwords.verify(username, password ?? Buffer.alloc(0));
  };

  /** Puts other files in the place of those there are. Returns who is not the user any more that it was. */
  replace(files: AccessFiles): (username: string) => boolean {
    const { users: before } = this.#files;
    const { users: now } = files;
    this.#files = files;
    // Where nobody has been asked for a password so far, nobody has shown one.
    return (username) => now !== null && (before?.get(username) !== now.get(username) || !now.has(username));
  }
}
