/** Root that becomes another user (option `user`): what the process is then, and what it could do before. Needs root itself. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { porticoMain, spawnChild, temporaryFolder } from '../support/portico.js';
import { Inbox } from './inbox.js';
import { Subscriber } from './mosquitto.js';
import { type Finished, run } from './programs.js';

/** There is such a user on every machine. */
const USER = 'nobody';
/** Groups that root has besides, and that nobody may keep: adm and cdrom of Debian. */
const GROUPS = ['setpriv', '--groups', '4,24'];
const HIGHEST = 1023;

const folder = temporaryFolder();
chmodSync(folder, 0o755);
let count = 0;
let uid = -1;
let gid = -1;

/** A place of its own, which every user may enter. */
function place(): string {
  const path = join(folder, String(++count));
  mkdirSync(path, { mode: 0o755 });
  return path;
}

function conf(where: string, ...lines: string[]): string {
  const file = join(where, 'mosquitto.conf');
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** Ports of 127.0.0.1 below 1024 that nobody listens on at this moment. */
async function lowPorts(most: number): Promise<number[]> {
  const found: number[] = [];
  for (let port = HIGHEST; found.length < most && port > 512; port--) {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!free) continue;
    found.push(port);
    await new Promise((resolve) => server.close(resolve));
  }
  return found;
}

const running = new Set<Broker>();
after(() => Promise.all([...running].map((broker) => broker.end())));

class Broker {
  readonly #child: ChildProcess;
  readonly #lines = new Inbox<string>('the log');

