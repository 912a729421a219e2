/** LevelDB's MANIFEST: a log of edits that says which tables and which logs make up the store (db/version_edit.cc). */
import { Cursor } from './cursor.js';
import { readLog } from './log-file.js';
import { logOf, varint } from './log-writer.js';

export interface LiveTable {
  readonly number: number;
  /** 0 to 6. Tables of level 0 may overlap, and a higher number is newer; of what is in two levels the lower one is newer. */
  readonly level: number;
  /** Bytes of the file. */
  readonly size: number;
  /** First and last key, with what LevelDB puts behind it: number and kind of the change. */
  readonly first: Buffer;
  readonly last: Buffer;
  /** First and last key without it. */
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

export interface Manifest {
  readonly tables: ReadonlyMap<number, LiveTable>;
  /** Logs with a lower number are in the tables. */
  readonly logNumber: number;
  readonly previousLog: number;
  /** Highest number of a change in the tables. */
  readonly lastSequence: number;
  /** Something in it could not be read, so that the rest may be out of date. */
  readonly damaged: boolean;
}

const Tag = {
  Comparator: 1,
  LogNumber: 2,
  NextFile: 3,
  LastSequence: 4,
  CompactPointer: 5,
  DeletedFile: 6,
  NewFile: 7,
  PreviousLog: 9,
} as const;

/** Bytes that LevelDB puts behind a key: number and kind of its change. */
const KEY_TRAILER = 8;
/** Levels that tables stand in. */
const LEVELS = 7;
const COMPARATOR = Buffer.from('leveldb.BytewiseComparator');

/** Reads a MANIFEST; what LevelDB would refuse is damaged. */
export function readManifest(bytes: Buffer): Manifest {
  const { records, damagedBytes } = readLog(bytes);
  const tables = new Map<number, LiveTable>();
  let logNumber = -1;
  let previousLog = 0;
  let nextFile = -1;
  let lastSequence = -1;
  let damaged = damagedBytes > 0;
  for (const record of records) {
    const edit = new Cursor(record);
    try {
      while (!edit.done) {
        switch (edit.varint()) {
          case Tag.Comparator:
            if (!edit.string().equals(COMPARATOR)) throw new RangeError('another order of keys');
            break;
          case Tag.LogNumber:
            logNumber = edit.varint();
            break;
          case Tag.NextFile:
            nextFile = edit.varint();
            break;
          case Tag.LastSequence:
            lastSequence = edit.varint();
            break;
          case Tag.PreviousLog:
            previousLog = edit.varint();
            break;
          case Tag.CompactPointer:
            levelIn(edit);
            edit.string();
            break;
          case Tag.DeletedFile: {
            const [level, number] = [levelIn(edit), edit.varint()];
            if (tables.get(number)?.level === level) tables.delete(number);
            break;
          }
          case Tag.NewFile: {
            const level = levelIn(edit);
            const number = edit.varint();
            const size = edit.varint();
            const [first, last] = [edit.string(), edit.string()];
            if (number === 0 || first.length < KEY_TRAILER || last.length < KEY_TRAILER)
              throw new RangeError('no table');
            tables.set(number, { number, level, size, first, last, smallest: userKey(first), largest: userKey(last) });
            break;
          }
          default:
            throw new RangeError('an unknown tag');
        }
      }
    } catch {
      damaged = true;
    }
  }
  damaged ||= logNumber < 0 || nextFile < 0 || lastSequence < 0 || overlaps(tables);
  return { tables, logNumber, previousLog, lastSequence, damaged };
}

function levelIn(edit: Cursor): number {
  const level = edit.varint();
  if (level >= LEVELS) throw new RangeError('no such level');
  return level;
}

/** Whether tables overlap that must not: LevelDB ends the process then. */
function overlaps(tables: ReadonlyMap<number, LiveTable>): boolean {
  const sorted = [...tables.values()].sort((one, other) => Buffer.compare(one.smallest, other.smallest));
  const ends: (Buffer | undefined)[] = [];
  for (const { level, smallest, largest } of sorted) {
    const end = ends[level];
    if (level > 0 && end !== undefined && Buffer.compare(smallest, end) < 0) return true;
    ends[level] = largest;
  }
  return false;
}

function userKey(internal: Buffer): Buffer {
  return internal.subarray(0, internal.length - KEY_TRAILER);
}

/**
 * A MANIFEST that names tables and no log.
 * @param nextFile number of the next file: above those of all tables, and of the MANIFEST
 * @param lastSequence at least the highest number of a change in the tables
 */
export function manifestOf(tables: readonly LiveTable[], nextFile: number, lastSequence: number): Buffer {
  const edit = [
    ...[varint(Tag.Comparator), varint(COMPARATOR.length), COMPARATOR],
    ...[varint(Tag.LogNumber), varint(nextFile)],
    ...[varint(Tag.PreviousLog), varint(0)],
    ...[varint(Tag.NextFile), varint(nextFile + 1)],
    ...[varint(Tag.LastSequence), varint(lastSequence)],
  ];
  for (const { level, number, size, first, last } of tables) {
    edit.push(varint(Tag.NewFile), varint(level), varint(number), varint(size));
    edit.push(varint(first.length), first, varint(last.length), last);
  }
  return logOf(Buffer.concat(edit));
}
