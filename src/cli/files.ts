/** What commands that read and write whole files and folders have in common. */
import { statSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
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

/** Makes the names in a folder, or the bytes of a file, survive a power cut. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a folder and the files in it survive a power cut. */
export async function flushAll(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await flush(join(folder, name));
  await flush(folder);
}

/**
 * Files that root makes in another user's folder would lock that user out.
 * @throws PorticoError `PORTICO_BACKUP`
 */
export function refuseRoot(folder: string): void {
  const owner = statSync(folder).uid;
  if (process.getuid?.() !== 0 || owner === 0) return;
  throw new PorticoError(
    ErrorKinds.Backup,
    `${folder} belongs to the user with number ${owner}, who could not use what root writes there; run this as that user`,
  );
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
