/** How a command gets a password: asked for on a terminal, where it does not show, or from standard input. */
import { createInterface, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import { ErrorKinds, PorticoError } from '../errors.js';

/** Bytes of the longest password of MQTT (5.0 1.5.6), with a line end. */
const MOST_INPUT = 2 * (0xffff + 2);

/**
 * Reads a password. On a terminal it is asked for twice; otherwise it is the one line of standard input.
 * @param command for the sentence about a fault, which never repeats what was read
 * @param user whose password it is
 * @param twice whether the line may stand there twice, as scripts give it to programs that ask twice
 * @throws PorticoError `PORTICO_CONFIGURATION`
 */
export async function readPassword(command: string, user: string, twice = false): Promise<Buffer> {
  const wrong = (sentence: string): PorticoError =>
    new PorticoError(ErrorKinds.Configuration, `${command}: ${sentence}`);
  return process.stdin.isTTY ? Buffer.from(await askTwice(user, wrong)) : readLine(wrong, twice);
}

type Wrong = (sentence: string) => PorticoError;

async function askTwice(user: string, wrong: Wrong): Promise<string> {
  const silence = new Writable({ write: (_chunk, _encoding, done) => done() });
  // On a terminal of its own making, readline takes over the echo, and what it would show goes nowhere.
  const terminal = createInterface({ input: process.stdin, output: silence, terminal: true, historySize: 0 });
  try {
    const password = await ask(terminal, `Password of ${user}: `, wrong);
    if ((await ask(terminal, 'The same again: ', wrong)) !== password) throw wrong('the two passwords differ');
    return password;
  } finally {
    terminal.close();
  }
}

function ask(terminal: Interface, question: string, wrong: Wrong): Promise<string> {
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

/** Bytes as they are: a password of MQTT need not be UTF-8. */
async function readLine(wrong: Wrong, twice: boolean): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > MOST_INPUT) throw wrong('standard input is longer than a password');
  }
  const text = Buffer.concat(chunks)
    .toString('latin1')
    .replace(/\r?\n$/, '');
  const [line, again, ...more] = text.split(/\r?\n/);
  const repeated = again === undefined || (twice && again === line);
  if (!repeated || more.length > 0 || line.includes('\r')) throw wrong('standard input has more than one line');
  return Buffer.from(line, 'latin1');
}
