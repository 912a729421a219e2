/** What configurations of Mosquitto become, and that `portico migrate` keeps it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { migrate } from '../../../src/cli/migrate.js';
import { anonymousAllowed, howToOpen } from '../../../src/config/listeners.js';
import { loadConfig } from '../../../src/config/load.js';
import { hostOf, portOf } from '../configurations.js';
import { confWith, faults, load } from './conf.js';
import { ACCEPTED } from './real-world.js';

for (const { title, text, others = {}, without } of ACCEPTED) {
  test(`${title}: accepted, and what portico migrate writes is the same configuration`, () => {
    const file = confWith(text, others);
    const loaded = loadConfig({ file, env: {} });
    const effectless = loaded.warnings.flatMap(
      (line) => /:\d+: (\S+) is accepted without effect: /.exec(line)?.[1] ?? [],
    );
    assert.deepEqual(effectless, without);

    const migrated = migrate(file);
    const yaml = join(dirname(file), 'portico.yaml');
    writeFileSync(yaml, migrated);
    const ours = loadConfig({ file: yaml, env: {} });
    assert.deepEqual(ours.config, loaded.config);
    for (const [name, source] of loaded.sources) {
      const value = name.split('.').reduce<unknown>((at, key) => Reflect.get(at as object, key), ours.config);
      if (typeof value !== 'object')
        assert.ok(
          migrated.includes(` ${String(value)} # ${source}\n`) || migrated.includes(`"${String(value)}" # ${source}\n`),
          name,
        );
    }
  });
}

test('without listener the log says which line lets others in, with one it says nothing', () => {
  assert.match(
    howToOpen(load('persistence true\n')) ?? '',
    /a line "listener PORT" lets others in, with password_file or/,
  );
  assert.equal(howToOpen(load('listener 1884 127.0.0.1\n')), null);
});

test('without listener: loopback only, port 1883, and anyone on the machine', () => {
  const { config } = load('password_file @/p\n', { p: '' });
  assert.deepEqual(config.listeners, [{ type: 'mqtt', host: 'loopback', port: 1883 }]);
  assert.equal(anonymousAllowed(config, config.listeners[0]), true);
  assert.equal(load('allow_anonymous false\n').config.allow_anonymous, false);
});

test('with a listener nobody comes in without a password unless allow_anonymous says so', () => {
  for (const text of ['listener 1883\n', 'port 1883\n', 'bind_address 127.0.0.1\n']) {
    const { config, warnings } = load(text);
    assert.equal(anonymousAllowed(config, config.listeners[0]), false, text);
    assert.match(warnings.join('\n'), /no client can connect/);
  }
  assert.equal(load('listener 1883\nallow_anonymous true\n').config.allow_anonymous, true);
  assert.equal(
    load('allow_anonymous true\nlistener 1883\nlistener_allow_anonymous false\n').config.allow_anonymous,
    false,
  );
});

test('the defaults are those of Mosquitto 2.1', () => {
  const { config } = load('');
  const {
    max_inflight,
    receive_maximum,
    keepalive_max,
    max_packet_size,
    max_qos,
    topic_alias_maximum,
    topic_alias_maximum_out,
  } = config.mqtt;
  assert.deepEqual([max_inflight, receive_maximum, keepalive_max, max_packet_size], [20, 20, 0, 2_000_000]);
  assert.deepEqual([max_qos, topic_alias_maximum, topic_alias_maximum_out], [2, 10, 10]);
  assert.equal(config.limits.queued_messages, 1000);
  assert.equal(config.store.type, 'memory');
  assert.equal(config.sys.interval, 10);
  assert.equal(config.log.level, 'info');
});

test('listeners: type, address, family and port', () => {
  const { config } = load(`allow_anonymous true
listener 1 127.0.0.1 # here
listener 2 ::1
protocol websockets
listener 3
socket_domain ipv4
listener 4
socket_domain ipv6
listener 5 # everywhere
`);
  assert.deepEqual(
    config.listeners.map((listener) => [listener.type, hostOf(listener), portOf(listener)]).slice(0, 4),
    [
      ['mqtt', '127.0.0.1', 1],
      ['websocket', '::1', 2],
      ['mqtt', '0.0.0.0', 3],
      ['mqtt', '::', 4],
    ],
  );
  assert.ok(['::', '0.0.0.0'].includes(String(hostOf(config.listeners[4]))));
});

test('listener 0 with a path is a Unix socket', () => {
  const { config } = load('listener 0 /run/m.sock\nallow_anonymous true\n');
  assert.deepEqual(config.listeners, [{ type: 'unix', path: '/run/m.sock' }]);
});

test('enable_proxy_protocol: the version is that of the line, and everybody is trusted, with a warning', () => {
  const { config, warnings } = load(`allow_anonymous true
listener 1 127.0.0.1
enable_proxy_protocol 2
proxy_protocol_v2_require_tls true
listener 0 /run/m.sock
enable_proxy_protocol 1
`);
  assert.deepEqual(config.listeners, [
    {
      type: 'mqtt',
      host: '127.0.0.1',
      port: 1,
      proxy_protocol: 'v2',
      proxy_require_tls: true,
      trusted_proxies: ['0.0.0.0/0', '::/0'],
    },
    { type: 'unix', path: '/run/m.sock', proxy_protocol: 'v1' },
  ]);
  assert.match(warnings.join('\n'), /mosquitto\.conf:3: enable_proxy_protocol: whoever connects is believed/);
});

test('behind enable_proxy_protocol 2, certificates are those that the proxy has seen', () => {
  const behind = (lines: string) => `allow_anonymous true\nlistener 1 127.0.0.1\nenable_proxy_protocol 2\n${lines}`;
  const usual = { type: 'mqtt', host: '127.0.0.1', port: 1, proxy_protocol: 'v2' };
  const trusted_proxies = ['0.0.0.0/0', '::/0'];
  const both = load(behind('require_certificate true\nuse_identity_as_username true\n'));
  assert.deepEqual(both.config.listeners, [
    { ...usual, proxy_require_certificate: true, proxy_username_from: 'identity', trusted_proxies },
  ]);
  assert.match(both.warnings.join('\n'), /anyone who reaches it can say to be any user \(proxy_username_from\)/);
  const required = load(behind('require_certificate true\n')).config.listeners;
  assert.deepEqual(required, [{ ...usual, proxy_require_certificate: true, trusted_proxies }]);
  const idle = load(behind('use_identity_as_username true\nrequire_certificate false\n'));
  assert.deepEqual(idle.config.listeners, [{ ...usual, trusted_proxies }]);
  assert.match(
    idle.warnings.join('\n'),
    /mosquitto\.conf:4: use_identity_as_username has no effect behind a proxy without/,
  );
  assert.match(
    faults(behind('use_subject_as_username true\n'))[0],
    /^mosquitto\.conf:4: use_subject_as_username: a PROXY/,
  );
  const first = 'allow_anonymous true\nlistener 1\nenable_proxy_protocol 1\nrequire_certificate true\n';
  assert.match(faults(first)[0], /^mosquitto\.conf:4: .*in version 2 of the PROXY header only/);
});

test('enable_proxy_protocol beside certfile: the header stands before TLS', () => {
  const text = `allow_anonymous true
listener 1 127.0.0.1
enable_proxy_protocol 2
certfile /c
keyfile /k
require_certificate true
cafile /a
`;
  const [listener] = load(text).config.listeners;
  assert.ok(listener.type === 'mqtts');
  assert.equal(listener.proxy_protocol, 'v2');
  assert.equal(listener.require_certificate, true);
  assert.equal(listener.proxy_require_certificate, undefined);
});

test('what Portico has once for all listeners is refused where they differ, with the line', () => {
  const cases: [text: string, fault: RegExp][] = [
    ['listener 1\nlistener 2\nmax_topic_alias 5\n', /^mosquitto\.conf:3: max_topic_alias differs/],
  ];
  for (const [text, fault] of cases) assert.match(faults(text)[0], fault);
  assert.equal(load('listener 1\nlistener 2\nmax_qos 2\nmax_connections -1\n').config.mqtt.max_qos, 2);
});

test('passwords: of a plugin for one listener, and of a global plugin for all of them', () => {
  const plugin = '/usr/lib/mosquitto_password_file.so\nplugin_opt_password_file /p\n';
  const listeners = 'listener 1\nlistener 2\n';
  const { access } = load(`per_listener_settings true\n${listeners}global_plugin ${plugin}`).config;
  assert.equal(access.password_file, '/p');
  assert.equal(load(`plugin ${plugin}${listeners}`).config.access.password_file, '/p');
  assert.deepEqual(ownOf(`per_listener_settings true\n${listeners}plugin ${plugin}`), [{}, { password_file: '/p' }]);
});

test('access lists: of a line, of a plugin for one listener, and of a global plugin for all of them', () => {
  const plugin = '/usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file /a\n';
  const listeners = 'listener 1\nlistener 2\n';
  assert.equal(load('acl_file /a\n').config.access.acl_file, '/a');
  assert.equal(load(`acl_file /b\nacl_file a\n${listeners}`).config.access.acl_file, 'a');
  assert.equal(load(`plugin ${plugin}${listeners}`).config.access.acl_file, '/a');
  const { access } = load(`per_listener_settings true\n${listeners}global_plugin ${plugin}`).config;
  assert.equal(access.acl_file, '/a');
  const both = 'per_listener_settings true\nlistener 1\nacl_file /a\nlistener 2\nacl_file /a\n';
  assert.equal(load(both).config.access.acl_file, '/a');
});

/** What each listener has of its own; nothing may be left for all of them. */
function ownOf(text: string): unknown[] {
  const { access, listeners } = load(text).config;
  assert.deepEqual([access.password_file, access.acl_file, access.psk_file], [undefined, undefined, undefined]);
  return listeners.map((listener) => ('access' in listener ? listener.access : null));
}

