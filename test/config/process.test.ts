/** The program as its users meet it: arguments, exit codes, signals. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parse } from 'yaml';
import { parseArguments } from '../../src/cli/arguments.js';
import { loadConfig } from '../../src/config/load.js';
import { PorticoError } from '../../src/errors.js';
import { freePorts, Portico, porticoMain, spawnChild, temporaryFolder } from '../support/portico.js';
import { fileWith } from './configurations.js';

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Variables of this process but for Portico's own. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PORTICO_')));
const folder = temporaryFolder();

/** Runs the program to its end. */
function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Outcome {
  const options = { cwd: folder, env: { ...ENV, ...env }, encoding: 'utf8', timeout: 20_000 } as const;
  return spawnSync(process.execPath, [porticoMain, ...args], options);
}

test('arguments as Mosquitto knows them', () => {
  assert.deepEqual(parseArguments([]), { command: 'run', argv: {} });
  assert.deepEqual(parseArguments(['-c', 'f', '-p', '1884', '-v', '--data', 'd']), {
    command: 'run',
    file: 'f',
    argv: { port: 1884, data: 'd', verbose: true },
  });
  assert.deepEqual(parseArguments(['check', '--config', 'f']), { command: 'check', file: 'f', argv: {} });
  assert.deepEqual(parseArguments(['-p1884']).argv, { port: 1884 });
  assert.deepEqual(parseArguments(['scram', 'alice']), { command: 'scram', name: 'alice', argv: {} });
  assert.deepEqual(parseArguments(['backup', '-', '--force', '--damaged', '--data', 'd']), {
    command: 'backup',
    name: '-',
    force: true,
    damaged: true,
    argv: { data: 'd' },
  });
  assert.deepEqual(parseArguments(['restore', '--check', 'f']), {
    command: 'restore',
    name: 'f',
    check: true,
    argv: {},
  });
});

test('arguments that are wrong are refused in words', () => {
  const cases: [args: string[], sentence: RegExp][] = [
    [['-d'], /never forks/],
    [['--dta', 'x'], /unknown option --dta; did you mean --data\?/],
    [['-x'], /unknown option -x/],
    [['chekc'], /unknown command chekc; did you mean check\?/],
    [['check', 'file.yaml'], /file\.yaml: check takes no further words/],
    [['scram'], /scram takes one word, the name of the user/],
    [['scram', 'alice', 'secret'], /scram takes one word/],
    [['backup'], /backup takes one word, the file to write/],
    [['restore', 'a', 'b'], /restore takes one word, the file to read/],
    [['restore', 'a', '--force'], /--force belongs to backup/],
    [['restore', 'a', '--damaged'], /--damaged belongs to backup/],
    [['backup', 'a', '--check'], /--check belongs to restore/],
    [['acl'], /acl takes two words, explain and one of publish, receive, subscribe/],
    [['acl', 'explain', 'read', '--client', 'c', '--topic', 't'], /acl takes two words/],
    [['acl', 'explain', 'publish', '--topic', 't'], /acl explain needs --client and --topic/],
    [['check', '--user', 'ann'], /--user, --client and --topic belong to acl explain/],
    [['-p', 'http'], /-p http: a port is a whole number/],
    [['-c'], /argument missing/],
  ];
  for (const [args, sentence] of cases) {
    assert.throws(
      () => parseArguments(args),
      (error: unknown) => {
        assert.ok(error instanceof PorticoError && error.kind.exitCode === 3);
        assert.match(error.message, sentence);
        return true;
      },
    );
  }
});

test('--help and --version answer on standard output', () => {
  const help = run(['--help']);
  assert.equal(help.status, 0);
  assert.match(help.stdout, /-c, --config FILE/);
  const version = run(['--version']);
  assert.equal(version.status, 0);
  assert.match(version.stdout, /^portico \d+\.\d+\.\d+\n$/);
});

