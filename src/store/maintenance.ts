/**
 * Mends a damaged store while LevelDB has it closed: a new one is made beside it of everything that can be read, the old
 * one is moved into a dated folder as it is, and the new one takes its place. Nothing is deleted that is not a copy.
 * Tables are never changed once they are written: those that are sound are in both, as one file with two names.
 */
import { link, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Level } from 'level';
import { ErrorKinds, PorticoError } from '../errors.js';
import { type Aside, flushDirectory, makeFolder } from './aside.js';
import type { Damage } from './damage.js';
import { sessionsIn } from './describe.js';
import { Directory } from './directory.js';
import { Family, familyRange, textOf, versionKey } from './keys.js';
import { isDamage } from './level-errors.js';
import { codeOf, listFiles, readWhatIsReadable, sizeOf } from './leveldb/files.js';
import { type Inspection, inspect, isLiveLog } from './leveldb/inspection.js';
import { type LiveTable, manifestOf } from './leveldb/manifest.js';
import { faultOf } from './leveldb/table-file.js';
import { STORE_VERSION, sessionNumberIn } from './records.js';
import { isOfFamily, type Losses, noLosses, salvageBeside } from './salvage.js';
import { sealAll } from './seal.js';
import type { Operation } from './store.js';

/** What is maintained, and for whom. */
export interface Maintenance {
  /** Of LevelDB. */
  readonly directory: string;
  readonly aside: Aside;
  tell(damage: Damage): void;
  /** Whether the store is being closed. */
  ended(): boolean;
}

export interface Maintained {
  readonly mended: boolean;
  /** Numbers of the tables whose data has not been looked at. */
  readonly unread: readonly number[];
}

const ENCODING = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;
/** Bytes and records that are written at once to the new store. */
const BATCH_BYTES = 1024 * 1024;
const BATCH_RECORDS = 1000;
/** Bytes of tables up to which a start looks at everything: about a second's work. */
const READ_AT_START = 2 ** 30;
/** Makes LevelDB flush its log, which it does not for an empty batch. */
const NOTHING = { type: 'del', key: Buffer.from([0]) } as const;

/** Bytes that LevelDB needs to open, besides a table as large as its logs. */
const ROOM_TO_OPEN = 2 ** 20;

/**
 * Looks at all files of a closed store and mends it if it is damaged.
 *
 * Tables of queue segments alone may wait unless `thorough`, if there are many: segments are never written twice, their
 * checksums tell what they hold, and flow states tell which are done, so damage cannot make one pass for another. All
 * else has older versions, which would come back if a newer one went unnoticed.
 *
 * @param refusal why LevelDB does not open or read it, if it has been tried: then it is damaged, however it looks
 */
export async function maintain(
  maintenance: Maintenance,
  thorough: boolean,
  refusal: string | null = null,
): Promise<Maintained> {
  const { directory, tell } = maintenance;
  const place = `${directory}.rebuilding`;
  if (await exists(place)) await alone(directory, place, () => finishRename(directory, place));
  let left = thorough ? Number.POSITIVE_INFINITY : READ_AT_START;
  const inspection = await inspect(directory, (table) => {
    left -= table.size;
    return left < 0 && isOfFamily(Family.Queue, table);
  });
  if (inspection.faults.length === 0 && refusal === null) {
    for (const fault of inspection.torn) tell({ kind: 'torn', fault });
    return { mended: false, unread: inspection.unread.map(({ number }) => number) };
  }
  return { mended: await alone(directory, place, () => mend(maintenance, place, refusal)), unread: [] };
}

/**
 * Runs what one process may do at a time, in a folder that is there meanwhile. LevelDB has locks, which go with their
 * process; Node.js has none.
 */
async function alone<T>(directory: string, place: string, work: () => Promise<T>): Promise<T> {
  await makeFolder(place);
  const lock = new Level(place);
  try {
    await lock.open();
  } catch (error) {
    if (isLocked(error)) throw error;
    // Without room for a lock there is none for mending either, but the place may take much of it.
  }
  try {
    return await work();
  } finally {
    const remove = (): Promise<void> => rm(place, { recursive: true, force: true });
    // Unless the new store is still to be moved.
    let goes = await exists(directory);
    // Under the lock, which another process would take at once; but Windows and NFS keep the folder of an open file.
    if (goes) {
      goes = await remove().then(
        () => false,
        () => true,
      );
    }
    await lock.close();
    if (goes) await remove();
  }
}

