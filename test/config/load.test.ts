import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import { sourceOf } from '../../src/config/source.js';
import { faultsOf, fileWith, load, portOf, refusal } from './configurations.js';

test('without a file, variables and arguments the built-in defaults hold', () => {
  const { config, sources, warnings } = loadConfig({ env: { PATH: '/bin', HOME: '/' } });
  assert.deepEqual(config.listeners, [
    { type: 'mqtt', host: 'loopback', port: 1883 },
    { type: 'websocket', host: 'loopback', port: 9001 },
    { type: 'coap', host: 'loopback', port: 5683 },
    { type: 'http', host: 'loopback', port: 9883, allow_anonymous: false },
  ]);
  assert.equal(config.data_dir, './data');
  assert.deepEqual(config.store, {
    type: 'level',
    sync: 'always',
    sync_interval: 1000,
    unwritten_bytes: 64 * 1024 * 1024,
  });
  assert.equal(config.allow_anonymous, undefined);
  assert.equal(sources.size, 0);
  assert.deepEqual(warnings, []);
});

test('an empty file, and a file with empty sections, are the built-in defaults', () => {
  const { config } = loadConfig({ env: {} });
  assert.deepEqual(load('').config, config);
  assert.deepEqual(load('# nothing\n').config, config);
  assert.deepEqual(load('store:\n  #sync: never\nlog:\n').config, config);
});

test('a file changes what it names and nothing else', () => {
  const { config, sources } = load('store:\n  sync: interval\nlisteners:\n  - type: mqtt\n    port: 1884\n');
  assert.deepEqual(config.store, {
    type: 'level',
    sync: 'interval',
    sync_interval: 1000,
    unwritten_bytes: 64 * 1024 * 1024,
  });
  assert.deepEqual(config.listeners, [{ type: 'mqtt', host: 'loopback', port: 1884 }]);
  assert.match(sourceOf({ sources }, 'store.sync'), /\d\.yaml:2$/);
  assert.match(sourceOf({ sources }, 'listeners.0.port'), /\d\.yaml:5$/);
  assert.match(sourceOf({ sources }, 'listeners.0.host'), /\d\.yaml:4$/);
  assert.equal(sourceOf({ sources }, 'mqtt.max_inflight'), 'built-in defaults');
});

test('an unknown key is refused with its line and the nearest right word', () => {
  assert.deepEqual(faultsOf('store:\n  snyc: always\n'), ['2: store.snyc is not an option; did you mean store.sync?']);
  assert.deepEqual(faultsOf('\nsotre: {}\n'), ['2: sotre is not an option; did you mean store?']);
  assert.deepEqual(faultsOf('listeners:\n  - type: mqtt\n    prot: 1\n'), [
    '3: listeners.0.prot is not an option; did you mean listeners.0.port?',
  ]);
});

test('the right word in the wrong section names its section', () => {
  assert.deepEqual(faultsOf('password_file: x\n'), [
    '1: password_file is not an option; did you mean access.password_file?',
  ]);
  assert.deepEqual(faultsOf('mqtt:\n  observers: 5\n'), [
    '2: mqtt.observers is not an option; did you mean coap.observers?',
  ]);
});

test('an option of another type of listener is refused, with the types that have it', () => {
  const [fault] = faultsOf('listeners:\n  - type: mqtt\n    path: /mqtt\n');
  assert.equal(fault, '3: listeners.0.path is an option of listeners of type websocket, wss, unix, not of mqtt');
});

