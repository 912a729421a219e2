import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  anonymousAllowed,
  bindAddresses,
  describeListeners,
  howToOpen,
  isLoopback,
} from '../../src/config/listeners.js';
import { loadConfig } from '../../src/config/load.js';
import type { ListenerConfig } from '../../src/config/schema.js';
import { faultsOf, load, portOf, refusal } from './configurations.js';

const mqtt = (host: string | string[]): ListenerConfig => ({ type: 'mqtt', host, port: 1883 });

test('loopback is 127.0.0.1, and ::1 where the machine has it', () => {
  const expected = [
    { host: '127.0.0.1', optional: false },
    { host: '::1', optional: true },
  ];
  assert.deepEqual(bindAddresses(mqtt('loopback')), expected);
  assert.deepEqual(bindAddresses(mqtt('localhost')), expected, 'no resolver decides what localhost is');
});

test('an address that is named itself is not optional, and is bound once', () => {
  assert.deepEqual(bindAddresses(mqtt(['loopback', '::1', '10.0.0.1'])), [
    { host: '127.0.0.1', optional: false },
    { host: '::1', optional: false },
    { host: '10.0.0.1', optional: false },
  ]);
});

test('only addresses that other machines cannot reach are loopback', () => {
  for (const host of [
    'loopback',
    'localhost',
    '127.0.0.1',
    '127.1.2.3',
    '::1',
    '::ffff:127.0.0.1',
    '0:0:0:0:0:0:0:1',
  ]) {
    assert.ok(isLoopback(mqtt(host)), host);
  }
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '128.0.0.1',
    '::ffff:10.0.0.1',
    '::2',
    'broker',
    'localhost.example',
  ]) {
    assert.ok(!isLoopback(mqtt(host)), host);
  }
  assert.ok(!isLoopback(mqtt(['127.0.0.1', '0.0.0.0'])), 'one open address opens the listener');
});

test('a listener for other machines without credentials does not start, and both ways out are named', () => {
  for (const host of ['0.0.0.0', '"::"', '192.168.1.2', 'broker.example', '[127.0.0.1, 10.0.0.1]']) {
    for (const type of ['mqtt', 'websocket', 'coap']) {
      const [fault, ...more] = faultsOf(`listeners:\n  - type: ${type}\n    host: ${host}\n`);
      assert.deepEqual(more, []);
      assert.ok(fault.startsWith(`3: ${type} on `), fault);
      assert.match(fault, /access\.password_file/);
      assert.match(fault, /access\.scram_file/);
      assert.match(fault, /allow_anonymous: true/);
    }
  }
});

test('an http listener for other machines needs a line of its own, whatever files of users there are', () => {
  const open = 'listeners:\n  - type: http\n    host: 0.0.0.0\n';
  for (const more of ['', 'access: { password_file: /p }\n', 'allow_anonymous: false\n']) {
    const [fault, ...others] = faultsOf(open + more);
    assert.deepEqual(others, []);
    assert.match(fault, /^3: http on 0\.0\.0\.0:9883 can be reached .* allow_anonymous: true into this listener/);
  }
  for (const line of ['    allow_anonymous: true\n', 'allow_anonymous: true\n']) {
    const loaded = load(open + line);
    assert.match(loaded.warnings.join('\n'), /^http on .*: anyone who reaches it may read metrics and health/);
    assert.match(describeListeners(loaded)[0], /anyone who reaches it may read metrics and health/);
  }
  assert.equal(
    faultsOf(`${open}    allow_anonymous: true\n  - type: mqtt\n    host: 0.0.0.0\n`).length,
    1,
    'only itself',
  );
});

test('an http listener on loopback asks nobody for credentials', () => {
  const { config } = load('access: { password_file: /p }\nallow_anonymous: false\nlisteners: [{ type: http }]\n');
  assert.ok(anonymousAllowed(config, config.listeners[0]));
});

test('allow_anonymous: false opens nothing: a listener for other machines starts, and a warning says who can connect', () => {
  const { config, warnings } = load('allow_anonymous: false\nlisteners: [{ type: mqtt, host: 0.0.0.0 }]\n');
  assert.equal(anonymousAllowed(config, config.listeners[0]), false);
  assert.match(warnings.join('\n'), /no client can connect/);
});

