/**
 * Reads the configuration again while the broker runs, and says in the log what has changed. What an option means then is
 * in config/reloading; what is replaced, and how, in `Server.prepare`. A fault leaves everything as it was.
 */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { readSecurityFile } from '../access/security-file.js';
import { ownAccess } from '../config/listener-access.js';
import type { LoadedConfig } from '../config/load.js';
import { type Change, changesBetween, type When, whenOf } from '../config/reloading.js';
import type { Config } from '../config/schema.js';
import { sourceOf } from '../config/source.js';
import { PorticoError } from '../errors.js';
import type { Replaced, Server } from './server.js';

const EFFECT: Readonly<Record<When, string>> = {
  'at once': 'at once',
  new: 'for what connects from now on',
  restart: 'this needs a restart',
};

/** A file that an option names. */
interface WatchedFile {
  readonly option: string;
  /** The option in the table of reloads. */
  readonly name: string;
  readonly file: string;
}

/** What is in files, as far as it can be told from something else, by option and file. */
export type Digests = ReadonlyMap<string, string>;

export class Reload {
  readonly #server: Server;
  readonly #logger: Logger;
  readonly #read: () => LoadedConfig;
  /** Of the files as they were right before they were last read: what has changed since is told, if perhaps twice. */
  #digests: Digests;
  #warned: ReadonlySet<string>;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(server: Server, logger: Logger, read: () => LoadedConfig, digests: Digests) {
    this.#server = server;
    this.#logger = logger;
    this.#read = read;
    this.#digests = digests;
    this.#warned = new Set([...server.loaded.warnings, ...server.warnings]);
  }

  /**
   * @param digests of the files as they were before the server read them
   * @param read reads the configuration from where it was read at the start; throws `PorticoError` as then
   */
  static of(server: Server, logger: Logger, digests: Digests, read: () => LoadedConfig): Reload {
    return new Reload(server, logger, read, digests);
  }

  /** Reloads, once all reloads that were asked for before are done. Resolves with whether there was no fault; never rejects. */
  run(): Promise<boolean> {
    const done = this.#last.then(() => this.#reload());
    this.#last = done;
    return done;
  }

  async #reload(): Promise<boolean> {
    const { counters } = this.#server.broker;
    this.#logger.info('reload: the configuration is read again');
    let succeeded = false;
    try {
      const next = this.#read();
      const digests = await digestsOf(next.config);
      const replace = await this.#server.prepare(next);
      succeeded = this.#replace(replace, next, digests);
    } catch (error) {
      this.#fault(error);
      this.#logger.error('reload: nothing was changed; what was in force before still is');
    }
    if (succeeded) counters.reloads++;
    else counters.reloadFailures++;
    counters.reloadedAt = Math.floor(Date.now() / 1000);
    counters.reloadFailed = succeeded ? 0 : 1;
    return succeeded;
  }

  #replace(replace: () => Replaced, next: LoadedConfig, digests: Digests): boolean {
    const before = this.#server.loaded.config;
    let done: Replaced;
    try {
      done = replace();
    } catch (error) {
      // Everything has been tried before, so this is a fault of the broker itself.
      this.#fault(error);
      this.#logger.error('reload: it failed on its way; restart the broker, as not all of it is in force');
      return false;
    }
    this.#tell(changesBetween(before, next.config), next, digests);
    const warnings = [...next.warnings, ...done.warnings];
    for (const warning of warnings) if (!this.#warned.has(warning)) this.#logger.warn(warning);
    this.#warned = new Set(warnings);
    this.#digests = digests;
    const { sentAway } = done;
    if (sentAway > 0) {
      const line = `reload: clients that may not connect any more, and were sent away: ${sentAway}`;
      this.#logger.info({ clients: sentAway }, line);
    }
    this.#logger.info('reload: done');
    return true;
  }

  #fault(error: unknown): void {
    const known = error instanceof PorticoError;
    const message = error instanceof Error ? error.message : String(error);
    for (const line of message.split('\n')) this.#logger.error(known ? {} : { err: error }, `reload: ${line}`);
  }

  #tell(changes: readonly Change[], next: LoadedConfig, digests: Digests): void {
    let lines = 0;
    for (const { option, when, before, now } of changes) {
      const source = sourceOf(next, option);
      const words = before === '' ? 'has changed' : `is ${now} instead of ${before}`;
      const line = `reload: ${option} ${words} (${source}): ${EFFECT[when]}`;
      lines++;
      if (when === 'restart') this.#logger.warn({ option }, line);
      else this.#logger.info({ option }, line);
    }
    for (const { option, name, file } of filesOf(next.config)) {
      const key = keyOf(option, file);
      // A file of another name is a change of its option.
      if (!this.#digests.has(key) || this.#digests.get(key) === digests.get(key)) continue;
      const when = whenOf(name);
      if (when === 'restart') continue;
      lines++;
      this.#logger.info({ option }, `reload: ${option}: what is in ${file} has changed: ${EFFECT[when]}`);
    }
    if (lines === 0) this.#logger.info('reload: nothing has changed');
  }
}

function keyOf(option: string, file: string): string {
  return `${option} ${file}`;
}

/** The files that a configuration names, and that are read again. */
function filesOf({ access, coap, listeners }: Config): WatchedFile[] {
  const files: WatchedFile[] = [];
  const add = (option: string, file: unknown, name = option): void => {
    if (typeof file === 'string') files.push({ option, name, file });
  };
  for (const [name, file] of Object.entries(access))
    if (name === 'acl' || name.endsWith('_file')) add(`access.${name}`, file);
  for (const [name, file] of Object.entries(coap)) if (/^device_\w+_file$/.test(name)) add(`coap.${name}`, file);
  for (const [i, listener] of listeners.entries()) {
    for (const [name, file] of Object.entries(listener)) {
      if (name.endsWith('_file')) add(`listeners.${i}.${name}`, file, `listeners.${listener.type}.${name}`);
    }
    for (const [name, file] of Object.entries(ownAccess(listener) ?? {})) {
      add(`listeners.${i}.access.${name}`, file, `listeners.${listener.type}.access`);
    }
  }
  return files;
}

/** Of the files that a configuration names. One that cannot be read is the reader's fault to find. */
export async function digestsOf(config: Config): Promise<Digests> {
  const digests = new Map<string, string>();
  for (const { option, file } of filesOf(config)) {
    const bytes = await readSecurityFile(file, 'file').catch(() => null);
    const digest = bytes === null ? '' : createHash('sha256').update(bytes).digest('base64');
    digests.set(keyOf(option, file), digest);
  }
  return digests;
}
