/**
 * Reads LevelDB's tables (doc/table_format.md). LevelDB itself is run without checking the CRCs of blocks, so it may
 * take a flipped bit for data; this checks each.
 *
 * A table is data blocks, a filter, an index of the metadata, an index of the data blocks and a footer. Behind each
 * block stand a byte for its compression and a CRC.
 */
import { crc32c, unmasked, withByte } from './crc32c.js';
import { Cursor } from './cursor.js';
import type { Change } from './log-file.js';
import { uncompress } from './snappy.js';

const FOOTER = 48;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
/** Compression and CRC behind a block. */
const TRAILER = 5;

interface Handle {
  readonly offset: number;
  readonly size: number;
}

interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** The first fault of a table in words, or null if there is none. */
export function faultOf(bytes: Buffer, size: number, withData: boolean): string | null {
  if (bytes.length !== size) return `has ${bytes.length} bytes of ${size}`;
  const footer = footerOf(bytes);
  if (footer === null) return 'has no footer';
  const index = entriesAt(bytes, footer.index);
  const meta = entriesAt(bytes, footer.meta);
  if (index === null || meta === null) return 'has a damaged index';
  for (const { value } of meta) {
    const filter = handleOf(value);
    if (filter === null || !isWhole(bytes, filter)) return 'has a damaged filter';
  }
  for (const { value } of index) {
    const handle = handleOf(value);
    if (handle === null || handle.offset + handle.size + TRAILER > bytes.length) return 'has a damaged index';
    if (withData && !isWhole(bytes, handle)) return `has a damaged block at ${handle.offset}`;
  }
  return null;
}

/** What could be read of a table. */
export interface TableContents {
  /** In order of their keys; of one key the newest first. */
  readonly changes: readonly Change[];
  /** Bytes of blocks that could not be read. */
  readonly damagedBytes: number;
  /** The keys between which they, or an entry that means nothing, stood, where the index says it. */
  readonly gaps: readonly { readonly after: Buffer | null; readonly upTo: Buffer }[];
}

/**
 * Reads what can be read of a table.
 * @param isGenuine whether a value belongs to its key; asked where blocks have to be looked for without an index
 */
export function readTable(bytes: Buffer, isGenuine: (key: Buffer, value: Buffer) => boolean): TableContents {
  const footer = footerOf(bytes);
  const index = footer === null ? null : entriesAt(bytes, footer.index);
  if (index === null) return searchTable(bytes, isGenuine);
  const changes: Change[] = [];
  const gaps: { after: Buffer | null; upTo: Buffer }[] = [];
  let damagedBytes = 0;
  let after: Buffer | null = null;
  for (const { key, value } of index) {
    const handle = handleOf(value);
    const entries = handle === null ? null : entriesAt(bytes, handle);
    if (entries === null) damagedBytes += handle?.size ?? 0;
    let readable = entries !== null;
    for (const entry of entries ?? []) {
      const change = changeOf(entry);
      if (change === null) readable = false;
      else changes.push(change);
    }
    if (!readable) gaps.push({ after, upTo: key.subarray(0, Math.max(0, key.length - 8)) });
    after = key.subarray(0, Math.max(0, key.length - 8));
  }
  return { changes, damagedBytes, gaps };
}

/**
 * Reads a table whose index is lost: blocks follow one another from the first byte on, and where one ends its CRC
 * says. Behind a block that is damaged the next one is looked for byte by byte, as long as it has a usual size.
 */
function searchTable(bytes: Buffer, isGenuine: (key: Buffer, value: Buffer) => boolean): TableContents {
  const changes: Change[] = [];
  let damagedBytes = 0;
  let at = 0;
  let lost = false;
  let attempts = ATTEMPTS;
  while (at + TRAILER < bytes.length) {
    const end = blockEnd(bytes, at, lost ? at + REACH : bytes.length);
    lost = end < 0;
    if (lost) {
      if (attempts-- === 0) {
        damagedBytes += bytes.length - at;
        break;
      }
      damagedBytes++;
      at++;
      continue;
    }
    const entries = entriesAt(bytes, { offset: at, size: end - at });
    for (const entry of entries ?? []) {
      const change = changeOf(entry);
      // The filter and the indexes look like blocks, too.
      if (change === null) continue;
      if (change.value === null ? entry.value.length === 0 : isGenuine(change.key, change.value)) changes.push(change);
    }
    at = end + TRAILER;
  }
  changes.sort(inOrder);
  return { changes, damagedBytes: Math.max(0, damagedBytes - FOOTER), gaps: [] };
}

