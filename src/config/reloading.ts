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
const WATCHED =
  'what is in the file is taken as soon as it changes, and at a reload at the latest, for handshakes that begin from then on; connections go on with what they have';
const WATCHED_CA =
  'as `cert_file`. At a reload devices that have shown a certificate are sent away if the CAs, or the lists of revoked certificates, are others than at the last one, and come back with a good one';
const HANDSHAKE = 'for handshakes';
const BOUND = 'it is settled when the address is bound, which is done at the start only';
const OWN =
  'its files are read again also if their names are the same, as those of `access`. Clients whose user is gone, or has another password hash, by the files that hold for the listener then, are sent away, as are those that came by SCRAM where a section comes or goes, or has no such file any more';
const SOCKET = 'the file of the socket is made at the start only';
const AGAIN = 'the file is read again also if its name is the same';
const DEVICE = 'The first keys or CAs for registered devices need a restart';

const PROXY = 'from or to a `proxy_protocol` that is unset, all that is said of proxies needs a restart';
const LISTENERS = 'for listeners of type `coaps`; sockets that ask devices keep what they have';
const LIFETIME = 'it makes EXCHANGE_LIFETIME, by which everything of a device is kept';
/** Types of listeners of MQTT. */
const MQTT = ['mqtt', 'mqtts', 'websocket', 'wss', 'unix'] as const;
/** Options of a listener that make sense together only. */
const PROXIES = /^proxy_|^trusted_proxies$/;