test('portico check prints the configuration in effect and where it comes from', () => {
  const file = fileWith('store:\n  sync: never\n');
  const { status, stdout, stderr } = run(['check', '-c', file, '-p', '1999'], { PORTICO_SYS_INTERVAL: '5' });
  assert.equal(status, 0, stderr);
  const { config } = loadConfig({ file, env: { PORTICO_SYS_INTERVAL: '5' }, argv: { port: 1999 } });
  assert.deepEqual(parse(stdout), JSON.parse(JSON.stringify(config)));
  assert.ok(stdout.includes(`sync: never # ${file}:2\n`), stdout);
  assert.match(stdout, /interval: 5 # PORTICO_SYS_INTERVAL\n/);
  assert.match(stdout, /port: 1999 # command line -p\n/);
  assert.match(stderr, /^mqtt on loopback:1999: anyone on this machine may connect/m);
});

test('what portico check prints is itself a valid configuration', () => {
  const { stdout } = run(['check']);
  assert.deepEqual(loadConfig({ file: fileWith(stdout), env: {} }).config, loadConfig({ env: {} }).config);
});

test('portico check reports every fault with exit code 3 and prints no configuration', () => {
  const file = fileWith('store:\n  snyc: never\nlimits:\n  connections: 0\n');
  const { status, stdout, stderr } = run(['check', '-c', file]);
  assert.equal(status, 3);
  assert.equal(stdout, '');
  assert.deepEqual(stderr.trimEnd().split('\n'), [
    `portico: ${file}:2: store.snyc is not an option; did you mean store.sync?`,
    `portico: ${file}:4: limits.connections is 0; it must be a whole number from 1 to 10000000`,
  ]);
});

test('a fault of a command is told with its place in the file and in the template, and all faults at once', () => {
  const text = `coap:
  commands:
    - filter: sensor/temp
      uri: coap://h/temp
      template: |
        {"temp":{{ payload | number }},
         "unit":{{ unit }}}
    - filter: x
      uri: coap://{{ payload }}/temp
`;
  const file = fileWith(text);
  for (const args of [
    ['check', '-c', file],
    ['-c', file],
  ]) {
    const { status, stderr } = run(args);
    assert.equal(status, 3, stderr);
    assert.deepEqual(stderr.trimEnd().split('\n').slice(-2), [
      `portico: ${file}:5: coap.commands.0.template, line 2, column 12: ` +
        'there is no variable unit, but topic, levels, payload, json, client, content_type, properties',
      `portico: ${file}:9: coap.commands.1.uri, line 1, column 8: coap://{{ payload }}/temp: ` +
        'host and port cannot be templates, only path and query can',
    ]);
  }
});

test('portico check reads the password file', () => {
  const passwords = fileWith('alice:hunter2\n');
  const { status, stderr } = run(['check', '-c', fileWith(`access: { password_file: ${passwords} }\n`)]);
  assert.equal(status, 3);
  assert.equal(stderr, `portico: ${passwords}:1: the password is not hashed; portico passwd -U FILE hashes it\n`);
});

test('portico check reads the access control list, and warns of what was probably not meant', () => {
  const wrong = fileWith('topic reed a\nusers b\n');
  const { status, stderr } = run(['check', '-c', fileWith(`access: { acl_file: ${wrong} }\n`)]);
  assert.equal(status, 3);
  assert.equal(
    stderr,
    `portico: ${wrong}:1: "reed" is none of read, write, readwrite, deny (did you mean read?)\n` +
      `portico: ${wrong}:2: the line begins with none of topic, pattern, user (did you mean user?)\n`,
  );
  const odd = fileWith('topic x/%c\n');
  const sentence = `warning: ${odd}:1: %c and %u have a meaning only behind pattern, not topic\n`;
  assert.ok(run(['check', '-c', fileWith(`access: { acl_file: ${odd} }\n`)]).stderr.includes(sentence));
});

test('portico acl explain prints the deciding line', () => {
  const file = fileWith('user ann\ntopic read a/#\ntopic deny a/b\n');
  const config = fileWith(`access: { acl_file: ${file} }\n`);
  const explain = (...words: string[]) => run(['acl', 'explain', '-c', config, '--client', 'c', ...words]);
  const { status, stdout } = explain('--user', 'ann', '--topic', 'a/b', 'receive');
  assert.equal(status, 0);
  assert.equal(stdout, `user "ann", client "c", receive a/b: denied; ${file}:3: topic deny a/b\n`);
  assert.equal(
    explain('--user', 'ann', '--topic', 'a/#', 'subscribe').stdout,
    `user "ann", client "c", subscribe a/#: granted in part; ${file}:2: topic read a/#; not all of it: ${file}:3: topic deny a/b\n`,
  );
  assert.equal(
    explain('--topic', 'a/x', 'publish').stdout,
    'a client without user name, client "c", publish a/x: denied; no rule allows it\n',
  );
  assert.match(explain('--topic', 'a/#', 'publish').stderr, /^portico: --topic "a\/#" is no topic name/);
  const there = fileWith('topic write x\n');
  const different = fileWith(
    `access: { acl_file: ${file} }\nlisteners:\n  - { type: mqtt }\n  - { type: mqtt, port: 1884, access: { acl_file: ${there} } }\n` +
      '  - { type: unix, path: /run/m.sock, access: {} }\n',
  );
  const at = (...words: string[]) => {
    return run(['acl', 'explain', '-c', different, '--client', 'c', '--topic', 'x', 'publish', ...words]);
  };
  const start = 'a client without user name, client "c", publish x';
  assert.equal(at('--listener', '1883').stdout, `${start}: denied; no rule allows it\n`);
  assert.equal(at('--listener', '1884').stdout, `${start}: allowed; ${there}:1: topic write x\n`);
  assert.equal(at('--listener', 'listeners.1').stdout, at('--listener', 'loopback:1884').stdout);
  const none = 'allowed; there is no access control list (listeners.2.access.acl_file, listeners.2.access.acl)\n';
  assert.equal(at('--listener', '/run/m.sock').stdout, none);
  assert.equal(
    at().stderr,
    'portico: listeners have different access control lists, so --listener has to say which one is meant; ' +
      'name one of them: 1883, 1884, /run/m.sock\n',
  );
  assert.match(
    at('--listener', '9').stderr,
    /^portico: --listener 9: there is no such listener; name one of them: 1883/,
  );
  assert.equal(at('--listener', '9').status, 3);
  const both = fileWith(`access: { acl_file: ${file}, acl: ${file} }\n`);
  assert.match(run(['check', '-c', both]).stderr, /there can be one of the two/);
});

test('the broker refuses to be open without credentials: exit code 3, one sentence, no stack', () => {
  const { status, stdout, stderr } = run(['-c', fileWith('listeners:\n  - { type: mqtt, host: 0.0.0.0 }\n')]);
  assert.equal(status, 3);
  assert.equal(stdout, '');
  assert.match(stderr, /^portico: \S+:2: mqtt on 0\.0\.0\.0:1883 can be reached[^\n]*\n$/);
});

test('a port that is taken is exit code 1 and one sentence; -v adds the stack', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const file = fileWith(
    `listeners:\n  - { type: mqtt, host: 127.0.0.1, port: ${address.port} }\nlog: { level: error }\n`,
  );
  const plain = run(['-c', file, '--data', join(folder, 'taken')]);
  assert.equal(plain.status, 1);
  assert.match(plain.stderr, /^portico: cannot listen for MQTT on 127\.0\.0\.1:\d+: [^\n]+\n$/);
  const verbose = run(['-c', file, '--data', join(folder, 'taken'), '-v']);
  assert.equal(verbose.status, 1);
  assert.match(verbose.stderr, /\n {4}at /);
  server.close();
});

const portico = await Portico.start();
after(() => portico.dispose());

test('SIGTERM and SIGINT end the broker with exit code 0 after the last write', async () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const before = portico.log.length;
    await portico.stop(signal);
    const log = portico.log.slice(before);
    assert.match(log, new RegExp(`ending on ${signal}`));
    assert.match(log, /ended; everything is written/);
    await portico.restart();
  }
});

