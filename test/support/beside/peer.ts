/** A broker as a process of its own with a mosquitto.conf: Debian's mosquitto, or Portico, or Portico with the file migrated. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { NODE_FLAGS } from '../../../src/node-flags.js';
import { Inbox } from '../../interop/inbox.js';
import { porticoMain, spawnChild, temporaryFolder } from '../portico.js';
import type { Files } from './scenario.js';

const root = temporaryFolder();
// mosquitto that root starts reads as another user unless it is told to stay.
chmodSync(root, 0o755);
let folders = 0;

/** Programs of the two kinds of broker, and what their logs say when they run and when they have reloaded. */
const KINDS = {
  mosquitto: {
    command: ['mosquitto', '-v'],
    ready: / running$/,
    reloaded: /: Reloading config\.$/,
  },
  portico: {
    command: [process.execPath, ...NODE_FLAGS, porticoMain],
    ready: /"ready"/,
    reloaded: /reload: (done|nothing was changed)/,
  },
  /** Portico with what `portico migrate` makes of the file. */
  migrated: {
    command: [process.execPath, ...NODE_FLAGS, porticoMain],
    ready: /"ready"/,
    reloaded: /reload: (done|nothing was changed)/,
  },
} as const;
export type Kind = keyof typeof KINDS;

/** Ports of 127.0.0.1 that nobody listens on at this moment. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export class Peer {
  readonly kind: Kind;
  readonly folder = join(root, String(++folders));
  readonly #places: ReadonlyMap<string, number | string>;
  #child: ChildProcess | undefined;
  #lines = new Inbox<string>('the log');
  readonly #first: Files;
  #files: Files;

  private constructor(kind: Kind, files: Files, places: ReadonlyMap<string, number | string>) {
    this.kind = kind;
    this.#first = files;
    this.#files = files;
    this.#places = places;
    mkdirSync(this.folder);
  }

  static async start(kind: Kind, files: Files): Promise<Peer> {
    const texts = [files.conf, ...Object.values(files.included ?? {})].join('');
    const names = [...new Set([...texts.matchAll(/<(\w+)>/g)].map(([, name]) => name))];
    const ports = await freePorts(names.length);
    const peer = new Peer(kind, files, new Map(names.map((name, i) => [name, ports[i]])));
    peer.write(files);
    await peer.#run();
    return peer;
  }

  async #run(): Promise<void> {
    const { command, ready } = KINDS[this.kind];
    const [program, ...args] = command;
    this.#lines = new Inbox('the log');
    const lines = this.#lines;
    const file = join(this.folder, this.kind === 'migrated' ? 'portico.yaml' : 'mosquitto.conf');
    const child = spawnChild(program, [...args, '-c', file], this.folder);
    this.#child = child;
    for (const input of [child.stdout, child.stderr]) {
      if (input !== null) createInterface({ input }).on('line', (line) => lines.put(line));
    }
    child.once('close', (code) => lines.end(`${this.kind} ended with ${code}`));
    await this.#until(ready);
  }

  async #until(matches: RegExp): Promise<void> {
    await this.#lines.take((line) => matches.test(line), String(matches));
  }

  /** Where a listener is. */
  where(name: string): { readonly host: string; readonly port: number } | { readonly path: string } {
    if (name === 'unix') return { path: join(this.folder, 'socket') };
    const port = this.#places.get(name);
    assert.ok(typeof port === 'number', `no listener ${name}`);
    return { host: '127.0.0.1', port };
  }

  write(files: Partial<Files>): void {
    this.#files = { ...this.#files, ...files };
    const { conf, users = {}, acl = '', included = {}, further = {}, lists = {} } = this.#files;
    const put = (name: string, text: string): void => writeFileSync(join(this.folder, name), this.#filled(text));
    // mosquitto that root starts would become another user.
    put('mosquitto.conf', `user ${userInfo().username}\n${conf}`);
    put('acl', acl);
    mkdirSync(join(this.folder, 'conf.d'), { recursive: true });
    for (const [name, text] of Object.entries(included)) put(join('conf.d', name), text);
    for (const [name, text] of Object.entries(lists)) put(name, text);
    for (const [name, of] of Object.entries({ passwords: users, ...further })) {
      put(
        name,
        Object.entries(of)
          .map(([user, password]) => `${user}:${hashOf(user, password)}\n`)
          .join(''),
      );
    }
    if (this.kind !== 'migrated') return;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [porticoMain, 'migrate', join(this.folder, 'mosquitto.conf')],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    writeFileSync(join(this.folder, 'portico.yaml'), stdout);
  }

  #filled(text: string): string {
    return text.replaceAll('@', this.folder).replace(/<(\w+)>/g, (_, name: string) => String(this.#places.get(name)));
  }

  async reload(): Promise<void> {
    this.#child?.kill('SIGHUP');
    await this.#until(KINDS[this.kind].reloaded);
  }

  /** Goes back to the files of the beginning. */
  async reset(): Promise<void> {
    this.write(this.#first);
    await this.reload();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.#run();
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
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
  const hash = readFileSync(file, 'utf8')
    .trim()
    .slice(user.length + 1);
  hashes.set(key, hash);
  return hash;
}
