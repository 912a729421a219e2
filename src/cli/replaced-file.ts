/** A file that is replaced as a whole: whoever reads it, also after a power cut, finds the former text or the new one. */
import { randomBytes } from 'node:crypto';
import { type BigIntStats, realpathSync } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ErrorKinds, PorticoError } from '../errors.js';
import { flushNames, reason } from './files.js';

const OWN_MODE = 0o600;
const MODE_BITS = 0o7777n;

export class ReplacedFile {
  /** As it was named, for sentences. */
  readonly name: string;
  /** What a symbolic link leads to: the link stays. */
  readonly #path: string;
  readonly #found: BigIntStats | null;
  /** What stood there; empty if there is no file. */
  readonly bytes: Buffer;

  private constructor(name: string, path: string, found: BigIntStats | null, bytes: Buffer) {
    this.name = name;
    this.#path = path;
    this.#found = found;
    this.bytes = bytes;
  }

  /**
   * Reads what is there, if anything is.
   * @throws PorticoError `PORTICO_SECURITY_FILE`
   */
  static async open(name: string): Promise<ReplacedFile> {
    let handle: FileHandle | null = null;
    try {
      const path = realpathSync(name);
      handle = await open(path, 'r');
      const found = await handle.stat({ bigint: true });
      if (!found.isFile()) throw failed(name, 'it is no file');
      return new ReplacedFile(name, path, found, await handle.readFile());
    } catch (error) {
      if (error instanceof PorticoError) throw error;
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw failed(name, reason(error), error);
      return new ReplacedFile(name, name, null, Buffer.alloc(0));
    } finally {
      await handle?.close();
    }
  }

  get exists(): boolean {
    return this.#found !== null;
  }

  /** Whether everybody may read it. */
  get isOpenToAll(): boolean {
    return this.#found !== null && (this.#found.mode & 0o004n) !== 0n;
  }

  /**
   * Puts these bytes into its place. A new file has mode 0600; one that is there keeps its mode, owner and group.
   * @throws PorticoError `PORTICO_SECURITY_FILE`; nothing has changed then
   */
  async replace(bytes: Uint8Array): Promise<void> {
    const folder = dirname(this.#path);
    const partial = join(folder, `.${basename(this.#path)}.${randomBytes(6).toString('hex')}`);
    try {
      const handle = await open(partial, 'wx', OWN_MODE);
      try {
        await this.#adopt(handle);
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await this.#compare();
      await rename(partial, this.#path);
      await flushNames(folder);
    } catch (error) {
      await rm(partial, { force: true });
      throw error instanceof PorticoError ? error : failed(this.name, `cannot be replaced: ${reason(error)}`, error);
    }
  }

  /** Takes on the owner, the group and the mode of the file that is there. */
  async #adopt(handle: FileHandle): Promise<void> {
    if (this.#found === null) return;
    const { uid, gid, mode } = this.#found;
    const own = await handle.stat({ bigint: true });
    if (own.uid !== uid || own.gid !== gid) {
      try {
        await handle.chown(Number(uid), Number(gid));
      } catch (error) {
        throw failed(this.name, 'it belongs to another user or group; run this as that user, or as root', error);
      }
    }
    await handle.chmod(Number(mode & MODE_BITS));
  }

  /** Somebody else may have changed the file since it was read: what they wrote must not be lost. */
  async #compare(): Promise<void> {
    const now = await stat(this.#path, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    const then = this.#found;
    const same = now?.ino === then?.ino && now?.mtimeNs === then?.mtimeNs && now?.size === then?.size;
    if (!same) throw failed(this.name, 'somebody else has changed it just now; nothing was written, try again');
  }
}

function failed(name: string, sentence: string, cause?: unknown): PorticoError {
  return new PorticoError(ErrorKinds.SecurityFile, `${name}: ${sentence}`, { cause });
}