test('a signal that arrives twice at once, as from a terminal and from npm, is one wish', async () => {
  const { pid } = portico;
  process.kill(pid, 'SIGINT');
  process.kill(pid, 'SIGINT');
  await portico.stop('SIGTERM');
  await portico.restart();
});

test('files of keys and certificates stop the start, and the check, with the option and the file; so does a device without key', () => {
  const keys = fileWith('meter:00\nmeter-8:xyz\n');
  const psk = fileWith(`listeners: [{ type: coaps, port: 0 }]\naccess: { psk_file: ${keys} }\n`);
  const tls = fileWith('listeners: [{ type: coaps+tcp, port: 0, cert_file: none.pem, key_file: none.key }]\n');
  const sentence = 'listeners.0.cert_file: none.pem: the certificate file cannot be read: there is none of that name';
  const [cert, key] = ['rsa.pem', 'rsa.key'].map((name) => join(folder, name));
  spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/CN=x',
    '-keyout',
    key,
    '-out',
    cert,
  ]);
  const rsa = fileWith(`listeners: [{ type: coaps, port: 0, cert_file: ${cert}, key_file: ${key} }]\n`);
  const kind = `listeners.0.key_file: ${key}: the key is of type rsa, and over DTLS it has to be one of the curve P-256`;
  const ca = fileWith(
    `listeners: [{ type: coaps+tcp, port: 0, cert_file: ${cert}, key_file: ${key}, ca_file: none.pem }]\n`,
  );
  const device = fileWith('coaps://a me:00\ncoaps://b me:xyz\n');
  const devices = fileWith(`coap: { device_psk_file: ${device} }\n`);
  const command = fileWith("coap: { commands: [{ filter: x, uri: 'coaps://192.0.2.1/x' }] }\n");
  const observation = fileWith("coap: { observations: [{ topic: x, uri: 'coaps://192.0.2.1/x' }] }\n");
  const missing =
    'neither coap.device_psk_file nor coap.device_public_key_file has a key for coaps://192.0.2.1:5684, and coap.device_ca_file is not set';
  const users = fileWith('door:key\n');
  const publicKeys = fileWith(`access: { public_key_file: ${users} }\n`);
  const raw = fileWith(`listeners: [{ type: coaps, port: 0, key_file: ${key} }]\n`);
  const none = fileWith('listeners: [{ type: coaps, port: 0, key_file: none.key }]\n');
  const open = join(folder, 'open.key');
  writeFileSync(open, readFileSync(key), { mode: 0o644 });
  const mqtts = (options: string): string => fileWith(`listeners: [{ type: mqtts, port: 0, ${options} }]\n`);
  const readable = mqtts(`cert_file: ${cert}, key_file: ${open}`);
  const ciphers = mqtts(`cert_file: ${cert}, key_file: ${key}, ciphers: NONE-OF-THEM`);
  const secret = `listeners: [{ type: mqtts, port: 0, psk_hint: h }]\naccess: { psk_file: ${keys} }\n`;
  for (const [file, said] of [
    [readable, `listeners.0.key_file: ${open}: everybody may read the key file; chmod o-r ${open} takes that away`],
    [ciphers, 'listeners.0.ciphers: NONE-OF-THEM: no cipher suites: no cipher match'],
    [fileWith(secret), `${keys}:2: the key is not in hexadecimal digits`],
    [psk, `${keys}:2: the key is not in hexadecimal digits`],
    [tls, sentence],
    [rsa, kind],
    [ca, 'listeners.0.ca_file: none.pem: the file of CAs cannot be read: there is none of that name'],
    [publicKeys, `${users}:1: the key is not in base64`],
    [raw, kind],
    [none, 'listeners.0.key_file: none.key: the key file cannot be read: there is none of that name'],
    [devices, `${device}:2: the key is not in hexadecimal digits`],
    [command, `coap.commands.0.uri: ${missing}`],
    [observation, `coap.observations: coaps://192.0.2.1/x: ${missing}`],
  ]) {
    for (const args of [['check'], []]) {
      const { status, stderr } = run([...args, '-c', file]);
      assert.equal(status, 3, stderr);
      assert.ok(stderr.includes(said), stderr);
    }
  }
});

