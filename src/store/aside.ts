/**
 * The folders beside the store that take what is damaged: `damaged-YYYY-MM-DDTHH-MM-SSZ`, and with `-2`, `-3`... behind
 * it if there is one already. Nothing in them is ever read or deleted by the broker.
 */
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeKey } from './describe.js';
import { codeOf, namesIn } from './leveldb/files.js';

/** Name of the file of values in such a folder. */
const VALUES_FILE = 'values.jsonl';

/** Of folders that hold messages. */
const FOLDER_MODE = 0o700;

export class Aside {
  readonly #parent: string;
  #folder: string | null = null;

  /** @param parent the directory in which the folders are made */
  constructor(parent: string) {
    this.#parent = parent;
  }

  /** Makes a new folder; returns its path. */
  async newFolder(): Promise<string> {
    const date = `${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}Z`;
    for (let n = 1; ; n++) {
      const folder = join(this.#parent, `damaged-${date}${n === 1 ? '' : `-${n}`}`);
      try {
        await mkdir(folder, { mode: FOLDER_MODE });
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error;
        continue;
      }
      await flushDirectory(this.#parent);
      this.#folder = folder;
      return folder;
    }
  }

  /**
   * Appends records to the file of values of the newest folder of this run, one JSON object each: what it is in words,
   * `why` it is here, and `key` and `value` in base64. Resolves with the folder when the disk has them.
   */
  async keep(
    records: readonly { readonly key: Buffer; readonly value: Buffer; readonly why: string }[],
  ): Promise<string> {
    const { folder, file } = await this.#valuesFile();
    try {
      let text = '';
      for (const { key, value, why } of records) {
        const [name, value64] = [describeKey(key), value.toString('base64')];
        text += `${JSON.stringify({ what: name, why, key: key.toString('base64'), value: value64 })}\n`;
      }
      await file.appendFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await flushDirectory(folder);
    return folder;
  }

  async #valuesFile(): Promise<{ folder: string; file: FileHandle }> {
    if (this.#folder !== null) {
      const folder = this.#folder;
      try {
        return { folder, file: await open(join(folder, VALUES_FILE), 'a', 0o600) };
      } catch (error) {
        // Somebody had no more need of it.
        if (codeOf(error) !== 'ENOENT') throw error;
      }
    }
    const folder = await this.newFolder();
    return { folder, file: await open(join(folder, VALUES_FILE), 'a', 0o600) };
  }
}

/** What stands in such folders of former runs, in words; a sentence for each, oldest first. */
export async function keptAside(parent: string): Promise<string[]> {
  const sentences: string[] = [];
  // Who opens the store says better what is wrong with the directory.
  const names = await namesIn(parent).catch(() => []);
  for (const name of names.sort()) {
    const time = /^damaged-(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)Z(-\d+)?$/.exec(name);
    if (time === null) continue;
    const [, date, hours, minutes, seconds] = time;
    const folder = join(parent, name);
    sentences.push(
      `what was set aside on ${date} at ${hours}:${minutes}:${seconds} UTC is still in ${folder}; ` +
        'delete it when you need it no more',
    );
  }
  return sentences;
}

/**
 * Makes a folder for messages, which other users cannot look into; one that is there stays as it is.
 * @returns whether there was none
 */
export async function makeFolder(path: string): Promise<boolean> {
  // The mode would be that of the folders above it, too.
  await mkdir(dirname(path), { recursive: true });
  try {
    await mkdir(path, { mode: FOLDER_MODE });
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

/** Makes the names in a directory durable, where the system can do that. */
export async function flushDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    // Windows opens no directories.
    const code = codeOf(error);
    if (code !== 'EISDIR' && code !== 'EPERM' && code !== 'EACCES' && code !== 'EINVAL') throw error;
  }
}
