/**
 * A file system of a few megabytes: a tmpfs, which only root can mount. A test that cannot mount it fails. It is unmounted
 * when the process ends.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './portico.js';

const mounted = new Set<string>();

// Before the folders are removed, which would find the mounts busy.
process.prependListener('exit', () => {
  for (const path of mounted) unmount(path);
});

function unmount(path: string): void {
  mounted.delete(path);
  // Lazily: a broker that was just killed may still hold a file.
  execFileSync('umount', ['--lazy', path]);
}

export class SmallDisk {
  readonly path: string;
  readonly #filler: string;

  /** @param megabytes its size */
  constructor(megabytes: number) {
    this.path = temporaryFolder();
    this.#filler = join(this.path, 'filler');
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'portico-test', this.path]);
    mounted.add(this.path);
  }

  /** Takes up this much room, or all there is. */
  fill(megabytes = Number.POSITIVE_INFINITY): void {
    const file = openSync(this.#filler, 'a');
    // A page is the least that tmpfs gives.
    const page = Buffer.alloc(4096, 0x20);
    try {
      for (let left = megabytes * 256; left > 0; left--) writeSync(file, page);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Makes room: takes back what was filled. */
  empty(): void {
    rmSync(this.#filler);
  }

  remove(): void {
    unmount(this.path);
  }
}
