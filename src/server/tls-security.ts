/** Certificates and keys of the listeners that speak MQTT over TLS: read before anything is opened, then renewed. */
import { createSecureContext, DEFAULT_CIPHERS, type SecureContextOptions } from 'node:tls';
import { fault, type NamedFile, reasonOf } from '../access/certificate.js';
import { readAll } from '../access/every-fault.js';
import { readPskFile } from '../access/psk-file.js';
import { isSame, readTlsFiles, type TlsFiles } from '../access/tls-files.js';
import { ownAccess } from '../config/listener-access.js';
import { authoritiesOf, isTls, type TlsListener as TlsListenerConfig } from '../config/listeners-tls.js';
import { TLS_VERSIONS } from '../config/schema/tls.js';
import type { Config, ListenerConfig } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { TlsCredentials } from '../listeners/tls.js';
import type { Demand } from '../listeners/tls-identity.js';
import type { ShownKey } from '../session/shown.js';
import { Renewal, type RenewalSource } from './renewal.js';

export type { TlsListener as TlsListenerConfig } from '../config/listeners-tls.js';

/** Of keys: forward secrecy first, then what small devices have. A list for certificates excludes them all. */
const PSK_CIPHERS =
  'ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:' +
  'PSK-CHACHA20-POLY1305:PSK-AES128-CBC-SHA256:PSK-AES128-CBC-SHA:PSK-AES256-CBC-SHA';
/** A key from outside has the hash SHA-256 (RFC 8446 4.2.11). */
const PSK_CIPHERSUITES = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256';
const [CIPHERSUITES, CIPHERS] = [true, false].map((suites) =>
  DEFAULT_CIPHERS.split(':')
    .filter((name) => name.startsWith('TLS_') === suites)
    .join(':'),
);
/** SSL_OP_NO_TICKET: a session that is resumed does not say whose key it began with. */
const NO_TICKET = 0x4000;

/** Keys by identity, as of now. */
interface Keys {
  current: ReadonlyMap<string, Buffer>;
}

/** What one listener of the configuration shows and asks for, on all its addresses. */
class Credentials implements TlsCredentials {
  readonly renewal: Renewal<TlsFiles>;
  /** Those of all listeners. */
  readonly #keys: Keys;
  /** Its own, in their place. */
  #own: Keys['current'] | null;
  readonly #renewals = new Set<() => void>();
  #listener: TlsListenerConfig;
  #context: SecureContextOptions;

