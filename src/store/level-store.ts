/** The store on LevelDB. */
import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { ErrorKinds, PorticoError } from '../errors.js';
import { Directory, settleName } from './directory.js';
import { everything } from './keys.js';
import type { KeyRange, Operation, Store } from './store.js';

const ENCODING = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;

const NOTHING: Operation = { type: 'del', key: Buffer.from([0]) };

/** Bytes read at a time by who goes through everything: sixty times LevelDB's default. */
const WHOLE_READ_AHEAD = 1024 * 1024;
/** Bytes that the database needs to open, besides a table as large as its logs. */
const ROOM_TO_OPEN = 1024 * 1024;

/** Keys that `clear` deletes at a time: other changes find their turn in between. */
const CLEARED_AT_ONCE = 1000;

/**
 * Invariant: nothing is written behind a failed write. LevelDB leaves what a full disk cut off in its log and goes on
 * behind it, but reads the log back only up to there: all that it had confirmed since would be gone after a restart. So
 * changes are made one at a time, and the database is opened anew after one that failed, which starts a new log.
 *
 * The same holds after a flush that failed: the system may have dropped what it could not write, and would not say so
 * again. What had been flushed before is on the disk; what had only been written is read back from the log as the system
 * has it, and written to a table that is flushed.
 */
export class LevelStore implements Store {
  readonly #directory: string;
  readonly #db: Level<Buffer, Buffer>;
  #names: Directory | null = null;
  /** Settles when the change that is being made is through; never rejects. */
  #changing: Promise<void> | null = null;
  /** A write has failed since the database was opened. */
  #failed = false;
  /** There was a write without sync since the last one with it. */
  #unsynced = false;
  #closed = false;
  /** Settles when the database has been opened anew, or has not; never rejects. */
  #opening: Promise<void> | null = null;

  /** @param directory where LevelDB keeps its files; created if absent */
  constructor(directory: string) {
    this.#directory = directory;
    this.#db = new Level<Buffer, Buffer>(directory, ENCODING);
  }

  async open(): Promise<void> {
    try {
      await this.#db.open();
      this.#names = new Directory(this.#directory);
      await this.#names.settle();
      await settleName(this.#directory);
    } catch (error) {
      throw new PorticoError(ErrorKinds.StoreOpen, `cannot open the store in ${this.#directory}: ${reason(error)}`, {
        cause: error,
      });
    }
  }

  async write(operations: Operation[], sync: boolean): Promise<void> {
    if (operations.length === 0 && !sync) return;
    // LevelDB skips an empty batch, synchronous or not: deleting what never exists makes it flush its log.
    const changes = operations.length > 0 ? operations : [NOTHING];
    while (this.#changing !== null) await this.#changing;
    const change = this.#change(changes, sync);
    const through = (): void => {
      this.#changing = null;
    };
    this.#changing = change.then(through, through);
    await change;
  }

  async #change(changes: Operation[], sync: boolean): Promise<void> {
    if (this.#failed && !this.#closed) {
      // What is open can be read, so it is not closed for an attempt that is bound to fail.
      if (this.#db.status === 'open') await this.#checkRoom();
      await this.#reopen();
      this.#failed = false;
    }
    try {
      await this.#db.batch(changes, { sync });
    } catch (error) {
      this.#failed = true;
      throw error;
    }
    if (!sync) {
      this.#unsynced = true;
      return;
    }
    // The batch may have begun a new log, whose name has to be as durable as what is in it.
    await this.#names?.settle();
    if (!this.#unsynced) return;
    // LevelDB has synced only the log that it writes now.
    await this.#names?.settleFiles('.log');
    this.#unsynced = false;
  }

  async #reopen(): Promise<void> {
    const opening = this.#db.close().then(() => this.#db.open());
    const opened = (): void => {
      this.#opening = null;
    };
    this.#opening = opening.then(opened, opened);
    await opening;
  }

  /** Rejects if there is no room for the table that LevelDB makes of its logs when it opens. */
  async #checkRoom(): Promise<void> {
    const names = (await readdir(this.#directory)).filter((name) => name.endsWith('.log'));
    const logs = await Promise.all(names.map((name) => stat(join(this.#directory, name))));
    const needed = logs.reduce((sum, { size }) => sum + size, ROOM_TO_OPEN);
    const { blocks, bavail, bsize } = await statfs(this.#directory);
    // Some file systems do not tell.
    if (blocks === 0 || bavail * bsize >= needed) return;
    const words = `no space left on device: ${megabytes(bavail * bsize)} are free, ${megabytes(needed)} are needed`;
    throw new PorticoError(ErrorKinds.StoreCommit, words);
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    if (this.#opening !== null) await this.#opening;
    return await this.#db.get(key);
  }

  entries(range: KeyRange, whole = false): AsyncIterable<[Buffer, Buffer]> {
    return this.#db.iterator({ ...range, ...ENCODING, ...readAhead(whole) });
  }

  keys(range: KeyRange, whole = false): AsyncIterable<Buffer> {
    return this.#db.keys({ ...range, ...ENCODING, ...readAhead(whole) });
  }

  snapshot(): AsyncIterable<[Buffer, Buffer]> {
    // LevelDB's iterator reads a snapshot, and ends with an error when the database is closed under it.
    return this.#db.iterator({ ...everything(), ...ENCODING });
  }

  async clear(range: KeyRange): Promise<void> {
    let batch: Operation[] = [];
    for await (const key of this.keys(range)) {
      batch.push({ type: 'del', key });
      if (batch.length < CLEARED_AT_ONCE) continue;
      await this.write(batch, false);
      batch = [];
    }
    await this.write(batch, false);
  }

  async close(): Promise<void> {
    this.#closed = true;
    while (this.#changing !== null) await this.#changing;
    await this.#db.close();
    this.#names?.close();
    this.#names = null;
  }
}

/** How many bytes LevelDB reads before it hands them over; each time costs a trip through another thread. */
function readAhead(whole: boolean): { highWaterMarkBytes?: number } {
  return whole ? { highWaterMarkBytes: WHOLE_READ_AHEAD } : {};
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** LevelDB says what went wrong in the cause of its error. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause;
  if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') return 'another process uses it';
  const words = cause instanceof Error ? cause.message : error.message;
  return /no space left/i.test(words)
    ? `the disk is full, and the store cannot open without some room: ${words}`
    : words;
}