test('a listener for other machines from a variable is refused as the variable', () => {
  const env = { PORTICO_LISTENERS: '[{"type":"mqtt","port":1883,"host":"0.0.0.0"}]' };
  assert.match(refusal({ env })[0], /^PORTICO_LISTENERS: mqtt on 0\.0\.0\.0:1883 can be reached from other machines/);
  assert.equal(loadConfig({ env: { ...env, PORTICO_ALLOW_ANONYMOUS: 'true' } }).config.allow_anonymous, true);
});

test('credentials or allow_anonymous: true open a listener', () => {
  const open = 'listeners: [{ type: mqtt, host: 0.0.0.0 }]\n';
  assert.equal(load(`${open}access: { password_file: /p }\n`).config.access.password_file, '/p');
  assert.equal(load(`${open}access: { scram_file: /s }\n`).config.access.scram_file, '/s');
  const { warnings } = load(`${open}allow_anonymous: true\n`);
  assert.match(warnings.join('\n'), /anyone who reaches it may publish and subscribe without a password/);
});

test('who may connect without a user name', () => {
  const local = mqtt('loopback');
  const open = mqtt('0.0.0.0');
  const both = [local, open];
  const allowed = (allow_anonymous: boolean | undefined, password_file: string | undefined): boolean[] =>
    both.map((listener) => anonymousAllowed({ listeners: both, allow_anonymous, access: { password_file } }, listener));
  assert.deepEqual(allowed(undefined, undefined), [true, false]);
  assert.deepEqual(allowed(undefined, '/p'), [false, false], 'a password file means that passwords are asked for');
  assert.deepEqual(allowed(true, undefined), [true, true]);
  assert.deepEqual(allowed(true, '/p'), [true, true]);
  assert.deepEqual(allowed(false, undefined), [false, false]);
  assert.deepEqual(allowed(false, '/p'), [false, false]);
  const scram = { listeners: both, access: { scram_file: '/s' } };
  assert.deepEqual(
    both.map((listener) => anonymousAllowed(scram, listener)),
    [false, false],
    'a SCRAM file means the same',
  );
});

test('two listeners on one address and port are refused', () => {
  const two = (first: string, second: string): string[] =>
    faultsOf(`listeners:\n  - { ${first} }\n  - { ${second} }\n`);
  assert.deepEqual(two('type: mqtt, port: 1000', 'type: websocket, port: 1000'), [
    '3: listeners.1 binds tcp 127.0.0.1 port 1000, as listeners.0 does: give one of them another port',
  ]);
  assert.equal(load('listeners:\n  - { type: mqtt, port: 5683 }\n  - { type: coap }\n').config.listeners.length, 2);
  assert.equal(
    load('listeners:\n  - { type: mqtt, port: 0 }\n  - { type: mqtt, port: 0 }\n').config.listeners.length,
    2,
  );
});

test('how others are let in is said where nobody has said anything of listeners, and nowhere else', () => {
  assert.match(howToOpen(loadConfig({ env: {} })) ?? '', /^only this machine can connect; .*Opening it to others/);
  assert.match(howToOpen(load('mqtt: { max_qos: 1 }\n')) ?? '', /^only this machine can connect/);
  assert.equal(howToOpen(load('listeners: [{ type: mqtt }]\n')), null);
});

test('one line per listener says who may connect and who said so', () => {
  assert.deepEqual(describeListeners(loadConfig({ env: {} })), [
    'mqtt on loopback:1883: anyone on this machine may connect without a password (built-in defaults)',
    'websocket on loopback:9001: anyone on this machine may connect without a password (built-in defaults)',
    'coap on loopback:5683: anyone on this machine may connect without a password (built-in defaults)',
    'http on loopback:9883: anyone on this machine may read metrics and health (built-in defaults)',
  ]);
  const text = 'access:\n  password_file: /p\nlisteners:\n  - type: mqtt\n    host: ["::", 10.0.0.1]\n  - type: coap\n';
  const lines = describeListeners(load(text, { argv: { port: 9 } })).map((line) =>
    line.replaceAll(/\/\S+\.yaml/g, 'F'),
  );
  assert.deepEqual(lines, [
    'mqtt on [::]:9, 10.0.0.1:9: only users of /p may connect (listener: F:4, port: command line -p; access.password_file: F:2)',
    'coap on loopback:5683: nobody may connect (listener: F:6; access.password_file: F:2)',
  ]);
  const both = load('access:\n  scram_file: /s\n  password_file: /p\nlisteners:\n  - type: mqtt\n');
  assert.deepEqual(
    describeListeners(both).map((line) => line.replaceAll(/\/\S+\.yaml/g, 'F')),
    [
      'mqtt on loopback:1883: only users of /p and /s may connect (listener: F:5; access.password_file: F:3, access.scram_file: F:2)',
    ],
  );
});

