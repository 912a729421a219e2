/**
 * Reads LevelDB's logs (`log-format.ts`): the write-ahead log and the MANIFEST. Unlike LevelDB, which gives up the rest of
 * a block, it goes on behind the damaged fragment. It looks for that inside of a fragment only where nothing else is left:
 * what a client has published stands there, and may look like a fragment.
 */
import { crc32c, unmasked, withByte } from './crc32c.js';
import { Cursor } from './cursor.js';
import { BLOCK, HEAD, Type } from './log-format.js';

export interface LogContents {
  /** Whole records in order. */
  readonly records: readonly Buffer[];
  /** For each record, whether something unreadable stands right before it. */
  readonly behindDamage: readonly boolean[];
  /** Bytes that could not be read, without a torn tail. */
  readonly damagedBytes: number;
  /** Bytes at the end that a write left that did not come to its end. */
  readonly tornBytes: number;
}

interface Fragment {
  readonly type: number;
  readonly start: number;
  readonly end: number;
}

export function readLog(bytes: Buffer): LogContents {
  const records: Buffer[] = [];
  const behindDamage: boolean[] = [];
  let parts: Buffer[] | null = null;
  let partsStart = 0;
  let damage = false;
  /** Start of what is unreadable behind the last whole record, -1 if nothing is. */
  let open = -1;
  let damagedBytes = 0;
  let pendingBytes = 0;
  const lose = (from: number, length: number): void => {
    if (open < 0) open = from;
    damage = true;
    pendingBytes += length;
  };
  const dropParts = (): void => {
    if (parts !== null)
      lose(
        partsStart,
        parts.reduce((sum, part) => sum + part.length, 0),
      );
    parts = null;
  };
  const keep = (record: Buffer): void => {
    records.push(record);
    behindDamage.push(damage);
    damage = false;
    open = -1;
    damagedBytes += pendingBytes;
    pendingBytes = 0;
  };
  let at = 0;
  while (at < bytes.length) {
    const blockEnd = Math.min(at - (at % BLOCK) + BLOCK, bytes.length);
    if (blockEnd - at < HEAD) {
      // Too short for a header: the trailer of a block, or the beginning of a header at the end of the file.
      if (blockEnd === bytes.length && bytes.length % BLOCK !== 0) lose(at, blockEnd - at);
      at = blockEnd;
      continue;
    }
    let fragment = fragmentAt(bytes, at, blockEnd);
    if (fragment === null) {
      fragment = withRightLength(bytes, at, blockEnd);
      if (fragment === null) {
        dropParts();
        const next = behind(bytes, at, blockEnd);
        lose(at, next - at);
        at = next;
        continue;
      }
      // LevelDB would lose it all the same.
      damagedBytes += 2;
    }
    const { type, start, end } = fragment;
    const data = bytes.subarray(start, end);
    if (type === Type.Full || type === Type.First) {
      dropParts();
      if (type === Type.Full) keep(data);
      else {
        parts = [data];
        partsStart = at;
      }
    } else if (parts === null) lose(at, end - at);
    else {
      parts.push(data);
      if (type === Type.Last) {
        const record = Buffer.concat(parts);
        parts = null;
        keep(record);
      }
    }
    at = end;
  }
  dropParts();
  if (open >= 0 && isTorn(bytes, open)) return { records, behindDamage, damagedBytes, tornBytes: bytes.length - open };
  return { records, behindDamage, damagedBytes: damagedBytes + pendingBytes, tornBytes: 0 };
}

/** The whole fragment that begins at `at`, or null. */
function fragmentAt(bytes: Buffer, at: number, blockEnd: number): Fragment | null {
  const type = bytes[at + 6];
  if (type < Type.Full || type > Type.Last) return null;
  const stored = unmasked(bytes.readUInt32LE(at));
  const start = at + HEAD;
  const end = start + bytes.readUInt16LE(at + 4);
  if (end <= blockEnd && crc32c(bytes, at + 6, end) === stored) return { type, start, end };
  return null;
}

