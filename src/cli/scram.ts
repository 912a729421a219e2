/** `portico scram NAME`: a line for `access.scram_file`. */
import { createInterface, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import { saslprep } from '../access/saslprep.js';
import { scramCredentials } from '../access/scram.js';
import { scramLine } from '../access/scram-file.js';
import { ErrorKinds, PorticoError } from '../errors.js';

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
  const password = saslprep(process.stdin.isTTY ? await askTwice(user) : await readLine());
  if (password === null) throw wrong('the password is empty or has a character that no password may have');
  return scramLine(user, await scramCredentials(password));
}

function wrong(sentence: string): PorticoError {
  return new PorticoError(ErrorKinds.Configuration, `scram: ${sentence}`);
}

async function askTwice(user: string): Promise<string> {
  const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
  // On a terminal of its own making, readline takes over the echo, and what it would show goes nowhere.
  const terminal = createInterface({ input: process.stdin, output: silence, terminal: true, historySize: 0 });
  try {
    const password = await ask(terminal, `Password of ${user}: `);
    if ((await ask(terminal, 'The same again: ')) !== password) throw wrong('the two passwords differ');
    return password;
  } finally {
    terminal.close();
  }
}

function ask(terminal: Interface, question: string): Promise<string> {
  process.stderr.write(question);
  return new Promise((resolve, reject) => {
    // Ctrl-C and Ctrl-D.
    const left = (): void => {
      process.stderr.write('\n');
      reject(wrong('no password was given'));
    };
    terminal.once('close', left);
    terminal.question('', (answer) => {
      terminal.off('close', left);
      process.stderr.write('\n');
      resolve(answer);
    });
  });
}

async function readLine(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks)
    .toString()
    .replace(/\r?\n$/, '');
  if (/[\r\n]/.test(text)) throw wrong('standard input has more than one line');
  return text;
}