test('a wrong type or a value out of range is refused with its line and what is right', () => {
  const cases: [text: string, fault: string][] = [
    [
      'store:\n  sync: alway',
      '2: store.sync is "alway"; it must be one of always, interval, never (did you mean always?)',
    ],
    ['limits:\n\n  connections: 1.5', '3: limits.connections is 1.5; it must be a whole number from 1 to 10000000'],
    ['limits:\n  connections: many', '2: limits.connections is "many"; it must be a whole number from 1 to 10000000'],
    ['mqtt:\n  max_inflight: 0', '2: mqtt.max_inflight is 0; it must be a whole number from 1 to 65535'],
    ['mqtt:\n  max_inflight: 65536', '2: mqtt.max_inflight is 65536; it must be a whole number from 1 to 65535'],
    ['coap:\n  ack_random_factor: 0.5', '2: coap.ack_random_factor is 0.5; it must be a number from 1 to 10'],
    ['coap:\n  block_size: 100', '2: coap.block_size is 100; it must be one of 16, 32, 64, 128, 256, 512, 1024'],
    ['coap:\n  path: /ps', '2: coap.path is "/ps"; it must be a path without / at its ends'],
    ['allow_anonymous: yes', '1: allow_anonymous is "yes"; it must be true or false'],
    ['data_dir: ""', '1: data_dir is ""; it must be text that is not empty'],
    ['data_dir:', '1: data_dir has no value; it must be text that is not empty'],
    ['mqtt: 5', '1: mqtt is 5; it must be a section with options'],
    ['listeners: mqtt', '1: listeners is "mqtt"; it must be a list of listeners'],
    ['listeners:\n  - mqtt', '2: listeners.0 is "mqtt"; it must be a listener with type, host and port'],
    [
      'listeners:\n  - port: 1',
      '2: listeners.0.type is missing; it must be one of mqtt, mqtts, websocket, wss, unix, coap, coaps, coap+tcp, coaps+tcp, http',
    ],
    [
      'listeners:\n  - type: mqt',
      '2: listeners.0.type is "mqt"; it must be one of mqtt, mqtts, websocket, wss, unix, coap, coaps, coap+tcp, coaps+tcp, http (did you mean mqtt?)',
    ],
    [
      'listeners:\n  - type: coap\n    port: -1',
      '3: listeners.0.port is -1; it must be a whole number from 0 to 65535',
    ],
    [
      'listeners:\n  - type: mqtt\n    host: 300.1.1.1',
      '3: listeners.0.host is "300.1.1.1"; it must be an address, a host name, `loopback`, or a list of these',
    ],
    ['- a\n- b', '1: the file must be a mapping of options to values'],
  ];
  for (const [text, fault] of cases) assert.deepEqual(faultsOf(`${text}\n`), [fault]);
});

test('all faults are reported at once, in the order of the file', () => {
  const text = [
    'store:', //                       1
    '  sync: alway', //                2
    '  snyc: never', //                3
    'limits:', //                      4
    '  connections: -1', //            5
    'listeners:', //                   6
    '  - { type: mqtt, port: 1e6 }', // 7
    '  - { type: udp }', //            8
    'limits:', //                      9
    '  queued_bytes: x', //           10
  ].join('\n');
  const env = { PORTICO_SYS_INTERVAL: 'soon', PORTICO_STORE_SINC: 'never' };
  const faults = faultsOf(text, { env, argv: { data: '' } });
  assert.deepEqual(
    faults.map((fault) => fault.slice(0, fault.indexOf(':'))),
    ['2', '3', '7', '8', '9', '10', 'PORTICO_STORE_SINC', 'command line --data', 'PORTICO_SYS_INTERVAL'],
  );
});

test('a key that is written twice is refused with both lines', () => {
  assert.deepEqual(faultsOf('store:\n  sync: never\n  type: level\n  sync: always\n'), [
    '4: sync is written twice; the first one is on line 2',
  ]);
  assert.deepEqual(faultsOf('log: {}\nstore: {}\nlog: {}\n'), ['3: log is written twice; the first one is on line 1']);
});

test('a text that is not YAML is refused with the line of each fault', () => {
  const faults = faultsOf('store: {\nlog: [\n');
  assert.ok(faults.length >= 1);
  for (const fault of faults) assert.match(fault, /^\d+: \S/);
});

test('anchors are resolved, but not into millions of nodes', () => {
  const { config } = load('store: &s { sync: never }\nlog: {}\nsys: { interval: &i 5 }\ncoap: { ack_timeout: *i }\n');
  assert.equal(config.coap.ack_timeout, 5);
  const lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 0; i < 9; i++) {
    const [from, to] = ['abcdefghij'[i], 'abcdefghij'[i + 1]];
    lines.push(`${to}: &${to} [${`*${from}, `.repeat(9)}*${from}]`);
  }
  assert.match(faultsOf(lines.join('\n'))[0], /alias/i);
});

test('names of built-in properties are unknown options like any other', () => {
  assert.match(faultsOf('constructor: 1\n')[0], /^1: constructor is not an option/);
  assert.match(faultsOf('__proto__: { sync: never }\n')[0], /^1: __proto__ is not an option/);
  assert.match(faultsOf('listeners:\n  - type: constructor\n')[0], /^2: listeners\.0\.type is "constructor"/);
});

test('a missing or unreadable file is named', () => {
  assert.deepEqual(refusal({ file: '/nowhere/portico.yaml', env: {} }), [
    '/nowhere/portico.yaml: the file cannot be read: there is none of that name',
  ]);
  assert.deepEqual(refusal({ file: '/', env: {} }), ['/: the file cannot be read: it is a folder']);
});

test('PORTICO_CONFIG names the file, and -c overrides it', () => {
  const [one, other] = [fileWith('sys: { interval: 1 }'), fileWith('sys: { interval: 2 }')];
  assert.equal(loadConfig({ env: { PORTICO_CONFIG: one } }).config.sys.interval, 1);
  assert.equal(loadConfig({ file: other, env: { PORTICO_CONFIG: one } }).config.sys.interval, 2);
  assert.equal(loadConfig({ env: { PORTICO_CONFIG: '' } }).config.sys.interval, 10);
});

