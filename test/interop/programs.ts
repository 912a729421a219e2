/** Client programs of other projects, as Debian has them. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { spawnChild } from '../support/portico.js';
import { Inbox } from './inbox.js';

/** Debian packages of the programs. */
const PACKAGES: Readonly<Record<string, string>> = {
  mosquitto_pub: 'mosquitto-clients',
  mosquitto_sub: 'mosquitto-clients',
  mosquitto_rr: 'mosquitto-clients',
  mosquitto_passwd: 'mosquitto',
  '/usr/sbin/mosquitto': 'mosquitto',
  'coap-client-notls': 'libcoap3-bin',
  'coap-client-openssl': 'libcoap3-bin',
  'coap-client-gnutls': 'libcoap3-bin',
  '/usr/sbin/haproxy': 'haproxy',
  stdbuf: 'coreutils',
  '/usr/bin/python3': 'python3 python3-paho-mqtt',
};

/** A run that takes longer is ended with SIGKILL, and fails, after so many milliseconds. */
const LONGEST_RUN = 60_000;

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** The path of a program. A program that is missing fails the test with the command that installs it. */
function locate(command: string): string {
  const folders = command.startsWith('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  const found = folders.map((folder) => join(folder, command)).find((path) => existsSync(path));
  assert.ok(found !== undefined, `${command} is missing: sudo apt-get install -y ${PACKAGES[command] ?? command}`);
  return found;
}

function launch(command: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawnChild(locate(command), args);
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child));
    child.once('error', reject);
  });
}

/** Runs a program to its end. */
export async function run(command: string, args: readonly string[], input?: string | Buffer): Promise<Finished> {
  const child = await launch(command, args);
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin?.end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), LONGEST_RUN);
  return await new Promise((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout: Buffer.concat(stdout), stderr });
    });
  });
}

const running = new Set<Program>();

// A test that fails leaves its programs behind, and they would keep this process waiting.
after(async () => {
  await Promise.all([...running].map((program) => program.end('SIGKILL')));
});

/** A program that runs beside the test and writes lines. */
export class Program {
  readonly #child: ChildProcess;
  readonly lines: Inbox<string>;
  readonly #exit: Promise<number | null>;
  #stderr = '';

  private constructor(name: string, child: ChildProcess) {
    this.#child = child;
    this.lines = new Inbox(name);
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => this.lines.put(line));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    running.add(this);
    this.#exit = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        running.delete(this);
        this.lines.end(`the program ended with ${signal ?? `exit code ${code}`}: ${this.#stderr}`);
        resolve(code);
      });
    });
  }

  /** Starts `command`, whose lines are seen as it writes them. */
  static async start(command: string, args: readonly string[]): Promise<Program> {
    // Without a terminal, libc would keep lines back until a block is full; stdbuf becomes the command (exec).
    return new Program(command, await launch('stdbuf', ['-oL', locate(command), ...args]));
  }

  get stderr(): string {
    return this.#stderr;
  }

  write(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** The exit code, once the program has ended by itself; null if a signal ended it. */
  get exit(): Promise<number | null> {
    return this.#exit;
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#child.kill(signal);
    await this.#exit;
  }
}

/** A file of the checkout that the compiler does not copy, by its path there; it lies above the compiled tests. */
export function sourceFile(path: string): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, path))) {
    assert.notEqual(folder, dirname(folder), `${path} is not above the tests`);
    folder = dirname(folder);
  }
  return join(folder, path);
}
