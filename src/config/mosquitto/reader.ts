/** Reads a mosquitto.conf and the files that it includes: every option at its place, and what Mosquitto would refuse. */
import { basename } from 'node:path';
import { near } from '../../errors.js';
import type { Fault, Place } from '../source.js';
import { type ConfLine, linesOf, textOf, wordsOf } from './lexer.js';
import type { Row } from './row.js';
import { names, rowOf } from './table.js';
import { integerOf, quoted, readValue, SHOWN } from './value.js';

/** What was said, and where. */
export interface Entry {
  readonly value: boolean | number | string;
  readonly place: Place;
}

/** A listener with the options that stand behind it. */
export interface Listener {
  readonly place: Place;
  /** 0 for a Unix socket. */
  port: Entry;
  /** Address or name, or the path of a Unix socket; undefined for every address. */
  host?: Entry;
  readonly values: Map<string, Entry>;
  /** The option that made it, if no line names its port or address. */
  impliedBy?: string | undefined;
}

/** The plugin that `plugin_opt_` options belong to. */
type Plugin = 'passwords' | 'acl' | 'store' | 'refused';

/** What Mosquitto keeps for each file: the listener, bridge and plugin that the next lines belong to. */
interface Position {
  listener?: Listener;
  bridge: boolean;
  plugin?: Plugin;
  /** Where what the plugin is told goes. */
  pluginValues?: Map<string, Entry> | undefined;
  readonly main: boolean;
}

/** How files are read. */
export interface Files {
  /** @throws Error with a sentence */
  read(path: string): string;
  /** Names in a folder. @throws Error with a sentence */
  list(folder: string): readonly string[];
}

const USUAL_PORT = 1883;
/** The bundled plugins that have something in their place here. */
const BUNDLED: ReadonlyMap<string, Plugin> = new Map([
  ['mosquitto_password_file.so', 'passwords'],
  ['mosquitto_acl_file.so', 'acl'],
  ['mosquitto_persist_sqlite.so', 'store'],
]);

/** Under this name stands that a plugin for access lists was named, and where. */
export const ACL_PLUGIN = 'plugin mosquitto_acl_file.so';

export class Reader {
  readonly faults: Fault[] = [];
  readonly warnings: string[] = [];
  /** Options of the whole broker, by name; the last line holds. */
  readonly values = new Map<string, Entry>();
  readonly listeners: Listener[] = [];
  /** Every `log_type`, which may stand many times. */
  readonly logTypes: Entry[] = [];
  /** No line has asked for more than loopback. */
  localOnly = true;
  perListener = false;
  readonly #files: Files;
  #default: Listener | undefined;
  #order = 0;
  #securitySeen = false;
  readonly #bridges = new Set<string>();
  #logFile: Place | undefined;

  constructor(files: Files) {
    this.#files = files;
  }

  /** Reads one file. */
  read(name: string, text: string, main = true): void {
    const position: Position = { bridge: false, main };
    let last = 0;
    for (const line of linesOf(text)) {
      this.#order += line.number - last;
      last = line.number;
      this.#line(line, { where: `${name}:${line.number}`, line: this.#order }, position);
    }
  }