const TOKEN = 'clients that are connected keep what their token has said of them';
const WATCHED_FILE = 'what is in the file is taken as soon as it changes, and at a reload at the latest';
const TOKEN_FILE = `${WATCHED_FILE}; ${TOKEN}`;

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
    'the file is read again also if its name is the same. Associations, and clients of `mqtts` and `wss`, whose key is gone or another one end',
  ],
  'access.psk_hint': 'new',
  'access.public_key_file': [
    'at once',
    'the file is read again also if its name is the same. Associations whose key is gone or another one end',
  ],
  'access.password_cache': ['at once', 'what is known already is known for no longer than that'],
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
    'answers that were known are forgotten, at each reload and with new files. Clients that it has let in are sent away if nobody is asked any more',
  ],
  ...Object.fromEntries(
    ['ca_file', 'token_file'].map((name): [string, Row] => [`access.http_${name}`, ['new', WATCHED_FILE]]),
  ),
  ...Object.fromEntries(
    ['timeout', 'concurrency', 'queue', 'cache', 'denied_cache'].map((name): [string, Row] => [
      `access.http_${name}`,
      'new',
    ]),
  ),
  'access.lockout_failures': ['at once', 'failures count on; bans stay'],
  'access.lockout_address_failures': ['at once', 'failures count on; bans stay'],
  'access.lockout_window': ['at once', 'also for windows that have begun'],
  'access.lockout_time': ['at once', 'bans there are last as long, from when they began'],
  'access.lockout_loopback': ['at once', 'with `false`, bans of addresses of this machine hold no more'],
  'limits.lockout_entries': ['at once', 'those that are too many are forgotten, the oldest first'],
  'limits.traces': ['at once', 'those that are too many go on'],
  'limits.password_queue': ['at once', 'those that are too many go on waiting'],
  data_dir: ['restart', 'the store is open there'],
  user: ['restart', 'who has given up being root cannot become anybody else'],
  'store.type': ['restart', 'what is kept would have to move from one store to the other'],
  'store.sync': ['restart', 'acknowledgements that wait were promised by what there was'],
  'store.sync_interval': ['restart', 'as `store.sync`'],
  'store.unwritten_bytes': ['restart', 'the load of the store is measured against it from the start on'],
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
  'limits.queue_qos0': ['at once', 'for messages that come'],
  'limits.payload': 'at once',
  'limits.queue_age': ['at once', 'for messages that come; those that wait have their time'],
  'limits.memory': ['at once', 'what is kept already stays'],
  'limits.queue_memory': 'at once',
  'limits.output_buffer': 'at once',
  'limits.stalled_timeout': 'at once',
  'limits.retained_messages': ['at once', 'those that are too many stay'],
  'limits.retained_payload': ['at once', 'those that are larger stay'],
  'limits.retained_bytes': ['at once', 'those that are too many stay'],
  ...Object.fromEntries(
    ['ca', 'crl', 'cert', 'key'].map((kind): [string, Row] => [
      `coap.device_${kind}_file`,
      ['new', `${WATCHED}. ${DEVICE}`],
    ]),
  ),
  ...coapRows(['device_psk_file', 'device_public_key_file'], ['new', `${AGAIN}. ${DEVICE}`]),
  'sys.interval': ['at once', '0 publishes no more; what is retained stays'],
  'log.level': 'at once',
  'log.format': ['restart', 'whoever reads the log has begun with one form'],
  ...coapRows(['path', 'mappings', 'insecure_password'], ['at once', 'for requests that come; observations go on']),
  ...coapRows(
    ['notification', 'waiting_notifications', 'session_expiry'],
    ['at once', 'observations go on as they have begun'],
  ),
  ...coapRows(
    ['listed', 'tell_publisher', 'heartbeat', 'acknowledge_after', 'notification_interval', 'observer_check'],
    'at once',
  ),
  ...coapRows(
    ['max_payload', 'block_size'],
    ['at once', 'for what comes to listeners and goes from them; not for devices that are asked'],
  ),
  ...coapRows(
    [
      ...['observers', 'observers_per_client', 'exchanges', 'exchanges_per_client', 'connections'],
      ...['separate_responses', 'separate_responses_per_client'],
      ...['request_bodies', 'request_bytes', 'response_bodies', 'response_bytes'],
      ...['registrations', 'registrations_per_device', 'registration_bytes', 'registration_links'],
      ...['pubsub_topics'],
    ],
    ['at once', 'those that are too many stay'],
  ),
  ...coapRows(
    ['registration_lifetime_min', 'registration_lifetime_max'],
    ['new', 'also for registrations that are renewed'],
  ),
  ...coapRows(['pubsub_publications_per_second'], 'at once'),
  ...coapRows(
    ['dtls_associations', 'dtls_handshakes', 'dtls_handshakes_per_second', 'dtls_host_handshakes_per_second'],
    ['at once', LISTENERS],
  ),
  ...coapRows(['dtls_idle_time', 'dtls_records'], ['at once', LISTENERS]),
  ...coapRows(['dtls_handshake_time', 'dtls_identity', 'dtls_handshake_datagram'], ['new', LISTENERS]),
  ...coapRows(['tcp_connections'], ['at once', 'those that are too many stay']),
  ...coapRows(['tcp_idle_time', 'tcp_message', 'tcp_unfinished', 'tcp_output'], 'at once'),
  ...coapRows(['tcp_open_time'], 'new'),
  ...coapRows(['profile', 'ack_timeout', 'ack_random_factor', 'max_retransmit', 'max_latency'], ['restart', LIFETIME]),
  ...coapRows(['echo', 'clients', 'deduplication_bytes'], ['restart', 'its memory is made when the address is bound']),
  ...coapRows(['commands', 'observations'], ['restart', 'their sockets and subscriptions are made at the start only']),
  ...coapRows(['commands_in_flight', 'commands_per_device'], ['restart', 'they belong to those sockets']),
  ...coapRows(
    ['devices_topic', 'device_timeout', 'device_observations', 'device_observations_per_device', 'lookup_observers'],
    ['restart', 'the topics of registered devices are made with it'],
  ),
  ...coapRows(['pubsub_path', 'pubsub_content_format'], ['restart', 'links that were given out say it']),
  'listeners.*': ['restart', 'addresses are bound at the start only'],
  ...rowsOf(['mqtts', 'wss'], ['cert_file', 'key_file', 'ca_file', 'ca_path', 'crl_file'], ['new', WATCHED]),
  ...rowsOf(['coaps', 'coaps+tcp'], ['cert_file', 'key_file'], ['new', WATCHED]),
  ...rowsOf(['coaps', 'coaps+tcp'], ['ca_file', 'crl_file'], ['new', WATCHED_CA]),
  ...rowsOf(
    ['mqtts', 'wss', 'coaps', 'coaps+tcp'],
    ['require_certificate', 'psk_hint'],
    ['new', `${HANDSHAKE}; clients without user name are sent away where they may not connect any more`],
  ),
  ...rowsOf(
    ['mqtts', 'wss'],
    ['username_from', 'min_tls_version', 'max_tls_version', 'ciphers', 'ciphersuites'],
    ['new', HANDSHAKE],
  ),
  ...rowsOf(MQTT, ['allow_anonymous'], ['at once', 'clients without user name are sent away if they may not connect']),
  ...rowsOf(['http'], ['allow_anonymous'], 'at once'),
  ...rowsOf(MQTT, ['access'], ['at once', OWN]),
  ...rowsOf(MQTT, ['max_connections'], ['at once', 'those that are too many stay']),
  ...rowsOf(MQTT, ['max_qos'], ['new', TOLD]),
  ...rowsOf(MQTT, ['protocol_versions', 'use_username_as_clientid', 'auto_id_prefix'], 'new'),
  ...rowsOf(MQTT, ['allow_empty_client_id', 'client_id_prefix'], 'new'),
  ...rowsOf(
    MQTT,
    ['mount_point'],
    [
      'new',
      'subscriptions of sessions that are kept stay where they were made; what is outside of the new one is not delivered',
    ],
  ),
  ...rowsOf(['websocket', 'wss'], ['path', 'origins'], 'new'),
  ...rowsOf(MQTT, ['interface', 'ipv6_only'], ['restart', BOUND]),
  ...rowsOf(['unix'], ['mode', 'group'], ['restart', SOCKET]),
  ...rowsOf([...MQTT, 'http'], ['trusted_proxies'], ['new', PROXY]),
  ...rowsOf(
    MQTT,
    ['proxy_protocol', 'proxy_require_tls', 'proxy_require_certificate', 'proxy_username_from'],
    ['new', PROXY],
  ),
};

