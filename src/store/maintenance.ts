/**
 * Mends a damaged store while LevelDB has it closed: a new one is made beside it of everything that can be read, the old
 * one is moved into a dated folder as it is, and the new one takes its place. Nothing is deleted that is not a copy.
 */
import { rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Level } from 'level';
import { type Aside, flushDirectory, makeFolder } from './aside.js';
import type { Damage } from './damage.js';
import { sessionsIn } from './describe.js';
import { Directory } from './directory.js';
import { Family, familyRange, textOf, versionKey } from './keys.js';
import { codeOf, listFiles, readWhatIsReadable } from './leveldb/files.js';
import { type Inspection, inspect } from './leveldb/inspection.js';
import { faultOf } from './leveldb/table-file.js';
import { STORE_VERSION, sessionNumberIn } from './records.js';
import { isOfFamily, type Losses, noLosses, type Salvaged, salvage } from './salvage.js';
import { Sealer } from './seal.js';

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

/**
 * Looks at all files of a closed store and mends it if it is damaged.
 *
 * Tables of queue segments alone may wait unless `thorough`, if there are many: segments are never written twice, their
 * checksums tell what they hold, and flow states tell which are done, so damage cannot make one pass for another. All
 * else has older versions, which would come back if a newer one went unnoticed.
 */
export async function maintain(maintenance: Maintenance, thorough: boolean): Promise<Maintained> {
  const { directory, aside, tell } = maintenance;
  const rebuilt = `${directory}.rebuilding`;
  await finishRename(directory, rebuilt);
  let left = thorough ? Number.POSITIVE_INFINITY : READ_AT_START;
  const inspection = await inspect(directory, (table) => {
    left -= table.size;
    return left < 0 && isOfFamily(Family.Queue, table);
  });
  if (inspection.faults.length === 0) {
    for (const fault of inspection.torn) tell({ kind: 'torn', fault });
    return { mended: false, unread: inspection.unread.map(({ number }) => number) };
  }
  // Files that another process is writing look damaged.
  await assertUnlocked(directory);
  const losses = noLosses();
  const { kept, clients } = await rebuild(rebuilt, inspection, losses);
  const folder = await aside.newFolder();
  await rename(directory, join(folder, 'store'));
  await rename(rebuilt, directory);
  await flushDirectory(folder);
  await flushDirectory(dirname(directory));
  tell({ kind: 'files', faults: inspection.faults, folder, kept, losses, clients });
  return { mended: true, unread: [] };
}

/** A crash may have come between moving the old store away and the new one in, or before that. */
async function finishRename(directory: string, rebuilt: string): Promise<void> {
  if (!(await exists(rebuilt))) return;
  // Another process may be mending the same store now.
  await assertUnlocked(rebuilt);
  if (await exists(directory)) await rm(rebuilt, { recursive: true });
  else await rename(rebuilt, directory);
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
    if (error instanceof Error && codeOf(error.cause) === 'LEVEL_LOCKED') throw error;
  } finally {
    await probe.close();
  }
}

interface Rebuilt {
  /** Records, by family. */
  readonly kept: ReadonlyMap<number, number>;
  /** Client identifiers, by the numbers of sessions that have lost something. */
  readonly clients: ReadonlyMap<number, string>;
}

/** Writes what can be read into a new store. */
async function rebuild(path: string, inspection: Inspection, losses: Losses): Promise<Rebuilt> {
  await makeFolder(path);
  const db = new Level<Buffer, Buffer>(path, ENCODING);
  // Rejects if another process is at it.
  await db.open();
  try {
    const rebuilt = await fill(db, inspection, losses).finally(() => db.close());
    await settleLogs(path);
    await flushDirectory(path);
    return rebuilt;
  } catch (error) {
    // The disk may be full, and what cannot be finished must not take its last room.
    await rm(path, { recursive: true, force: true });
    throw error;
  }
}

async function fill(db: Level<Buffer, Buffer>, inspection: Inspection, losses: Losses): Promise<Rebuilt> {
  const kept = new Map<number, number>();
  let batch: (Salvaged & { type: 'put' })[] = [];
  let bytes = 0;
  const write = async (): Promise<void> => {
    await db.batch(batch, { sync: false });
    batch = [];
    bytes = 0;
  };
  for await (const { key, value } of salvage(inspection, losses)) {
    batch.push({ type: 'put', key, value });
    bytes += key.length + value.length;
    kept.set(key[0], (kept.get(key[0]) ?? 0) + 1);
    if (bytes >= BATCH_BYTES || batch.length >= BATCH_RECORDS) await write();
  }
  await write();
  if (kept.size > 0 && !kept.has(Family.Version)) {
    // Records without a version are refused, and each says its own.
    const version = { type: 'put', key: versionKey(), value: Buffer.from([STORE_VERSION]) } as const;
    await db.batch(new Sealer().seal([version]));
  }
  await db.batch([NOTHING], { sync: true });
  return { kept, clients: await clientsOf(db, losses) };
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
