/** Reads LevelDB's MANIFEST: a log of edits that says which tables and which logs make up the store. */
import { Cursor } from './cursor.js';
import { readLog } from './log-file.js';

export interface LiveTable {
  readonly number: number;
  /** Bytes of the file. */
  readonly size: number;
  /** First and last key, without what LevelDB puts behind it. */
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

export interface Manifest {
  readonly tables: ReadonlyMap<number, LiveTable>;
  /** Logs with a lower number are in the tables. */
  readonly logNumber: number;
  readonly previousLog: number;
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

export function readManifest(bytes: Buffer): Manifest {
  const { records, damagedBytes } = readLog(bytes);
  const tables = new Map<number, LiveTable>();
  let logNumber = -1;
  let previousLog = 0;
  let damaged = damagedBytes > 0;
  for (const record of records) {
    const edit = new Cursor(record);
    try {
      while (!edit.done) {
        switch (edit.varint()) {
          case Tag.Comparator:
            edit.string();
            break;
          case Tag.LogNumber:
            logNumber = edit.varint();
            break;
          case Tag.NextFile:
          case Tag.LastSequence:
            edit.varint();
            break;
          case Tag.PreviousLog:
            previousLog = edit.varint();
            break;
          case Tag.CompactPointer:
            edit.varint();
            edit.string();
            break;
          case Tag.DeletedFile:
            edit.varint();
            tables.delete(edit.varint());
            break;
          case Tag.NewFile: {
            edit.varint();
            const number = edit.varint();
            tables.set(number, {
              number,
              size: edit.varint(),
              smallest: userKey(edit.string()),
              largest: userKey(edit.string()),
            });
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
  return { tables, logNumber, previousLog, damaged: damaged || logNumber < 0 };
}

function userKey(internal: Buffer): Buffer {
  return internal.subarray(0, Math.max(0, internal.length - 8));
}
