/** Turns what a mosquitto.conf says into our own options, with Mosquitto's defaults where it says nothing. */
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import type { Fault, Place } from '../source.js';
import { Draft, MOSQUITTO_DEFAULT } from './draft.js';
import { type Apart, anonymousOf, differ, fieldsOf, haveOwnFiles, identifiersOf } from './listener-fields.js';
import { ACL_PLUGIN, type Entry, type Listener, type Reader } from './reader.js';
import type { Row } from './row.js';
import { groups } from './table.js';
import { isSecure, tlsOf } from './tls.js';

/** What the log says for each `log_type`; the one that says most counts. */
const LEVELS: Readonly<Record<string, string>> = {
  all: 'debug',
  debug: 'debug',
  internal: 'debug',
  information: 'info',
  notice: 'info',
  subscribe: 'info',
  unsubscribe: 'info',
  websockets: 'info',
  warning: 'warn',
};
const TALKATIVE = ['error', 'warn', 'info', 'debug'];

/** Fills a draft; what cannot be expressed goes to the faults of the reader. */
export function translate(reader: Reader): Draft {
  const draft = new Draft();
  const listeners = reader.localOnly ? [] : reader.listeners;
  if (reader.localOnly) warnOfUnused(reader);
  else warnOfImplied(reader);
  setListeners(draft, reader, listeners);
  setAnonymous(draft, reader, listeners);
  setQos(draft, reader, listeners);
  setFiles(draft, reader, listeners);
  setStore(draft, reader);
  for (const { rows } of groups) {
    for (const row of rows)
      if (row.to !== undefined && row.fate === 'honoured') setPlain(draft, reader, row, listeners);
  }
  return draft;
}

function fault(reader: Reader, place: Place, sentence: string): void {
  const entry: Fault = { ...place, sentence };
  reader.faults.push(entry);
}

/** Options that made a default listener, which Mosquitto does not open as long as no line names a listener. */
function warnOfUnused({ listeners, warnings }: Reader): void {
  for (const { values } of listeners) {
    for (const [name, { place }] of values) {
      warnings.push(`${place.where}: ${name} has no effect without a listener; write it behind a line "listener PORT"`);
    }
  }
}

/** Options in front of every listener make one of their own, which nobody may have meant. */
function warnOfImplied({ listeners, warnings }: Reader): void {
  for (const { impliedBy, place, port } of listeners) {
    if (impliedBy === undefined) continue;
    const opens = `opens a listener of its own on port ${port.value}, as in Mosquitto 2.1, for it stands before every "listener"`;
    warnings.push(`${place.where}: ${impliedBy} ${opens}; write it behind the one that it is for, or take it out`);
  }
}

// --- listeners ------------------------------------------------------------------------------------------------------

/** Every address of this machine: with IPv6, `::` is those of IPv4 too. */
function everywhere(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  return addresses.some(({ family }) => family === 'IPv6') ? '::' : '0.0.0.0';
}

function hostOf(listener: Listener): Entry {
  const { host, place, values } = listener;
  if (host !== undefined) return host;
  const domain = values.get('socket_domain');
  if (domain !== undefined) return { value: domain.value === 'ipv6' ? '::' : '0.0.0.0', place: domain.place };
  return { value: everywhere(), place };
}

/** Whether all listeners have the same files, `allow_anonymous` and `max_qos`; then those of the whole broker say it. */
function apartOf(reader: Reader, listeners: readonly Listener[]): Apart {
  return {
    anonymous: differ(
      listeners.map((listener) => anonymousOf(reader, listener)),
      false,
    ),
    qos: differ(
      listeners.map(({ values }) => values.get('max_qos')),
      2,
    ),
    files: haveOwnFiles(reader, listeners),
  };
}

function setListeners(draft: Draft, reader: Reader, listeners: readonly Listener[]): void {
  const place = MOSQUITTO_DEFAULT;
  if (reader.localOnly) {
    const usual = { type: { value: 'mqtt', place }, host: { value: 'loopback', place }, port: { value: 1883, place } };
    draft.setListeners([{ ...usual, ...identifiersOf(reader, undefined) }]);
    return;
  }
  const apart = apartOf(reader, listeners);
  draft.setListeners(
    listeners.map((listener) => {
      const protocol = listener.values.get('protocol');
      if (listener.port.value === 0 && listener.host !== undefined) {
        if (protocol?.value === 'websockets') {
          fault(reader, protocol.place, 'protocol websockets: a Unix socket carries plain MQTT; take the line out');
        }
        return {
          type: { value: 'unix', place: listener.place },
          path: listener.host,
          ...fieldsOf(reader, listener, apart),
        };
      }
      const secure = isSecure(listener);
      const [mqtt, webSocket] = secure ? ['mqtts', 'wss'] : ['mqtt', 'websocket'];
      return {
        type: {
          value: protocol?.value === 'websockets' ? webSocket : mqtt,
          place: protocol?.place ?? listener.place,
        },
        host: hostOf(listener),
        port: listener.port,
        ...fieldsOf(reader, listener, apart),
        ...(secure ? tlsOf(listener, reader) : null),
      };
    }),
  );
}

