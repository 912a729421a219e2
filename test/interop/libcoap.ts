/** libcoap's coap-client. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../support/portico.js';
import { Program, run } from './programs.js';

const COMMAND = 'coap-client-notls';
/** A message in the log of `-v 7`: type, code, message id, token, options, payload. */
const MESSAGE = /^v:1 t:(CON|NON|ACK|RST) c:(\S+) i:\S+ \{\S*\} \[ ?(.*?) ?\](?: ::|$)/;

const RECEIVED = / received \d+ bytes$/;

/** The last response to a request. */
export interface Response {
  /** `2.05` and the like; of the last block, if there were several. */
  readonly code: string;
  /** `ACK` for a piggybacked response. */
  readonly type: string;
  /** Options of the last message as libcoap writes them, such as `Content-Format:text/plain`. */
  readonly options: string;
  /** The body, put together from its blocks. */
  readonly payload: Buffer;
  /** Messages received, blocks counted one by one. */
  readonly messages: number;
}

let count = 0;
let folder: string | undefined;

/** A file for the body of a request or of a response. */
function bodyFile(): string {
  folder ??= temporaryFolder();
  count++;
  return join(folder, `body-${count}`);
}

/** `coap://...` for a path below `/ps/`; the path is percent-encoded already. */
export function topicUri(port: number, path: string): string {
  return `coap://127.0.0.1:${port}/ps/${path}`;
}

/** Runs coap-client to its end and returns the last response. */
export async function request(
  method: string,
  uri: string,
  args: readonly string[] = [],
  body?: Buffer,
): Promise<Response> {
  const output = bodyFile();
  const input = bodyFile();
  // coap-client takes no more than 20,000 bytes of its standard input, so the body is a file.
  if (body !== undefined) writeFileSync(input, body);
  const source = body === undefined ? [] : ['-f', input];
  const finished = await run(COMMAND, ['-v', '7', '-B', '30', '-m', method, '-o', output, ...args, ...source, uri]);
  const log = finished.stdout.toString('latin1');
  assert.equal(finished.code, 0, `coap-client ended with ${finished.code ?? finished.signal}: ${finished.stderr}`);
  // The line after "received" is the message.
  const lines = log.split('\n');
  const received = lines.filter((_, index) => index > 0 && RECEIVED.test(lines[index - 1]));
  const messages = received.map((line) => MESSAGE.exec(line)).filter((match) => match !== null);
  const responses = messages.filter(([, , code]) => /^[2-5]\./.test(code));
  const last = responses.at(-1);
  assert.ok(last !== undefined, `no response to ${method} ${uri}: ${log}${finished.stderr}`);
  // Without a body there is no file.
  const payload = existsSync(output) ? readFileSync(output) : Buffer.alloc(0);
  for (const file of [input, output]) rmSync(file, { force: true });
  return { type: last[1], code: last[2], options: last[3], payload, messages: responses.length };
}

/** A coap-client that observes a resource (`-s`). */
export class Observer {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** Starts to observe; resolves when the registration was answered, with its code and payload line. */
  static async start(uri: string, args: readonly string[] = []): Promise<Observer & { readonly first: string }> {
    const program = await Program.start(COMMAND, ['-v', '7', '-s', '60', ...args, uri]);
    const observer = new Observer(program);
    const first = await observer.#received();
    return Object.assign(observer, { first });
  }

  /** The next message received, as coap-client logs it: the line after "received". */
  async #received(): Promise<string> {
    for (;;) {
      const line = await this.#program.lines.next('a message');
      if (RECEIVED.test(line)) return this.#program.lines.next('the message itself');
    }
  }

  /** The next notification, as coap-client logs it. */
  async next(): Promise<string> {
    for (;;) {
      const line = await this.#received();
      if (/ c:[2-5]\./.test(line)) return line;
    }
  }

  /** Ends coap-client; SIGINT makes it cancel the observation. */
  end(signal: 'SIGINT' | 'SIGKILL' = 'SIGINT'): Promise<void> {
    return this.#program.end(signal);
  }
}