test('configurations with which nobody can connect are warned about', () => {
  assert.match(load('allow_anonymous: false\n').warnings.join('\n'), /no client can connect/);
  const scram = load('allow_anonymous: false\naccess: { scram_file: /s }\nlisteners: [{ type: mqtt }]\n');
  assert.deepEqual(scram.warnings, []);
  assert.match(load('access: { password_file: /p }\n').warnings.join('\n'), /no password is taken without DTLS/);
  assert.deepEqual(load('access: { password_file: /p }\ncoap: { insecure_password: true }\n').warnings, []);
});

test('a coaps listener needs a file of keys or a key of its own; with keys alone it serves their devices, on any address', () => {
  const listener = 'listeners:\n  - { type: coaps, host: 0.0.0.0 }\n';
  assert.deepEqual(faultsOf(listener), [
    '2: coaps on 0.0.0.0:5684 knows no device and has no key: name a file of pre-shared keys in access.psk_file, or a key in key_file, with its certificate in cert_file or alone',
  ]);
  const loaded = load(`${listener}access: { psk_file: /k }\nallow_anonymous: false\n`);
  assert.deepEqual(loaded.warnings, []);
  assert.match(
    describeListeners(loaded)[0],
    /^coaps on .*: only devices with a key of \/k may connect .*access\.psk_file/,
  );
  assert.match(
    load('access: { psk_file: /k }\n').warnings.join('\n'),
    /no listener takes its keys: none is of type coaps/,
  );
});

test('a coaps listener with certificates: what belongs together is asked for', () => {
  const faults = (options: string, more = ''): string[] =>
    faultsOf(`listeners:\n  - { type: coaps, ${options} }\n${more}`).map((line) =>
      line.replace(/^2: coaps on \S+ /, ''),
    );
  const psk = 'access: { psk_file: /k }\n';
  assert.deepEqual(faults('cert_file: /c'), ['has no key: name its file in key_file']);
  assert.deepEqual(faults('ca_file: /a', psk), [
    'asks devices for certificates and has no key itself: name its files in cert_file and key_file',
  ]);
  const unknown = 'knows no CA of the certificates that it requires: name its file in ca_file';
  assert.deepEqual(faults('cert_file: /c, key_file: /k, require_certificate: true', psk), [unknown]);
  const unasked = 'asks devices for no certificate that could be revoked: name their CA in ca_file';
  assert.deepEqual(faults('cert_file: /c, key_file: /k, crl_file: /r'), [unasked]);
  assert.deepEqual(faults('crl_file: /r', psk), [unasked]);
  assert.match(
    faultsOf('listeners:\n  - { type: coaps+tcp, cert_file: /c, key_file: /k, require_certificate: true }\n')[0],
    /knows no CA of the certificates that it requires/,
  );
});

/** The one listener of this type with a certificate, and more. */
function certified(type: string, options: string, more = ''): { anonymous: boolean; line: string; warnings: string } {
  const text = `listeners:\n  - { type: ${type}, cert_file: /c, key_file: /k, ${options} }\n${more}`;
  const loaded = load(text);
  const [line] = describeListeners(loaded);
  return {
    anonymous: anonymousAllowed(loaded.config, loaded.config.listeners[0]),
    line: line.replaceAll(/\/\S+\.yaml/g, 'F'),
    warnings: loaded.warnings.join('\n'),
  };
}

