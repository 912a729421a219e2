/** The table of what a reload makes of each option. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listenerSchemas, options } from '../../src/config/options.js';
import { changesBetween, counterparts, inForce, isDecided, RELOADING, whenOf } from '../../src/config/reloading.js';
import { type Config, configSchema } from '../../src/config/schema.js';

const names = options.filter(({ name }) => name !== 'listeners').map(({ name }) => name);
const listenerNames = [...listenerSchemas].flatMap(([type, { shape }]) =>
  Object.keys(shape).map((name) => `listeners.${type}.${name}`),
);

const config = (raw: object): Config => configSchema.parse(raw);
const lines = (before: object, now: object): string[] =>
  changesBetween(config(before), config(now)).map((one) => `${one.option} ${one.before}>${one.now} ${one.when}`);

test('every option says when it takes effect, and there is no row without an option', () => {
  for (const name of [...names, ...listenerNames]) assert.ok(isDecided(name), `${name} has no row in RELOADING`);
  for (const name of Object.keys(RELOADING)) {
    const exists = name.endsWith('.*') || names.includes(name) || listenerNames.includes(name);
    assert.ok(exists, `${name} is no option`);
  }
  assert.equal(whenOf('something.new'), 'restart');
});

test('a change is told with its old and new value, in the order of the schema; lists and secrets without', () => {
  assert.deepEqual(lines({}, {}), []);
  assert.deepEqual(
    lines({ limits: { connections: 5 } }, { log: { level: 'warn' }, access: { acl: '/a' }, allow_anonymous: true }),
    [
      'allow_anonymous unset>true at once',
      'access.acl unset>"/a" at once',
      'limits.connections 5>100000 at once',
      'log.level "info">"warn" at once',
    ],
  );
  assert.deepEqual(lines({ store: { sync: 'never' } }, { mqtt: { max_qos: 1 } }), [
    'store.sync "never">"always" restart',
    'mqtt.max_qos 2>1 new',
  ]);
  const commands = [{ filter: 'a', uri: 'coap://127.0.0.1/?token=geheim' }];
  assert.deepEqual(lines({}, { coap: { commands } }), ['coap.commands > restart']);
});

test('listeners: keys and certificates of the one at the same place are new, everything else needs a restart', () => {
  const tls = { type: 'coaps', host: '127.0.0.1', port: 1, cert_file: 'a', key_file: 'b' };
  const mqtt = { type: 'mqtt', host: '127.0.0.1', port: 2 };
  const before = config({ listeners: [mqtt, tls] });
  const now = config({
    listeners: [
      { ...tls, cert_file: 'c', require_certificate: true },
      { ...mqtt, port: 3 },
    ],
  });
  assert.deepEqual(
    changesBetween(before, now).map(({ option, when }) => `${option} ${when}`),
    ['listeners restart', 'listeners.1.cert_file new', 'listeners.1.require_certificate new'],
  );
  assert.deepEqual(counterparts(before, now), [undefined, now.listeners[0]]);
  assert.deepEqual(inForce(before, now).listeners, [before.listeners[0], now.listeners[0]]);
  // Of listeners that cannot be told apart each has its own.
  const twice = config({
    listeners: [
      { ...mqtt, port: 0 },
      { ...mqtt, port: 0 },
    ],
  });
  assert.deepEqual(changesBetween(twice, config({ listeners: [{ ...mqtt, port: 0 }] })).length, 1);
});

test('what is in force after a reload is the new value, but where that needs a restart', () => {
  const before = config({ data_dir: 'a', coap: { ack_timeout: 3 }, limits: { memory: 2 ** 21 } });
  const now = config({ data_dir: 'b', store: { sync: 'never' }, coap: { device_psk_file: 'k' }, mqtt: { max_qos: 0 } });
  const { data_dir, store, coap, mqtt, limits } = inForce(before, now);
  assert.deepEqual([data_dir, store.sync, coap.ack_timeout, coap.device_psk_file], ['a', 'always', 3, 'k']);
  assert.deepEqual([mqtt.max_qos, limits.memory], [0, undefined]);
  // It is told again until the broker is started again.
  assert.equal(
    changesBetween(inForce(before, now), now).every(({ when }) => when === 'restart'),
    true,
  );
  assert.deepEqual(
    changesBetween(inForce(before, now), before).map(({ option }) => option),
    ['mqtt.max_qos', 'limits.memory', 'coap.device_psk_file'],
  );
});

test('listeners: what is said of proxies holds together: from or to none it needs a restart, and stays as it was until then', () => {
  const place = { type: 'mqtt', host: '127.0.0.1', port: 2 };
  const proxied = { ...place, proxy_protocol: 'v1', trusted_proxies: ['192.0.2.1'], proxy_require_tls: false };
  const of = (listener: object) => config({ listeners: [listener] });
  const whens = (before: object, now: object): string[] =>
    changesBetween(of(before), of(now)).map(({ option, when }) => `${option} ${when}`);
  assert.deepEqual(whens({ ...proxied, max_qos: 1 }, { ...place, max_qos: 2 }).toSorted(), [
    'listeners.0.max_qos new',
    'listeners.0.proxy_protocol restart',
    'listeners.0.proxy_require_tls restart',
    'listeners.0.trusted_proxies restart',
  ]);
  const kept = inForce(of({ ...proxied, max_qos: 1 }), of({ ...place, max_qos: 2 })).listeners[0];
  assert.deepEqual(kept, of({ ...proxied, max_qos: 2 }).listeners[0]);
  const other = { ...proxied, proxy_protocol: 'v2', trusted_proxies: ['192.0.2.2'] };
  assert.deepEqual(whens(proxied, other).toSorted(), [
    'listeners.0.proxy_protocol new',
    'listeners.0.trusted_proxies new',
  ]);
  assert.deepEqual(inForce(of(proxied), of(other)).listeners, of(other).listeners);
});

test('every option that needs a restart says why', () => {
  for (const [name, row] of Object.entries(RELOADING)) {
    if (whenOf(name) === 'restart') assert.ok(Array.isArray(row) && row[1] !== '', `${name} gives no reason`);
  }
});
