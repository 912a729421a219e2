import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { generate } from '../../src/cli/generate.js';
import { loadConfig } from '../../src/config/load.js';
import { listenerSchemas, options } from '../../src/config/options.js';
import { checkout } from '../support/checkout.js';
import { load } from './configurations.js';

for (const [path, text] of generate()) {
  test(`${path} is what its source says; otherwise: npm run build && node dist/src/cli/generate.js`, () => {
    assert.equal(readFileSync(join(checkout, path), 'utf8'), text);
  });
}

test('the shipped configuration as it is means the built-in defaults', () => {
  const { config, sources } = loadConfig({ file: join(checkout, 'config', 'portico.yaml'), env: {} });
  assert.deepEqual(config, loadConfig({ env: {} }).config);
  assert.deepEqual(
    [...sources.keys()].filter((name) => options.some((option) => option.name === name)),
    [],
  );
});

test('every line of the shipped configuration, taken out of its comment, is valid and is the default', () => {
  const shipped = readFileSync(join(checkout, 'config', 'portico.yaml'), 'utf8');
  const text = shipped.replaceAll(/^( *)#(?=\S| {2})/gm, '$1');
  const written = parse(text);
  const { config } = load(text);
  for (const { name, path, defaultValue, doc } of options) {
    const value: unknown = path.reduce((inner, key) => inner?.[key], written);
    assert.deepEqual(value, defaultValue ?? doc.example, name);
  }
  // Options without default have an example there.
  const unset = {
    coap: {
      ack_timeout: undefined,
      device_psk_file: undefined,
      device_ca_file: undefined,
      device_crl_file: undefined,
      device_public_key_file: undefined,
      device_cert_file: undefined,
      device_key_file: undefined,
      ack_random_factor: undefined,
      max_retransmit: undefined,
      max_latency: undefined,
      acknowledge_after: undefined,
      notification_interval: undefined,
      pubsub_publications_per_second: undefined,
    },
    mqtt: {
      session_expiry_max: undefined,
      session_expiry_default: undefined,
      response_information: undefined,
      server_reference: undefined,
    },
    limits: {
      memory: undefined,
      payload: undefined,
      retained_payload: undefined,
      connections_per_address: undefined,
      connects_per_second: undefined,
      messages_per_second: undefined,
      bytes_per_second: undefined,
    },
  };
  const { allow_anonymous: _, access: __, user: ___, mqtt, limits, coap, ...rest } = config;
  const defaults = loadConfig({ env: {} }).config;
  assert.deepEqual(
    {
      ...rest,
      mqtt: { ...mqtt, ...unset.mqtt },
      limits: { ...limits, ...unset.limits },
      coap: { ...coap, ...unset.coap },
    },
    {
      ...without(defaults, ['allow_anonymous', 'access']),
      mqtt: { ...defaults.mqtt, ...unset.mqtt },
      limits: { ...defaults.limits, ...unset.limits },
      coap: { ...defaults.coap, ...unset.coap },
    },
  );
});

function without(value: object, keys: readonly string[]): object {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));
}

test('every option has words, a version, a variable of its own, and a default or an example', () => {
  assert.ok(options.length > 35, `${options.length} options`);
  assert.equal(new Set(options.map(({ variable }) => variable)).size, options.length);
  for (const { name, doc, type, defaultValue } of options) {
    assert.match(doc.doc, /^[A-Z`].*\.$/, name);
    assert.match(doc.since, /^\d+\.\d+\.\d+$/, name);
    assert.notEqual(type, '', name);
    assert.ok(defaultValue !== undefined || doc.example !== undefined, name);
    if (defaultValue === undefined) assert.match(doc.doc, /Unset: /, `${name} says what unset means`);
  }
  assert.deepEqual(
    [...listenerSchemas.keys()],
    ['mqtt', 'mqtts', 'websocket', 'wss', 'unix', 'coap', 'coaps', 'coap+tcp', 'coaps+tcp', 'http'],
  );
});

test('every option is in the reference with its variable', () => {
  const reference = generate().get('docs/options.md') ?? '';
  for (const { name, variable } of options) {
    assert.ok(reference.includes(`\`${name}\``), name);
    assert.ok(reference.includes(`\`${variable}\``), variable);
  }
});

test('every default can be written as its variable', () => {
  const env = Object.fromEntries(
    options
      .filter(({ defaultValue }) => defaultValue !== undefined)
      .map(({ variable, defaultValue }) => [
        variable,
        typeof defaultValue === 'object' ? JSON.stringify(defaultValue) : String(defaultValue),
      ]),
  );
  assert.deepEqual(loadConfig({ env }).config, loadConfig({ env: {} }).config);
});
