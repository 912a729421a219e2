/** TLS of mosquitto.conf. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListenerConfig } from '../../../src/config/schema.js';
import { faults, load } from './conf.js';

const CERTIFICATE = 'certfile /c\nkeyfile /k\n';
/** What is so unless something is said. */
const USUAL = {
  require_certificate: false,
  username_from: 'connect',
  min_tls_version: 'tlsv1.2',
  max_tls_version: 'tlsv1.3',
};

function listenerOf(text: string): ListenerConfig {
  const { config } = load(`listener 8883 127.0.0.1\n${text}allow_anonymous true\n`);
  return config.listeners[0];
}

test('a certificate makes a listener of TLS, of WebSocket too', () => {
  const own = { host: '127.0.0.1', port: 8883, cert_file: '/c', key_file: '/k', ...USUAL };
  assert.deepEqual(listenerOf(CERTIFICATE), { type: 'mqtts', ...own });
  assert.deepEqual(listenerOf(`${CERTIFICATE}protocol websockets\n`), { type: 'wss', ...own });
  assert.equal(listenerOf('cafile /a\n').type, 'mqtt', 'Mosquitto speaks no TLS then, either');
});

test('versions and cipher suites', () => {
  const options = `${CERTIFICATE}tls_version tlsv1.3\nciphers HIGH:!aNULL\nciphers_tls1.3 TLS_AES_128_GCM_SHA256\n`;
  const listener = listenerOf(options);
  assert.ok(listener.type === 'mqtts');
  const { min_tls_version: lowest, ciphers, ciphersuites } = listener;
  assert.deepEqual([lowest, ciphers, ciphersuites], ['tlsv1.3', 'HIGH:!aNULL', 'TLS_AES_128_GCM_SHA256']);
  const { config, warnings } = load(`listener 1 127.0.0.1\n${CERTIFICATE}tls_version tlsv1.1\nallow_anonymous true\n`);
  assert.ok(config.listeners[0].type === 'mqtts' && config.listeners[0].min_tls_version === 'tlsv1.2');
  assert.match(warnings[0], /mosquitto\.conf:4: tls_version tlsv1\.1: no version below TLS 1\.2 is spoken$/);
  assert.match(
    faults(`listener 1\n${CERTIFICATE}tls_version sslv3\n`)[0],
    /^mosquitto\.conf:4: tls_version is "sslv3"; it must be one of/,
  );
});

test('certificates of clients are asked for where they are required, and nowhere else', () => {
  const theirs = 'cafile /a\ncapath /p\ncrlfile /r\n';
  const own = { type: 'mqtts', host: '127.0.0.1', port: 8883, cert_file: '/c', key_file: '/k', ...USUAL };
  const asked = { ca_file: '/a', ca_path: '/p', crl_file: '/r', require_certificate: true };
  for (const [options, more] of [
    [theirs, {}],
    [`${theirs}require_certificate false\nuse_identity_as_username false\n`, {}],
    [`${theirs}require_certificate true\n`, asked],
    [`${theirs}require_certificate true\nuse_identity_as_username true\n`, { ...asked, username_from: 'identity' }],
    [`${theirs}require_certificate true\nuse_subject_as_username true\n`, { ...asked, username_from: 'subject' }],
    // Mosquitto lets nobody in without a certificate then.
    [`${theirs}use_identity_as_username true\n`, { ...asked, username_from: 'identity' }],
  ] as const) {
    assert.deepEqual(listenerOf(CERTIFICATE + options), { ...own, ...more }, options);
  }
});

test('a hint makes a listener of pre-shared keys', () => {
  const text = 'psk_file /keys\nlistener 8884 127.0.0.1\npsk_hint here\nuse_identity_as_username true\n';
  const { config } = load(`${text}allow_anonymous true\n`);
  const own = { type: 'mqtts', host: '127.0.0.1', port: 8884, psk_hint: 'here' };
  assert.deepEqual(config.listeners, [{ ...own, ...USUAL, username_from: 'identity' }]);
  assert.equal(config.access.psk_file, '/keys');
  const [listener] = load('psk_file /k\nlistener 1 127.0.0.1\npsk_hint h\nallow_anonymous true\n').config.listeners;
  assert.ok(listener.type === 'mqtts' && listener.username_from === 'connect');
});

test('with per_listener_settings, a file of keys is that of the listeners that take keys', () => {
  const text = 'per_listener_settings true\nlistener 1 127.0.0.1\nallow_anonymous true\n';
  const keyed = (port: number, file: string): string =>
    `listener ${port} 127.0.0.1\nallow_anonymous true\npsk_hint h\npsk_file ${file}\n`;
  assert.equal(load(`${text}${keyed(2, '/k')}`).config.access.psk_file, '/k');
  const { config } = load(`${text}${keyed(2, '/k')}${keyed(3, '/other')}`);
  const own = config.listeners.map((listener) => ('access' in listener ? listener.access : null));
  assert.deepEqual(own, [{}, { psk_file: '/k' }, { psk_file: '/other' }]);
  assert.equal(config.access.psk_file, undefined);
});

test('what is missing is told with the line of its listener', () => {
  assert.deepEqual(faults('listener 1 127.0.0.1\nallow_anonymous true\ncertfile /c\n'), [
    'mosquitto.conf:1: mqtts on 127.0.0.1:1 has no key: name its file in key_file',
  ]);
  assert.deepEqual(faults(`listener 1 127.0.0.1\nallow_anonymous true\n${CERTIFICATE}require_certificate true\n`), [
    'mosquitto.conf:5: mqtts on 127.0.0.1:1 knows no CA of the certificates that it requires: name its file in ca_file',
  ]);
  assert.match(
    faults('listener 1 127.0.0.1\nallow_anonymous true\npsk_hint h\n')[0],
    /^mosquitto\.conf:3: .*knows no pre-shared keys: name their file in access\.psk_file$/,
  );
  assert.match(
    faults(`listener 1\n${CERTIFICATE}tls_engine x\n`)[0],
    /^mosquitto\.conf:4: tls_engine: not supported yet/,
  );
});
