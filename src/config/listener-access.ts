/** Which section says who the clients of a listener are, and what they may do: `access`, or one of its own. */
import type { Config, ExposureConfig, ListenerConfig } from './schema.js';

/** What a listener may have of its own. */
export type OwnAccess = NonNullable<Extract<ListenerConfig, { type: 'mqtts' }>['access']>;

/** The section of the listener itself; undefined if it has none. */
export function ownAccess(listener: ListenerConfig): OwnAccess | undefined {
  return 'access' in listener ? listener.access : undefined;
}

/** What holds for the clients of a listener. */
export function accessOf(
  { access }: Pick<ExposureConfig, 'access'>,
  listener: ListenerConfig,
): Partial<Config['access']> {
  return ownAccess(listener) ?? access;
}

/** The dotted path of `access`, or of an option of it, as it is for a listener. @param i its place in the list */
export function accessOption(listener: ListenerConfig, i: number, option: string): string {
  return /^access\b/.test(option) && ownAccess(listener) !== undefined ? `listeners.${i}.${option}` : option;
}

/** What a listener may be called by. */
interface Called {
  readonly listener: ListenerConfig;
  /** Its port, or its path. */
  readonly short: string;
  readonly address: string;
}

/**
 * What listeners of MQTT are called in the store, where it says by which one somebody came: by the port, as in that of Mosquitto,
 * or by the path of the socket. Where others have the same port, the address, or the interface, stands there too, so that the name
 * says the same whatever the order of the list.
 */
export function storeNames(listeners: readonly ListenerConfig[]): Map<ListenerConfig, string> {
  const places = listeners.flatMap((listener): Called[] => {
    if (listener.type === 'http' || listener.type.startsWith('coap')) return [];
    if (listener.type === 'unix') return [{ listener, short: listener.path, address: 'unix' }];
    const device = 'interface' in listener ? listener.interface : undefined;
    const hosts = 'host' in listener ? [listener.host].flat() : [];
    return [{ listener, short: 'port' in listener ? String(listener.port) : '', address: device ?? hosts.join() }];
  });
  const names = new Map<ListenerConfig, string>();
  const taken = new Set<string>();
  for (const { listener, short, address } of places) {
    const shared = places.some((other) => other.short === short && other.listener !== listener);
    const name = shared ? `${address}:${short}` : short;
    // Only of port 0, of which nobody can tell one from the other.
    let unique = name;
    for (let n = 2; taken.has(unique); n++) unique = `${name}#${n}`;
    taken.add(unique);
    names.set(listener, unique);
  }
  return names;
}

/** Where somebody looks who a client is by its password, or by what stands in its place. */
interface Credentials {
  readonly option: string;
  /** Of users; null for a back-end. */
  readonly file: string | null;
  /** Of a back-end: who is let in. */
  readonly who: string;
}

/** Who is let in by credentials, in words. */
export function wordsOf(credentials: readonly Credentials[]): string[] {
  const files = credentials.flatMap(({ file }) => file ?? []);
  const others = credentials.flatMap(({ file, who }) => (file === null ? [who] : []));
  return [...(files.length > 0 ? [`users of ${files.join(' and ')}`] : []), ...others];
}

/**
 * What shows a listener who a client is by its password, or as one: files of users and back-ends, with the options that name
 * them, without the listener.
 */
export function credentialsOf(config: ExposureConfig, listener: ListenerConfig): Credentials[] {
  const access = accessOf(config, listener);
  const files: Credentials[] = [];
  for (const name of ['password_file', 'scram_file'] as const) {
    const file = access[name];
    if (file !== undefined) files.push({ option: `access.${name}`, file, who: '' });
  }
  for (const name of ['jwt_secret_file', 'jwt_jwks_file', 'jwt_jwks_url'] as const) {
    if (access[name] !== undefined) files.push({ option: `access.${name}`, file: null, who: 'clients with a token' });
  }
  if (access.http_url !== undefined) {
    files.push({ option: 'access.http_url', file: null, who: 'whom the server of access.http_url lets in' });
  }
  return files;
}