/** @returns whether there was damage, still */
async function mend({ directory, aside, tell }: Maintenance, place: string, refusal: string | null): Promise<boolean> {
  // Files that another process is writing look damaged.
  await assertUnlocked(directory);
  // Another process may have mended it, and what has not been looked at is not known to be sound.
  let inspection = await inspect(directory, () => false);
  if (refusal !== null) {
    const fault = { file: 'the database', what: `cannot be read (${refusal})` };
    inspection = { ...inspection, faults: [...inspection.faults, fault], manifest: null };
  }
  if (inspection.faults.length === 0) return false;
  const rebuilt = join(place, 'store');
  const { kept, clients, losses } = await rebuild(rebuilt, inspection);
  const folder = await aside.newFolder();
  await rename(directory, join(folder, 'store'));
  await rename(rebuilt, directory);
  await flushDirectory(folder);
  await flushDirectory(dirname(directory));
  tell({ kind: 'files', faults: inspection.faults, folder, kept, losses, clients });
  return true;
}

/** A crash may have come between moving the old store away and the new one in. */
async function finishRename(directory: string, place: string): Promise<void> {
  const rebuilt = join(place, 'store');
  if ((await exists(directory)) || !(await exists(rebuilt))) return;
  await rename(rebuilt, directory);
  await flushDirectory(dirname(directory));
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Rejects if another process has the store open. LevelDB takes its lock before it looks at anything else. */
export async function assertUnlocked(directory: string): Promise<void> {
  const probe = new Level(directory);
  try {
    await probe.open({ createIfMissing: false, errorIfExists: true });
  } catch (error) {
    if (isLocked(error)) throw error;
  } finally {
    await probe.close();
  }
}

function isLocked(error: unknown): boolean {
  return error instanceof Error && codeOf(error.cause) === 'LEVEL_LOCKED';
}

interface Rebuilt {
  /** Records, by family. */
  readonly kept: ReadonlyMap<number, number>;
  /** Client identifiers, by the numbers of sessions that have lost something. */
  readonly clients: ReadonlyMap<number, string>;
  readonly losses: Losses;
}

/** Makes a new store of what can be read. */
async function rebuild(path: string, inspection: Inspection): Promise<Rebuilt> {
  await makeFolder(path);
  const staying = await linkSound(path, inspection);
  if (staying.size === 0) return await rebuildBeside(path, staying, inspection);
  try {
    return await rebuildBeside(path, staying, inspection);
  } catch (error) {
    if (!isDamage(error)) throw error;
    // LevelDB has merged a damaged block into a table whose checksums are right, and does not read that.
    await rm(path, { recursive: true });
    await makeFolder(path);
    return await rebuildBeside(path, new Set(), inspection);
  }
}

/** @param staying numbers of the tables that are there already */
async function rebuildBeside(path: string, staying: ReadonlySet<number>, inspection: Inspection): Promise<Rebuilt> {
  await checkRoom(inspection, staying);
  const losses = noLosses();
  const db = new Level<Buffer, Buffer>(path, { ...ENCODING, createIfMissing: staying.size === 0 });
  await db.open();
  const { kept, clients } = await fill(db, staying, inspection, losses).finally(() => db.close());
  await settleLogs(path);
  await flushDirectory(path);
  return { kept, clients, losses };
}

/**
 * Gives the sound tables a second name in a new store, and a MANIFEST that names them.
 * @returns their numbers; none where it is not known which tables make up the store, or files cannot have two names
 */
async function linkSound(path: string, { files, faults, manifest }: Inspection): Promise<ReadonlySet<number>> {
  const damaged = new Set(faults.map(({ file }) => file));
  const sound: LiveTable[] = [];
  for (const table of manifest?.tables.values() ?? []) {
    const name = files.tables.get(table.number);
    if (name === undefined || damaged.has(name)) continue;
    try {
      await link(join(files.directory, name), join(path, name));
    } catch {
      // The file system has no such names, or the file is another user's: a copy needs none.
      for (const { number } of sound) await rm(join(path, files.tables.get(number) as string));
      return new Set();
    }
    sound.push(table);
  }
  if (manifest === null || sound.length === 0) return new Set();
  let next = 1;
  for (const numbers of [files.tables, files.logs, files.manifests]) {
    for (const number of numbers.keys()) next = Math.max(next, number + 1);
  }
  const name = `MANIFEST-${String(next).padStart(6, '0')}`;
  await writeFile(join(path, name), manifestOf(sound, next + 1, manifest.lastSequence));
  await writeFile(join(path, 'CURRENT'), `${name}\n`);
  return new Set(sound.map(({ number }) => number));
}

/** Rejects if there is no room for what has to be written anew: before that takes time, and the last room of others. */
async function checkRoom({ files, manifest }: Inspection, staying: ReadonlySet<number>): Promise<void> {
  let needed = ROOM_TO_OPEN;
  for (const [number, name] of files.tables) {
    const counts = !staying.has(number) && (manifest === null || manifest.tables.has(number));
    if (counts) needed += await sizeOf(join(files.directory, name));
  }
  for (const [number, name] of files.logs) {
    if (isLiveLog(manifest, number)) needed += await sizeOf(join(files.directory, name));
  }
  await assertRoom(files.directory, needed);
}

/** Rejects if there is no room for the table that LevelDB makes of its logs when it opens a store, which may be open. */
export async function assertRoomToOpen(directory: string): Promise<void> {
  let needed = ROOM_TO_OPEN;
  // LevelDB may delete one at any time.
  for (const name of (await listFiles(directory)).logs.values()) needed += await sizeOf(join(directory, name));
  await assertRoom(directory, needed);
}

/** Rejects with the words of the system if so many bytes are not free, where that is known. */
async function assertRoom(directory: string, needed: number): Promise<void> {
  const { blocks, bavail, bsize } = await statfs(directory);
  // Some file systems do not tell.
  if (blocks === 0 || bavail * bsize >= needed) return;
  const words = `no space left on device: ${megabytes(bavail * bsize)} are free, ${megabytes(needed)} are needed`;
  throw new PorticoError(ErrorKinds.StoreCommit, words);
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

async function fill(
  db: Level<Buffer, Buffer>,
  staying: ReadonlySet<number>,
  inspection: Inspection,
  losses: Losses,
): Promise<Omit<Rebuilt, 'losses'>> {
  let batch: Operation[] = [];
  let bytes = 0;
  const write = async (): Promise<void> => {
    await db.batch(batch, { sync: false });
    batch = [];
    bytes = 0;
  };
  for await (const { key, value } of salvageBeside(staying, inspection, losses)) {
    batch.push(value === null ? { type: 'del', key } : { type: 'put', key, value });
    bytes += key.length + (value?.length ?? 0);
    if (bytes >= BATCH_BYTES || batch.length >= BATCH_RECORDS) await write();
  }
  await write();
  const kept = await countsOf(db);
  if (kept.size > 0 && !kept.has(Family.Version)) {
    // Records without a version are refused, and each says its own.
    const version = { type: 'put', key: versionKey(), value: Buffer.from([STORE_VERSION]) } as const;
    await db.batch(sealAll([version]));
  }
  await db.batch([NOTHING], { sync: true });
  return { kept, clients: await clientsOf(db, losses) };
}

/** Numbers of records, by family. */
async function countsOf(db: Level<Buffer, Buffer>): Promise<Map<number, number>> {
  const counts = new Map<number, number>();
  const keys = db.keys({ highWaterMarkBytes: BATCH_BYTES });
  try {
    for (let found = await keys.nextv(BATCH_RECORDS); found.length > 0; found = await keys.nextv(BATCH_RECORDS)) {
      for (const key of found) counts.set(key[0], (counts.get(key[0]) ?? 0) + 1);
    }
  } finally {
    await keys.close();
  }
  return counts;
}

async function clientsOf(db: Level<Buffer, Buffer>, losses: Losses): Promise<Map<number, string>> {
  const clients = new Map<number, string>();
  const wanted = sessionsIn(losses);
  if (wanted.size === 0) return clients;
  for await (const [key, value] of db.iterator(familyRange(Family.Session))) {
    const number = sessionNumberIn(value);
    if (number !== null && wanted.has(number)) clients.set(number, textOf(key));
  }
  return clients;
}

/** LevelDB has synced only the log that it wrote last; one before may still hold what is in no table. */
async function settleLogs(path: string): Promise<void> {
  const names = new Directory(path);
  try {
    await names.settleFiles('.log');
  } finally {
    names.close();
  }
}

/**
 * Looks at the data of tables while the store is open, half of the time at most.
 * @returns whether all that are still there are as they were written
 */
export async function verify({ directory, ended }: Maintenance, numbers: readonly number[]): Promise<boolean> {
  // Once: a large store has thousands.
  const { tables } = await listFiles(directory);
  for (const number of numbers) {
    if (ended()) return true;
    const name = tables.get(number);
    if (name === undefined) continue;
    const started = performance.now();
    try {
      const bytes = await readWhatIsReadable(directory, name);
      if (faultOf(bytes, bytes.length, true) !== null) return false;
    } catch (error) {
      // LevelDB has merged it into another one.
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    await pause(performance.now() - started);
  }
  return true;
}

/**
 * A mark among LevelDB's files, which it does not touch, says that the store is open. If the next start finds it, the
 * store was not closed: LevelDB may have met damage that ended the process, so that start looks at everything.
 */
function markOf(directory: string): string {
  return join(directory, 'OPEN');
}

export function isMarked(directory: string): Promise<boolean> {
  return exists(markOf(directory));
}

export async function mark(directory: string): Promise<void> {
  await writeFile(markOf(directory), '');
}

export async function unmark(directory: string): Promise<void> {
  await rm(markOf(directory), { force: true });
}
