/** Whom the broker of a configuration lets in by user name and password. */
import type { PasswordFile } from './access/password-file.js';
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

/** @param file null if nobody has a password */
export function passwordsOf({ access, limits }: Config, file: PasswordFile | null): Passwords {
  return new Passwords(file, { queue: limits.password_queue, cache: access.password_cache });
}