test('variables override the file', () => {
  const env = {
    PORTICO_STORE_SYNC: 'interval',
    PORTICO_STORE_SYNC_INTERVAL: '50',
    PORTICO_ALLOW_ANONYMOUS: 'false',
    PORTICO_DATA_DIR: '0123',
    PORTICO_LISTENERS: '[{"type":"mqtt","port":1999,"host":["127.0.0.1"]}]',
    PORTICO_LOG_LEVEL: '',
  };
  const { config, sources } = load('store: { sync: never }\nlisteners: []\nlog: { level: warn }\n', { env });
  assert.equal(config.store.sync, 'interval');
  assert.equal(config.store.sync_interval, 50);
  assert.equal(config.allow_anonymous, false);
  assert.equal(config.data_dir, '0123', 'text is taken as it stands');
  assert.deepEqual(config.listeners, [{ type: 'mqtt', host: ['127.0.0.1'], port: 1999 }]);
  assert.equal(config.log.level, 'warn', 'an empty variable is not set');
  assert.equal(sourceOf({ sources }, 'store.sync'), 'PORTICO_STORE_SYNC');
  assert.equal(sourceOf({ sources }, 'listeners.0.port'), 'PORTICO_LISTENERS');
});

test('faults in variables name the variable', () => {
  const env = { PORTICO_SYS_INTERVAL: 'soon', PORTICO_LISTENERS: '[', PORTICO_STORE_SYNCH: 'never' };
  assert.deepEqual(refusal({ env }).sort(), [
    'PORTICO_LISTENERS: Flow sequence must end with a ]',
    'PORTICO_STORE_SYNCH: this variable is not an option; did you mean PORTICO_STORE_SYNC?',
    'PORTICO_SYS_INTERVAL: sys.interval is "soon"; it must be a whole number from 0 to 86400',
  ]);
});

test('what Kubernetes says about a service named portico is no option, but no fault', () => {
  const env = {
    PORTICO_SERVICE_HOST: '10.0.0.1',
    PORTICO_SERVICE_PORT: '1883',
    PORTICO_SERVICE_PORT_MQTT: '1883',
    PORTICO_PORT: 'tcp://10.0.0.1:1883',
    PORTICO_PORT_1883_TCP: 'tcp://10.0.0.1:1883',
    PORTICO_PORT_1883_TCP_ADDR: '10.0.0.1',
  };
  assert.equal(loadConfig({ env }).sources.size, 0);
  assert.match(refusal({ env: { PORTICO_PORT: '1884' } })[0], /^PORTICO_PORT: this variable is not an option/);
});

test('the command line overrides variables and file', () => {
  const env = { PORTICO_DATA_DIR: '/v', PORTICO_LOG_LEVEL: 'error' };
  const { config, sources } = load('data_dir: /f\n', { env, argv: { data: '/c', verbose: true } });
  assert.equal(config.data_dir, '/c');
  assert.equal(config.log.level, 'debug');
  assert.equal(sourceOf({ sources }, 'data_dir'), 'command line --data');
});

test('-p sets the port of the first MQTT listener and leaves everything else', () => {
  const { config, sources } = loadConfig({ env: {}, argv: { port: 1999 } });
  assert.deepEqual(config.listeners, [
    { type: 'mqtt', host: 'loopback', port: 1999 },
    { type: 'websocket', host: 'loopback', port: 9001 },
    { type: 'coap', host: 'loopback', port: 5683 },
    { type: 'http', host: 'loopback', port: 9883, allow_anonymous: false },
  ]);
  assert.equal(sourceOf({ sources }, 'listeners.0.port'), 'command line -p');
  assert.equal(sourceOf({ sources }, 'listeners.0'), 'built-in defaults');
  const text = 'listeners:\n  - { type: coap }\n  - { type: mqtt, port: 5 }\n  - { type: mqtt, port: 6 }\n';
  assert.deepEqual(load(text, { argv: { port: 1999 } }).config.listeners.map(portOf), [5683, 1999, 6]);
});

test('-p without an MQTT listener in the file adds one on loopback', () => {
  const { config } = load('listeners: [{ type: coap }]\n', { argv: { port: 1999 } });
  assert.deepEqual(config.listeners[1], { type: 'mqtt', host: 'loopback', port: 1999 });
});

test('-p with what is no port is refused as the argument', () => {
  assert.deepEqual(refusal({ env: {}, argv: { port: 70_000 } }), [
    'command line -p: listeners.0.port is 70000; it must be a whole number from 0 to 65535',
  ]);
});
