/** `portico backup` and `portico restore` as an administrator meets them: files, exit codes, sentences. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Level } from 'level';
import { ControlServer, type Route } from '../../src/admin/control.js';
import { refuseRoot } from '../../src/cli/files.js';
import { backupOf } from '../../src/store/backup.js';
import { retainedKey, versionKey } from '../../src/store/keys.js';
import { LevelStore } from '../../src/store/level-store.js';
import { STORE_VERSION } from '../../src/store/records.js';
import { encodeVersion } from '../../src/store/upgrade.js';
import { freePorts, Portico, porticoMain, spawnChild, temporaryFolder } from '../support/portico.js';
import { publish } from './mosquitto.js';
import { type Finished, run, sourceFile } from './programs.js';

const folder = temporaryFolder();
let names = 0;
/** A path at which there is nothing. */
const fresh = (): string => join(folder, `n${++names}`);

const portico = (...args: string[]): Promise<Finished> => run(process.execPath, [porticoMain, ...args]);

/** The command ends well. */
async function good(...args: string[]): Promise<Finished> {
  const finished = await portico(...args);
  assert.equal(finished.code, 0, finished.stderr);
  return finished;
}

/** The command fails with one sentence. */
async function bad(words: RegExp, ...args: string[]): Promise<void> {
  const { code, stderr, stdout } = await portico(...args);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /^portico: [^\n]+\n$/);
  assert.match(stderr, words);
  assert.equal(stdout.toString(), '');
}

const started: Portico[] = [];
const servers: ControlServer[] = [];
after(async () => {
  for (const one of started) await one.dispose();
  for (const server of servers) await server.close();
});

/** A broker with one retained message. */
async function start(sections: Record<string, unknown> = {}): Promise<Portico> {
  const one = await Portico.start(sections);
  started.push(one);
  await publish(one.ports.mqtt, 'mqttv311', ['-q', '1', '-r', '-t', 'kept', '-m', 'value']);
  return one;
}

/** A broker on a restored directory has the message. */
async function assertRestored(data: string): Promise<void> {
  const one = await Portico.start({ data_dir: data });
  started.push(one);
  const where = ['-h', '127.0.0.1', '-p', String(one.ports.mqtt)];
  const { stdout } = await run('mosquitto_sub', [...where, '-t', 'kept', '-C', '1']);
  assert.equal(stdout.toString(), 'value\n');
  await one.stop();
}

/** Makes the store of a data directory. */
async function storeWith(data: string, ...records: [Buffer, Buffer][]): Promise<void> {
  mkdirSync(data);
  const store = new LevelStore(join(data, 'store'));
  await store.open();
  await store.write(
    records.map(([key, value]) => ({ type: 'put', key, value })),
    true,
  );
  await store.close();
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 2] ^= 4;
  writeFileSync(path, bytes);
}

