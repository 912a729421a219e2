/** `access` of a listener: which section holds for it, what that leaves open, and faults of its files with their lines. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { accessOf, storeNames } from '../../src/config/listener-access.js';
import { anonymousAllowed, describeListeners } from '../../src/config/listeners.js';
import { loadConfig } from '../../src/config/load.js';
import { changesBetween, counterparts } from '../../src/config/reloading.js';
import { configSchema } from '../../src/config/schema.js';
import { readAccessFiles } from '../../src/server/access-files.js';
import { readSecurityFiles } from '../../src/server/security-files.js';
import { temporaryFolder } from '../support/portico.js';
import { faultsOf, load } from './configurations.js';

const folder = temporaryFolder();

function put(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

const COMMON = 'access: { password_file: /p, acl_file: /a, http_url: "https://127.0.0.1/login" }\n';

test('a section of its own holds in the place of the one of all, and nothing comes through', () => {
  const { config } = load(`${COMMON}listeners: [{ type: mqtt }, { type: mqtt, port: 2, access: { acl_file: /b } }]\n`);
  const [usual, own] = config.listeners;
  assert.equal(accessOf(config, usual), config.access);
  assert.deepEqual(accessOf(config, own), { acl_file: '/b' });
});

test('who may connect is said with the file of the listener and its line', () => {
  const loaded = load(
    `${COMMON}listeners:\n  - type: mqtt\n  - type: mqtt\n    port: 2\n    access:\n      password_file: /q\n  - { type: mqtt, port: 3, access: {} }\n`,
  );
  const [usual, own, none] = describeListeners(loaded);
  assert.match(usual, /only users of \/p and whom the server of access\.http_url lets in may connect/);
  assert.match(own, /only users of \/q may connect .*; listeners\.1\.access\.password_file: .*:7\)$/);
  assert.match(none, /anyone on this machine may connect without a password/);
});

test('a listener for other machines with a section without credentials is open, whatever the section of all has', () => {
  const text = (own: string): string => `${COMMON}listeners: [{ type: mqtt, host: 0.0.0.0, access: ${own} }]\n`;
  assert.deepEqual(faultsOf(text('{ acl_file: /b }')), [
    '2: mqtt on 0.0.0.0:1883 can be reached from other machines, and no credentials are in its access: name a password file in ' +
      'access.password_file or a SCRAM file in access.scram_file there, or write allow_anonymous: true to let anyone in',
  ]);
  for (const own of ['{ password_file: /q }', '{ scram_file: /s }']) {
    const { config } = load(text(own));
    assert.equal(anonymousAllowed(config, config.listeners[0]), false);
  }
});

test('keys of its own: for listeners that take them only', () => {
  const keyed = (own: string, hint = ', psk_hint: h'): string =>
    `listeners: [{ type: mqtts${hint}, access: ${own} }]\n`;
  assert.deepEqual(load(keyed('{ psk_file: /k }')).warnings, []);
  assert.match(faultsOf(`access: { psk_file: /k }\n${keyed('{}')}`)[0], /knows no pre-shared keys/);
  const { warnings } = load(keyed('{ psk_file: /k, password_file: /p }', ', cert_file: /c, key_file: /k'));
  assert.deepEqual(warnings, [
    'mqtts on loopback:8883: its access.psk_file is set, and without psk_hint it takes no keys',
  ]);
  const common = load(`access: { psk_file: /k }\n${keyed('{ psk_file: /l }')}`).warnings;
  assert.match(common[0], /^access\.psk_file is set, and no listener takes its keys/);
});

test('where it cannot be it is refused, with the types of listeners that have it', () => {
  const types = 'mqtt, mqtts, websocket, wss, unix';
  for (const type of ['coap', 'coap+tcp', 'http']) {
    const [fault] = faultsOf(`listeners: [{ type: ${type}, access: {} }]\n`);
    assert.equal(fault, `1: listeners.0.access is an option of listeners of type ${types}, not of ${type}`);
  }
  assert.deepEqual(faultsOf('listeners: [{ type: mqtt, access: { psk_file: /k } }]\n'), [
    '1: listeners.0.access.psk_file is an option of listeners of type mqtts, wss, not of mqtt',
  ]);
  assert.deepEqual(faultsOf('listeners:\n  - type: mqtt\n    access:\n'), [
    '3: listeners.0.access has no value; it must be a section with files of its own',
  ]);
  assert.match(
    faultsOf('listeners: [{ type: mqtt, access: { jwt_jwks_url: x } }]\n')[0],
    /^1: listeners\.0\.access\.jwt_jwks_url is not an option/,
  );
});

const namesOf = (listeners: object[]): string[] => [
  ...storeNames(configSchema.parse({ listeners }).listeners).values(),
];

test('in the store a listener is called by its port or path, and by its address too where others have the port', () => {
  const [plain, web, socket] = [
    { type: 'mqtt' },
    { type: 'websocket', host: ['127.0.0.1', '::1'], port: 1883 },
    { type: 'unix', path: '/run/m' },
  ];
  assert.deepEqual(namesOf([plain, { type: 'coap', port: 1883 }, socket, { type: 'mqtts' }]), [
    '1883',
    '/run/m',
    '8883',
  ]);
  assert.deepEqual(namesOf([plain, web, socket]), ['loopback:1883', '127.0.0.1,::1:1883', '/run/m']);
});

test('the order of listeners changes no name in the store: none would answer for what came by another', () => {
  const listeners = ['10.0.0.1', '10.0.0.2'].map((host) => ({ type: 'mqtt', host }));
  assert.deepEqual(namesOf(listeners), ['10.0.0.1:1883', '10.0.0.2:1883']);
  assert.deepEqual(namesOf(listeners.toReversed()), ['10.0.0.2:1883', '10.0.0.1:1883']);
});

test('no two listeners have one name in the store', () => {
  const mqtt = { type: 'mqtt' };
  const by = (name: string) => ({ ...mqtt, interface: name });
  assert.deepEqual(namesOf(['a', 'b', 'c'].map(by)), ['a:1883', 'b:1883', 'c:1883']);
  const any = { ...mqtt, port: 0 };
  assert.deepEqual(namesOf([any, any, any]), ['loopback:0', 'loopback:0#2', 'loopback:0#3']);
  assert.deepEqual(namesOf([mqtt, { type: 'unix', path: '1883' }]), ['loopback:1883', 'unix:1883']);
});

test('listeners of two interfaces that change places in the list keep each what it has of its own', () => {
  const listeners = ['a', 'b'].map((name) => ({ type: 'mqtt', interface: name, access: { acl_file: `/${name}` } }));
  const [running, next] = [
    configSchema.parse({ listeners }),
    configSchema.parse({ listeners: listeners.toReversed() }),
  ];
  assert.deepEqual(counterparts(running, next), running.listeners);
  assert.deepEqual(changesBetween(running, next), []);
});

test('a file that several sections name is read once, and shared', async () => {
  const [passwords, list] = [put('shared', ''), put('list', 'topic x\n')];
  const own = { password_file: passwords, acl_file: list };
  const { listeners, access } = configSchema.parse({
    access: { password_file: passwords },
    listeners: [
      { type: 'mqtt', access: own },
      { type: 'mqtt', port: 2, access: own },
      { type: 'mqtt', port: 3, access: {} },
    ],
  });
  const read = await readAccessFiles({ access, listeners });
  const [one, two, none] = listeners.map((listener) => read.own.get(listener));
  assert.ok(one?.passwords !== null && one?.passwords === two?.passwords && one?.passwords === read.usual.passwords);
  assert.ok(one.acl !== null && one.acl === two?.acl);
  assert.equal(read.usual.acl, null);
  assert.deepEqual([none?.passwords, none?.acl, none?.scram], [null, null, null]);
});

test('every fault of every file is told at once, with the line that names it', async () => {
  const wrong = put('wrong', 'topik x\n');
  const file = put(
    'portico.yaml',
    `listeners:
  - type: mqtt
    access:
      password_file: /nowhere/p
  - type: mqtt
    port: 2
    access:
      acl_file: ${wrong}
  - type: mqtts
    psk_hint: h
    access:
      psk_file: /nowhere/k
  - type: mqtt
    port: 3
    access: { acl: /nowhere/l, acl_file: /nowhere/l }
access: { scram_file: /nowhere/s }
`,
  );
  const told = await readSecurityFiles(loadConfig({ file, env: {} })).then(
    () => [],
    (error: Error) => error.message.split('\n'),
  );
  const reason = 'there is none of that name';
  assert.deepEqual(
    told.toSorted(),
    [
      `${file}:12: listeners.2.access.psk_file: /nowhere/k: the PSK file cannot be read: ${reason}`,
      `${file}:16: access.scram_file: /nowhere/s: the SCRAM file cannot be read: ${reason}`,
      `${file}:4: listeners.0.access.password_file: /nowhere/p: the password file cannot be read: ${reason}`,
      `${wrong}:1: the line begins with none of topic, pattern, user (did you mean topic?)`,
      'listeners.3.access.acl_file and listeners.3.access.acl: there can be one of the two',
    ].toSorted(),
  );
});

test('a change of it takes effect at once', () => {
  const config = (access: object | undefined) => configSchema.parse({ listeners: [{ type: 'mqtt', access }] });
  const changes = changesBetween(config(undefined), config({ acl_file: '/a' }));
  assert.deepEqual(changes, [{ option: 'listeners.0.access', when: 'at once', before: '', now: '' }]);
});