test('where listeners have different files, or one has none, each has a section of its own with its lines', () => {
  const head = 'per_listener_settings true\n';
  assert.deepEqual(ownOf(`${head}listener 1\nacl_file a\nlistener 2\n`), [{ acl_file: 'a' }, {}]);
  const both = `${head}listener 1\nacl_file a\npassword_file p\nlistener 2\npassword_file p\nacl_file b\nlistener 0 /s\n`;
  assert.deepEqual(ownOf(both), [{ password_file: 'p', acl_file: 'a' }, { password_file: 'p', acl_file: 'b' }, {}]);
  const { sources } = load(both);
  assert.match(sources.get('listeners.1.access.acl_file') ?? '', /mosquitto\.conf:7$/);
  const global = 'global_plugin /usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file /g\n';
  const beside = `${head}listener 1\npassword_file p\nlistener 2\n${global}`;
  assert.deepEqual(ownOf(beside), [{ password_file: 'p', acl_file: '/g' }, { acl_file: '/g' }]);
});

test('an installation with TLS, access lists and a bridge: each line that cannot be is named, and no other', () => {
  const found = faults(`persistence true
acl_file /etc/mosquitto/acl

listener 8883
cafile /etc/mosquitto/ca_certificates/ca.crt
certfile /etc/mosquitto/certs/server.crt
keyfile /etc/mosquitto/certs/server.key
require_certificate true
use_identity_as_username true
tls_version tlsv1.2

connection cloud
address mqtt.example.org:8883
topic sensors/# out 1
bridge_cafile /etc/ssl/certs/ca-certificates.crt
remote_username home
`);
  assert.deepEqual(
    found.map((line) => line.split(/: | /).slice(0, 2)),
    [['mosquitto.conf:12', 'connection']],
  );
  for (const line of found) assert.match(line, /not supported yet; /);
});

