/** Whom the broker of a configuration lets in by user name and password. */
import type { Candidate } from '../access/backends/backend.js';
import type { Passwords, PasswordsOptions, Verdict } from '../access/passwords.js';
import type { Identify } from '../broker.js';
import type { Config } from '../config/schema.js';
import type { Backends } from './backends.js';

/**
 * Who may connect: users of the password file, those whom a back-end lets in, and strangers where the listener takes them. A user of
 * the password file is decided on by that alone.
 */
export function identifier(passwords: Passwords, backends: Backends): Identify {
  return (username, password, anonymous, wanted, client) => {
    if (backends.size > 0 && (username !== undefined || password !== undefined) && !passwords.knows(username)) {
      const { id: clientId, remote, transport, version } = client;
      const candidate = { username, password, clientId, remote, transport, version };
      return ask(backends, candidate, username === undefined && anonymous, wanted);
    }
    if (username === undefined) return anonymous;
    // Without a password file there is nobody to compare with: whoever may come without a name may come with one.
    if (passwords.file === null) return anonymous;
    return passwords.verify(username, password ?? Buffer.alloc(0), wanted);
  };
}

/** @param otherwise what holds if no back-end has decided */
async function ask(
  backends: Backends,
  candidate: Candidate,
  otherwise: boolean,
  wanted: () => boolean,
): Promise<Verdict> {
  const answer = await backends.ask(candidate, wanted);
  return answer.outcome === 'ignore' ? otherwise : answer;
}

export function passwordOptions({ access, limits }: Config): PasswordsOptions {
  return { queue: limits.password_queue, cache: access.password_cache };
}
