/** Certificates and keys of the listeners that speak MQTT over TLS: read before anything is opened, then watched. */
import { createSecureContext, DEFAULT_CIPHERS, type SecureContextOptions } from 'node:tls';
import type { Logger } from 'pino';
import { fault, type NamedFile, reasonOf } from './access/certificate.js';
import { readAll } from './access/every-fault.js';
import { daysBetween, ExpiryNotice } from './access/expiry.js';
import { FileWatch, type WatchEvents } from './access/file-watch.js';
import { readPskFile } from './access/psk-file.js';
import { type Expiring, isSame, readTlsFiles, type TlsFileNames, type TlsFiles } from './access/tls-files.js';
import type { Counters } from './bus/counters.js';
import { authoritiesOf, isTls, type TlsListener as TlsListenerConfig } from './config/listeners-tls.js';
import { TLS_VERSIONS } from './config/schema/tls.js';
import type { Config, ListenerConfig } from './config/schema.js';
import { ErrorKinds, PorticoError } from './errors.js';
import type { TlsCredentials } from './listeners/tls.js';
import type { Demand } from './listeners/tls-identity.js';

export type { TlsListener as TlsListenerConfig } from './config/listeners-tls.js';

/** Milliseconds between two looks at the time left, and at files in folders of which the system tells nothing. */
const LOOK = 3_600_000;

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

/** What all listeners tell. */
interface Telling {
  readonly logger: Logger;
  readonly counters: Counters;
}

/** What one listener of the configuration shows and asks for, on all its addresses. */
class Credentials implements TlsCredentials {
  readonly demand: Demand;
  readonly pskHint: string | undefined;
  readonly #listener: TlsListenerConfig;
  readonly #path: string;
  readonly #names: TlsFileNames;
  readonly #keys: Keys;
  readonly #renewals = new Set<(context: SecureContextOptions) => void>();
  readonly #notices = new Map<Expiring, ExpiryNotice>();
  #files: TlsFiles;
  #context: SecureContextOptions;
  #watch: FileWatch | null = null;
  #telling: Telling | null = null;
  #reloading: Promise<void> = Promise.resolve();

  private constructor(listener: TlsListenerConfig, path: string, names: TlsFileNames, files: TlsFiles, keys: Keys) {
    const { psk_hint: hint, require_certificate: required, username_from: usernameFrom } = listener;
    const certificate = authoritiesOf(listener) === undefined ? 'none' : required ? 'required' : 'asked';
    this.demand = { usernameFrom, certificate, psk: hint !== undefined };
    this.pskHint = hint;
    this.#listener = listener;
    this.#path = path;
    this.#names = names;
    this.#keys = keys;
    this.#files = files;
    this.#context = contextOf(listener, files);
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
    return new Credentials(listener, path, names, await readTlsFiles(names), keys);
  }

  get context(): SecureContextOptions {
    return this.#context;
  }

  get ends(): TlsFiles['ends'] {
    return this.#files.ends;
  }

  keyOf(identity: string): Buffer | undefined {
    return this.#keys.current.get(identity);
  }

  onRenewal(renewed: (context: SecureContextOptions) => void): () => void {
    // What has come between the making of a listener and this.
    renewed(this.#context);
    this.#renewals.add(renewed);
    return () => this.#renewals.delete(renewed);
  }

  /** Looks at the files from now on. */
  async start(telling: Telling): Promise<void> {
    this.#telling = telling;
    const { caFolder, ...single } = this.#names;
    const files = Object.values<NamedFile | undefined>(single).flatMap((named) => named?.file ?? []);
    const events: WatchEvents = {
      changed: () => void this.reload(),
      failed: (folder, error) => {
        const sentence = `changes in ${folder} are noticed within an hour only: ${error.message}`;
        telling.logger.warn({ listener: this.#path, folder }, sentence);
      },
    };
    this.#watch = new FileWatch(files, events, caFolder === undefined ? [] : [caFolder.file]);
    await this.#watch.arm();
    this.look(Date.now());
  }

  stop(): void {
    this.#watch?.close();
  }

  reload(): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload()).catch((error: unknown) => this.#refused(error));
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    await this.#watch?.arm();
    let files: TlsFiles;
    let context: SecureContextOptions;
    try {
      files = await readTlsFiles(this.#names);
      if (isSame(files, this.#files)) return;
      context = contextOf(this.#listener, files);
      createSecureContext(context);
    } catch (error) {
      this.#refused(error);
      return;
    }
    this.#files = files;
    this.#context = context;
    for (const renewed of this.#renewals) renewed(context);
    if (this.#telling === null) return;
    const { logger, counters } = this.#telling;
    counters.certificatesRenewed++;
    const end = files.ends.cert_file;
    const until = end === undefined ? '' : `; the certificate is good until ${new Date(end).toISOString()}`;
    logger.info({ listener: this.#path }, `${this.#path}: new certificates are in force${until}`);
    this.look(Date.now());
  }

  #refused(error: unknown): void {
    if (this.#telling === null) return;
    const { logger, counters } = this.#telling;
    counters.certificatesRefused++;
    const words = error instanceof Error ? error.message : String(error);
    logger.error({ listener: this.#path }, `${words}; the former certificates stay in force`);
  }

  /** Warns of what will soon be past its time. */
  look(now: number): void {
    for (const [name, end] of Object.entries(this.#files.ends) as [Expiring, number][]) {
      const notice = this.#notices.get(name) ?? new ExpiryNotice(name);
      this.#notices.set(name, notice);
      const sentence = notice.due(end, now);
      const option = `${this.#path}.${name}`;
      if (sentence !== null) {
        this.#telling?.logger.warn(
          { option, daysLeft: daysBetween(now, end) },
          `${option}: ${this.#listener[name] ?? this.#listener.ca_path}: ${sentence}`,
        );
      }
    }
  }
}

export class TlsSecurity {
  readonly #credentials: ReadonlyMap<ListenerConfig, Credentials>;
  readonly #keys: Keys;
  #timer: NodeJS.Timeout | null = null;

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

  /** The pre-shared keys that there are now, by identity. */
  get keys(): ReadonlyMap<string, Buffer> {
    return this.#keys.current;
  }

  /** Other pre-shared keys, for who comes from now on. */
  replaceKeys(keys: ReadonlyMap<string, Buffer>): void {
    this.#keys.current = keys;
  }

  /** Watches the files, and the time that they have left. */
  async start(logger: Logger, counters: Counters): Promise<void> {
    const all = [...this.#credentials.values()];
    if (all.length === 0) return;
    for (const credentials of all) await credentials.start({ logger, counters });
    this.#timer = setInterval(() => {
      for (const credentials of all) void credentials.reload().then(() => credentials.look(Date.now()));
    }, LOOK);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const credentials of this.#credentials.values()) credentials.stop();
  }

  /** Days that the first certificate or list of all listeners has left, by option; without an entry there is none. */
  daysLeft(now: number): Partial<Record<Expiring, number>> {
    const days: Partial<Record<Expiring, number>> = {};
    for (const { ends } of this.#credentials.values()) {
      for (const [name, end] of Object.entries(ends) as [Expiring, number][]) {
        days[name] = Math.min(days[name] ?? Number.POSITIVE_INFINITY, daysBetween(now, end));
      }
    }
    return days;
  }
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
