/** Every option of Mosquitto 2.1.2, one after another: what becomes of it is told with file and line. */
import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../../src/config/load.js';
import type { Row } from '../../../src/config/mosquitto/row.js';
import { rowOf } from '../../../src/config/mosquitto/table.js';
import { confWith, faults } from './conf.js';
import { OPTION_NAMES } from './option-names.js';

const LISTENER = 'listener 1 127.0.0.1\nallow_anonymous true\n';
const SECURE = `${LISTENER}certfile /c\nkeyfile /k\n`;
const ASKING = `${SECURE}cafile /a\nrequire_certificate true\n`;
const PLUGIN = 'plugin /x/mosquitto_password_file.so\nplugin_opt_password_file /p\n';

/** What has to stand before an option, where that is not a listener, and a value, where that of its kind will not do. */
const SPECIAL: Readonly<Record<string, { before?: string; value?: string }>> = {
  accept_protocol_versions: { value: '4,5' },
  allow_zero_length_clientid: { value: 'false' },
  auth_plugin: { value: '/x/mosquitto_persist_sqlite.so' },
  'auth_opt_*': { before: PLUGIN },
  bind_address: { before: 'allow_anonymous true\n', value: '127.0.0.1' },
  bind_interface: { value: 'lo' },
  cafile: { before: ASKING },
  capath: { before: ASKING },
  certfile: { before: `${LISTENER}keyfile /k\n` },
  ciphers: { before: SECURE },
  'ciphers_tls1.3': { before: SECURE, value: 'TLS_AES_128_GCM_SHA256' },
  connection: { value: 'a' },
  crlfile: { before: ASKING },
  global_plugin: { value: '/x/mosquitto_persist_sqlite.so' },
  include_dir: { value: '@/d' },
  keyfile: { before: `${LISTENER}certfile /c\n` },
  listener: { before: 'allow_anonymous true\n', value: '1 127.0.0.1' },
  log_dest: { value: 'syslog' },
  max_packet_size: { value: '500' },
  max_queued_bytes: { value: '2000' },
  memory_limit: { value: '2000000' },
  mount_point: { value: 'a/' },
  persistent_client_expiration: { value: '2w' },
  plugin: { value: '/x/mosquitto_persist_sqlite.so' },
  'plugin_opt_*': { before: PLUGIN },
  port: { before: 'allow_anonymous true\n', value: '1' },
  psk_file: { before: `${LISTENER}psk_hint h\n` },
  psk_hint: { before: `psk_file /p\n${LISTENER}` },
  proxy_protocol_v2_require_tls: { before: `${LISTENER}enable_proxy_protocol 2\n` },
  require_certificate: { before: `${SECURE}cafile /a\n` },
  tls_keyform: { value: 'engine' },
  tls_version: { before: SECURE },
  use_identity_as_username: { before: `${SECURE}cafile /a\n` },
  use_subject_as_username: { before: `${SECURE}cafile /a\n` },
  per_listener_settings: { before: '\n' },
  user: { value: 'root' },
  websockets_origin: { before: `${LISTENER}protocol websockets\n`, value: 'http://localhost' },
};

/** Honoured, but no option of ours has the line for its source. */
const WITHOUT_TRACE = new Set(['include_dir', 'per_listener_settings', 'socket_domain']);

/** A value that asks for something. */
function askingValue({ kind, idle = [] }: Row): string {
  switch (kind.type) {
    case 'boolean':
      return String(!idle.includes(true));
    case 'integer':
      return String(Math.max(1, kind.min));
    case 'word':
      return kind.words[0];
    case 'size':
      return '1';
    case 'duration':
      return '1d';
    default:
      return 'x';
  }
}

for (const name of OPTION_NAMES) {
  const row = rowOf(name) ?? assert.fail(name);
  const { before = row.scope === 'plugin' ? PLUGIN : LISTENER, value = askingValue(row) } = SPECIAL[name] ?? {};
  const bridge = row.scope === 'bridge' ? 'connection a\n' : '';
  const text = `${before}${bridge}${name.replace('*', 'x')} ${value}\n`;
  const line = text.split('\n').length - 1;
  const others = { 'd/a.conf': 'sys_interval 5\n' };
  const fate = row.scope === 'bridge' ? 'refused with its bridge' : row.fate;

  test(`${name} is ${fate}, with its line`, () => {
    if (row.fate === 'refused') {
      // The lines of a bridge are one thing.
      const [at, who] = bridge === '' ? [line, name] : [line - 1, 'connection'];
      const found = faults(text, others);
      assert.equal(found.length, 1, found.join('\n'));
      assert.ok(found[0].startsWith(`mosquitto.conf:${at}: ${who}`), found[0]);
      assert.match(found[0], /not supported yet; \w+|: use |let a |publish with |the bundled ones /);
      return;
    }
    const file = confWith(text, others);
    const { sources, warnings } = loadConfig({ file, env: {} });
    if (row.fate === 'ignored') {
      const told = warnings.filter((one) => one.startsWith(`${dirname(file)}/mosquitto.conf:${line}: ${name} `));
      assert.equal(told.length, 1, warnings.join('\n'));
      return;
    }
    const traced = [...sources.values()].some((source) => source.endsWith(`mosquitto.conf:${line}`));
    const told = warnings.some((one) => one.includes(`mosquitto.conf:${line}: `));
    assert.ok(traced || told || WITHOUT_TRACE.has(name), [...sources].join('\n'));
  });
}