test('max_connections is that of its listener, global_max_connections that of all', () => {
  const { listeners, limits } = load(`allow_anonymous true
listener 1 127.0.0.1
max_connections 9
listener 2 127.0.0.1
max_connections -1
global_max_connections 5
`).config;
  assert.deepEqual(listeners, [
    { type: 'mqtt', host: '127.0.0.1', port: 1, max_connections: 9 },
    { type: 'mqtt', host: '127.0.0.1', port: 2 },
  ]);
  assert.equal(limits.connections, 5);
});

test('what each listener has of its own', () => {
  const { listeners, allow_anonymous, mqtt } = load(`allow_anonymous true
auto_id_prefix all-
listener 1 127.0.0.1
listener_allow_anonymous false
mount_point hall/
use_username_as_clientid true
max_qos 1
accept_protocol_versions 5, 4
listener_auto_id_prefix hall-
listener 2
protocol websockets
websockets_origin https://example.org
websockets_origin http://localhost:8080
bind_interface lo
use_username_as_clientid false
accept_protocol_versions 3,4,5
listener 3
socket_domain ipv6
`).config;
  assert.deepEqual(
    listeners.map((listener) => ({ ...listener, host: undefined })),
    [
      {
        type: 'mqtt',
        host: undefined,
        port: 1,
        allow_anonymous: false,
        max_qos: 1,
        mount_point: 'hall/',
        use_username_as_clientid: true,
        protocol_versions: [4, 5],
        auto_id_prefix: 'hall-',
      },
      {
        type: 'websocket',
        host: undefined,
        port: 2,
        allow_anonymous: true,
        max_qos: 2,
        origins: ['https://example.org', 'http://localhost:8080'],
        interface: 'lo',
        auto_id_prefix: 'all-',
      },
      {
        type: 'mqtt',
        host: undefined,
        port: 3,
        allow_anonymous: true,
        max_qos: 2,
        ipv6_only: true,
        auto_id_prefix: 'all-',
      },
    ],
  );
  assert.deepEqual([allow_anonymous, mqtt.max_qos], [false, 2]);
  assert.equal(load('listener 1\nmax_qos 1\nlistener 2\nmax_qos 1\n').config.mqtt.max_qos, 1);
  assert.match(
    faults('listener 1\nmount_point hall\n')[0],
    /^mosquitto\.conf:2: mount_point is "hall"; write it with a \/ at/,
  );
  assert.match(
    faults('listener 1\nallow_anonymous true\nmount_point a/+/\n')[0],
    /^mosquitto\.conf:3: listeners\.0\.mount_point/,
  );
});

