/** What options of mosquitto.conf become that stand behind a listener: fields of its entry of `listeners`. */
import type { Fault } from '../source.js';
import type { Said } from './draft.js';
import type { Entry, Listener, Reader } from './reader.js';
import { isSecure } from './tls.js';

/** Fields whose value is that of an option as it is. */
const SAME: Readonly<Record<string, string>> = {
  mount_point: 'mount_point',
  use_username_as_clientid: 'use_username_as_clientid',
};

/** What listeners do not have in common, so that each gets its own. */
export interface Apart {
  readonly anonymous: boolean;
  readonly qos: boolean;
  readonly files: boolean;
}

/** Files that say who clients are and what they may do. */
const FILES = ['password_file', 'acl_file', 'psk_file'] as const;
type FileName = (typeof FILES)[number];

/**
 * The file of a listener, or of the whole broker: with `per_listener_settings` that of a global plugin. Keys are only of use for a
 * listener that takes them.
 */
function fileOf(reader: Reader, { values }: Listener, name: FileName): Entry | undefined {
  if (name === 'psk_file' && !values.has('psk_hint')) return undefined;
  return values.get(name) ?? reader.values.get(name);
}

/** Whether the listeners have different files, or one has none; of keys, those that take them. */
export function haveOwnFiles(reader: Reader, listeners: readonly Listener[]): boolean {
  return FILES.some((name) => {
    const concerned = listeners.filter(({ values }) => name !== 'psk_file' || values.has('psk_hint'));
    return new Set(concerned.map((listener) => fileOf(reader, listener, name)?.value)).size > 1;
  });
}

/** Its own section of files. */
function filesOf(reader: Reader, listener: Listener): Record<string, Said> {
  const said: Record<string, Said> = { access: { value: {}, place: listener.place } };
  for (const name of FILES) {
    const entry = fileOf(reader, listener, name);
    if (entry !== undefined) said[`access.${name}`] = entry;
  }
  return said;
}

/** Whether the listeners have different values of an option. */
export function differ(entries: readonly (Entry | undefined)[], usual: Entry['value']): boolean {
  return new Set(entries.map((entry) => entry?.value ?? usual)).size > 1;
}

/** The `allow_anonymous` of a listener, or of the whole file. */
export function anonymousOf(reader: Reader, { values }: Listener): Entry | undefined {
  return values.get('allow_anonymous') ?? reader.values.get('allow_anonymous');
}

/** The fields of one listener, besides type and address. */
export function fieldsOf(reader: Reader, listener: Listener, apart: Apart): Record<string, Said> {
  const { values, place } = listener;
  const said: Record<string, Said> = { ...proxyOf(reader, listener), ...certificatesOf(reader, listener) };
  for (const [name, field] of Object.entries(SAME)) {
    const entry = values.get(name);
    if (entry !== undefined && entry.value !== false) said[field] = entry;
  }
  Object.assign(said, identifiersOf(reader, listener));
  const most = values.get('max_connections');
  if (most !== undefined && Number(most.value) > 0) said.max_connections = most;
  const versions = values.get('accept_protocol_versions');
  if (versions !== undefined) said.protocol_versions = { ...versions, value: numbersIn(versions) };
  const origins = values.get('websockets_origin');
  if (origins !== undefined && values.get('protocol')?.value === 'websockets') {
    said.origins = { ...origins, value: String(origins.value).split('\n') };
  } else if (origins !== undefined) {
    reader.warnings.push(
      `${origins.place.where}: websockets_origin is accepted without effect: the listener speaks no WebSocket`,
    );
  }
  if (apart.anonymous) said.allow_anonymous = anonymousOf(reader, listener) ?? { value: false, place };
  if (apart.files) Object.assign(said, filesOf(reader, listener));
  if (apart.qos) said.max_qos = values.get('max_qos') ?? { value: 2, place };
  if (listener.port.value !== 0) Object.assign(said, bindingOf(listener));
  const mount = values.get('mount_point');
  if (mount !== undefined && !String(mount.value).endsWith('/')) {
    const fault: Fault = {
      ...mount.place,
      sentence: `mount_point is ${JSON.stringify(mount.value)}; write it with a / at its end: without one a filter # would match nothing`,
    };
    reader.faults.push(fault);
  }
  return said;
}

/** What is asked of client identifiers, and what those that are generated begin with. */
export function identifiersOf(reader: Reader, listener: Listener | undefined): Record<string, Said> {
  const said: Record<string, Said> = {};
  const prefix = prefixOf(reader, listener);
  if (prefix !== undefined) said.auto_id_prefix = prefix;
  const required = reader.values.get('clientid_prefixes');
  if (required !== undefined) said.client_id_prefix = required;
  const name = 'allow_zero_length_clientid';
  const empty = listener?.values.get(name) ?? reader.values.get(name);
  if (empty?.value === false) said.allow_empty_client_id = empty;
  return said;
}

function prefixOf(reader: Reader, listener: Listener | undefined): Said | undefined {
  const own = listener?.values.get('listener_auto_id_prefix') ?? listener?.values.get('auto_id_prefix');
  const entry = own ?? reader.values.get('auto_id_prefix');
  return entry?.value === 'auto-' ? undefined : entry;
}

function numbersIn({ value }: Entry): number[] {
  return [...new Set(String(value).split(',').map(Number))].toSorted();
}

function bindingOf({ host, values }: Listener): Record<string, Said> {
  const said: Record<string, Said> = {};
  const device = values.get('bind_interface');
  if (device !== undefined) said.interface = device;
  const domain = values.get('socket_domain');
  if (domain?.value === 'ipv6' && host === undefined) said.ipv6_only = { value: true, place: domain.place };
  return said;
}

/** What a listener behind a proxy has. Mosquitto believes whoever connects. */
function proxyOf({ warnings }: Reader, { port, values }: Listener): Record<string, Said> {
  const version = values.get('enable_proxy_protocol');
  const required = values.get('proxy_protocol_v2_require_tls');
  const said: Record<string, Said> = {};
  if (version !== undefined) {
    said.proxy_protocol = { value: `v${String(version.value)}`, place: version.place };
    if (port.value !== 0) {
      said.trusted_proxies = { value: ['0.0.0.0/0', '::/0'], place: version.place };
      warnings.push(
        `${version.place.where}: enable_proxy_protocol: whoever connects is believed, as by Mosquitto; after portico migrate ` +
          'trusted_proxies can name the proxies',
      );
    }
  }
  if (required?.value === true) said.proxy_require_tls = required;
  return said;
}

/** What the PROXY header of a listener without TLS has to say of certificates. */
function certificatesOf({ faults, warnings }: Reader, listener: Listener): Record<string, Said> {
  const { values } = listener;
  if (!values.has('enable_proxy_protocol') || isSecure(listener)) return {};
  const [required, identity, subject] = [
    'require_certificate',
    'use_identity_as_username',
    'use_subject_as_username',
  ].map((name) => (values.get(name)?.value === true ? values.get(name) : undefined));
  if (subject !== undefined) {
    const sentence =
      'use_subject_as_username: a PROXY header has the common name alone: write use_identity_as_username';
    faults.push({ ...subject.place, sentence });
  }
  if (required === undefined) {
    if (identity !== undefined) {
      warnings.push(
        `${identity.place.where}: use_identity_as_username has no effect behind a proxy without require_certificate, as in Mosquitto`,
      );
    }
    return {};
  }
  const said: Record<string, Said> = { proxy_require_certificate: required };
  if (identity !== undefined) said.proxy_username_from = { value: 'identity', place: identity.place };
  return said;
}
