/** `portico backup FILE`: everything that is durable, from the running broker or from its store. */
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip } from 'node:zlib';
import { LEFT_OUT } from '../admin/backup.js';
import { askBroker } from '../admin/control-client.js';
import { type LoadRequest, loadConfig } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { backupOf } from '../store/backup.js';
import { BackupReader } from '../store/backup-reader.js';
import { listed, lost } from '../store/damage.js';
import { describeKey } from '../store/describe.js';
import { type Look, lookAt } from '../store/look.js';
import { version } from '../version.js';
import { flushNames, interruption, reason, refuseRoot } from './files.js';
import { amount, Progress, size } from './progress.js';

/** Where a backup comes from. */
interface Source {
  readonly bytes: AsyncIterable<Buffer>;
  /** For people. */
  readonly name: string;
  /** Records that are not in it, because they are damaged; known at its end. */
  leftOut(): number;
  /** What was damaged and is not in it, in words; null if nothing was, or the broker says it. Known at its end. */
  damage(): string | null;
  close(): Promise<void>;
}

/** Takes the bytes of the file, in order. */
interface Target {
  write(chunk: Buffer): Promise<void>;
  /** The backup is whole. */
  finish(): Promise<void>;
  /** It is not, and leaves nothing behind. */
  discard(): Promise<void>;
}

export interface BackupRequest {
  /** A path, or `-` for standard output. */
  readonly file: string;
  /** Whether a file of that name is replaced. */
  readonly force: boolean;
  /** Whether of a damaged store without a broker is saved what can be read. */
  readonly damaged: boolean;
}

/**
 * Writes a backup, and what it holds in one line on standard error.
 * @throws PorticoError `PORTICO_BACKUP`, `PORTICO_CONTROL`, `PORTICO_STORE_OPEN`
 */
export async function backup(request: LoadRequest, { file, force, damaged }: BackupRequest): Promise<void> {
  const { config } = loadConfig(request);
  refuseFile(file, force);
  const signal = interruption('backup');
  const source = await openSource(config, damaged, signal);
  // A broker that says nothing more would hold up the end of this process.
  const stop = (): void => void source.close();
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  try {
    const target = file === '-' ? new StandardOutput() : await PartialFile.create(file, force);
    try {
      const line = await copy(source, target, signal);
      await target.finish();
      const damage = source.damage();
      if (damage !== null) process.stderr.write(`${damage}\n`);
      process.stderr.write(`backup of ${source.name}${file === '-' ? '' : ` in ${file}`}: ${line}\n`);
    } catch (error) {
      await target.discard();
      throw signal.aborted ? signal.reason : error;
    }
  } finally {
    await source.close();
  }
}

function failed(sentence: string, cause?: unknown): PorticoError {
  return new PorticoError(ErrorKinds.Backup, `backup: ${sentence}`, { cause });
}

/** Says what can be said before anything is asked for. */
function refuseFile(file: string, force: boolean): void {
  if (file === '-') {
    if (process.stdout.isTTY) throw failed('standard output is a terminal; name a file, or lead it to a program');
  } else if (!force && existsSync(file)) {
    throw failed(`${file} is there already; --force replaces it`);
  }
}

async function openSource(config: Config, damaged: boolean, signal: AbortSignal): Promise<Source> {
  const answer = await askBroker(config.data_dir, 'GET', '/backup', signal);
  if (answer !== null) {
    return {
      bytes: answer,
      name: 'the running broker',
      damage: () => null,
      leftOut: () => Number(answer.trailers[LEFT_OUT] ?? 0),
      async close() {
        answer.destroy();
      },
    };
  }
  if (config.store.type === 'memory') {
    throw failed(`no broker runs in ${config.data_dir}, and store.type is memory: there is nothing to save`);
  }
  const folder = join(config.data_dir, 'store');
  if (existsSync(folder)) refuseRoot(folder);
  const look = existsSync(folder) ? await lookAt(folder) : null;
  if (look === null) throw failed(`there is no store in ${folder}, and no broker runs there`);
  if (!damaged && isDamaged(look)) throw refusal(folder, look);
  return {
    bytes: bytesOf(look, damaged ? look.entries : sound(folder, look)),
    name: `the store in ${folder}`,
    leftOut: () => look.losses.values.length,
    damage: () =>
      isDamaged(look)
        ? `${damageOf(folder, look)}. Not in the backup: ${lost(look, (session) => look.clients.get(session))}`
        : null,
    async close() {},
  };
}

