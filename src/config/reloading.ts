/**
 * What a reload makes of each option: the table, what has changed between two configurations, and which of it is in force then.
 * docs/reload.md is made from the table.
 */
import { isDeepStrictEqual } from 'node:util';
import { child, listenerSchemas, options } from './options.js';
import type { Config, ListenerConfig } from './schema.js';

/** `new`: for connections, sessions and handshakes that begin from then on. */
export type When = 'at once' | 'new' | 'restart';

/** When an option takes effect, and what that means for whoever is connected. */
type Row = When | readonly [When, string];

const TOLD = 'clients that are connected keep the value that they came with, which CONNACK has told them';
const CERTIFICATE = 'the file is read again also if its name is the same; connections go on with what they have';
const CA = 'devices that have shown a certificate are sent away if the CAs have changed, and come back with a good one';
const WATCHED =
  'what is in the file is taken as soon as it changes, and at a reload at the latest, for handshakes that begin from then on';
const DEVICE =
  'the file is read again also if its name is the same. The first keys or CAs for registered devices need a restart';

const TOKEN = 'clients that are connected keep what their token has said of them';
const TOKEN_FILE = `the file is read again also if its name is the same; ${TOKEN}`;

/** The options; listeners have one row for each option of each type. */
export const RELOADING: Readonly<Record<string, Row>> = {
  allow_anonymous: ['at once', 'clients without user name are sent away where they may not connect any more'],
  'access.password_file': [
    'at once',
    'the file is read again also if its name is the same. Clients whose user is gone, or has another password hash, are sent away',
  ],
  'access.scram_file': ['new', 'the file is read again also if its name is the same; who has authenticated stays'],
  'access.acl_file': [
    'at once',
    'the file is read again also if its name is the same: publications, deliveries of the subscriptions there are, and wills',
  ],
  'access.acl': ['at once', 'as `access.acl_file`'],
  'access.check_retain_source': ['at once', 'retained messages stay, delivered or not'],
  'access.psk_file': [
    'at once',
    'the file is read again also if its name is the same. Associations whose key is gone or another one end; clients of `mqtts` and `wss` stay',
  ],
  'access.psk_hint': 'new',
  'access.public_key_file': ['new', 'the file is read again also if its name is the same; associations go on'],
  'access.password_cache': 'restart',
  ...Object.fromEntries(
    ['secret_file', 'jwks_file', 'jwks_ca_file'].map((name): [string, Row] => [
      `access.jwt_${name}`,
      ['new', TOKEN_FILE],
    ]),
  ),
  ...Object.fromEntries(
    [
      [
        'jwks_url',
        'the keys that were fetched are forgotten. Clients that came with a token are sent away if none is taken any more',
      ],
      ...['jwks_timeout', 'jwks_cache', 'algorithms', 'issuer', 'audience', 'username_claim', 'match_username'].map(
        (name) => [name, ''],
      ),
      ...['claims', 'groups_claim', 'leeway', 'require_expiry', 'disconnect_after_expiry'].map((name) => [name, TOKEN]),
    ].map(([name, words]): [string, Row] => [`access.jwt_${name}`, ['new', words]]),
  ),
  'access.http_url': [
    'new',
    'answers that were known are forgotten, at each reload. Clients that it has let in are sent away if nobody is asked any more',
  ],
  ...Object.fromEntries(
    ['ca_file', 'token_file'].map((name): [string, Row] => [
      `access.http_${name}`,
      ['new', 'the file is read again also if its name is the same'],
    ]),
  ),
  ...Object.fromEntries(
    ['timeout', 'concurrency', 'queue', 'cache', 'denied_cache'].map((name): [string, Row] => [
      `access.http_${name}`,
      'new',
    ]),
  ),
  'access.lockout_failures': 'restart',
  'access.lockout_address_failures': 'restart',
  'access.lockout_window': 'restart',
  'access.lockout_time': 'restart',
  'access.lockout_loopback': 'restart',
  'limits.lockout_entries': 'restart',
  'limits.password_queue': 'restart',
  data_dir: 'restart',
  'store.type': 'restart',
  'store.sync': 'restart',
  'store.sync_interval': 'restart',
  'store.unwritten_bytes': 'restart',
  'mqtt.max_packet_size': ['new', TOLD],
  'mqtt.keepalive_max': ['new', TOLD],
  'mqtt.connect_timeout': 'at once',
  'mqtt.max_client_id_length': 'new',
  'mqtt.max_topic_levels': ['at once', 'for topics that come; subscriptions and retained messages stay'],
  'mqtt.max_topic_length': ['at once', 'for topics that come; subscriptions and retained messages stay'],
  'mqtt.max_connect_size': 'new',
  'mqtt.session_expiry_max': ['new', 'a session that is kept has a new bound when its client connects'],
  'mqtt.session_expiry_default': ['new', 'a session that is kept has a new time when its client connects'],
  'mqtt.receive_maximum': ['new', TOLD],
  'mqtt.max_inflight': 'new',
  'mqtt.max_qos': ['new', TOLD],
  'mqtt.retain_available': ['new', TOLD],
  'mqtt.wildcard_subscriptions': ['new', `${TOLD}; subscriptions stay`],
  'mqtt.subscription_identifiers': ['new', `${TOLD}; subscriptions stay`],
  'mqtt.shared_subscriptions': ['new', `${TOLD}; subscriptions stay`],
  'mqtt.shared_strategy': 'at once',
  'mqtt.topic_alias_maximum': ['new', TOLD],
  'mqtt.topic_alias_maximum_out': 'new',
  'mqtt.validate_payload_format': 'at once',
  'mqtt.response_information': ['new', TOLD],
  'mqtt.server_reference': 'at once',
  'mqtt.draining': [
    'at once',
    'all clients are sent away; `no` lets them in again, also after SIGUSR2 if it was another word before',
  ],
  'limits.connections': ['at once', 'those that are too many stay'],
  'limits.connections_per_address': [
    'at once',
    'those that are too many stay; if it was unset, connections count from then on',
  ],
  'limits.connects_per_second': 'at once',
  'limits.pending_connections': 'at once',
  'limits.messages_per_second': 'new',
  'limits.bytes_per_second': 'new',
  'limits.sessions': ['at once', 'those that are too many stay'],
  'limits.subscriptions_per_client': [
    'at once',
    'those that are too many stay; how many one packet may have is settled at CONNECT',
  ],
  'limits.queued_messages': ['at once', 'what waits already stays'],
  'limits.queued_bytes': ['at once', 'what waits already stays'],
  'limits.queue_full': 'at once',
  'limits.queue_age': ['at once', 'for messages that come; those that wait have their time'],
  'limits.memory': ['at once', 'what is kept already stays'],
  'limits.queue_memory': 'at once',
  'limits.output_buffer': 'at once',
  'limits.stalled_timeout': 'at once',
  'limits.retained_messages': ['at once', 'those that are too many stay'],
  'limits.retained_payload': ['at once', 'those that are larger stay'],
  'limits.retained_bytes': ['at once', 'those that are too many stay'],
  ...Object.fromEntries(
    ['psk', 'public_key', 'ca', 'crl', 'cert', 'key'].map((kind): [string, Row] => [
      `coap.device_${kind}_file`,
      ['new', DEVICE],
    ]),
  ),
  'sys.interval': ['at once', '0 publishes no more; what is retained stays'],
  'log.level': 'at once',
  'log.format': 'restart',
  // What they say is looked at when a listener opens.
  'coap.*': 'restart',
  'listeners.*': 'restart',
  ...Object.fromEntries(
    ['mqtts', 'wss'].flatMap((type) =>
      ['cert_file', 'key_file', 'ca_file', 'ca_path', 'crl_file'].map((name): [string, Row] => [
        `listeners.${type}.${name}`,
        ['restart', WATCHED],
      ]),
    ),
  ),
  ...rowsOf(['coaps', 'coaps+tcp'], {
    cert_file: CERTIFICATE,
    key_file: CERTIFICATE,
    ca_file: CA,
    require_certificate: '',
  }),
};