/** Bytes in which a block behind a damaged one has to end, and places of a table where one is looked for. */
const REACH = 8 * 1024;
const ATTEMPTS = 64 * 1024;

/** Where the block that begins at `start` ends, -1 if it does not before `limit`. */
function blockEnd(bytes: Buffer, start: number, limit: number): number {
  let register = -1;
  const last = Math.min(limit, bytes.length) - TRAILER;
  for (let at = start; at <= last; at++) {
    // At least an empty list of restarts; and the byte that names the compression.
    const known = bytes[at] <= 1 && at - start >= 4;
    register = withByte(register, bytes[at]);
    if (known && ~register >>> 0 === unmasked(bytes.readUInt32LE(at + 1))) return at;
  }
  return -1;
}

/** The order of a table: by key, and of one key the newest first. */
export function inOrder(one: Change, other: Change): number {
  return Buffer.compare(one.key, other.key) || other.sequence - one.sequence;
}

function footerOf(bytes: Buffer): { meta: Handle; index: Handle } | null {
  if (bytes.length < FOOTER || !bytes.subarray(-8).equals(MAGIC)) return null;
  try {
    const cursor = new Cursor(bytes, bytes.length - FOOTER, bytes.length - 8);
    const meta = { offset: cursor.varint(), size: cursor.varint() };
    return { meta, index: { offset: cursor.varint(), size: cursor.varint() } };
  } catch {
    return null;
  }
}

function handleOf(value: Buffer): Handle | null {
  try {
    const cursor = new Cursor(value);
    return { offset: cursor.varint(), size: cursor.varint() };
  } catch {
    return null;
  }
}

function isWhole(bytes: Buffer, { offset, size }: Handle): boolean {
  const end = offset + size;
  if (end + TRAILER > bytes.length) return false;
  return crc32c(bytes, offset, end + 1) === unmasked(bytes.readUInt32LE(end + 1));
}

/** The entries of the block at a handle, or null if it is damaged. */
function entriesAt(bytes: Buffer, handle: Handle): Entry[] | null {
  if (!isWhole(bytes, handle)) return null;
  const end = handle.offset + handle.size;
  const stored = bytes.subarray(handle.offset, end);
  const block = bytes[end] === 0 ? stored : bytes[end] === 1 ? uncompress(stored) : null;
  if (block === null || block.length < 4) return null;
  const restarts = block.length - 4 - 4 * block.readUInt32LE(block.length - 4);
  if (restarts < 0) return null;
  const entries: Entry[] = [];
  let former = EMPTY;
  try {
    const cursor = new Cursor(block, 0, restarts);
    while (!cursor.done) {
      const shared = cursor.varint();
      const own = cursor.varint();
      const length = cursor.varint();
      if (shared > former.length) return null;
      const key: Buffer = Buffer.concat([former.subarray(0, shared), cursor.bytes(own)]);
      entries.push({ key, value: cursor.bytes(length) });
      former = key;
    }
  } catch {
    return null;
  }
  return entries;
}

const EMPTY: Buffer = Buffer.alloc(0);

/** What an entry means: behind its key stand its sequence number and whether it is a deletion. */
function changeOf({ key, value }: Entry): Change | null {
  const end = key.length - 8;
  if (end < 0) return null;
  const type = key[end];
  if (type > 1) return null;
  const sequence = key.readUIntLE(end + 1, 6) + key[end + 7] * 2 ** 48;
  return { key: key.subarray(0, end), value: type === 1 ? value : null, sequence };
}
