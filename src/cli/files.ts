/** What commands that read and write whole files and folders have in common. */
import { existsSync, statSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ErrorKinds, PorticoError } from '../errors.js';

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is none of that name',
  ENOTDIR: 'a part of the path is no folder',
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EISDIR: 'it is a folder',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
};

/** Why something failed, in words. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return WORDS[(error as NodeJS.ErrnoException).code ?? ''] ?? error.message;
}

/** Makes the bytes of a file, or the names in a folder, survive a power cut. */
async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes the names in a folder survive a power cut, if this user may read it. */
export async function flushNames(folder: string): Promise<void> {
  try {
    await flush(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
  }
}

/** Makes a folder and the files in it survive a power cut. */
export async function flushAll(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await flush(join(folder, name));
  await flush(folder);
}

/**
 * Files that root makes in another user's folder would lock that user out.
 * @param folder that is there, or that is to be made in one that is
 * @param user number of this user
 * @throws PorticoError `PORTICO_BACKUP`
 */
export function refuseRoot(folder: string, user: number | undefined = process.getuid?.()): void {
  const sentence = lockedOut(folder, user);
  if (sentence !== null) throw new PorticoError(ErrorKinds.Backup, `${sentence}; run this as that user`);
}

/** Whom root would lock out, in words; null for nobody. */
export function lockedOut(folder: string, user: number | undefined = process.getuid?.()): string | null {
  const there = existingPart(resolve(folder));
  const owner = statSync(there).uid;
  if (user !== 0 || owner === 0) return null;
  return `${there} belongs to the user with number ${owner}, who could not use what root writes there`;
}

/** The folder, or the nearest one above it that is there. */
function existingPart(folder: string): string {
  return existsSync(folder) ? folder : existingPart(dirname(folder));
}

/** Aborts with a sentence when the process is to end, so that a command can take away what it has half done. */
export function interruption(command: string): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () =>
      controller.abort(new PorticoError(ErrorKinds.Backup, `${command}: ended by ${name}; nothing is left of it`)),
    );
  }
  return controller.signal;
}