  private constructor(command: string, args: readonly string[], where: string) {
    const child = spawnChild(command, args, where);
    this.#child = child;
    for (const input of [child.stdout, child.stderr])
      if (input !== null) createInterface({ input }).on('line', (line) => this.#lines.put(line));
    child.once('close', (code) => this.#lines.end(`it ended with ${code}`));
    running.add(this);
  }

  static async start(file: string): Promise<Broker> {
    const [command, ...args] = [...GROUPS, process.execPath, porticoMain, '-c', file];
    const broker = new Broker(command, args, join(file, '..'));
    await broker.says('"ready"');
    return broker;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  says(words: string): Promise<string> {
    return this.#lines.take((line) => line.includes(words), words);
  }

  reload(): void {
    this.#child.kill('SIGHUP');
  }

  async end(): Promise<void> {
    running.delete(this);
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  }

  /** `Uid`, `Gid` or `Groups` of every thread, without repetitions. */
  ids(name: string): string[] {
    const lines = readdirSync(`/proc/${this.pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${this.pid}/task/${task}/status`, 'utf8').split('\n'),
    );
    const found = lines.filter((line) => line.startsWith(`${name}:`));
    assert.ok(found.length > 1, 'threads');
    return [...new Set(found.map((line) => line.slice(name.length + 1).trim()))];
  }
}

/** A start that ends by itself. */
function refused(file: string, ...under: string[]): Promise<Finished> {
  const [command, ...args] = [...under, process.execPath, porticoMain, '-c', file];
  return run(command, args);
}

/** Owners of a folder and of all that is in it. */
function owners(path: string): string[] {
  const paths = [path, ...readdirSync(path, { recursive: true }).map((name) => join(path, String(name)))];
  return [...new Set(paths.map((one) => `${statSync(one).uid}:${statSync(one).gid}`))];
}

async function number(option: string): Promise<string> {
  return (await run('id', [option, USER])).stdout.toString().trim();
}

describe('root that becomes another user', { timeout: 120_000 }, () => {
  before(async () => {
    assert.equal(
      process.geteuid?.(),
      0,
      'only root can test who root becomes: run these tests as root (sudo npm test)',
    );
    uid = Number(await number('-u'));
    gid = Number(await number('-g'));
  });

  describe('with a mosquitto.conf', () => {
    const where = place();
    const [cert, key, socket] = ['cert.pem', 'key.pem', 'socket'].map((name) => join(where, name));
    let file = '';
    let [plain, secure] = [0, 0];
    let broker: Broker;

    before(async () => {
      [plain, secure] = await lowPorts(2);
      const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
      const named = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert];
      assert.equal((await run('openssl', [...made, ...named])).code, 0);
      chmodSync(key, 0o600);
      const files = [`cafile ${cert}`, `certfile ${cert}`, `keyfile ${key}`];
      file = conf(
        where,
        `user ${USER}`,
        `listener ${plain} 127.0.0.1`,
        `listener ${secure} 127.0.0.1`,
        ...files,
        `listener 0 ${socket}`,
        'allow_anonymous true',
        'persistence true',
        `persistence_location ${where}/lib`,
      );
      broker = await Broker.start(file);
    });

    test('every thread has the user, the group and the groups of that user, and none of root', async () => {
      await broker.says(`runs as the user ${USER} (uid ${uid}, gid ${gid}) from here on`);
      assert.deepEqual(broker.ids('Uid'), [[uid, uid, uid, uid].join('\t')]);
      assert.deepEqual(broker.ids('Gid'), [[gid, gid, gid, gid].join('\t')]);
      assert.deepEqual(broker.ids('Groups'), [await number('-G')]);
    });

    test('ports below 1024, a key that only root may read, and a Unix socket are served', async () => {
      const version = ['-V', 'mqttv5', '-q', '1', '-t', 'kept', '-m', 'x', '-r'];
      const at = (port: number) => ['-h', '127.0.0.1', '-p', String(port)];
      for (const to of [at(plain), [...at(secure), '--cafile', cert], ['--unix', socket]]) {
        const { code, stderr } = await run('mosquitto_pub', [...to, ...version]);
        assert.equal(code, 0, `${to.join(' ')}: ${stderr}`);
      }
      const { mode, uid: owner } = statSync(socket);
      assert.deepEqual([owner, mode & 0o777], [uid, 0o660]);
    });

    test('what it writes belongs to that user, and so do the folders that root had to make', () => {
      assert.deepEqual(owners(join(where, 'lib')), [`${uid}:${gid}`]);
      assert.ok(readdirSync(join(where, 'lib', 'portico', 'store')).includes('CURRENT'));
      assert.equal(statSync(join(where, 'lib', 'portico')).mode & 0o777, 0o700);
    });

    test('SIGHUP says which file it may not read any more; clients stay, and what was in force is', async () => {
      const subscriber = await Subscriber.start(plain, 'mqttv5', ['-t', 'news']);
      broker.reload();
      const may = `the user ${USER}, which Portico became at its start, may not`;
      await broker.says(`reload: ${file}:6: listeners.1.key_file: ${key}: the key file cannot be read: ${may}`);
      await broker.says('reload: nothing was changed; what was in force before still is');
      const args = ['-h', '127.0.0.1', '-p', String(secure), '--cafile', cert, '-t', 'news', '-m', 'still here'];
      assert.equal((await run('mosquitto_pub', args)).code, 0);
      assert.equal((await subscriber.next()).payload, 'still here');
      chmodSync(file, 0o600);
      broker.reload();
      await broker.says(`reload: ${file}: the file cannot be read: ${may}`);
      chmodSync(file, 0o644);
      chownSync(key, uid, gid);
      broker.reload();
      await broker.says('reload: done');
      await subscriber.end();
    });

    test('a store that root restores for it belongs to that user, and opens', async () => {
      const backup = join(where, 'backup');
      const portico = (...args: string[]) => run(process.execPath, [porticoMain, ...args]);
      const saved = await portico('backup', backup, '-c', file);
      assert.equal(saved.code, 0, saved.stderr);
      const other = place();
      const [port] = await lowPorts(1);
      const lines = [`listener ${port} 127.0.0.1`, `user ${USER}`, 'allow_anonymous true', 'persistence true'];
      const restored = conf(other, ...lines, `persistence_location ${other}/lib`);
      const { code, stderr } = await portico('restore', backup, '-c', restored);
      assert.equal(code, 0, stderr);
      assert.deepEqual(owners(join(other, 'lib')), [`${uid}:${gid}`]);
      const opened = await Broker.start(restored);
      const subscriber = await Subscriber.start(port, 'mqttv5', ['-t', 'kept']);
      assert.equal((await subscriber.next()).payload, 'x');
      await subscriber.end();
      await opened.end();
    });

    test('a second start finds its store again', async () => {
      await broker.end();
      broker = await Broker.start(file);
      const subscriber = await Subscriber.start(plain, 'mqttv5', ['-t', 'kept']);
      assert.equal((await subscriber.next()).payload, 'x');
      await subscriber.end();
    });
  });

  test('user root stays root, and so does a portico.yaml that says nothing; user in it does the same as there', async () => {
    const [port] = await lowPorts(1);
    const root = conf(place(), 'user root', `listener ${port} 127.0.0.1`);
    const yaml = (name: string, ...lines: string[]): string => {
      const file = join(place(), name);
      writeFileSync(file, [`listeners: [{ type: mqtt, port: ${port} }]`, ...lines].join('\n'));
      return file;
    };
    const store = `data_dir: ${place()}/data`;
    for (const [file, expected] of [
      [root, 0],
      [yaml('portico.yaml', 'store: { type: memory }'), 0],
      [yaml('portico.yaml', store, `user: ${USER}`), uid],
    ] as const) {
      const broker = await Broker.start(file);
      assert.deepEqual(broker.ids('Uid'), [[expected, expected, expected, expected].join('\t')], file);
      await broker.end();
    }
  });

  test('an address that is not up yet on a port below 1024, and CoAP on one, are told in words', async () => {
    const [port] = await lowPorts(1);
    const file = join(place(), 'portico.yaml');
    const write = (...listeners: string[]) =>
      writeFileSync(
        file,
        [
          'listeners:',
          ...listeners.map((listener) => `  - { ${listener} }`),
          'allow_anonymous: true',
          'store: { type: memory }',
          `user: ${USER}`,
        ].join('\n'),
      );
    // RFC 5737: nobody has this address.
    write('type: mqtt, port: 0, host: 127.0.0.1', `type: mqtt, port: ${port}, host: 192.0.2.77`);
    const broker = await Broker.start(file);
    const later = `192.0.2.77 is not there yet, and later the user ${USER} may not open a port below 1024`;
    await broker.says(`${later}: restart Portico for port ${port} when it is`);
    await broker.end();
    write('type: coap, port: 683, host: 127.0.0.1');
    const { code, stderr } = await refused(file);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /cannot listen for CoAP \(coap\) on port 683: the user nobody may not open a port below 1024; take /,
    );
  });

  test('a user that there is not stops the start and --test-config with its line', async () => {
    const file = conf(place(), 'listener 1883 127.0.0.1', 'user no-such-user');
    for (const args of [
      ['-c', file],
      ['-c', file, '--test-config'],
      ['check', '-c', file],
    ]) {
      const { code, stderr } = await run(process.execPath, [porticoMain, ...args]);
      assert.equal(code, 3);
      assert.match(
        stderr,
        /mosquitto\.conf:2: user is "no-such-user", and this machine has no user of that name; name /,
      );
    }
  });

  test('if the system refuses any part of it the start stops, and nothing is written', async () => {
    const where = place();
    const [port] = await lowPorts(1);
    const lines = [`listener ${port} 127.0.0.1`, 'persistence true', `persistence_location ${where}/lib`];
    const file = conf(where, `user ${USER}`, ...lines);
    for (const under of [
      ['setpriv', '--bounding-set', '-setgid'],
      ['setpriv', '--bounding-set', '-setuid'],
      ['env', 'UV_USE_IO_URING=1'],
    ]) {
      const { code, stderr } = await refused(file, ...under);
      assert.equal(code, 3, stderr);
      assert.match(
        stderr,
        new RegExp(`mosquitto\\.conf:1: user: root cannot become the user ${USER}: `),
        under.join(' '),
      );
      assert.deepEqual(readdirSync(where), ['mosquitto.conf']);
    }
  });

  test('a store of another owner stops the start with the command that mends it', async () => {
    const where = place();
    const [port] = await lowPorts(1);
    const lines = [`listener ${port} 127.0.0.1`, 'persistence true', `persistence_location ${where}/lib`];
    await (await Broker.start(conf(where, 'user root', ...lines))).end();
    const file = conf(where, `user ${USER}`, ...lines);
    const data = join(where, 'lib', 'portico');
    const first = await refused(file);
    assert.equal(first.code, 1);
    const sentence = `the user ${USER} cannot write to ${data}, which belongs to root; `;
    assert.ok(
      first.stderr.includes(`portico: ${sentence}chown -R ${USER}: ${data} gives it to that user`),
      first.stderr,
    );
    chownSync(data, uid, gid);
    assert.match((await refused(file)).stderr, /cannot write to \S+\/store, which belongs to root; chown -R/);
    chownSync(join(data, 'store'), uid, gid);
    assert.match((await refused(file)).stderr, /cannot write to \S+\/store\/\S+, which belongs to root; chown -R/);
    assert.equal((await run('chown', ['-R', `${USER}:`, data])).code, 0);
    chmodSync(where, 0o700);
    const shut = `the user ${USER} does not get to ${data}, as ${where} is closed to it; chmod o+x ${where} lets it`;
    assert.ok((await refused(file)).stderr.includes(shut));
    chmodSync(where, 0o711);
    await (await Broker.start(file)).end();
  });
});