test('client identifiers: which are taken, of all listeners or of each', () => {
  const { listeners } = load(
    'clientid_prefixes a-\nallow_zero_length_clientid false\nlistener 1 ::1\nlistener 2 ::1\n',
  ).config;
  const terms = { client_id_prefix: 'a-', allow_empty_client_id: false };
  assert.deepEqual(listeners, [
    { type: 'mqtt', host: '::1', port: 1, ...terms },
    { type: 'mqtt', host: '::1', port: 2, ...terms },
  ]);
  assert.deepEqual(load('clientid_prefixes a-\n').config.listeners, [
    { type: 'mqtt', host: 'loopback', port: 1883, client_id_prefix: 'a-' },
  ]);
  const each = 'per_listener_settings true\nlistener 1 ::1\nallow_zero_length_clientid false\nlistener 2 ::1\n';
  assert.deepEqual(load(each).config.listeners, [
    { type: 'mqtt', host: '::1', port: 1, allow_empty_client_id: false },
    { type: 'mqtt', host: '::1', port: 2 },
  ]);
});

test('message_size_limit is limits.payload, queue_qos0_messages limits.queue_qos0', () => {
  const { limits } = load('message_size_limit 100\nqueue_qos0_messages true\n').config;
  assert.deepEqual([limits.payload, limits.queue_qos0], [100, true]);
  const unbounded = load('message_size_limit 0\n').config.limits;
  assert.deepEqual([unbounded.payload, unbounded.queue_qos0], [undefined, false]);
});