test('the log says, one line per listener, who may connect and which file said so', () => {
  const lines = portico.logLines.map(({ msg }) => msg);
  for (const [type, line] of [
    ['mqtt', 2],
    ['websocket', 5],
    ['coap', 8],
  ] as const) {
    const found =
      lines.find((msg) => /^listening on 127\.0\.0\.1:\d+ /.test(msg) && msg.includes(` (${type}): `)) ?? '';
    assert.match(found, /anyone on this machine may connect without a password/);
    assert.ok(found.includes(`listener: ${portico.configFile}:${line}; allow_anonymous: built-in defaults`), found);
  }
});

test('portico health: 0 while the broker answers, 1 when it does not', async () => {
  const healthy = run(['health', '-c', portico.configFile]);
  assert.equal(healthy.status, 0, healthy.stderr);
  assert.equal(healthy.stdout, `healthy: 127.0.0.1:${portico.ports.mqtt} answered with CONNACK 0\n`);
  const { mqtt } = await freePorts();
  const unhealthy = run(['health', '-p', String(mqtt)]);
  assert.equal(unhealthy.status, 1);
  assert.match(unhealthy.stderr, /^portico: unhealthy: 127\.0\.0\.1:\d+ cannot be reached: [^\n]+\n$/);
});

test('portico health is not content with an answer that is not MQTT', async () => {
  const server = createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  // Not spawnSync: the server answers in this process.
  const child = spawnChild(process.execPath, [porticoMain, 'health', '-p', String(address.port)], folder);
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, 'close');
  server.close();
  assert.equal(code, 1);
  assert.match(stderr, /does not speak MQTT/);
});
