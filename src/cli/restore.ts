/** `portico restore FILE`: puts a backup into a data directory that has no store. */
import { createReadStream } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { LoadRequest } from '../config/load.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { BackupReader } from '../store/backup-reader.js';
import type { Operation } from '../store/store.js';
import { refuseNewer } from '../store/upgrade.js';
import { version } from '../version.js';
import { interruption, reason } from './files.js';
import { BATCH_BYTES, makeStore, type WriteBatch } from './new-store.js';
import { amount, Progress } from './progress.js';

/**
 * Reads a whole backup and says on standard error what it holds.
 * @param file a path, or `-` for standard input
 * @throws PorticoError `PORTICO_BACKUP` if it is damaged, `PORTICO_STORE_OPEN` if this Portico cannot use it
 */
export async function checkBackup(file: string): Promise<void> {
  const line = await read(file, interruption('restore'), 'checked', async () => {});
  process.stderr.write(`${nameOf(file)} is a whole backup: ${line}\n`);
}

/**
 * Makes the store of a data directory from a backup. Until all of it has been checked there is no store.
 * @param file a path, or `-` for standard input
 * @throws PorticoError `PORTICO_BACKUP`, `PORTICO_STORE_OPEN`, `PORTICO_CONFIGURATION`
 */
export async function restore(request: LoadRequest, file: string): Promise<void> {
  const signal = interruption('restore');
  const { target, filled } = await makeStore('restore', request, (write) => read(file, signal, 'restored', write));
  process.stderr.write(`restored ${nameOf(file)} into ${target}: ${filled}\n`);
}

function failed(sentence: string, cause?: unknown): PorticoError {
  return new PorticoError(ErrorKinds.Backup, `restore: ${sentence}`, { cause });
}

function nameOf(file: string): string {
  return file === '-' ? 'standard input' : file;
}

/** Reads a backup to its end, in batches; returns what it holds. */
async function read(file: string, signal: AbortSignal, verb: string, write: WriteBatch): Promise<string> {
  let batch: Operation[] = [];
  let batchBytes = 0;
  const progress = new Progress(verb);
  const reader = new BackupReader(
    (found) => refuseNewer('the store in the backup', { version: found.store, writer: found.writer }, version),
    (key, value) => {
      batch.push({ type: 'put', key, value });
      batchBytes += key.length + value.length;
    },
  );
  if (file === '-' && process.stdin.isTTY) throw failed('standard input is a terminal; name a file');
  const source: Readable = file === '-' ? process.stdin : createReadStream(file);
  // Not a pipeline, which waits for a source that the end of the backup has left something of.
  const gunzip = addAbortSignal(signal, createGunzip());
  source.on('error', (error) => gunzip.destroy(error));
  source.pipe(gunzip);
  try {
    for await (const chunk of gunzip) {
      reader.push(chunk as Buffer);
      progress.update(reader.records, reader.bytes);
      if (batchBytes < BATCH_BYTES) continue;
      await write(batch);
      batch = [];
      batchBytes = 0;
    }
    reader.end();
    if (batch.length > 0) await write(batch);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw unreadable(error, nameOf(file));
  } finally {
    source.destroy();
    progress.end();
  }
  const { store, portico, date } = reader.end();
  return `${amount(reader.records, reader.bytes)}; store version ${store}, taken by portico ${portico} at ${date}`;
}

/** What is wrong with a file, or with writing what it holds. */
function unreadable(error: unknown, name: string): unknown {
  if (error instanceof PorticoError) {
    if (error.kind !== ErrorKinds.Backup) return error;
    return failed(`${name} cannot be used: ${error.message}`, error);
  }
  const { code = '' } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') return failed(`${name} cannot be used: it is cut short`, error);
  if (code.startsWith('Z_')) {
    return failed(`${name} cannot be used: it is no gzip file, or damaged (${(error as Error).message})`, error);
  }
  return failed(`cannot read ${name}: ${reason(error)}`, error);
}
