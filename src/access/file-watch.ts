/**
 * Tells when files have changed, however that is done: written anew, replaced by another of the name, or behind symbolic links that
 * lead elsewhere then, as certbot and Kubernetes do it. Folders are watched, not files, since a file that is replaced is gone.
 */
import { type FSWatcher, watch } from 'node:fs';
import { access, readdir, readlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

/** Milliseconds of quiet after a change: files that belong together are rarely written at once. */
const QUIET = 500;
/** Stands for all names of a folder. */
const ANY = '*';
/** Symbolic links that are followed for one file. */
const MOST_LINKS = 40;

/** What a watch tells. */
export interface WatchEvents {
  /** Something has happened to one of the files, and nothing more since. */
  changed(): void;
  /** A folder cannot be watched. */
  failed(folder: string, error: Error): void;
}

export class FileWatch {
  readonly #files: readonly string[];
  readonly #folders: readonly string[];
  readonly #events: WatchEvents;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  /** @param folders of which every file counts */
  constructor(files: readonly string[], events: WatchEvents, folders: readonly string[] = []) {
    this.#files = files;
    this.#folders = folders;
    this.#events = events;
  }

  /** Watches the folders in which the files are now. Call again once they have changed, before they are read. */
  async arm(): Promise<void> {
    const folders = new Map<string, Set<string>>();
    for (const file of [...this.#files, ...(await this.#inFolders())]) {
      for (const { folder, name } of await placesOf(file)) {
        const names = folders.get(folder) ?? new Set();
        folders.set(folder, names.add(name));
      }
    }
    if (this.#closed) return;
    const former = this.#watchers;
    this.#watchers = [];
    for (const [folder, names] of folders) this.#watch(folder, names);
    for (const watcher of former) watcher.close();
  }

  /** The files of the folders, and any name there. */
  async #inFolders(): Promise<string[]> {
    const all = this.#folders.map(async (folder) => {
      const names = await readdir(folder).catch(() => []);
      return [...names, ANY].map((name) => join(folder, name));
    });
    return (await Promise.all(all)).flat();
  }

  #watch(folder: string, names: ReadonlySet<string>): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        // A folder that is moved or removed tells its own name.
        if (name === null || names.has(name) || names.has(ANY) || name === basename(folder)) this.#changed();
      });
      watcher.on('error', (error) => this.#events.failed(folder, error));
      this.#watchers.push(watcher);
    } catch (error) {
      this.#events.failed(folder, error as Error);
    }
  }

  #changed(): void {
    if (this.#closed) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#events.changed();
    }, QUIET);
    this.#timer.unref();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }
}

/** A name in a folder, on the way to a file. */
interface Place {
  readonly folder: string;
  readonly name: string;
}

/** Each name whose change may make a path lead to another file: its symbolic links, also in folders, and its end. */
export async function placesOf(file: string): Promise<Place[]> {
  const places: Place[] = [];
  let pending = resolve(file).split('/');
  let folder = '/';
  for (let links = 0; pending.length > 0; ) {
    const [name, ...rest] = pending;
    pending = rest;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      folder = dirname(folder);
      continue;
    }
    const path = join(folder, name);
    const target = links < MOST_LINKS ? await readlink(path).catch(() => null) : null;
    if (target !== null) {
      links++;
      places.push({ folder, name });
      pending = [...target.split('/'), ...pending];
      if (target.startsWith('/')) folder = '/';
    } else {
      if (pending.length === 0) places.push(await nearest({ folder, name }));
      folder = path;
    }
  }
  return places;
}

/** The place itself, or the one in which its folder is missing. */
async function nearest(place: Place): Promise<Place> {
  const there = await access(place.folder).then(
    () => true,
    () => false,
  );
  if (there || place.folder === '/') return place;
  return nearest({ folder: dirname(place.folder), name: basename(place.folder) });
}