  private constructor(
    listener: TlsListenerConfig,
    source: RenewalSource<TlsFiles>,
    files: TlsFiles,
    keys: Keys,
    own: Keys['current'] | null,
  ) {
    this.#listener = listener;
    this.#keys = keys;
    this.#own = own;
    this.#context = contextOf(listener, files);
    this.renewal = new Renewal(source, files, (renewed) => {
      this.#context = contextOf(this.#listener, renewed);
      for (const tell of this.#renewals) tell();
    });
  }

  static async load(listener: TlsListenerConfig, path: string, keys: Keys): Promise<Credentials> {
    const named = (option: 'cert_file' | 'key_file' | 'ca_file' | 'ca_path' | 'crl_file'): NamedFile | undefined => {
      const file = listener[option];
      return file === undefined ? undefined : { option: `${path}.${option}`, file };
    };
    checkCiphers(listener, path);
    const names = {
      cert: named('cert_file'),
      key: named('key_file'),
      ca: named('ca_file'),
      caFolder: named('ca_path'),
      crl: named('crl_file'),
    };
    const read = async (): Promise<TlsFiles> => {
      const files = await readTlsFiles(names);
      createSecureContext(contextOf(listener, files));
      return files;
    };
    const [files, own] = await readAll(read(), readOwnKeys(listener));
    return new Credentials(listener, { path, names, read, isSame }, files, keys, own);
  }

  get demand(): Demand {
    const { psk_hint: hint, require_certificate: required, username_from: usernameFrom } = this.#listener;
    const certificate = authoritiesOf(this.#listener) === undefined ? 'none' : required ? 'required' : 'asked';
    return { usernameFrom, certificate, psk: hint !== undefined };
  }

  get pskHint(): string | undefined {
    return this.#listener.psk_hint;
  }

  get context(): SecureContextOptions {
    return this.#context;
  }

  keyOf(identity: string): Buffer | undefined {
    return (this.#own ?? this.#keys.current).get(identity);
  }

  onRenewal(renewed: () => void): () => void {
    // What has come between the making of a listener and this.
    renewed();
    this.#renewals.add(renewed);
    return () => this.#renewals.delete(renewed);
  }

  /** Shows and asks for what others do, which another configuration has at this place. */
  replace(other: Credentials): void {
    this.#listener = other.#listener;
    this.#own = other.#own;
    this.renewal.replace(other.renewal);
  }
}

export class TlsSecurity {
  readonly #credentials: ReadonlyMap<ListenerConfig, Credentials>;
  readonly #keys: Keys;

  private constructor(credentials: ReadonlyMap<ListenerConfig, Credentials>, keys: Keys) {
    this.#credentials = credentials;
    this.#keys = keys;
  }

  /**
   * Reads the files that the configuration names.
   * @throws PorticoError `PORTICO_SECURITY_FILE` or `PORTICO_CONFIGURATION`
   */
  static async load({ access, listeners }: Pick<Config, 'access' | 'listeners'>): Promise<TlsSecurity> {
    const secure = [...listeners.entries()].flatMap(([i, listener]) =>
      isTls(listener) ? [{ listener, path: `listeners.${i}` }] : [],
    );
    // Also if none of them takes keys: those that run may.
    const file = access.psk_file;
    const keys: Keys = { current: new Map() };
    const [read, credentials] = await readAll(
      file === undefined ? Promise.resolve(keys.current) : readPskFile(file),
      readAll<(readonly [ListenerConfig, Credentials])[]>(
        ...secure.map(async ({ listener, path }) => [listener, await Credentials.load(listener, path, keys)] as const),
      ),
    );
    keys.current = read;
    return new TlsSecurity(new Map(credentials), keys);
  }

  /** What a listener of the configuration shows and asks for. */
  of(listener: TlsListenerConfig): TlsCredentials {
    const credentials = this.#credentials.get(listener);
    if (credentials === undefined) throw new PorticoError(ErrorKinds.Configuration, `${listener.type} was not loaded`);
    return credentials;
  }

  /** Of each listener. */
  get renewals(): Renewal<TlsFiles>[] {
    return [...this.#credentials.values()].map(({ renewal }) => renewal);
  }

  /** Whether a key is that of an identity now, at a listener of the configuration. */
  isKeyOf({ identity, key }: ShownKey, listener: ListenerConfig | undefined): boolean {
    const credentials = listener && this.#credentials.get(listener);
    return credentials?.keyOf(identity)?.equals(key) === true;
  }

  /**
   * Puts what another configuration says in the place of what there is, for who comes from now on.
   * @param counterpartOf the listener of the other configuration that is at the place of one of this
   */
  replace(other: TlsSecurity, counterpartOf: (listener: ListenerConfig) => ListenerConfig | undefined): void {
    this.#keys.current = other.#keys.current;
    for (const [listener, credentials] of this.#credentials) {
      const there = counterpartOf(listener);
      const next = there && other.#credentials.get(there);
      if (next !== undefined) credentials.replace(next);
    }
  }
}

/** What a listener without a section of its own takes its keys from is for all of them: null. */
async function readOwnKeys(listener: TlsListenerConfig): Promise<Keys['current'] | null> {
  const own = ownAccess(listener);
  if (own === undefined) return null;
  return own.psk_file === undefined ? new Map() : readPskFile(own.psk_file);
}

function contextOf(listener: TlsListenerConfig, { context }: TlsFiles): SecureContextOptions {
  const keys = listener.psk_hint !== undefined;
  const suites = listener.ciphersuites ?? (keys ? PSK_CIPHERSUITES : CIPHERSUITES);
  const list = listener.ciphers ?? (keys ? PSK_CIPHERS : CIPHERS);
  return {
    ...context,
    ciphers: `${suites}:${list}`,
    minVersion: TLS_VERSIONS[listener.min_tls_version],
    maxVersion: TLS_VERSIONS[listener.max_tls_version],
    ...(keys && { secureOptions: NO_TICKET }),
  };
}

/** OpenSSL says whether there are such suites. */
function checkCiphers({ ciphers, ciphersuites }: TlsListenerConfig, path: string): void {
  for (const [option, text] of [
    ['ciphers', ciphers],
    ['ciphersuites', ciphersuites],
  ] as const) {
    try {
      if (text !== undefined) createSecureContext({ ciphers: text });
    } catch (error) {
      throw fault({ option: `${path}.${option}`, file: text ?? '' }, `no cipher suites: ${reasonOf(error)}`, error);
    }
  }
}