function isDamaged({ faults, losses }: Look): boolean {
  return faults.length > 0 || losses.values.length > 0;
}

function damageOf(folder: string, { faults, losses }: Look): string {
  const names =
    faults.length > 0
      ? faults.map(({ file, what }) => `${file} ${what}`)
      : losses.values.map((key) => describeKey(key));
  return `the store in ${folder} is damaged (${listed(names)})`;
}

function refusal(folder: string, look: Look): PorticoError {
  return new PorticoError(
    ErrorKinds.StoreOpen,
    `backup: ${damageOf(folder, look)}; nothing was written and the store is as it was. ` +
      'Start the broker, which mends it, or save what can be read with --damaged',
  );
}

/** The entries of a store; rejects at their end if one could not be read. */
async function* sound(folder: string, look: Look): AsyncGenerator<[Buffer, Buffer]> {
  yield* look.entries;
  if (isDamaged(look)) throw refusal(folder, look);
}

function bytesOf(look: Look, entries: AsyncIterable<[Buffer, Buffer]>): AsyncGenerator<Buffer> {
  const { version: store, writer } = look.version ?? { version: 0, writer: '' };
  return backupOf({ portico: version, store, writer, date: new Date().toISOString() }, entries);
}

/** Copies a backup while checking it; returns what it holds. */
async function copy(source: Source, target: Target, signal: AbortSignal): Promise<string> {
  const reader = new BackupReader();
  const progress = new Progress('saved');
  let written = 0;
  async function* checked(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of source.bytes) {
        reader.push(chunk);
        progress.update(reader.records, reader.bytes);
        yield chunk;
      }
    } catch (error) {
      if (error instanceof PorticoError) {
        throw error.kind === ErrorKinds.Backup
          ? failed(`what came of ${source.name} is no backup: ${error.message}`, error)
          : error;
      }
      throw failed(`${source.name} ended it half-way: ${reason(error)}. The log of the broker may say why`, error);
    }
    reader.end();
  }
  try {
    await pipeline(
      checked,
      createGzip({ level: constants.Z_BEST_SPEED }),
      async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) {
          written += chunk.length;
          await target.write(chunk);
        }
      },
      { signal },
    );
  } finally {
    progress.end();
  }
  const { store, date } = reader.end();
  const leftOut = source.leftOut();
  const missing = leftOut === 0 ? '' : `; damaged records that are not in it: ${leftOut}`;
  return `${amount(reader.records, reader.bytes)} in a file of ${size(written)}; store version ${store}, ${date}${missing}`;
}

/** A file that has its name only when it is whole. */
class PartialFile implements Target {
  readonly #file: string;
  readonly #force: boolean;
  readonly #handle: FileHandle;

  private constructor(file: string, force: boolean, handle: FileHandle) {
    this.#file = file;
    this.#force = force;
    this.#handle = handle;
  }

  static async create(file: string, force: boolean): Promise<PartialFile> {
    const partial = `${file}.partial`;
    try {
      // One that a killed backup has left behind may have another mode.
      rmSync(partial, { force: true });
      return new PartialFile(file, force, await open(partial, 'wx', 0o600));
    } catch (error) {
      throw failed(`cannot write ${partial}: ${reason(error)}`, error);
    }
  }

  async write(chunk: Buffer): Promise<void> {
    try {
      await this.#handle.writeFile(chunk);
    } catch (error) {
      throw failed(`cannot write ${this.#file}.partial: ${reason(error)}`, error);
    }
  }

  async finish(): Promise<void> {
    refuseFile(this.#file, this.#force);
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(`${this.#file}.partial`, this.#file);
      await flushNames(dirname(this.#file));
    } catch (error) {
      throw failed(`cannot write ${this.#file}: ${reason(error)}`, error);
    }
  }

  async discard(): Promise<void> {
    await this.#handle.close();
    rmSync(`${this.#file}.partial`, { force: true });
  }
}

/** What leaves here cannot be taken back; whoever reads it finds no end mark. */
class StandardOutput implements Target {
  #broken: Error | null = null;

  constructor() {
    process.stdout.on('error', (error) => {
      this.#broken = error;
    });
  }

  async write(chunk: Buffer): Promise<void> {
    if (!process.stdout.write(chunk)) await once(process.stdout, 'drain').catch(() => {});
    this.#check();
  }

  async finish(): Promise<void> {
    await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
    this.#check();
  }

  async discard(): Promise<void> {}

  #check(): void {
    if (this.#broken !== null) throw failed(`cannot write to standard output: ${reason(this.#broken)}`, this.#broken);
  }
}
