/** The files of a LevelDB directory, by their names (db/filename.cc). */
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes that are read at a time from a file that does not read whole. */
const SECTOR = 4096;

export interface StoreFiles {
  readonly directory: string;
  /** File names by number. */
  readonly tables: ReadonlyMap<number, string>;
  readonly logs: ReadonlyMap<number, string>;
  readonly manifests: ReadonlyMap<number, string>;
  readonly current: boolean;
}

/** Lists a directory that need not exist. */
export async function listFiles(directory: string): Promise<StoreFiles> {
  const tables = new Map<number, string>();
  const logs = new Map<number, string>();
  const manifests = new Map<number, string>();
  let current = false;
  for (const name of await namesIn(directory)) {
    const table = /^(\d+)\.(ldb|sst)$/.exec(name);
    const log = /^(\d+)\.log$/.exec(name);
    const manifest = /^MANIFEST-(\d+)$/.exec(name);
    if (table !== null) tables.set(Number(table[1]), name);
    else if (log !== null) logs.set(Number(log[1]), name);
    else if (manifest !== null) manifests.set(Number(manifest[1]), name);
    else if (name === 'CURRENT') current = true;
  }
  return { directory, tables, logs, manifests, current };
}

/** The names in a directory that need not exist. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Reads a file; in place of what its disk cannot read stand bytes of 0xff, which are no part of any file of LevelDB, as
 * zeros are at the end of a log. Rejects if the file may not be read, or is not there.
 */
export async function readWhatIsReadable(directory: string, name: string): Promise<Buffer> {
  const path = join(directory, name);
  try {
    return await readFile(path);
  } catch (error) {
    if (codeOf(error) !== 'EIO') throw error;
  }
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(size, 0xff);
    for (let at = 0; at < size; at += SECTOR) {
      try {
        await file.read(bytes, at, Math.min(SECTOR, size - at), at);
      } catch (error) {
        if (codeOf(error) !== 'EIO') throw error;
      }
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** Bytes of a file, 0 if it is not there. */
export async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