for (const type of ['coaps', 'coaps+tcp']) {
  test(`${type} with a certificate and nothing else: who comes is anonymous, and on other addresses somebody has to say so`, () => {
    const local = certified(type, 'host: loopback');
    assert.ok(local.anonymous);
    assert.match(local.line, /: anyone on this machine may connect without a password \(/);
    const open = `listeners:\n  - { type: ${type}, host: 0.0.0.0, cert_file: /c, key_file: /k }\n`;
    const [fault, ...others] = faultsOf(open);
    assert.deepEqual(others, []);
    assert.match(
      fault,
      /no credentials are configured: .*access\.password_file.* in ca_file, or write allow_anonymous: true/,
    );
    const allowed = certified(type, 'host: 0.0.0.0', 'allow_anonymous: true\n');
    assert.ok(allowed.anonymous);
    assert.match(allowed.warnings, /anyone who reaches it may publish and subscribe without a password/);
    assert.match(
      certified(type, 'host: 0.0.0.0', 'access: { password_file: /p }\n').line,
      /: only users of \/p may connect \(/,
    );
  });

  test(`${type} with a CA of devices: they are users by their certificates, and nobody is anonymous unless allow_anonymous says so`, () => {
    const asked = certified(type, 'host: 0.0.0.0, ca_file: /a');
    assert.ok(!asked.anonymous);
    assert.match(
      asked.line,
      /: only devices with a certificate of \/a may connect \(listener: F:2; listeners\.0\.ca_file: F:2\)$/,
    );
    assert.ok(!certified(type, 'ca_file: /a').anonymous, 'nor on loopback');
    const both = certified(type, 'ca_file: /a', 'allow_anonymous: true\n');
    assert.ok(both.anonymous);
    assert.match(both.line, /without a password, devices with a certificate of \/a with theirs \(/);
    const required = certified(type, 'ca_file: /a, require_certificate: true', 'allow_anonymous: true\n');
    assert.ok(!required.anonymous, 'a certificate is required of everyone');
    assert.match(required.line, /: only devices with a certificate of \/a may connect \(/);
    const closed = certified(type, 'host: 0.0.0.0, ca_file: /a', 'allow_anonymous: false\n');
    assert.equal(closed.warnings, '');
  });
}

test('coaps with keys and a certificate: devices with keys are served, others as allow_anonymous says', () => {
  const psk = 'access: { psk_file: /k }\n';
  const both = certified('coaps', 'host: 0.0.0.0, ca_file: /a', psk);
  assert.ok(!both.anonymous);
  assert.match(both.line, /: only devices with a key of \/k and devices with a certificate of \/a may connect \(/);
  assert.match(both.line, /; access\.psk_file: F:3, listeners\.0\.ca_file: F:2\)$/);
  assert.ok(!certified('coaps', 'host: 0.0.0.0', psk).anonymous);
  assert.ok(certified('coaps', 'host: 0.0.0.0', `${psk}allow_anonymous: true\n`).anonymous);
});

test('coaps with a key and no certificate: devices with a public key are users; others as allow_anonymous says', () => {
  const keyed = (options: string, more: string): { anonymous: boolean; line: string; warnings: string } => {
    const loaded = load(`listeners:\n  - { type: coaps, key_file: /key, ${options} }\n${more}`);
    const [line] = describeListeners(loaded);
    return {
      anonymous: anonymousAllowed(loaded.config, loaded.config.listeners[0]),
      line: line.replaceAll(/\/\S+\.yaml/g, 'F'),
      warnings: loaded.warnings.join('\n'),
    };
  };
  const keys = 'access: { public_key_file: /k }\n';
  const known = keyed('host: 0.0.0.0', keys);
  assert.ok(!known.anonymous);
  assert.match(known.line, /: only devices with a public key of \/k may connect \(.*; access\.public_key_file: F:3\)$/);
  assert.equal(known.warnings, '');
  assert.ok(keyed('host: loopback', '').anonymous, 'a server that devices know by its key, and nobody else is known');
  assert.ok(keyed('host: 0.0.0.0', `${keys}allow_anonymous: true\n`).anonymous);
  const required = keyed('host: 0.0.0.0, require_certificate: true', `${keys}allow_anonymous: true\n`);
  assert.ok(!required.anonymous, 'a public key is required of everyone');
  assert.match(
    certified('coaps', 'ca_file: /a', keys).line,
    /with a public key of \/k and devices with a certificate of/,
  );
  const [fault, ...others] = faultsOf('listeners: [{ type: coaps, host: 0.0.0.0, key_file: /k }]\n');
  assert.deepEqual(others, []);
  assert.match(fault, /no credentials are configured: /);
  assert.match(
    faultsOf('listeners: [{ type: coaps, key_file: /k, require_certificate: true }]\n')[0],
    /knows no CA of the certificates that it requires/,
  );
  for (const listener of ['type: coap', 'type: coaps+tcp, cert_file: /c, key_file: /k']) {
    const { warnings } = load(`${keys}listeners: [{ ${listener} }]\n`);
    const sentence = 'access.public_key_file is set, and no listener of type coaps with a key_file takes its keys';
    assert.ok(warnings.includes(sentence));
  }
  // TLS of this runtime has no raw public keys.
  const tls = `${keys}listeners:\n  - { type: coaps+tcp, cert_file: /c, key_file: /k, require_certificate: true }\n`;
  assert.match(faultsOf(tls)[0], /knows no CA of the certificates that it requires/);
});

test('a coaps+tcp listener needs a certificate and a key', () => {
  assert.deepEqual(faultsOf('listeners:\n  - type: coaps+tcp\n'), [
    '2: coaps+tcp on loopback:5684 has no certificate: name its file in cert_file',
    '2: coaps+tcp on loopback:5684 has no key: name its file in key_file',
  ]);
  const both = 'listeners: [{ type: coaps+tcp, cert_file: /c, key_file: /k }]\n';
  assert.equal(portOf(load(both).config.listeners[0]), 5684);
  const users = load(`${both}access: { password_file: /p }\n`);
  assert.match(describeListeners(users)[0], /only users of \/p may connect/, 'a password over TLS is taken');
});

test('allow_anonymous of a listener is what it says, and the description names who says so', () => {
  const own = load(
    'listeners: [{ type: mqtt, host: 0.0.0.0, allow_anonymous: true }, { type: mqtt, port: 2, allow_anonymous: false }]\n',
  );
  const [open, closed] = own.config.listeners;
  assert.deepEqual(
    [open, closed].map((listener) => anonymousAllowed(own.config, listener)),
    [true, false],
  );
  assert.match(own.warnings.join('\n'), /mqtt on 0\.0\.0\.0:1883: anyone who reaches it may publish and subscribe/);
  const said = describeListeners(own);
  assert.match(
    said[0],
    /anyone who reaches it may connect without a password .*listeners\.0\.allow_anonymous: .*\.yaml:1/,
  );
  assert.match(said[1], /nobody may connect .*listeners\.1\.allow_anonymous: /);
});

test('an interface is loopback if all of its addresses are', () => {
  const { config } = load('listeners: [{ type: mqtt, interface: lo }]\n');
  assert.ok(isLoopback(config.listeners[0]));
  assert.ok(bindAddresses(config.listeners[0]).some(({ host }) => host === '127.0.0.1'));
  const [fault] = faultsOf('listeners: [{ type: mqtt, interface: none0 }]\n');
  assert.match(fault, /^1: mqtt on none0:1883 can be reached from other machines/);
});

test('options of listeners with values that cannot be', () => {
  const faultOf = (option: string): string => faultsOf(`listeners:\n  - type: websocket\n    ${option}\n`)[0];
  for (const prefix of ['a', 'a/#/', '+/', '$SYS/', '"a\\tb/"', '']) {
    assert.match(
      faultOf(`mount_point: ${prefix}`),
      /^3: listeners\.0\.mount_point (is|has) .* that ends with \/$/,
      prefix,
    );
  }
  assert.match(
    faultOf('protocol_versions: [3.1]'),
    /^3: listeners\.0\.protocol_versions\.0 is 3\.1; it must be one of 3, 4, 5/,
  );
  assert.match(faultOf('protocol_versions: []'), /a list of 3, 4 and 5$/);
  assert.match(faultOf('max_connections: 0'), /a whole number from 1 to 1000000$/);
  for (const origin of ['example.org', 'https://example.org/', 'https://a, https://b', '*']) {
    assert.match(faultOf(`origins: ["${origin}"]`), /^3: listeners\.0\.origins\.0 is /, origin);
  }
});

test('a Unix socket is of this machine only; its path belongs to one listener', () => {
  const loaded = load('listeners: [{ type: unix, path: /run/m.sock }]\n');
  const [listener] = loaded.config.listeners;
  assert.ok(isLoopback(listener) && anonymousAllowed(loaded.config, listener));
  assert.deepEqual(bindAddresses(listener), [{ host: '/run/m.sock', optional: false }]);
  assert.match(describeListeners(loaded)[0], /^unix on \/run\/m\.sock: anyone on this machine may connect/);
  assert.deepEqual(faultsOf('listeners:\n  - { type: unix, path: /m }\n  - { type: unix, path: /m }\n'), [
    '3: listeners.1 binds the path /m, as listeners.0 does: give one of them another path',
  ]);
  assert.deepEqual(faultsOf(`listeners:\n  - type: unix\n    path: ${'a'.repeat(108)}\n    mode: 660\n`), [
    `3: listeners.0.path is "${'a'.repeat(108)}"; it must be a path of at most 107 bytes`,
    '4: listeners.0.mode is 660; it must be three octal digits in quotes, such as "0660"',
  ]);
});

test('a port of UDP and one of TCP do not collide; two types of CoAP over UDP do', () => {
  const two = (first: string, second: string): string =>
    `access: { psk_file: /k }\nlisteners:\n  - { type: ${first}, port: 7 }\n  - { type: ${second}, port: 7 }\n`;
  assert.equal(load(two('coap', 'coap+tcp')).config.listeners.length, 2);
  assert.equal(load(two('coaps', 'coap+tcp')).config.listeners.length, 2);
  assert.match(
    faultsOf(two('coap', 'coaps'))[0],
    /^4: listeners\.1 binds udp 127\.0\.0\.1 port 7, as listeners\.0 does/,
  );
  assert.match(faultsOf(two('mqtt', 'coap+tcp'))[0], /binds tcp 127\.0\.0\.1 port 7/);
});

test('coap+tcp for other machines needs credentials, as coap does', () => {
  assert.match(faultsOf('listeners: [{ type: coap+tcp, host: 0.0.0.0 }]\n')[0], /access\.password_file/);
});

test('a mapping that converts has no Content-Format of its own', () => {
  assert.deepEqual(
    faultsOf('coap:\n  mappings: [{ path: /a, topic: a, convert: json-to-cbor, content_format: 50 }]\n'),
    [
      '2: coap.mappings.0.content_format is 50, but coap.mappings.0.convert is "json-to-cbor", which says what format payloads have: leave one of them out',
    ],
  );
});

test('paths of coap that would hide each other are refused with their line', () => {
  const hidden = 'which would hide all topics: give one of them another path';
  for (const [text, ...sentences] of [
    ['coap:\n  path: pubsub\n', `2: coap.path "pubsub" is inside of coap.pubsub_path "pubsub", ${hidden}`],
    ['coap:\n  path: pubsub/x\n', `2: coap.path "pubsub/x" is inside of coap.pubsub_path "pubsub", ${hidden}`],
    ['coap:\n  pubsub_path: ps\n', `2: coap.path "ps" is inside of coap.pubsub_path "ps", ${hidden}`],
    [
      'coap:\n  mappings:\n    - { path: /s/a, topic: a }\n    - { path: "/ps/{x}", topic: "{x}" }\n    - { path: /pubsub, topic: b }\n',
      '4: coap.mappings.1.path "/ps/{x}" is inside of coap.path "ps", where nobody would reach it: give it another path',
      '5: coap.mappings.2.path "/pubsub" is inside of coap.pubsub_path "pubsub", where nobody would reach it: give it another path',
    ],
  ]) {
    assert.deepEqual(faultsOf(text), sentences);
  }
  for (const [option, path, own] of [
    ['path', 'mqtt/connection', '/mqtt/connection'],
    ['path', 'rd/x', '/rd'],
    ['pubsub_path', '.well-known', '/.well-known'],
  ]) {
    assert.deepEqual(faultsOf(`coap:\n  ${option}: ${path}\n`), [
      `2: coap.${option} "${path}" is that of a resource of the broker, ${own}: choose another path`,
    ]);
  }
  for (const path of ['/rd', '/rd-lookup/ep', '/mqtt/connection', '/.well-known/x']) {
    const [sentence] = faultsOf(`coap:\n  mappings: [{ path: ${path}, topic: a }]\n`);
    assert.match(sentence, /^2: coap\.mappings\.0\.path is .*; it must be .* not that of a resource of the broker/);
  }
  for (const text of [
    'coap: { path: mqtt }\n',
    'coap: { mappings: [{ path: /rds, topic: a }] }\n',
    'coap: { path: pubsubs }\n',
    'coap: { pubsub_path: ps/pubsub }\n',
    'coap: { path: a/pubsub }\n',
  ]) {
    assert.ok(load(text).config.coap, text);
  }
});
