/** Debian's mosquitto and Portico as processes with the same mosquitto.conf, the same password file and the same ACL file. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { NODE_FLAGS } from '../../src/node-flags.js';
import { freePorts, porticoMain, spawnChild, temporaryFolder } from '../support/portico.js';
import { Inbox } from './inbox.js';

/** What the files of a broker have. */
export interface Files {
  /** Lines behind the listener. */
  readonly conf: string;
  /** Users and their passwords. */
  readonly users: Readonly<Record<string, string>>;
  readonly acl: string;
}

const root = temporaryFolder();
let count = 0;

/** A broker as a process, and its folder. */
export class Peer {
  readonly port: number;
  readonly #folder: string;
  readonly #command: readonly string[];
  readonly #ready: RegExp;
  #child: ChildProcess | null = null;
  readonly #lines = new Inbox<string>('the log');
  readonly #reloaded: RegExp;
  #files: Files = { conf: '', users: {}, acl: '' };

  private constructor(folder: string, port: number, command: readonly string[], ready: RegExp, reloaded: RegExp) {
    this.port = port;
    this.#folder = folder;
    this.#command = command;
    this.#ready = ready;
    this.#reloaded = reloaded;
  }

  async #start(files: Partial<Files>): Promise<this> {
    mkdirSync(this.#folder);
    this.write(files);
    await this.#spawn();
    return this;
  }

  async #spawn(): Promise<void> {
    const [program = '', ...args] = this.#command;
    this.#child = spawnChild(program, [...args, '-c', join(this.#folder, 'mosquitto.conf')], this.#folder);
    for (const input of [this.#child.stdout, this.#child.stderr]) {
      if (input !== null) createInterface({ input }).on('line', (line) => this.#lines.put(line));
    }
    await this.#until(this.#ready);
  }

  static async mosquitto(files: Partial<Files>): Promise<Peer> {
    const { mqtt } = await freePorts();
    const folder = join(root, `m${++count}`);
    return await new Peer(folder, mqtt, ['mosquitto', '-v'], / running$/, /: Reloading config\.$/).#start(files);
  }

  static async portico(files: Partial<Files>): Promise<Peer> {
    const { mqtt } = await freePorts();
    const command = [process.execPath, ...NODE_FLAGS, porticoMain];
    const folder = join(root, `p${++count}`);
    return await new Peer(folder, mqtt, command, /"ready"/, /reload: (done|nothing was changed)/).#start(files);
  }

  async #until(matches: RegExp): Promise<void> {
    while (!matches.test(await this.#lines.next(String(matches))));
  }

  write(files: Partial<Files>): void {
    this.#files = { ...this.#files, ...files };
    const { conf, users, acl } = this.#files;
    const put = (name: string, text: string): void =>
      writeFileSync(join(this.#folder, name), text.replaceAll('@', this.#folder));
    put('mosquitto.conf', `user ${userInfo().username}\nlistener ${this.port} 127.0.0.1\n${conf}`);
    put('acl', acl);
    if (files.users === undefined) return;
    put(
      'passwords',
      Object.entries(users)
        .map(([user, password]) => `${user}:${hashOf(user, password)}\n`)
        .join(''),
    );
  }

  async reload(): Promise<void> {
    this.#child?.kill('SIGHUP');
    await this.#until(this.#reloaded);
  }

  /** Stops it, and starts it with the files as they are then. */
  async restart(): Promise<void> {
    await this.stop();
    await this.#spawn();
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const closed = once(child, 'close');
    child.kill('SIGTERM');
    await closed;
  }
}

/** One hash for each password: a user whose password stays has the same line in both files. */
const hashes = new Map<string, string>();

function hashOf(user: string, password: string): string {
  const key = `${user} ${password}`;
  const known = hashes.get(key);
  if (known !== undefined) return known;
  const file = join(root, `hash-${hashes.size}`);
  writeFileSync(file, '');
  assert.equal(spawnSync('mosquitto_passwd', ['-b', file, user, password]).status, 0);
  const { stdout } = spawnSync('cat', [file], { encoding: 'utf8' });
  const hash = stdout.trim().slice(user.length + 1);
  hashes.set(key, hash);
  return hash;
}
