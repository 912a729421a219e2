/** The store on LevelDB. */
import { dirname } from 'node:path';
import { ErrorKinds, PorticoError } from '../errors.js';
import { Aside, makeFolder } from './aside.js';
import type { Damage } from './damage.js';
import { Database } from './database.js';
import { Directory, settleName } from './directory.js';
import { everything, versionKey } from './keys.js';
import { isCorruption, isDamage, isInterruption, reason } from './level-errors.js';
import { assertRoomToOpen, isMarked, type Maintenance, maintain, mark, unmark, verify } from './maintenance.js';
import { STORE_VERSION } from './records.js';
import { isSealed, unsealed } from './seal.js';
import type { KeyRange, Operation, Store, Unreadable } from './store.js';

const ENCODING = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;

const NOTHING: Operation = { type: 'del', key: Buffer.from([0]) };

/** Bytes read at a time by who goes through everything: sixty times LevelDB's default. */
const WHOLE_READ_AHEAD = 1024 * 1024;

/** Keys that `clear` deletes at a time: other changes find their turn in between. */
const CLEARED_AT_ONCE = 1000;
/** Entries and keys that are read at a time: few enough to be done with before the collector takes them for lasting. */
const READ_AT_ONCE = 250;

/**
 * Invariant: nothing is written behind a failed write. LevelDB leaves what a full disk cut off in its log and goes on
 * behind it, but reads the log back only up to there: all that it had confirmed since would be gone after a restart. So
 * changes are made one at a time, and the database is opened anew after one that failed, which starts a new log.
 *
 * The same holds after a flush that failed: the system may have dropped what it could not write, and would not say so
 * again. What had been flushed before is on the disk; what had only been written is read back from the log as the system
 * has it, and written to a table that is flushed.
 *
 * Invariant: no value leaves that is not what was written under its key (`seal.ts`). Damaged files are found before
 * LevelDB opens them, and when LevelDB meets them; then the store is made anew of what can be read (`maintenance.ts`).
 */
export class LevelStore implements Store {
  readonly #directory: string;
  /** Made when it is opened: it would open itself, before anybody has looked at its files. */
  #db!: Database;
  #names: Directory | null = null;
  readonly #aside: Aside;
  /** Settles when the change that is being made is through; never rejects. */
  #changing: Promise<void> | null = null;
  /** A write has failed since the database was opened. */
  #failed = false;
  /** There was a write without sync since the last one with it. */
  #unsynced = false;
  /** The damage that LevelDB has met in a write since the database was opened. */
  #damage: unknown = null;
  /** The store has been copied whole because of what LevelDB did not read, although it looked sound. */
  #copied = false;
  #closed = false;
  #mending: Promise<boolean> | null = null;
  #verifying: Promise<void> | null = null;
  /** Calls of `setAside` that are under way. */
  readonly #settingAside = new Set<Promise<void>>();
  onDamage: ((damage: Damage) => void) | null = null;

  /**
   * @param directory where LevelDB keeps its files; created if absent. What is damaged goes to folders beside it.
   */
  constructor(directory: string) {
    this.#directory = directory;
    this.#aside = new Aside(dirname(directory));
  }

