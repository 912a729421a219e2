/**
 * The names in a directory. An fsync of a file makes its bytes durable; POSIX says nothing about the name that it was
 * just given. LevelDB syncs the directory before it refers to a table, but neither after it has named a new log nor
 * after it has made another manifest the current one.
 */
import { closeSync, fstatSync, fsync, openSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const sync = promisify(fsync);

/** Milliseconds within which two changes may bear the same time: file systems take it from the kernel's last tick. */
const SAME_TIME = 10;

export class Directory {
  readonly #path: string;
  readonly #fd: number;
  /** Time of the last change that is durable, in milliseconds since the epoch, and no later one can bear. */
  #durable = 0;

  /** @throws the error of the operating system if it cannot be read */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'r');
  }

  /** Resolves when all names are durable; costs one fstat if none has changed. */
  async settle(): Promise<void> {
    const now = Date.now();
    const changed = fstatSync(this.#fd).mtimeMs;
    if (changed === this.#durable) return;
    await sync(this.#fd);
    if (now - changed > SAME_TIME) this.#durable = changed;
  }

  /** Resolves when the bytes of all files whose name ends so are durable. */
  async settleFiles(ending: string): Promise<void> {
    for (const name of await readdir(this.#path)) {
      if (name.endsWith(ending)) await settleFile(join(this.#path, name));
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

async function settleFile(path: string): Promise<void> {
  try {
    const file = await open(path, 'r');
    await file.datasync().finally(() => file.close());
  } catch (error) {
    // LevelDB removes a log when a durable table has what was in it.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Makes the name of a directory durable, and that of the directory that it is in, as both may be new. */
export async function settleName(path: string): Promise<void> {
  for (const parent of [dirname(path), dirname(dirname(path))]) {
    let directory: Directory;
    try {
      directory = new Directory(parent);
    } catch {
      // What may not be read was there before us.
      return;
    }
    try {
      await directory.settle();
    } finally {
      directory.close();
    }
  }
}
