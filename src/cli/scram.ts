/** `portico scram NAME`: a line for `access.scram_file`. */
import { saslprep } from '../access/saslprep.js';
import { scramCredentials } from '../access/scram.js';
import { scramLine } from '../access/scram-file.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { readPassword } from './password-input.js';

/**
 * Reads a password and makes the line of a user. On a terminal the password is asked for twice and does not show;
 * otherwise it is the one line of standard input.
 * @throws PorticoError `PORTICO_CONFIGURATION` for a name or a password that cannot be one
 */
export async function scram(name: string): Promise<string> {
  const user = saslprep(name);
  if (user === null) throw wrong('the name is empty or has a character that no user name may have');
  if (user.includes(':') || user.startsWith('#') || user.trimEnd() !== user) {
    throw wrong('a name in the file has no colon, does not begin with # and does not end with a space');
  }
  const password = saslprep((await readPassword('scram', user)).toString());
  if (password === null) throw wrong('the password is empty or has a character that no password may have');
  return scramLine(user, await scramCredentials(password));
}

function wrong(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.Configuration, `scram: ${sentence}`);
}
