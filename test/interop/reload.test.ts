/** SIGHUP: the broker as a process reads its configuration again, and says what came of it. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { NODE_FLAGS } from '../../src/node-flags.js';
import { CertificateFiles } from '../coap/dtls/certificate-files.js';
import { listenersAt, Portico, porticoMain, temporaryFolder } from '../support/portico.js';
import { Changing, OVER_BADLY } from './changing.js';
import { ask, listening, logged } from './coap-transports.js';
import { request, topicUri } from './libcoap.js';
import { Program, run, sourceFile } from './programs.js';

const HOST = '127.0.0.1';

async function passwd(file: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await run('mosquitto_passwd', [args[0] ?? '', file, ...args.slice(1)]);
  assert.equal(code, 0, stderr);
}

describe('SIGHUP', { timeout: 120_000 }, () => {
  let folder: string;
  let passwords: string;
  let list: string;
  let scene: Changing;

  before(async () => {
    folder = temporaryFolder();
    passwords = join(folder, 'passwords');
    list = join(folder, 'acl');
    writeFileSync(passwords, '');
    for (const user of ['ann', 'bob', 'root']) await passwd(passwords, '-b', user, `${user}-secret`);
    writeFileSync(
      list,
      'user ann\ntopic #\nuser bob\ntopic #\nuser cat\ntopic #\nuser root\ntopic #\ntopic read $SYS/#\n',
    );
    scene = await Changing.of(
      await Portico.start({ access: { password_file: passwords, acl_file: list }, allow_anonymous: true }),
    );
  });
  after(() => scene.portico.dispose());

  test('without a change it says so, and the broker goes on', async () => {
    assert.deepEqual(await scene.reload(), [
      'reload: the configuration is read again',
      'reload: nothing has changed',
      'reload: done',
    ]);
    assert.equal((await scene.connect('ann', 'ann-secret')).code, 0);
  });

  test('a user who is added may connect, one who is gone is sent away, and so is one with another password', async () => {
    const [ann, bob, root, nobody] = await Promise.all([
      scene.connect('ann', 'ann-secret', 5),
      scene.connect('bob', 'bob-secret', 5),
      scene.connect('root', 'root-secret', 5),
      scene.connect('', ''),
    ]);
    assert.equal((await scene.connect('cat', 'cat-secret')).code, 4);
    await passwd(passwords, '-b', 'cat', 'cat-secret');
    await passwd(passwords, '-D', 'ann');
    await passwd(passwords, '-b', 'bob', 'another');
    assert.deepEqual((await scene.reload()).slice(1), [
      `reload: access.password_file: what is in ${passwords} has changed: at once`,
      'reload: clients that may not connect any more, and were sent away: 3',
      'reload: done',
    ]);
    assert.equal((await ann.expect('disconnect')).reasonCode, 0x87);
    assert.equal((await bob.expect('disconnect')).reasonCode, 0x87);
    for (const stays of [root, nobody]) {
      stays.send({ cmd: 'pingreq' });
      await stays.expect('pingresp');
    }
    assert.equal((await scene.connect('cat', 'cat-secret')).code, 0);
    assert.equal((await scene.connect('ann', 'ann-secret')).code, 4);
    assert.equal((await scene.connect('bob', 'bob-secret')).code, 4);
    assert.equal((await scene.connect('bob', 'another')).code, 0);
    assert.ok(!scene.portico.log.includes('secret'), 'no password is in the log');
  });

  test('another ACL file acts at once, also on subscriptions there are', async () => {
    const cat = await scene.connect('cat', 'cat-secret', 5);
    const root = await scene.connect('root', 'root-secret', 5);
    cat.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'x/#', qos: 0 }] });
    await cat.expect('suback');
    const next = async (): Promise<string> => {
      for (const topic of ['x/a', 'x/b'])
        root.send({ cmd: 'publish', topic, payload: '1', qos: 0, retain: false, dup: false });
      return (await cat.expect('publish')).topic;
    };
    assert.equal(await next(), 'x/a');
    assert.equal((await cat.expect('publish')).topic, 'x/b');
    writeFileSync(list, 'user cat\ntopic read x/b\nuser root\ntopic #\ntopic read $SYS/#\n');
    assert.deepEqual((await scene.reload()).slice(1), [
      `reload: access.acl_file: what is in ${list} has changed: at once`,
      'reload: done',
    ]);
    assert.equal(await next(), 'x/b');
    cat.send({ cmd: 'publish', topic: 'x/b', payload: '1', qos: 1, messageId: 5, retain: false, dup: false });
    assert.equal((await cat.expect('puback')).reasonCode, 0x87);
  });

  test('a fault leaves all as it was, is told with its place, and counted; $SYS says when', async () => {
    const root = await scene.connect('root', 'root-secret');
    root.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$SYS/broker/reload/#', qos: 0 }] });
    await root.expect('suback');
    const values = new Map<string, number>();
    const until = async (isSo: () => boolean): Promise<void> => {
      while (!isSo()) {
        const { topic, payload } = await root.expect('publish');
        values.set(topic.slice('$SYS/broker/reload/'.length), Number(payload.toString()));
      }
    };
    const good = readFileSync(list);
    const config = readFileSync(scene.portico.configFile, 'utf8');
    writeFileSync(list, 'user cat\ntopik #\n');
    scene.write({ mqtt: { max_qos: 1 } });
    assert.deepEqual(await scene.reload(), [
      'reload: the configuration is read again',
      `reload: ${list}:2: the line begins with none of topic, pattern, user (did you mean topic?)`,
      OVER_BADLY,
    ]);
    writeFileSync(list, good);
    writeFileSync(scene.portico.configFile, `${config}\nlimits: { conections: 5 }\n`);
    const line = config.split('\n').length + 1;
    assert.deepEqual((await scene.reload()).slice(1), [
      `reload: FILE:${line}: limits.conections is not an option; did you mean limits.connections?`,
      OVER_BADLY,
    ]);
    renameSync(list, `${list}.away`);
    writeFileSync(scene.portico.configFile, config);
    assert.match((await scene.reload())[1] ?? '', /acl: the ACL file cannot be read: there is none of that name$/);
    // Neither the options nor the rights of the files with faults hold.
    const cat = await scene.connect('cat', 'cat-secret', 5);
    cat.send({ cmd: 'publish', topic: 'x/b', payload: '1', qos: 2, messageId: 5, retain: false, dup: false });
    assert.equal((await cat.expect('pubrec')).reasonCode, 0x87);
    await until(() => values.get('failed') === 3 && values.get('last/failed') === 1);
    renameSync(`${list}.away`, list);
    await scene.reload();
    await until(() => values.get('last/failed') === 0);
    assert.ok(Math.abs((values.get('last/time') ?? 0) - Date.now() / 1000) < 600);
  });

  test('options: each change in a line, with what holds at once, for new clients, or after a restart', async () => {
    const early = await scene.connect('root', 'root-secret', 5);
    scene.write({
      mqtt: { max_qos: 1, draining: 'no' },
      limits: { connections: 50 },
      store: { sync: 'never' },
      log: { level: 'warn', format: 'json' },
      sys: { interval: 2 },
      coap: { commands: [{ filter: 'a', uri: `coap://${HOST}:1/x?key=hidden`, response_topic: 'b' }] },
    });
    const from = scene.portico.logLines.length;
    process.kill(scene.portico.pid, 'SIGHUP');
    await logged(scene.portico, ({ msg }) => msg.startsWith('reload: coap.commands'), from);
    const told = scene.portico.logLines.slice(from);
    const lines = told.map(({ msg }) => msg.replace(/ \([^)]*:\d+\)/, '')).filter((msg) => msg.startsWith('reload: '));
    assert.deepEqual(lines.slice(1), [
      'reload: store.sync is "never" instead of "always": this needs a restart',
      'reload: coap.commands has changed: this needs a restart',
    ]);
    const late = await scene.connect('root', 'root-secret', 5);
    late.send({ cmd: 'publish', topic: 'x', payload: '1', qos: 2, messageId: 5, retain: false, dup: false });
    assert.equal((await late.expect('disconnect')).reasonCode, 0x9b);
    early.send({ cmd: 'publish', topic: 'x', payload: '1', qos: 2, messageId: 5, retain: false, dup: false });
    assert.equal((await early.expect('pubrec')).cmd, 'pubrec');
    scene.write({ log: { level: 'debug', format: 'json' } });
    const again = await scene.reload();
    assert.deepEqual(
      again.map((msg) => msg.replace(/ \([^)]*:\d+\)/, '')),
      [
        'reload: store.sync is "never" instead of "always": this needs a restart',
        'reload: coap.commands has changed: this needs a restart',
        'reload: log.level is "debug" instead of "warn": at once',
        'reload: done',
      ],
    );
    assert.ok(!scene.portico.log.includes('hidden'));
  });

  test('access.lockout_...: limits of failed logins hold at once, and so does the end of a ban', async () => {
    scene.write({
      access: {
        password_file: passwords,
        acl_file: list,
        lockout_loopback: true,
        lockout_failures: 2,
        password_cache: 0,
      },
    });
    assert.match(
      (await scene.reload()).join('\n'),
      /reload: access\.lockout_failures is 2 instead of \d+ \(.*\): at once/,
    );
    for (const guess of ['one', 'two']) assert.equal((await scene.connect('root', guess, 5)).code, 0x86);
    assert.equal((await scene.connect('root', 'root-secret', 5)).code, 0x8a);
    scene.write({ access: { password_file: passwords, acl_file: list } });
    await scene.reload();
    assert.equal((await scene.connect('root', 'root-secret', 5)).code, 0);
  });

  test('allow_anonymous: false sends clients without user name away, on CoAP from the next request', async () => {
    const nobody = await scene.connect('', '');
    const uri = topicUri(scene.portico.ports.coap, 'x/b');
    assert.equal((await request('get', uri)).code, '4.03');
    scene.write({ allow_anonymous: false });
    assert.match(
      (await scene.reload()).join('\n'),
      /reload: allow_anonymous is false instead of true \(.*\): at once\n.*were sent away: \d/s,
    );
    await nobody.closed;
    assert.equal((await scene.connect('', '')).code, 5);
    assert.equal((await request('get', uri)).code, '4.01');
    scene.write({ allow_anonymous: true });
    await scene.reload();
    assert.equal((await scene.connect('', '')).code, 0);
  });
});

describe('SIGHUP and the keys and certificates of CoAP', { timeout: 120_000 }, () => {
  let files: CertificateFiles;
  let scene: Changing;
  let psk: string;
  const cert = (name: string): string => files.path(name);
  let dtls: string;
  let tls: string;

  before(async () => {
    files = await CertificateFiles.make();
    psk = join(temporaryFolder(), 'psk');
    writeFileSync(
      psk,
      `meter-7:${Buffer.from('sesame').toString('hex')}\nold:${Buffer.from('other').toString('hex')}\n`,
    );
    for (const kind of ['pem', 'key']) copyFileSync(cert(`server.${kind}`), cert(`own.${kind}`));
    const own = { host: HOST, port: 0, cert_file: cert('own.pem'), key_file: cert('own.key') };
    scene = await Changing.of(
      await Portico.start((ports) => ({
        listeners: [...listenersAt(ports), { type: 'coaps', ...own }, { type: 'coaps+tcp', ...own }],
        access: { psk_file: psk },
        allow_anonymous: true,
      })),
    );
    const uri = async (type: string): Promise<string> =>
      `${type}://${HOST}:${(await listening(scene.portico, `${type} on ${HOST}:0`)).port}/ps/door`;
    [dtls, tls] = [await uri('coaps'), await uri('coaps+tcp')];
    await ask('coap-client-notls', '-m', 'put', '-e', 'shut', `coap://${HOST}:${scene.portico.ports.coap}/ps/door`);
  });
  after(async () => {
    await scene?.portico.dispose();
    await files?.remove();
  });

  const client = 'coap-client-openssl';
  const keyed = (name: string, key: string): string[] => ['-u', name, '-k', key, dtls];

  test('PSK files: a key that is new is taken, and the association of one that is gone ends', async () => {
    assert.equal(await ask(client, ...keyed('meter-7', 'sesame')), 'shut');
    const observer = await Program.start(client, ['-s', '60', '-w', ...keyed('old', 'other')]);
    assert.equal(await observer.lines.next('the state'), 'shut');
    writeFileSync(
      psk,
      `meter-7:${Buffer.from('sesame').toString('hex')}\nnew:${Buffer.from('fresh').toString('hex')}\n`,
    );
    const from = scene.portico.logLines.length;
    const lines = await scene.reload();
    assert.ok(lines.includes(`reload: access.psk_file: what is in ${psk} has changed: at once`), lines.join('\n'));
    assert.equal(await ask(client, ...keyed('new', 'fresh')), 'shut');
    const gone = scene.portico.logLines.slice(from).filter(({ msg }) => msg.includes('its DTLS association was ended'));
    assert.equal(gone.length, 1, scene.portico.log);
    assert.ok(gone[0]?.msg.includes('coap-old'), gone[0]?.msg);
    await observer.end();
  });

  test('certificates: those of the files are shown, over DTLS and over TLS, to who comes from then on', async () => {
    const trusting = (ca: string, uri: string): string[] => ['-R', cert(`${ca}.pem`), uri];
    for (const uri of [dtls, tls]) assert.equal(await ask(client, ...trusting('ca', uri)), 'shut');
    const observer = await Program.start(client, ['-s', '60', '-w', ...trusting('ca', tls)]);
    assert.equal(await observer.lines.next('the state'), 'shut');
    for (const kind of ['pem', 'key']) copyFileSync(cert(`stranger.${kind}`), cert(`own.${kind}`));
    const lines = await scene.reload();
    for (const option of ['listeners.3.cert_file', 'listeners.4.key_file']) {
      assert.ok(
        lines.some((line) => line.startsWith(`reload: ${option}: what is in `)),
        lines.join('\n'),
      );
    }
    for (const uri of [dtls, tls]) {
      assert.notEqual((await run(client, ['-B', '3', ...trusting('ca', uri)])).stdout.toString().trim(), 'shut');
    }
    // Connections go on.
    await ask('coap-client-notls', '-m', 'put', '-e', 'open', `coap://${HOST}:${scene.portico.ports.coap}/ps/door`);
    assert.equal(await observer.lines.next('the next state'), 'open');
    await observer.end();
    // A key of another certificate is a fault, and nothing changes.
    for (const kind of ['pem', 'key']) copyFileSync(cert(`server.${kind}`), cert(`own.${kind}`));
    await scene.reload();
    copyFileSync(cert('stranger.key'), cert('own.key'));
    assert.match((await scene.reload())[1] ?? '', /listeners\.3\.key_file: .*it is not the key of the certificate/);
    for (const uri of [dtls, tls]) assert.equal(await ask(client, ...trusting('ca', uri)), 'open');
    copyFileSync(cert('server.key'), cert('own.key'));
  });

  test('a CA of devices that is added is asked for, over DTLS and over TLS', async () => {
    const { listeners } = parse(readFileSync(scene.portico.configFile, 'utf8')) as { listeners: object[] };
    const asking = listeners.map((one, i) =>
      i < 3 ? one : { ...one, ca_file: cert('ca.pem'), require_certificate: true },
    );
    scene.write({ listeners: asking });
    const lines = await scene.reload();
    assert.ok(
      lines.some((line) => line.startsWith('reload: listeners.4.ca_file is ')),
      lines.join('\n'),
    );
    const own = ['-c', cert('device.pem'), '-j', cert('device.key'), '-C', cert('ca.pem')];
    for (const uri of [dtls, tls]) {
      assert.notEqual((await run(client, ['-B', '3', '-R', cert('ca.pem'), uri])).stdout.toString().trim(), 'open');
      assert.equal(await ask(client, ...own, uri), 'open');
    }
  });
});

describe('SIGHUP and the terminal', { timeout: 60_000 }, () => {
  for (const how of ['ask', 'close']) {
    const title =
      how === 'ask'
        ? 'on a terminal SIGHUP is a reload, and the end of the terminal is the end of the broker'
        : 'a broker whose terminal is closed ends as after SIGTERM';
    test(title, async () => {
      const data = join(temporaryFolder(), 'data');
      const command = [process.execPath, ...NODE_FLAGS, porticoMain, '-p', '0', '--data', data];
      const env = { PORTICO_LISTENERS: '[]' };
      const { stdout, stderr } = await run('env', [
        ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
        'python3',
        sourceFile('test/interop/python/hangup.py'),
        how,
        ...command,
      ]);
      assert.equal(stderr, '');
      const { shown, code } = JSON.parse(stdout.toString()) as { shown: string; code: number };
      assert.equal(shown.includes('nothing has changed'), how === 'ask');
      // The signal itself, once everything is written: not that of a process that has failed.
      assert.equal(code, -1);
    });
  }
});
