/** Whom the broker of a configuration lets in by user name and password. */
import { PasswordFile } from './access/password-file.js';
import { Passwords } from './access/passwords.js';
import type { Identify } from './broker.js';
import type { Config } from './config/schema.js';

/** Who may connect: users of the password file, and strangers where the listener takes them. */
export function identifier(passwords: Passwords): Identify {
  return (username, password, anonymous, wanted) => {
    if (username === undefined) return anonymous;
    // Without a password file there is nobody to compare with: whoever may come without a name may come with one.
    if (passwords.file === null) return anonymous;
    return passwords.verify(username, password ?? Buffer.alloc(0), wanted);
  };
}

/**
 * Reads the password file, if there is one.
 * @throws PorticoError `PORTICO_SECURITY_FILE`
 */
export async function passwordsOf({ access, limits }: Config): Promise<Passwords> {
  const { password_file: file, password_cache: cache } = access;
  const loaded = file === undefined ? null : await PasswordFile.load(file);
  return new Passwords(loaded, { queue: limits.password_queue, cache });
}