/** Rows of options of listeners that take effect for new connections. */
function rowsOf(types: readonly string[], words: Readonly<Record<string, string>>): Record<string, Row> {
  const entries = types.flatMap((type) =>
    Object.entries(words).map(([name, said]): [string, Row] => [`listeners.${type}.${name}`, ['new', said]]),
  );
  return Object.fromEntries(entries);
}

/** The row of an option, or that of all options of its section; undefined if nobody has decided. */
function rowOf(name: string): Row | undefined {
  for (const key of [name, `${name.split('.')[0]}.*`]) if (Object.hasOwn(RELOADING, key)) return RELOADING[key];
  return undefined;
}

/** Whether somebody has decided about an option. */
export function isDecided(name: string): boolean {
  return rowOf(name) !== undefined;
}

/** When a change of an option takes effect. @param name dotted path; of a listener's option `listeners.TYPE.NAME` */
export function whenOf(name: string): When {
  const row = rowOf(name) ?? 'restart';
  return typeof row === 'string' ? row : row[0];
}

/** What it means for whoever is connected; empty if there is nothing to say. */
export function wordsOf(name: string): string {
  const row = rowOf(name) ?? '';
  return typeof row === 'string' ? '' : row[1];
}

/** When a change of what is in a file takes effect. @param name the option that names the file, as for `whenOf` */
export function whenContentOf(name: string): When {
  return wordsOf(name) === WATCHED ? 'new' : whenOf(name);
}