test('websockets_origin of a listener without WebSocket has no effect, as for Mosquitto, and is told', () => {
  const { warnings } = load('listener 1 127.0.0.1\nallow_anonymous true\nwebsockets_origin http://a\n');
  assert.match(warnings[0], /mosquitto\.conf:3: websockets_origin is accepted without effect: /);
});

test('an option before every listener opens one, as in Mosquitto 2.1, and that is told unless a line names its port', () => {
  const { config, warnings } = load('protocol mqtt\nlistener 1884 127.0.0.1\nallow_anonymous true\n');
  assert.deepEqual(config.listeners.map(portOf), [1883, 1884]);
  assert.match(
    warnings[0],
    /mosquitto\.conf:1: protocol opens a listener of its own on port 1883, as in Mosquitto 2\.1/,
  );
  for (const text of [
    'max_connections 5\nport 1885\n',
    'protocol mqtt\nbind_address 127.0.0.1\n',
    'listener 1\nprotocol mqtt\n',
  ])
    assert.deepEqual(
      load(text).warnings.filter((line) => line.includes('of its own')),
      [],
    );
});

test('options of a default listener that is not opened are told', () => {
  const { warnings } = load('protocol websockets\n');
  assert.match(warnings[0], /mosquitto\.conf:1: protocol has no effect without a listener/);
});

test('log_type: the most talkative line holds', () => {
  assert.equal(load('log_type error\n').config.log.level, 'error');
  assert.equal(load('log_type none\n').config.log.level, 'error');
  assert.equal(load('log_type warning\nlog_type error\n').config.log.level, 'warn');
  assert.equal(load('log_type all\nlog_type error\n').config.log.level, 'debug');
});

test('a refused option with a value that asks for nothing is accepted without a word', () => {
  const text = 'listener 1\nrequire_certificate false\nuse_username_as_clientid false\nqueue_qos0_messages false\n';
  const { warnings } = load(
    `${text}allow_anonymous true\nallow_zero_length_clientid true\nauto_id_prefix auto-\nmax_inflight_bytes 0\n`,
  );
  assert.deepEqual(
    warnings.filter((line) => line.includes('mosquitto.conf')),
    [],
  );
});

test('what Mosquitto has kept is told of as long as there is a file of it, and no store of Portico beside it', () => {
  const kept = 'persistence true\npersistence_location @/lib/\n';
  const command =
    /^@\/mosquitto\.conf:1: persistence: @\/lib\/(\S+) has .* "portico import mosquitto-db @\/lib\/\S+ -c @\/mosquitto\.conf"/;
  const toldOf = (text: string, others: Readonly<Record<string, string>>): string | undefined => {
    const file = confWith(text, others);
    const lines = loadConfig({ file, env: {} }).warnings.map((line) => line.replaceAll(dirname(file), '@'));
    return lines.flatMap((line) => command.exec(line)?.[1] ?? [])[0];
  };
  assert.equal(toldOf(kept, { 'lib/mosquitto.db': '' }), 'mosquitto.db');
  assert.equal(toldOf(`${kept}persistence_file other.db\n`, { 'lib/other.db': '' }), 'other.db');
  assert.equal(toldOf(kept, {}), undefined);
  assert.equal(toldOf(kept, { 'lib/mosquitto.db': '', 'lib/portico/store/CURRENT': '' }), undefined);
  assert.equal(toldOf('persistence_location @/lib/\n', { 'lib/mosquitto.db': '' }), undefined);
});
