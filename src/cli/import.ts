/** `portico import KIND PATH`: puts what another broker has kept into a data directory that has no store. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Level } from 'level';
import type { LoadRequest } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { interruption, reason, refuseRoot } from './files.js';
import { importAedesLevel } from './import/aedes-level.js';
import { FileBytes } from './import/file-bytes.js';
import { importMosquittoDb } from './import/mosquitto-db.js';
import { UnusableFile } from './import/mosquitto-file.js';
import { StoreBuilder } from './import/store-builder.js';
import { Tally } from './import/tally.js';
import { makeStore, type WriteBatch } from './new-store.js';
import { Progress } from './progress.js';

/** Session Expiry Interval of a session that does not end by itself. */
const NEVER = 0xffff_ffff;

/** What can be imported. */
export type ImportKind = 'aedes-level' | 'mosquitto-db';

/**
 * Makes the store of a data directory from what another broker has kept, and says on standard error what was taken, what
 * was not, and why.
 * @throws PorticoError `PORTICO_BACKUP`, `PORTICO_STORE_OPEN`, `PORTICO_CONFIGURATION`
 */
export async function importFrom(request: LoadRequest, kind: ImportKind, path: string): Promise<void> {
  const signal = interruption('import');
  const tally = new Tally();
  const fill = kind === 'mosquitto-db' ? fromMosquitto : fromAedes;
  const progress = new Progress('read');
  try {
    const { target } = await makeStore('import', request, (write, config) =>
      fill(path, tally, (batch) => writeUnlessEnded(signal, write, batch), config, progress),
    );
    progress.end();
    const lines = [`imported ${path} into ${target}`, ...tally.lines()];
    process.stderr.write(`${lines.join('\n')}\n`);
  } finally {
    progress.end();
  }
}

async function writeUnlessEnded(
  signal: AbortSignal,
  write: WriteBatch,
  batch: Parameters<WriteBatch>[0],
): Promise<void> {
  signal.throwIfAborted();
  await write(batch);
}

async function fromMosquitto(
  path: string,
  tally: Tally,
  write: WriteBatch,
  { mqtt }: Config,
  progress: Progress,
): Promise<void> {
  const files: FileBytes[] = [];
  try {
    if (statSync(path).isDirectory()) throw new UnusableFile('it is a folder; name the file mosquitto.db in it');
    const walk = new FileBytes(path);
    files.push(walk);
    const lookUp = new FileBytes(path);
    files.push(lookUp);
    const now = Date.now();
    const disconnectedAt = Math.min(walk.writtenAt, now);
    const builder = new StoreBuilder(write, { expiryInterval: defaultExpiry(mqtt), disconnectedAt });
    const maxExpiry = mqtt.session_expiry_max ?? NEVER;
    await importMosquittoDb({
      walk,
      lookUp,
      builder,
      tally,
      now,
      writtenAt: disconnectedAt,
      maxExpiry,
      progress: (records, bytes) => progress.update(records, bytes),
    });
    await builder.finish();
  } catch (error) {
    if (error instanceof UnusableFile) throw failed(`${path} cannot be used: ${error.message}`, error);
    throw unreadable(path, error);
  } finally {
    for (const file of files) file.close();
  }
}

/** What went wrong but writing, which says so itself. */
function unreadable(path: string, error: unknown): PorticoError {
  return error instanceof PorticoError ? error : failed(`cannot read ${path}: ${reason(error)}`, error);
}

async function fromAedes(
  path: string,
  tally: Tally,
  write: WriteBatch,
  { mqtt }: Config,
  progress: Progress,
): Promise<void> {
  // LevelDB would make a database where there is none.
  if (!existsSync(join(path, 'CURRENT'))) throw failed(`${path} cannot be used: it is no folder of a LevelDB database`);
  // It also writes there when it opens one.
  refuseRoot(path);
  const database = new Level<string, Buffer>(path, { valueEncoding: 'buffer', createIfMissing: false });
  try {
    await database.open();
  } catch (error) {
    throw failed(`${path} cannot be used: ${levelReason(error)}`, error);
  }
  try {
    const now = Date.now();
    const builder = new StoreBuilder(write, { expiryInterval: defaultExpiry(mqtt), disconnectedAt: now });
    await importAedesLevel({
      database,
      builder,
      tally,
      now,
      progress: (records, bytes) => progress.update(records, bytes),
    });
    await builder.finish();
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await database.close();
  }
}

function levelReason(error: unknown): string {
  const { cause } = error as Error;
  const { code } = (cause ?? error) as NodeJS.ErrnoException;
  if (code === 'LEVEL_LOCKED') return 'another process has it open; stop that broker first';
  return reason(cause ?? error);
}

/** Session Expiry Interval in seconds of clients that cannot say. */
function defaultExpiry(mqtt: Config['mqtt']): number {
  const max = mqtt.session_expiry_max ?? NEVER;
  return Math.min(mqtt.session_expiry_default ?? max, max);
}

function failed(sentence: string, cause?: unknown): PorticoError {
  return new PorticoError(ErrorKinds.Backup, `import: ${sentence}`, { cause });
}