/** The fragment whose bytes are whole but for its length, which the CRC does not cover; or null. */
function withRightLength(bytes: Buffer, at: number, blockEnd: number): Fragment | null {
  const type = bytes[at + 6];
  if (type < Type.Full || type > Type.Last) return null;
  const stored = unmasked(bytes.readUInt32LE(at));
  const start = at + HEAD;
  let register = withByte(-1, type);
  for (let end = start; ; end++) {
    if (~register >>> 0 === stored && isBoundary(bytes, end, blockEnd)) return { type, start, end };
    if (end === blockEnd) return null;
    register = withByte(register, bytes[end]);
  }
}

/** Whether a fragment may end there. */
function isBoundary(bytes: Buffer, at: number, blockEnd: number): boolean {
  return blockEnd - at < HEAD || fragmentAt(bytes, at, blockEnd) !== null;
}

/** Where it goes on behind a damaged fragment. */
function behind(bytes: Buffer, at: number, blockEnd: number): number {
  const end = at + HEAD + bytes.readUInt16LE(at + 4);
  if (end <= blockEnd && isBoundary(bytes, end, blockEnd)) return end;
  return isCutOff(bytes, at, blockEnd) ? blockEnd : resynchronised(bytes, at, blockEnd);
}

/** Whether a header says that its fragment would fit into its block, were the file not at its end. */
function isCutOff(bytes: Buffer, at: number, blockEnd: number): boolean {
  const type = bytes[at + 6];
  const end = at + HEAD + bytes.readUInt16LE(at + 4);
  const limit = at - (at % BLOCK) + BLOCK;
  return type >= Type.Full && type <= Type.Last && blockEnd === bytes.length && end > blockEnd && end <= limit;
}

/** Where the next whole fragment of the block begins, or where the block ends. */
function resynchronised(bytes: Buffer, from: number, blockEnd: number): number {
  for (let at = from + 1; at + HEAD <= blockEnd; at++) {
    const type = bytes[at + 6];
    if (type < Type.Full || type > Type.Last) continue;
    const end = at + HEAD + bytes.readUInt16LE(at + 4);
    if (end <= blockEnd && crc32c(bytes, at + 6, end) === unmasked(bytes.readUInt32LE(at))) return at;
  }
  return blockEnd;
}

/**
 * Whether what stands from `open` to the end is what a kill or a power cut leaves: a record that the file ends in, or
 * nothing but zeros. Neither has been confirmed to anybody.
 */
function isTorn(bytes: Buffer, open: number): boolean {
  let at = open;
  let inside = false;
  while (at < bytes.length) {
    const blockEnd = Math.min(at - (at % BLOCK) + BLOCK, bytes.length);
    if (blockEnd - at < HEAD) {
      at = blockEnd;
      inside = true;
      continue;
    }
    if (isZero(bytes, at, bytes.length)) return true;
    const fragment = fragmentAt(bytes, at, blockEnd);
    if (fragment === null) return isCutOff(bytes, at, blockEnd);
    if (fragment.type === Type.Full || fragment.type === Type.Last) return false;
    if (fragment.type === Type.Middle && !inside) return false;
    inside = true;
    at = fragment.end;
  }
  return inside;
}

function isZero(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** One change of a write batch, with its place in the order of all changes. */
export interface Change {
  readonly key: Buffer;
  /** Null for a deletion. */
  readonly value: Buffer | null;
  readonly sequence: number;
}

/** The changes of a record of the write-ahead log, or null if it does not parse. */
export function changesOf(record: Buffer): Change[] | null {
  if (record.length < 12) return null;
  const first = Number(record.readBigUInt64LE(0));
  const count = record.readUInt32LE(8);
  const changes: Change[] = [];
  const cursor = new Cursor(record, 12);
  try {
    while (!cursor.done) {
      const type = cursor.byte();
      if (type > 1) return null;
      const key = cursor.string();
      changes.push({ key, value: type === 1 ? cursor.string() : null, sequence: first + changes.length });
    }
  } catch {
    return null;
  }
  return changes.length === count ? changes : null;
}