  async open(): Promise<void> {
    try {
      const { unread } = await maintain(this.#maintenance, await isMarked(this.#directory));
      await makeFolder(this.#directory);
      this.#db = new Database(this.#directory);
      await this.#openDatabase();
      await this.#checkVersion();
      if (unread.length > 0) this.#verifying = this.#verify(unread);
    } catch (error) {
      throw new PorticoError(ErrorKinds.StoreOpen, `cannot open the store in ${this.#directory}: ${reason(error)}`, {
        cause: error,
      });
    }
  }

  get #maintenance(): Maintenance {
    return {
      directory: this.#directory,
      aside: this.#aside,
      tell: (damage) => this.onDamage?.(damage),
      ended: () => this.#closed,
    };
  }

  /** Looks at the tables that the start did not wait for. */
  async #verify(tables: readonly number[]): Promise<void> {
    try {
      if (!(await verify(this.#maintenance, tables))) await this.#mend(null);
    } catch {
      // Whoever reads there will say so.
    }
  }

  async write(operations: Operation[], sync: boolean): Promise<void> {
    if (operations.length === 0 && !sync) return;
    // LevelDB skips an empty batch, synchronous or not: deleting what never exists makes it flush its log.
    const changes = operations.length > 0 ? operations : [NOTHING];
    await this.#alone(() => this.#change(changes, sync));
  }

  /** Runs one change after the other. */
  async #alone<T>(change: () => Promise<T>): Promise<T> {
    while (this.#changing !== null) await this.#changing;
    const changed = change();
    const through = (): void => {
      this.#changing = null;
    };
    this.#changing = changed.then(through, through);
    return await changed;
  }

  async #change(changes: Operation[], sync: boolean): Promise<void> {
    if (this.#failed && !this.#closed) {
      // What is open can be read, so it is not closed for an attempt that is bound to fail.
      if (this.#db.status === 'open') await assertRoomToOpen(this.#directory);
      await this.#reopen();
      this.#failed = false;
      this.#damage = null;
    }
    try {
      await this.#db.apply(changes, sync);
      if (sync) await this.#settle();
      else this.#unsynced = true;
    } catch (error) {
      this.#failed = true;
      if (isDamage(error)) this.#damage ??= error;
      throw error;
    }
  }

  async #settle(): Promise<void> {
    // The batch may have begun a new log, whose name has to be as durable as what is in it.
    await this.#names?.settle();
    if (!this.#unsynced) return;
    // LevelDB has synced only the log that it writes now.
    await this.#names?.settleFiles('.log');
    this.#unsynced = false;
  }

  async #reopen(): Promise<void> {
    await this.#db.close();
    try {
      if (this.#damage !== null) await this.#maintain(this.#damage);
    } finally {
      await this.#openDatabase();
    }
  }

  async #openDatabase(): Promise<void> {
    try {
      await this.#db.open();
    } catch (error) {
      if (!isDamage(error)) throw error;
      // It had looked sound.
      await maintain(this.#maintenance, true, reason(error));
      await this.#db.open();
    }
    await this.#settleNames();
    await mark(this.#directory);
  }

  /**
   * Mends the closed store because of an error of LevelDB.
   * @returns whether there was damage
   */
  async #maintain(error: unknown): Promise<boolean> {
    if ((await maintain(this.#maintenance, true)).mended) return true;
    // LevelDB does not check what it merges: a damaged entry may stand in a table whose checksums are right. A copy has none.
    if (this.#copied || !isCorruption(error)) return false;
    this.#copied = true;
    return (await maintain(this.#maintenance, true, reason(error))).mended;
  }

  /** Makes the names of the files durable, in a directory that may be another one than before. */
  async #settleNames(): Promise<void> {
    this.#names?.close();
    this.#names = new Directory(this.#directory);
    await this.#names.settle();
    await settleName(this.#directory);
  }

  /** Without its version the store would be refused: one that is damaged is set aside, and this one's put in its place. */
  async #checkVersion(): Promise<void> {
    const key = versionKey();
    const stored = await this.#db.get(key);
    if (stored === undefined || isSealed(key, stored)) return;
    if (stored[0] < 32 && /^[\w.+-]*$/.test(stored.latin1Slice(1))) {
      await this.close();
      throw new Error('a Portico before 0.1.0 wrote it');
    }
    await this.setAside([{ key, value: stored, why: 'its checksum is wrong' }]);
    await this.write([{ type: 'put', key, value: Buffer.from([STORE_VERSION]) }], true);
  }

  /**
   * Closes the database, makes it anew of what can be read, and opens it.
   * @param error of LevelDB; null if only a look at a file has found damage
   * @returns whether there was damage
   */
  #mend(error: unknown): Promise<boolean> {
    this.#mending ??= this.#alone(async () => {
      if (this.#closed) return false;
      // What is open can be read, but for what is damaged.
      await assertRoomToOpen(this.#directory);
      await this.#db.close();
      try {
        return await this.#maintain(error);
      } finally {
        await this.#openDatabase();
      }
    }).finally(() => {
      this.#mending = null;
    });
    return this.#mending;
  }

  /**
   * Runs a read until it succeeds or there is nothing to mend.
   * @param read started anew if the database was closed meanwhile, to be opened anew
   */
  async #reading<T>(read: () => Promise<T>): Promise<T> {
    for (;;) {
      if (this.#mending !== null) await this.#mending;
      try {
        return await read();
      } catch (error) {
        if (this.#closed) throw error;
        if (isInterruption(error)) {
          if (this.#changing === null && this.#db.status !== 'open') throw error;
          await this.#changing;
        } else if (!isDamage(error) || !(await this.#mend(error))) throw error;
      }
    }
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    const stored = await this.#reading(() => this.#db.get(key));
    if (stored === undefined) return undefined;
    const value = unsealed(key, stored);
    if (value === undefined) await this.setAside([{ key, value: stored, why: 'its checksum is wrong' }]);
    return value;
  }

  async *entries(range: KeyRange, whole = false): AsyncIterable<[Buffer, Buffer]> {
    const options = { ...ENCODING, ...readAhead(whole) };
    for await (const entries of this.#chunks(range, (from) => this.#db.iterator({ ...from, ...options }), keyOf)) {
      for (const [key, stored] of entries) {
        const value = unsealed(key, stored);
        if (value !== undefined) yield [key, value];
        else await this.setAside([{ key, value: stored, why: 'its checksum is wrong' }]);
      }
    }
  }

  async *keys(range: KeyRange, whole = false): AsyncIterable<Buffer> {
    const options = { ...ENCODING, ...readAhead(whole) };
    const open = (from: Bounds): ChunkReader<Buffer> => this.#db.keys({ ...from, ...options });
    for await (const keys of this.#chunks(range, open, (key) => key)) yield* keys;
  }

  /** What an iterator gives, a chunk at a time; goes on behind the last one if the database is opened anew meanwhile. */
  async *#chunks<T>(range: KeyRange, open: (bounds: Bounds) => ChunkReader<T>, keyOf: (item: T) => Buffer) {
    let bounds: Bounds = range;
    let reader: ChunkReader<T> | null = null;
    try {
      for (;;) {
        const chunk: T[] = await this.#reading(async () => {
          reader ??= open(bounds);
          try {
            return await reader.nextv(READ_AT_ONCE);
          } catch (error) {
            const broken = reader;
            reader = null;
            await broken.close();
            throw error;
          }
        });
        if (chunk.length === 0) return;
        yield chunk;
        bounds = { gt: keyOf(chunk[chunk.length - 1]), lt: range.lt };
      }
    } finally {
      await (reader as ChunkReader<T> | null)?.close();
    }
  }

  snapshot(leftOut?: (key: Buffer) => void): AsyncIterable<[Buffer, Buffer]> {
    // LevelDB's iterator reads a snapshot, and ends with an error when the database is closed under it.
    return this.#genuine(this.#db.iterator({ ...everything(), ...ENCODING }), leftOut);
  }

  async *#genuine(
    entries: AsyncIterable<[Buffer, Buffer]>,
    leftOut?: (key: Buffer) => void,
  ): AsyncIterable<[Buffer, Buffer]> {
    try {
      for await (const [key, stored] of entries) {
        const value = unsealed(key, stored);
        if (value !== undefined) yield [key, value];
        else {
          leftOut?.(key);
          await this.setAside([{ key, value: stored, why: 'its checksum is wrong' }]);
        }
      }
    } catch (error) {
      // The next snapshot is one of a store that was mended.
      if (isDamage(error)) await this.#mend(error);
      throw error;
    }
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

  async setAside(records: readonly Unreadable[]): Promise<void> {
    if (records.length === 0) return;
    const setting = this.#setAside(records).finally(() => this.#settingAside.delete(setting));
    this.#settingAside.add(setting);
    await setting;
  }

  async #setAside(records: readonly Unreadable[]): Promise<void> {
    let folder: string | null = null;
    try {
      folder = await this.#aside.keep(records);
      await this.#alone(() => this.#remove(records));
    } catch (error) {
      // The store keeps what cannot be set aside; the caller passes over it in any case.
      if (this.#closed) throw error;
    }
    for (const { key, why } of records) this.onDamage?.({ kind: 'record', key, why, folder });
  }

  /** Deletes records that nobody has written anew meanwhile. */
  async #remove(records: readonly Unreadable[]): Promise<void> {
    const changes: Operation[] = [];
    for (const { key, value } of records) {
      const stored = await this.#db.get(key);
      // With its checksum, or without.
      const same = stored !== undefined && (stored.equals(value) || unsealed(key, stored)?.equals(value) === true);
      if (same) changes.push({ type: 'del', key });
    }
    if (changes.length > 0) await this.#change(changes, true);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#settingAside]);
    this.#closed = true;
    await this.#verifying;
    while (this.#changing !== null) await this.#changing;
    if (this.#db === undefined) return;
    await this.#db.close();
    this.#names?.close();
    this.#names = null;
    await unmark(this.#directory);
  }
}

type Bounds = KeyRange | { readonly gt: Buffer; readonly lt: Buffer };

/** What iterators of entries and of keys have in common. */
interface ChunkReader<T> {
  nextv(size: number): Promise<T[]>;
  close(): Promise<void>;
}

function keyOf([key]: [Buffer, Buffer]): Buffer {
  return key;
}

/** How many bytes LevelDB reads before it hands them over; each time costs a trip through another thread. */
function readAhead(whole: boolean): { highWaterMarkBytes?: number } {
  return whole ? { highWaterMarkBytes: WHOLE_READ_AHEAD } : {};
}