/** A change of one option. */
export interface Change {
  /** Dotted path, such as `limits.connections` and `listeners.0.cert_file`. */
  readonly option: string;
  readonly when: When;
  /** What it was and is, in words; both empty for what has no short words, or is a secret. */
  readonly before: string;
  readonly now: string;
}

/** Options whose values are never shown. */
const SECRET = /(password|secret|token|passphrase|pin)$/;

/** A value in words. Lists may have anything in them, also passwords in URIs. */
function shown(option: string, value: unknown): string {
  if (value === undefined) return 'unset';
  if (SECRET.test(option) || typeof value === 'object') return '';
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function changeOf(option: string, name: string, before: unknown, now: unknown): Change[] {
  if (isDeepStrictEqual(before, now)) return [];
  const words = [shown(option, before), shown(option, now)] as const;
  const silent = words.includes('');
  return [{ option, when: whenOf(name), before: silent ? '' : words[0], now: silent ? '' : words[1] }];
}

/** Whether two listeners are at the same place. */
function isSamePlace(one: ListenerConfig, other: ListenerConfig): boolean {
  const placeOf = ({ type, ...more }: ListenerConfig) => [
    type,
    child(more, 'host'),
    child(more, 'port'),
    child(more, 'path'),
  ];
  return isDeepStrictEqual(placeOf(one), placeOf(other));
}

/** For each listener that runs, the one in another configuration that is at its place; undefined where there is none. */
export function counterparts(running: Config, next: Config): (ListenerConfig | undefined)[] {
  const left = [...next.listeners];
  return running.listeners.map((listener) => {
    const at = left.findIndex((other) => isSamePlace(listener, other));
    return at < 0 ? undefined : left.splice(at, 1)[0];
  });
}

/** What differs between the configuration that is in force and another one, in the order of the schema. */
export function changesBetween(running: Config, next: Config): Change[] {
  const changes: Change[] = [];
  for (const { path, name } of options) {
    if (name === 'listeners') changes.push(...listenerChanges(running, next));
    else changes.push(...changeOf(name, name, path.reduce(child, running), path.reduce(child, next)));
  }
  return changes;
}

function listenerChanges(running: Config, next: Config): Change[] {
  const found = counterparts(running, next);
  const changes = running.listeners.flatMap((listener, i): Change[] => {
    const other = found[i];
    if (other === undefined) return [];
    const names = Object.keys(listenerSchemas.get(listener.type)?.shape ?? {});
    return names.flatMap((name) =>
      changeOf(
        `listeners.${i}.${name}`,
        `listeners.${listener.type}.${name}`,
        child(listener, name),
        child(other, name),
      ),
    );
  });
  const isGone = found.includes(undefined) || next.listeners.length > running.listeners.length;
  // In the list as a whole there is nothing that could be said in a word.
  if (isGone) changes.unshift({ option: 'listeners', when: 'restart', before: '', now: '' });
  return changes;
}

/** What is in force after a reload: the new values, but where they need a restart. */
export function inForce(running: Config, next: Config): Config {
  const config = structuredClone(next);
  for (const { path, name } of options) {
    if (name === 'listeners' || whenOf(name) !== 'restart') continue;
    const last = path[path.length - 1];
    const parent = path.slice(0, -1).reduce<unknown>(child, config);
    if (typeof parent !== 'object' || parent === null) continue;
    const value = path.reduce<unknown>(child, running);
    if (value === undefined) Reflect.deleteProperty(parent, last);
    else Reflect.set(parent, last, value);
  }
  const found = counterparts(running, next);
  config.listeners = running.listeners.map((listener, i) => {
    const other = found[i];
    if (other === undefined) return listener;
    const taken = Object.entries(other).filter(([name]) => whenOf(`listeners.${listener.type}.${name}`) !== 'restart');
    const kept = Object.entries(listener).filter(
      ([name]) => whenOf(`listeners.${listener.type}.${name}`) === 'restart',
    );
    return Object.fromEntries([...kept, ...taken]) as ListenerConfig;
  });
  return config;
}
