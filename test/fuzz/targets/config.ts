/** The configuration: any text, variable or argument gives a configuration, or faults in words with their place. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArguments } from '../../../src/cli/arguments.js';
import { describeListeners } from '../../../src/config/listeners.js';
import { type LoadedConfig, type LoadRequest, loadConfig } from '../../../src/config/load.js';
import { linesOf } from '../../../src/config/mosquitto/lexer.js';
import { MosquittoSource } from '../../../src/config/mosquitto/source.js';
import { names } from '../../../src/config/mosquitto/table.js';
import { options } from '../../../src/config/options.js';
import { PorticoError } from '../../../src/errors.js';
import { checkout } from '../../support/checkout.js';
import { scratchFile } from '../scratch.js';
import { Feed, input, type Target } from '../target.js';

const FILE = scratchFile('portico.yaml');

const PROTOTYPE = Object.getOwnPropertyNames(Object.prototype).sort().join();

/** What every outcome of loading has to be. */
function load(request: LoadRequest, lines: number): string {
  let loaded: LoadedConfig;
  try {
    loaded = loadConfig(request);
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_CONFIGURATION', error as Error);
    checkFaults(error.message, lines);
    return error.message
      .replaceAll(/\d+/g, '0')
      .replaceAll(/ is .*?;/g, ';')
      .slice(-60);
  } finally {
    const names = Object.getOwnPropertyNames(Object.prototype).sort().join();
    assert.equal(names, PROTOTYPE, 'the prototype of all objects is as it was');
  }
  const { config } = loaded;
  for (const listener of config.listeners) {
    if (listener.type === 'unix') assert.notEqual(listener.path, '');
    else assert.ok(Number.isInteger(listener.port) && listener.port >= 0 && listener.port < 65536);
  }
  assert.equal(describeListeners(loaded).length, config.listeners.length);
  for (const name of loaded.sources.keys()) assert.equal(typeof name, 'string');
  return `loaded ${loaded.warnings.length}`;
}

/** The first line of each fault begins with its place. */
function checkFaults(message: string, lines: number): void {
  assert.notEqual(message, '');
  for (const [, line] of message.matchAll(/portico\.yaml:(\d+): /g)) {
    assert.ok(Number(line) >= 1 && Number(line) <= lines, `line ${line} of ${lines}`);
  }
  assert.match(message, /^(.*portico\.yaml(:\d+)?|PORTICO_.*?|command line.*?|built-in defaults): /s);
}

function runYaml(bytes: Buffer): string {
  writeFileSync(FILE, bytes);
  const text = bytes.toString('utf8');
  return load({ file: FILE, env: {} }, text.split(/\r\n|\r|\n/).length);
}

export const configYaml: Target = {
  name: 'config-yaml',
  scope: ['/src/config/', '/node_modules/yaml/'],
  longest: 1500,
  words: [
    ...options.flatMap(({ path }) => path.map((part) => `${part}: `)),
    ...[
      '__proto__: ',
      'constructor: ',
      'prototype: ',
      'toString: ',
      '<<: ',
      '&a ',
      '*a',
      '[',
      ']',
      '{',
      '}',
      '? ',
      ': ',
    ],
    ...[
      '\n',
      '\n  ',
      '\n- ',
      '---\n',
      '...\n',
      '%YAML 1.1\n---\n',
      '!!binary ',
      '!!set ',
      '!!timestamp ',
      '!!map ',
      '!<x> ',
    ],
    ...[
      '~',
      '.nan',
      '.inf',
      '-0',
      '0x10',
      '1e400',
      '9999999999999999999',
      'true',
      '"',
      "'",
      '|\n',
      '>-\n',
      '# ',
      '\t',
      '\r\n',
    ],
    ...['listeners:\n  - type: mqtt\n', 'type: websocket', 'type: coap', 'port: 1', 'host: localhost', '\ufeff'],
  ],
  seeds: () => [
    Buffer.from('listeners:\n  - type: mqtt\n    port: 1883\nstore:\n  sync: never\n'),
    Buffer.from('mqtt:\n  max_qos: 3\nlimits: &a\n  connections: 10\nx: *a\n'),
    Buffer.from('{log: {level: debug}, __proto__: {a: 1}, constructor: {prototype: {b: 2}}}'),
    Buffer.from('%YAML 1.1\n---\nlimits:\n  <<: &m {connections: 1_000}\n  sessions: 0o17\nx: !!set {a, b}\n'),
    Buffer.from('store: !!binary aGFsbG8=\nlog: !!timestamp 2001-12-14t21:59:43.10-05:00\n'),
    Buffer.from('? [a, b]\n: - c\n? {d: e}\n'),
    readFileSync(join(checkout, 'config', 'portico.yaml')).subarray(0, 1400),
  ],
  run: runYaml,
};

const CONF = 'mosquitto.conf';
const INCLUDED = 'listener 1884\nmax_qos 1\n';