function coapRows(names: readonly string[], row: Row): Record<string, Row> {
  return Object.fromEntries(names.map((name): [string, Row] => [`coap.${name}`, row]));
}

/** Rows of options of listeners, of those of the types that have them. */
function rowsOf(types: readonly string[], names: readonly string[], row: Row): Record<string, Row> {
  const entries = types.flatMap((type) =>
    names
      .filter((name) => child(listenerSchemas.get(type)?.shape, name) !== undefined)
      .map((name): [string, Row] => [`listeners.${type}.${name}`, row]),
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

/** When a change of an option of a listener takes effect. */
function whenAt(name: string, running: ListenerConfig, next: ListenerConfig): When {
  // Whether connections begin with a header is settled when the listener opens.
  const hasDoor = [running, next].map((one) => child(one, 'proxy_protocol') !== undefined);
  if (PROXIES.test(name) && hasDoor[0] !== hasDoor[1]) return 'restart';
  return whenOf(`listeners.${running.type}.${name}`);
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

function changeOf(option: string, when: When, before: unknown, now: unknown): Change[] {
  if (isDeepStrictEqual(before, now)) return [];
  const words = [shown(option, before), shown(option, now)] as const;
  const silent = words.includes('');
  return [{ option, when, before: silent ? '' : words[0], now: silent ? '' : words[1] }];
}

/** Whether two listeners are at the same place. */
function isSamePlace(one: ListenerConfig, other: ListenerConfig): boolean {
  const placeOf = ({ type, ...more }: ListenerConfig) => [
    type,
    child(more, 'host'),
    child(more, 'port'),
    // It stands in the place of the host.
    child(more, 'interface'),
    // That of other types is of the URL.
    type === 'unix' ? child(more, 'path') : undefined,
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
    else changes.push(...changeOf(name, whenOf(name), path.reduce(child, running), path.reduce(child, next)));
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
      changeOf(`listeners.${i}.${name}`, whenAt(name, listener, other), child(listener, name), child(other, name)),
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
    const taken = Object.entries(other).filter(([name]) => whenAt(name, listener, other) !== 'restart');
    const kept = Object.entries(listener).filter(([name]) => whenAt(name, listener, other) === 'restart');
    return Object.fromEntries([...kept, ...taken]) as ListenerConfig;
  });
  return config;
}
