/** Faults of a configuration and of the files that it names: all of them in one run, in an order. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import { PorticoError } from '../../src/errors.js';
import { readSecurityFiles, withFileFaults } from '../../src/server/security-files.js';
import { temporaryFolder } from '../support/portico.js';

const folder = temporaryFolder();

test('faults of many files are told together, those of whole files first and in the order of their places', async () => {
  const place = mkdtempSync(join(folder, 'many'));
  const at = (name: string): string => join(place, name);
  writeFileSync(at('passwords'), 'ann:plain\nbob\n');
  writeFileSync(at('acl'), 'topc a\n');
  const config = at('portico.yaml');
  const lines = [
    'listeners:',
    `  - { type: mqtts, host: 127.0.0.1, port: 1, cert_file: ${at('c')}, key_file: ${at('k')}, ca_file: ${at('a')} }`,
    `  - { type: coaps, host: 127.0.0.1, port: 2, cert_file: ${at('c2')}, key_file: ${at('k2')} }`,
    'access:',
    `  psk_file: ${at('psk')}`,
    `  acl_file: ${at('acl')}`,
    `  password_file: ${at('passwords')}`,
    'coap:',
    '  observations:',
    '    - { uri: coap://192.0.2.1/a, topic: a/# }',
    '    - { uri: coap://192.0.2.1/b, topic: b/+ }',
  ];
  writeFileSync(config, lines.join('\n'));
  const none = 'cannot be read: there is none of that name';
  const told = await readSecurityFiles(loadConfig({ file: config, env: {} })).then(
    () => [],
    (error: PorticoError) => error.message.split('\n'),
  );
  assert.deepEqual(told, [
    `${config}:2: listeners.0.cert_file: ${at('c')}: the certificate file ${none}`,
    `${config}:2: listeners.0.key_file: ${at('k')}: the key file ${none}`,
    `${config}:2: listeners.0.ca_file: ${at('a')}: the file of CAs ${none}`,
    `${config}:3: listeners.1.cert_file: ${at('c2')}: the certificate file ${none}`,
    `${config}:3: listeners.1.key_file: ${at('k2')}: the key file ${none}`,
    `${config}:5: access.psk_file: ${at('psk')}: the PSK file ${none}`,
    `${config}:9: coap.observations: a/# is no topic to publish on`,
    `${config}:9: coap.observations: b/+ is no topic to publish on`,
    `${at('passwords')}:1: the password is not hashed; portico passwd -U FILE hashes it`,
    `${at('passwords')}:2: the line is not user:hash`,
    `${at('acl')}:1: the line begins with none of topic, pattern, user (did you mean topic?)`,
  ]);
});

/** Everything that `portico check` says of a file that has faults of its own. */
async function everything(config: string): Promise<string[]> {
  try {
    loadConfig({ file: config, env: {} });
  } catch (error) {
    const all = await withFileFaults(error);
    assert.ok(all instanceof PorticoError);
    return all.message.split('\n');
  }
  assert.fail('the configuration is right');
}

test('faults of the configuration do not hide those of the files that it names', async () => {
  const place = mkdtempSync(join(folder, 'both'));
  const config = join(place, 'portico.yaml');
  const lines = [
    'listeners:',
    '  - { type: mqttt, port: 1 }',
    `  - { type: mqtts, host: 127.0.0.1, prt: 2, cert_file: ${place}/c, key_file: ${place}/k }`,
    'access:',
    `  password_file: ${place}/p`,
    '  lockout_time: never',
    `  acl_flie: ${place}/a`,
    'coap:',
    '  commands:',
    '    - { filter: a }',
    '  max_payload: -1',
    'alow_anonymous: true',
  ];
  writeFileSync(config, lines.join('\n'));
  const told = await everything(config);
  const places = told.map((line) => line.slice(config.length + 1).replace(/^(\d+): (\S+).*$/, '$1 $2'));
  assert.deepEqual(places, [
    '2 listeners.0.type',
    '3 listeners.1.prt',
    '6 access.lockout_time',
    '7 access.acl_flie',
    '10 coap.commands.0.uri',
    '11 coap.max_payload',
    '12 alow_anonymous',
    '3 listeners.1.cert_file:',
    '3 listeners.1.key_file:',
    '5 access.password_file:',
  ]);
  for (const meant of ['mqtt?', 'listeners.1.port?', 'access.acl_file?', 'allow_anonymous?']) {
    assert.ok(
      told.some((line) => line.includes(`did you mean ${meant}`)),
      meant,
    );
  }
});

test('mosquitto.conf: faults of its lines, of files that it includes and of files that it names, all at once', async () => {
  const place = mkdtempSync(join(folder, 'conf'));
  mkdirSync(join(place, 'conf.d'));
  const config = join(place, 'mosquitto.conf');
  writeFileSync(join(place, 'acl'), 'topc a\n');
  writeFileSync(
    config,
    [
      'pasword_file /p',
      `password_file ${place}/p`,
      `include_dir ${place}/conf.d`,
      'listener 8883 127.0.0.1',
      `certfile ${place}/c`,
      `keyfile ${place}/k`,
      'max_qos 3',
    ].join('\n'),
  );
  writeFileSync(join(place, 'conf.d', 'a.conf'), `acl_file ${place}/acl\nmax_conections 1\n`);
  const told = await everything(config);
  assert.deepEqual(
    told.map((line) => line.replaceAll(`${place}/`, '')),
    [
      'mosquitto.conf:1: "pasword_file" is not an option of mosquitto.conf; did you mean password_file?',
      'conf.d/a.conf:2: "max_conections" is not an option of mosquitto.conf; did you mean max_connections?',
      'mosquitto.conf:7: max_qos is "3"; it must be a whole number from 0 to 2',
      'mosquitto.conf:2: access.password_file: p: the password file cannot be read: there is none of that name',
      'mosquitto.conf:5: listeners.0.cert_file: c: the certificate file cannot be read: there is none of that name',
      'mosquitto.conf:6: listeners.0.key_file: k: the key file cannot be read: there is none of that name',
      'acl:1: the line begins with none of topic, pattern, user (did you mean topic?)',
    ],
  );
});