function runMosquitto(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  const source = new MosquittoSource(CONF, text, { read: () => INCLUDED, list: () => ['b.conf', 'a.conf', 'a.txt'] });
  const lines = text.split('\n').length;
  for (const { where, sentence } of source.faults) {
    const at = /^mosquitto\.conf:(\d+)$/.exec(where)?.[1];
    if (at !== undefined) assert.ok(Number(at) >= 1 && Number(at) <= lines, `line ${at} of ${lines}`);
    else assert.match(where, /\/[ab]\.conf:\d+$/);
    assert.notEqual(sentence, '');
  }
  for (const { number, name } of linesOf(text)) {
    assert.ok(number >= 1 && number <= lines);
    assert.ok(name !== '' && !name.includes(' ') && !name.includes('\n'));
  }
  assert.equal(source.readable, source.faults.length === 0);
  if (!source.readable) return source.faults[0].sentence.replaceAll(/".*"|\d+/gs, '').slice(0, 40);
  assert.ok(Array.isArray(source.value.listeners) && source.value.listeners.length > 0);
  const inherited = Object.getOwnPropertyNames(Object.prototype).sort().join();
  assert.equal(inherited, PROTOTYPE, 'the prototype of all objects is as it was');
  return `read ${source.warnings.length}`;
}

export const configMosquitto: Target = {
  name: 'config-mosquitto',
  scope: ['/src/config/mosquitto/'],
  longest: 600,
  words: [
    ...names.map((name) => `${name} `),
    '\n',
    '\r\n',
    '# ',
    ' ',
    '\t',
    '\0',
    'true',
    'false',
    '0x10',
    '010',
    '-1',
    '99999999999',
    '\ufeff',
  ],
  seeds: () =>
    [
      'listener 1883\nallow_anonymous true\n',
      'persistence true\npersistence_location /var/lib/mosquitto/\nlog_dest file /x\ninclude_dir /etc/mosquitto/conf.d\n',
      'per_listener_settings true\r\nlistener 1883 localhost\r\nallow_anonymous false\r\npassword_file /p\r\n',
      'port 1883\nbind_address ::1\nprotocol websockets\nsocket_domain ipv6\naccept_protocol_versions 3,4,5\n',
      'connection a\naddress b\ntopic # both 2 "" ""\n',
      'plugin /usr/lib/mosquitto_password_file.so\nplugin_opt_password_file /p\n',
      'listener 0 /run/m.sock\npersistent_client_expiration 2w\nmemory_limit 12345678\n',
    ].map((text) => Buffer.from(text)),
  run: runMosquitto,
};

function runEnvironment(bytes: Buffer): string {
  const env: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of bytes.toString('utf8').split('\n')) {
    const at = line.indexOf('=');
    if (at <= 0) continue;
    // The file is the other target's.
    const name = line.slice(0, at);
    if (name !== 'PORTICO_CONFIG') env[name] = line.slice(at + 1).replaceAll('\\n', '\n');
  }
  return load({ env }, 0);
}

export const configEnvironment: Target = {
  name: 'config-environment',
  scope: ['/src/config/'],
  longest: 600,
  words: [
    ...options.map(({ variable }) => `${variable}=`),
    '\n',
    'PORTICO_',
    'PORTICO_PORT=tcp://1.2.3.4:5',
    '[',
    '{',
    '&a ',
    '*a',
    '-1',
    '1e9',
    'true',
    '~',
  ],
  seeds: () =>
    options.map(({ variable, defaultValue }) => Buffer.from(`${variable}=${JSON.stringify(defaultValue) ?? 'x'}`)),
  run: runEnvironment,
};

function runArguments(bytes: Buffer): string {
  const feed = new Feed(bytes);
  const withFile = feed.byte() % 2 === 1;
  const args = feed.rest().toString('utf8').split('\n');
  let parsed: ReturnType<typeof parseArguments>;
  try {
    parsed = parseArguments(args);
  } catch (error) {
    assert.ok(error instanceof PorticoError && error.code === 'PORTICO_CONFIGURATION', error as Error);
    assert.match(error.message, /\(see portico --help\)$/);
    return error.message.replace(/^.*(:| is | option | command )/s, '').slice(0, 12);
  }
  assert.ok(
    ['run', 'check', 'health', 'acl', 'scram', 'backup', 'restore', 'import', 'migrate', 'help', 'version'].includes(
      parsed.command,
    ),
  );
  if (withFile) writeFileSync(FILE, 'listeners:\n  - type: websocket\n    port: 1\n');
  return load({ env: {}, argv: parsed.argv, ...(withFile ? { file: FILE } : {}) }, 4);
}

export const commandLine: Target = {
  name: 'command-line',
  scope: ['/src/cli/', '/src/config/'],
  longest: 200,
  words: [
    '\n',
    '-c',
    '-p',
    '-v',
    '-d',
    '--',
    '--port=',
    '--config=',
    '--data',
    '--mosquitto',
    '--test-config',
    '--verbose',
    '--help',
    '--no-help',
    'run',
    'check',
    'scram',
    'health',
    '1883',
    '-',
    '=',
  ],
  seeds: () =>
    ['-p\n1883', '-c\nx', 'check\n-v', 'scram\nname', '--data=/x\nrun', 'chekc', '-pv', '--prot'].map((text, i) =>
      input(i & 1, text),
    ),
  run: runArguments,
};