  #fault(place: Place, sentence: string): void {
    this.faults.push({ ...place, sentence });
  }

  #line({ name, rest }: ConfLine, place: Place, position: Position): void {
    const row = rowOf(name);
    if (row === undefined) {
      const meant = name.length > SHOWN ? undefined : near(name, names);
      const hint = name.startsWith('#') ? 'a comment begins in the first column' : meant && `did you mean ${meant}?`;
      this.#fault(place, `${quoted(name)} is not an option of mosquitto.conf${hint ? `; ${hint}` : ''}`);
      return;
    }
    if (!this.#mayStand(row, name, place, position)) return;
    if (row.scope === 'bridge') return;
    switch (row.name) {
      case 'listener':
        this.#listener(rest, place, position);
        return;
      case 'include_dir':
        this.#include(rest, place, position);
        return;
      case 'connection':
        this.#connection(rest, place, position, row);
        return;
      case 'accept_protocol_versions':
        this.#versions(rest, place, position);
        return;
      case 'log_dest':
        if (!this.#destination(rest, place)) return;
    }
    const reading = readValue(name, row.kind, rest);
    if ('fault' in reading) this.#fault(place, reading.fault);
    else this.#take(row, name, { value: reading.value, place }, position);
  }

  /** Whether an option may stand here; makes the default listener for those that need one. */
  #mayStand(row: Row, name: string, place: Place, position: Position): boolean {
    const isDefault = position.listener !== undefined && position.listener === this.#default;
    const needsOwn = name === 'accept_protocol_versions' || name === 'plugin_use';
    if (row.scope === 'own listener' && (position.listener === undefined || (needsOwn && isDefault))) {
      this.#fault(place, `${name} belongs to a listener: write it behind a line "listener PORT"`);
      return false;
    }
    if (row.scope === 'security' && this.perListener && position.listener === undefined) {
      this.#fault(place, `${name} belongs to a listener with per_listener_settings: write it behind "listener PORT"`);
      return false;
    }
    if (row.scope === 'bridge' && !position.bridge) {
      this.#fault(place, `${name} belongs to a bridge: write it behind a line "connection NAME"`);
      return false;
    }
    if (row.scope === 'plugin' && position.plugin === undefined) {
      this.#fault(place, `${name} belongs to a plugin: write it behind a line "plugin PATH"`);
      return false;
    }
    if (row.scope === 'listener') position.listener ??= this.#defaultListener(place, name);
    return true;
  }

  #defaultListener(place: Place, name: string): Listener {
    if (this.#default === undefined) {
      this.#default = { place, port: { value: USUAL_PORT, place }, values: new Map(), impliedBy: name };
      this.listeners.push(this.#default);
    }
    return this.#default;
  }

  #take(row: Row, name: string, entry: Entry, position: Position): void {
    const { place, value } = entry;
    const idle = row.idle?.includes(value) === true;
    if (row.name === 'port' || row.name === 'bind_address') {
      this.localOnly = false;
      const listener = this.#defaultListener(place, name);
      listener.impliedBy = undefined;
      position.listener = listener;
      if (row.name === 'port') listener.port = entry;
      else if (listener.host !== undefined) this.#twice(name, listener.host.place, place);
      else listener.host = entry;
      return;
    }
    if (row.name === 'per_listener_settings') {
      this.#perListener(entry);
      return;
    }
    if (row.scope === 'security') this.#securitySeen = true;
    if (row.fate === 'refused' && !idle) {
      this.#fault(place, `${name}: ${plain(row.words)}`);
      return;
    }
    if (row.fate === 'ignored' && !idle) {
      this.warnings.push(`${place.where}: ${name} is accepted without effect: ${plain(row.words)}`);
    }
    if (row.name === 'plugin' || row.name === 'global_plugin') {
      this.#plugin(name, entry, position);
      return;
    }
    if (row.name === 'plugin_opt_*') {
      this.#pluginOption(name, entry, position);
      return;
    }
    if (row.name === 'protocol' && value === 'http_api') {
      this.#fault(place, 'protocol http_api: not supported yet; take this listener out');
      return;
    }
    if (row.name === 'log_type') this.logTypes.push(entry);
    const key = row.name === 'listener_allow_anonymous' ? 'allow_anonymous' : row.name;
    const values = this.#valuesFor(row, position);
    const before = values.get(key);
    if (row.once === true && before !== undefined) {
      this.#twice(name, before.place, place);
      return;
    }
    // Origins add up, a line each.
    const more = row.name === 'websockets_origin' && before !== undefined;
    values.set(key, more ? { ...before, value: `${String(before.value)}\n${String(value)}` } : entry);
  }

  #valuesFor({ scope }: Row, { listener }: Position): Map<string, Entry> {
    const own = scope === 'listener' || scope === 'own listener' || (scope === 'security' && this.perListener);
    return own && listener !== undefined ? listener.values : this.values;
  }

  #twice(name: string, first: Place, place: Place): void {
    this.#fault(place, `${name} is written twice; the first one is at ${first.where}`);
  }

  #perListener(entry: Entry): void {
    // As in Mosquitto, it cannot be taken back.
    if (this.perListener || entry.value !== true) return;
    if (this.#securitySeen) {
      this.#fault(entry.place, 'per_listener_settings has to stand before every option of security');
    }
    this.perListener = true;
  }

  #listener(rest: string, place: Place, position: Position): void {
    this.localOnly = false;
    const [first, second] = wordsOf(rest);
    const address = second?.startsWith('#') === true ? undefined : second;
    const port = first === undefined ? undefined : integerOf(first);
    // What follows belongs to this listener all the same.
    const listener: Listener = { place, port: { value: port ?? USUAL_PORT, place }, values: new Map() };
    position.listener = listener;
    this.listeners.push(listener);
    if (address !== undefined) listener.host = { value: address, place };
    if (port === undefined || port < 0 || port > 65_535) {
      const is = first === undefined ? 'has no port' : `has the port ${quoted(first)}`;
      this.#fault(place, `listener ${is}; it must be a whole number from 1 to 65535`);
    } else if (port === 0 && address === undefined) {
      this.#fault(place, 'listener 0 needs the path of a Unix socket');
    }
  }

  #include(rest: string, place: Place, position: Position): void {
    if (!position.main) {
      this.#fault(place, 'include_dir may only stand in the main file');
      return;
    }
    // Unlike other values this one keeps its spaces.
    if (rest === '') {
      this.#fault(place, 'include_dir has no value; it must be a folder');
      return;
    }
    try {
      const files = this.#files.list(rest).filter((name) => name.length > 5 && name.endsWith('.conf'));
      const paths = files
        .map((name) => `${rest}/${name}`)
        .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      for (const path of paths) this.read(path, this.#files.read(path), false);
    } catch (error) {
      this.#fault(place, `include_dir: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #connection(rest: string, place: Place, position: Position, row: Row): void {
    const [name] = wordsOf(rest);
    position.bridge = true;
    if (name === undefined) {
      this.#fault(place, 'connection has no name');
      return;
    }
    if (this.#bridges.has(name)) {
      this.#fault(place, `connection ${name}: there is another bridge of that name`);
      return;
    }
    this.#bridges.add(name);
    this.#fault(place, `connection ${name}: bridges are ${plain(row.words)}`);
  }

  #versions(rest: string, place: Place, { listener }: Position): void {
    const versions = rest.split(/[, \t]/).filter((one) => one !== '');
    if (versions.length === 0) {
      this.#fault(place, 'accept_protocol_versions has no value');
      return;
    }
    const wrong = versions.find((one) => !['3', '4', '5'].includes(one));
    if (wrong !== undefined) this.#fault(place, `accept_protocol_versions: ${quoted(wrong)} is none of 3, 4, 5`);
    else if (new Set(versions).size < 3) {
      listener?.values.set('accept_protocol_versions', { value: versions.join(), place });
    } else listener?.values.delete('accept_protocol_versions');
  }

  /** Whether a destination of the log is one of Mosquitto's. */
  #destination(rest: string, place: Place): boolean {
    const [kind, path] = wordsOf(rest);
    if (kind === undefined) this.#fault(place, 'log_dest has no value');
    else if (!DESTINATIONS.includes(kind)) {
      const meant = near(kind, DESTINATIONS);
      this.#fault(
        place,
        `log_dest is ${quoted(kind)}; it must be one of ${DESTINATIONS.join(', ')}${meant ? ` (did you mean ${meant}?)` : ''}`,
      );
    } else if (kind !== 'file') return true;
    else if (path === undefined) this.#fault(place, 'log_dest file has no path');
    else if (this.#logFile !== undefined) this.#twice('log_dest file', this.#logFile, place);
    else {
      this.#logFile = place;
      return true;
    }
    return false;
  }

  #plugin(name: string, { value, place }: Entry, position: Position): void {
    const file = basename(textOf(String(value)));
    const kind = BUNDLED.get(file);
    position.plugin = kind ?? 'refused';
    const own = name !== 'global_plugin' && this.perListener;
    position.pluginValues = own ? position.listener?.values : this.values;
    if (kind === 'store') this.values.set('persistence', { value: true, place });
    if (kind === 'acl') position.pluginValues?.set(ACL_PLUGIN, { value: name, place });
    if (kind !== undefined) return;
    const known = [...BUNDLED.keys()].join(', ');
    this.#fault(
      place,
      `${name} ${file}: Portico runs no plugins in C; of those that come with Mosquitto it knows ${known}`,
    );
  }

  #pluginOption(name: string, entry: Entry, position: Position): void {
    const option = name.replace(/^(plugin|auth)_opt_/, '');
    if (option === '') {
      this.#fault(entry.place, `${name} needs the name of an option`);
      return;
    }
    if (position.plugin === 'refused') return;
    if (position.plugin === 'passwords' && option === 'password_file') {
      position.pluginValues?.set('password_file', entry);
    } else if (position.plugin === 'acl' && option === 'acl_file') {
      position.pluginValues?.set('acl_file', entry);
    } else if (position.plugin === 'store' && option === 'db_file') this.values.set('db_file', entry);
    else this.warnings.push(`${entry.place.where}: ${name} is accepted without effect: the plugin is not run`);
  }
}

const DESTINATIONS: readonly string[] = ['none', 'syslog', 'stdout', 'stderr', 'topic', 'dlt', 'file'];

/** Words of the table without their marks. */
export function plain(words: string): string {
  return words.replaceAll('`', '');
}