describe('backup', { timeout: 300_000 }, () => {
  let broker: Portico;
  before(async () => {
    broker = await start();
  });

  test('of a running broker: a file of mode 0600 that is whole, and nothing beside it', async () => {
    const out = fresh();
    mkdirSync(out);
    const file = join(out, 'file');
    const { stdout, stderr } = await good('backup', file, '-c', broker.configFile);
    assert.equal(stdout.toString(), '');
    assert.match(
      stderr,
      /^backup of the running broker in \S+: \d+ records, \d+ bytes in a file of \d+ bytes; store version 1, 20\S+Z\n$/,
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(out), ['file']);
    const data = fresh();
    await good('restore', file, '--data', data);
    assert.deepEqual(readdirSync(data), ['store']);
    await assertRestored(data);
    assert.match(broker.log, /a backup was taken: \d+ bytes/);
  });

  test('to standard output, and from standard input', async () => {
    const { stdout, stderr } = await good('backup', '-', '-c', broker.configFile);
    assert.match(stderr, /^backup of the running broker: /);
    const data = fresh();
    const { code, stderr: words } = await run(process.execPath, [porticoMain, 'restore', '-', '--data', data], stdout);
    assert.equal(code, 0, words);
    await assertRestored(data);
  });

  test('standard output that is closed early is a failure in words', async () => {
    // Does not compress, so that it fills what lies between the programs.
    const noise = randomBytes(400_000);
    for (let i = 0; i < 5; i++)
      await publish(broker.ports.mqtt, 'mqttv311', ['-q', '1', '-r', '-t', `n/${i}`, '-s'], noise);
    const child = spawnChild(process.execPath, [porticoMain, 'backup', '-', '-c', broker.configFile]);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdout?.once('readable', () => child.stdout?.destroy());
    const [code] = await once(child, 'close');
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^portico: backup: cannot write to standard output: [^\n]+\n$/);
  });

  test('without a running broker its store is read: after an orderly end, and after kill -9', async () => {
    for (const end of ['stop', 'kill'] as const) {
      await broker[end]();
      const file = fresh();
      const { stderr } = await good('backup', file, '-c', broker.configFile);
      assert.match(stderr, /^backup of the store in /);
      const data = fresh();
      await good('restore', file, '--data', data);
      await assertRestored(data);
      await broker.restart();
    }
    // What kill -9 left behind has been replaced.
    assert.match((await good('backup', fresh(), '-c', broker.configFile)).stderr, /^backup of the running broker/);
  });

  /** A data directory with tables of retained messages and a log, and the files of its store. */
  async function storeOfTables(): Promise<{ data: string; store: string; tables: string[] }> {
    const data = fresh();
    await storeWith(data, [versionKey(), encodeVersion({ version: STORE_VERSION, writer: '0.1.0' })]);
    const store = join(data, 'store');
    for (const life of [0, 1]) {
      const level = new LevelStore(store);
      await level.open();
      for (let i = 0; i < 50; i++) {
        const message = `message ${i} of life ${life}`.repeat(20);
        await level.write([{ type: 'put', key: retainedKey(`t/${i}`), value: Buffer.from(message) }], false);
      }
      await level.close();
    }
    return { data, store, tables: readdirSync(store).filter((name) => name.endsWith('.ldb')) };
  }

  /** Everything that makes up a data directory; LevelDB writes a LOG of its own whenever it looks at the lock. */
  function contentsOf(data: string): Map<string, string> {
    const names = readdirSync(data, { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && !entry.name.startsWith('LO'),
    );
    return new Map(
      names.map(({ parentPath, name }) => [
        join(parentPath, name),
        readFileSync(join(parentPath, name)).toString('base64'),
      ]),
    );
  }

  const DAMAGES: readonly [what: string, damage: (path: string) => void, words: RegExp][] = [
    ['a table that is gone', (path) => rmSync(path), /is missing/],
    ['a table that is cut', (path) => truncateSync(path, 100), /\d+\.ldb /],
    ['a table with a flipped bit', (path) => flip(path), /\d+\.ldb /],
    ['a CURRENT that is gone', (path) => rmSync(join(path, '../CURRENT')), /CURRENT is missing/],
  ];
  for (const [what, damage, words] of DAMAGES) {
    test(`of a stopped store with ${what}: refused, without a file and without a change; saved with --damaged`, async () => {
      const { data, store, tables } = await storeOfTables();
      damage(join(store, tables[0]));
      const before = contentsOf(data);
      const out = fresh();
      mkdirSync(out);
      const file = join(out, 'file');
      await bad(
        /the store in \S+ is damaged \([^)]+\); nothing was written and the store is as it was\. Start the broker/,
        'backup',
        file,
        '--data',
        data,
      );
      assert.deepEqual(readdirSync(out), []);
      const { stderr } = await good('backup', file, '--damaged', '--data', data);
      const [said, last] = stderr.trimEnd().split('\n');
      assert.match(said, /^the store in \S+ is damaged \(.*\)\. Not in the backup: /);
      assert.match(said, words);
      assert.match(last, /^backup of the store in .* \d+ records/);
      assert.deepEqual(contentsOf(data), before);
      await good('restore', file, '--data', fresh());
    });
  }

  test('of a stopped store with a damaged record: refused; with --damaged the last line says that it is not in it', async () => {
    const data = fresh();
    const stopped = await start({ data_dir: data });
    await stopped.stop();
    const store = new Level<string, string>(join(data, 'store'));
    await store.put('\x10damaged', 'without a checksum');
    await store.close();
    const before = contentsOf(data);
    const file = fresh();
    const words = /is damaged \(the retained message on "damaged"\); nothing was written/;
    await bad(words, 'backup', file, '-c', stopped.configFile);
    assert.ok(!existsSync(file) && !existsSync(`${file}.partial`));
    const { stderr } = await good('backup', file, '--damaged', '-c', stopped.configFile);
    const [damage, last] = stderr.trimEnd().split('\n');
    assert.match(damage, /\. Not in the backup: the retained message on "damaged"$/);
    assert.match(last, /^backup of the store in .*; damaged records that are not in it: 1$/);
    assert.deepEqual(contentsOf(data), before);
    const copy = fresh();
    await good('restore', file, '--data', copy);
    await assertRestored(copy);
  });

  test('of a store that another process has open: refused in words', async () => {
    const { data, store } = await storeOfTables();
    const other = new Level(store);
    await other.open();
    await bad(/cannot read the store in \S+: another process uses it/, 'backup', fresh(), '--data', data);
    await other.close();
  });

  test('a broker in a directory with a very long path is asked too', async () => {
    const deep = await start({ data_dir: join(fresh(), 'd'.repeat(120)) });
    const { stderr } = await good('backup', fresh(), '-c', deep.configFile);
    assert.match(stderr, /^backup of the running broker/);
  });

  test('store.type memory: saved while the broker runs, and nothing is left to save afterwards', async () => {
    const forgetful = await start({ store: { type: 'memory' } });
    const file = fresh();
    await good('backup', file, '-c', forgetful.configFile);
    const data = fresh();
    await good('restore', file, '--data', data);
    await assertRestored(data);
    await forgetful.stop();
    await bad(/store\.type is memory: there is nothing to save/, 'backup', fresh(), '-c', forgetful.configFile);
    const { code, stderr } = await portico('restore', file, '-c', forgetful.configFile);
    assert.equal(code, 3);
    assert.match(stderr, /store\.type is memory/);
  });

  test('a file that is there is replaced with --force only', async () => {
    const file = fresh();
    writeFileSync(file, 'precious', { mode: 0o644 });
    await bad(/is there already; --force replaces it/, 'backup', file, '-c', broker.configFile);
    assert.equal(readFileSync(file, 'utf8'), 'precious');
    await good('backup', file, '--force', '-c', broker.configFile);
    await good('restore', '--check', file);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test('what a killed backup has left behind does not stop the next one', async () => {
    const file = fresh();
    writeFileSync(`${file}.partial`, 'half', { mode: 0o644 });
    await good('backup', file, '-c', broker.configFile);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.ok(!existsSync(`${file}.partial`));
  });

  test('a folder that is not there, and a directory without a store, are refused in words; nothing is made', async () => {
    const data = fresh();
    await bad(/there is no store in \S+, and no broker runs there/, 'backup', fresh(), '--data', data);
    assert.ok(!existsSync(data));
    await storeWith(data, [versionKey(), encodeVersion({ version: 1, writer: '0.1.0' })]);
    const nowhere = join(fresh(), 'file');
    await bad(/cannot write \S+file\.partial: there is none of that name/, 'backup', nowhere, '--data', data);
  });

  test('root is refused in the folder of another user, whom its files would lock out; a broker that root starts there says so', async () => {
    const theirs = fresh();
    mkdirSync(theirs);
    // Whoever runs this test is root, or another user.
    if (process.getuid?.() === 0) chownSync(theirs, 12_345, 12_345);
    assert.throws(() => refuseRoot(theirs, 0), /belongs to the user with number \d+, .* run this as that user/);
    refuseRoot(theirs, statSync(theirs).uid);
    refuseRoot('/', 0);
    const below = join(theirs, 'portico', 'store');
    assert.throws(() => refuseRoot(below, 0), new RegExp(`: ${theirs} belongs to the user with number`));
    const portico = await Portico.start({ data_dir: join(theirs, 'portico') });
    started.push(portico);
    const warned = portico.log.includes(`portico runs as root: ${theirs} belongs to the user with number 12345`);
    assert.equal(warned, process.getuid?.() === 0);
    const elsewhere = await Portico.start();
    started.push(elsewhere);
    assert.ok(!elsewhere.log.includes('portico runs as root'));
  });

  test('a store that says no version is not saved as if it were one', async () => {
    const data = fresh();
    await storeWith(data, [retainedKey('t'), Buffer.from('x')]);
    const file = fresh();
    await bad(/has records but says no version/, 'backup', file, '--data', data);
    assert.ok(!existsSync(file) && !existsSync(`${file}.partial`));
  });

  /** A broker that answers a backup like this. */
  async function answering(handle: Route['handle']): Promise<string> {
    const data = fresh();
    const route: Route = { method: 'GET', path: '/backup', handle };
    const server = new ControlServer(data, [route], { info() {}, warn() {} });
    await server.open();
    servers.push(server);
    return data;
  }

  test('a broker that ends half-way leaves no file', async () => {
    const data = await answering(async (_request, response) => {
      response.write(Buffer.from('PORTICOB'));
      await new Promise((resolve) => setImmediate(resolve));
      throw new Error('its reader was too slow');
    });
    const out = fresh();
    mkdirSync(out);
    await bad(/the running broker ended it half-way: \S+/, 'backup', join(out, 'file'), '--data', data);
    assert.deepEqual(readdirSync(out), []);
  });

  test('a backup that arrives damaged leaves no file', async () => {
    const data = await answering(async (_request, response) => {
      for await (const chunk of backupOf({ portico: 'x', store: 1, writer: 'x', date: 'x' }, none())) {
        chunk[chunk.length - 1] ^= 1;
        response.write(chunk);
      }
      response.end();
    });
    const out = fresh();
    mkdirSync(out);
    await bad(
      /what came of the running broker is no backup: it is damaged/,
      'backup',
      join(out, 'file'),
      '--data',
      data,
    );
    assert.deepEqual(readdirSync(out), []);
  });

  test('SIGTERM and SIGINT end a backup and leave no file, also before its first byte', async () => {
    for (const [signal, bytes] of [
      ['SIGTERM', 'PORTICOB'],
      ['SIGINT', 'PORTICOB'],
      ['SIGTERM', ''],
    ] as const) {
      let begun = (): void => {};
      const beginning = new Promise<void>((resolve) => {
        begun = resolve;
      });
      const data = await answering(async (_request, response) => {
        if (bytes !== '') response.write(Buffer.from(bytes));
        begun();
        await once(response, 'close');
      });
      const out = fresh();
      mkdirSync(out);
      const child = spawnChild(process.execPath, [porticoMain, 'backup', join(out, 'file'), '--data', data]);
      let stderr = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      await beginning;
      child.kill(signal);
      const [code] = await once(child, 'close');
      assert.equal(code, 1);
      assert.equal(stderr, `portico: backup: ended by ${signal}; nothing is left of it\n`);
      assert.deepEqual(readdirSync(out), []);
    }
  });
});

async function* none(): AsyncGenerator<[Buffer, Buffer]> {}

/** Runs the program on a terminal of its own; returns what that showed. */
async function onTerminal(...args: string[]): Promise<string> {
  const script = sourceFile('test/interop/python/terminal.py');
  const { stdout } = await run('/usr/bin/python3', ['-B', script, '[]', process.execPath, porticoMain, ...args]);
  const { shown, code } = JSON.parse(stdout.toString()) as { shown: string; code: number };
  assert.equal(code, 0, shown);
  return shown;
}

test('on a terminal a line says how far backup and restore have come, and is gone at the end', async () => {
  const broker = await start();
  const file = fresh();
  // The line is cleared and written, again and again; the last thing is that it is cleared.
  const line = (verb: string, last: string): RegExp =>
    new RegExp(`^(?:\\r\\u001b\\[K${verb} [\\d,]+ records?, [\\d.]+ (?:bytes|[KM]iB))+\\r\\u001b\\[K${last}`);
  assert.match(
    await onTerminal('backup', file, '-c', broker.configFile),
    line('saved', 'backup of the running broker'),
  );
  assert.match(await onTerminal('restore', '--check', file), line('checked', '\\S+ is a whole backup: '));
  const data = fresh();
  assert.match(await onTerminal('restore', file, '--data', data), line('restored', 'restored '));
  await assertRestored(data);
});

describe('restore', { timeout: 300_000 }, () => {
  /** A backup of a store of a version. */
  async function backupFile(version = STORE_VERSION, writer = '0.1.0'): Promise<string> {
    async function* entries(): AsyncGenerator<[Buffer, Buffer]> {
      yield [versionKey(), encodeVersion({ version, writer })];
      for (let i = 10; i < 60; i++) yield [retainedKey(`t/${i}`), Buffer.alloc(5000, i)];
    }
    const chunks: Buffer[] = [];
    for await (const chunk of backupOf({ portico: writer, store: version, writer, date: 'd' }, entries())) {
      chunks.push(chunk);
    }
    const file = fresh();
    writeFileSync(file, gzipSync(Buffer.concat(chunks)));
    return file;
  }

  test('--check reads everything and makes nothing', async () => {
    const file = await backupFile();
    const { stderr } = await good('restore', '--check', file);
    assert.match(
      stderr,
      /is a whole backup: 51 records, \d+\.\d KiB; store version 1, taken by portico 0\.1\.0 at d\n$/,
    );
  });

  test('a directory that has a store is refused, and its store stays', async () => {
    const data = fresh();
    const file = await backupFile();
    await good('restore', file, '--data', data);
    const before = readdirSync(join(data, 'store'));
    await bad(/there is a store in \S+ already; restore into another folder/, 'restore', file, '--data', data);
    assert.deepEqual(readdirSync(join(data, 'store')), before);
    assert.deepEqual(readdirSync(data), ['store']);
  });

  test('a file that is cut short, damaged, of another kind or of a newer Portico leaves nothing behind', async () => {
    const whole = readFileSync(await backupFile());
    const flipped = Buffer.from(whole);
    flipped[whole.length >> 1] ^= 0x10;
    const inner = gunzipSync(whole);
    const innerFlipped = Buffer.from(inner);
    innerFlipped[inner.length >> 1] ^= 0x10;
    const newer = readFileSync(await backupFile(STORE_VERSION + 1, '7.8.9'));
    const cases: [bytes: Buffer, words: RegExp][] = [
      [Buffer.alloc(0), /it is empty|cut short/],
      [whole.subarray(0, whole.length - 1), /cut short/],
      [whole.subarray(0, whole.length >> 1), /cut short/],
      [whole.subarray(0, 5), /cut short/],
      [flipped, /damaged|cut short/],
      [gzipSync(innerFlipped), /its SHA-256 is another/],
      [gzipSync(inner.subarray(0, inner.length - 40)), /cut short after 51 records/],
      [Buffer.concat([whole, whole]), /something follows its end/],
      [Buffer.concat([whole, Buffer.from('garbage')]), /damaged/],
      [inner, /it is no gzip file/],
      [Buffer.from('a text'), /it is no gzip file/],
      [gzipSync(Buffer.from('a longer text than the preamble')), /not a backup of Portico/],
      [
        newer,
        /was written by portico 7\.8\.9 and has version \d+; this is portico \S+, which knows versions up to \d+/,
      ],
    ];
    for (const [bytes, words] of cases) {
      const file = fresh();
      writeFileSync(file, bytes);
      const data = fresh();
      await bad(words, 'restore', file, '--data', data);
      assert.ok(!existsSync(data));
      await bad(words, 'restore', '--check', file);
    }
    // A directory that was there stays, with what was in it.
    const file = fresh();
    writeFileSync(file, flipped);
    const data = fresh();
    mkdirSync(data);
    writeFileSync(join(data, 'note'), 'mine');
    await bad(/damaged|cut short/, 'restore', file, '--data', data);
    assert.deepEqual(readdirSync(data), ['note']);
  });

  test('SIGTERM ends a restore and leaves nothing behind', async () => {
    const data = fresh();
    mkdirSync(data);
    const watcher = watch(data);
    const child = spawnChild(process.execPath, [porticoMain, 'restore', '-', '--data', data]);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin?.write(readFileSync(await backupFile()).subarray(0, 100));
    // The folder in which the store is made.
    await once(watcher, 'change');
    watcher.close();
    child.kill('SIGTERM');
    const [code] = await once(child, 'close');
    assert.equal(code, 1);
    assert.equal(stderr, 'portico: restore: ended by SIGTERM; nothing is left of it\n');
    assert.deepEqual(readdirSync(data), []);
  });

  test('a file that is not there is told in words', async () => {
    await bad(/cannot read \S+: there is none of that name/, 'restore', fresh(), '--data', fresh());
    await bad(/cannot read \S+: it is a folder/, 'restore', '--check', folder);
  });

  test('a broker does not start on a store of a newer version, and says who wrote it', async () => {
    const data = fresh();
    await storeWith(data, [versionKey(), encodeVersion({ version: STORE_VERSION + 1, writer: '7.8.9' })]);
    const { mqtt } = await freePorts();
    const { code, stderr } = await portico('-p', String(mqtt), '--data', data);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^portico: the store was written by portico 7\.8\.9 and has version \d+; this is portico \S+,/m,
    );
  });
});