// --- options of which Portico has one for all listeners -------------------------------------------------------------

/** What all listeners have; undefined if they differ, which is a fault. */
function agreed(
  reader: Reader,
  name: string,
  entries: readonly (Entry | undefined)[],
  usual?: Entry['value'],
): { readonly entry: Entry | undefined } | undefined {
  const value = entries[0]?.value ?? usual;
  const said = entries.filter((entry) => entry !== undefined);
  if (entries.every((entry) => (entry?.value ?? usual) === value)) return { entry: said[0] };
  const { place } = said.find((entry) => entry.value !== value) ?? said[0];
  const sentence = 'let all of them have the same, or run one broker for each';
  fault(reader, place, `${name} differs between the listeners, which is not supported yet: ${sentence}`);
  return undefined;
}

function setAnonymous(draft: Draft, reader: Reader, listeners: readonly Listener[]): void {
  const said = reader.values.get('allow_anonymous');
  const entries = reader.localOnly ? [said] : listeners.map((listener) => anonymousOf(reader, listener));
  // Where they differ, each listener says it itself.
  const entry = apartOf(reader, listeners).anonymous ? undefined : entries.find((one) => one !== undefined);
  draft.set('allow_anonymous', entry?.value ?? reader.localOnly, entry?.place ?? MOSQUITTO_DEFAULT);
}

function setQos(draft: Draft, reader: Reader, listeners: readonly Listener[]): void {
  const entry = listeners.map(({ values }) => values.get('max_qos')).find((one) => one !== undefined);
  if (entry !== undefined && !apartOf(reader, listeners).qos) draft.set('mqtt.max_qos', entry.value, entry.place);
}

function setFiles(draft: Draft, reader: Reader, listeners: readonly Listener[]): void {
  checkAclPlugins(reader);
  // Where they differ, each listener names them itself.
  if (apartOf(reader, listeners).files) return;
  setFile(draft, reader, listeners, 'password_file');
  setFile(draft, reader, listeners, 'acl_file');
  // Other listeners have no use for it.
  const keyed = listeners.filter(({ values }) => values.has('psk_hint'));
  if (keyed.length > 0) setFile(draft, reader, keyed, 'psk_file');
}

/** A file of security that all listeners have. */
function setFile(
  draft: Draft,
  reader: Reader,
  listeners: readonly Listener[],
  name: 'password_file' | 'acl_file' | 'psk_file',
): void {
  // With per_listener_settings only a global plugin has one for the whole broker.
  const said = reader.values.get(name);
  const entries = reader.localOnly ? [said] : listeners.map(({ values }) => values.get(name) ?? said);
  const entry = entries.find((one) => one !== undefined);
  if (entry !== undefined) draft.set(`access.${name}`, entry.value, entry.place);
}

/** A plugin that is to say who may do what, and does not know it, would leave everything open. */
function checkAclPlugins(reader: Reader): void {
  for (const values of [reader.values, ...reader.listeners.map((listener) => listener.values)]) {
    const plugin = values.get(ACL_PLUGIN);
    if (plugin === undefined || values.has('acl_file')) continue;
    fault(
      reader,
      plugin.place,
      `${plugin.value} mosquitto_acl_file.so needs a line "plugin_opt_acl_file FILE" behind it`,
    );
  }
}

/** An option whose value, or Mosquitto's default, goes to ours as it is. */
function setPlain(draft: Draft, reader: Reader, row: Row, listeners: readonly Listener[]): void {
  const own = row.scope === 'listener' || row.scope === 'own listener';
  const entries = own ? listeners.map(({ values }) => values.get(row.name)) : [reader.values.get(row.name)];
  const all = agreed(reader, row.name, entries, row.usual);
  const value = all?.entry?.value ?? row.usual;
  if (all === undefined || value === undefined) return;
  const mapped = typeof value === 'number' && row.map !== undefined ? row.map(value) : value;
  if (mapped === undefined) return;
  for (const name of row.to ?? []) draft.set(name, mapped, all.entry?.place ?? MOSQUITTO_DEFAULT);
}

// --- the store and the log ------------------------------------------------------------------------------------------

function setStore(draft: Draft, { values, logTypes }: Reader): void {
  const persistence = values.get('persistence');
  draft.set('store.type', persistence?.value === true ? 'level' : 'memory', persistence?.place ?? MOSQUITTO_DEFAULT);
  const folder = values.get('persistence_location');
  const file = values.get('db_file');
  if (folder !== undefined) draft.set('data_dir', join(String(folder.value), 'portico'), folder.place);
  else if (file !== undefined) draft.set('data_dir', join(dirname(String(file.value)), 'portico'), file.place);
  else if (persistence?.value === true) draft.set('data_dir', 'portico', MOSQUITTO_DEFAULT);

  const levels = logTypes.map(({ value }) => TALKATIVE.indexOf(LEVELS[String(value)] ?? 'error'));
  const most = Math.max(...levels);
  const entry = logTypes[levels.indexOf(most)];
  if (entry !== undefined) draft.set('log.level', TALKATIVE[most], entry.place);
}
