/**
 * A backup as a stream of bytes: all keys and values of one snapshot of a store. The format is `docs/backup.md`; the
 * other direction is `backup-reader.ts`. All numbers are big-endian.
 */
import { createHash } from 'node:crypto';
import { ErrorKinds, PorticoError } from '../errors.js';

export const MAGIC: Buffer = Buffer.from('PORTICOB');
export const FORMAT_VERSION = 1;
/** Magic, format version (2 bytes), length of the header (4 bytes). */
export const PREAMBLE_BYTES: number = 8 + 2 + 4;
/** Length of the key and length of the value, 4 bytes each. All zero: the end, as no key is empty. */
export const RECORD_HEAD_BYTES = 8;
/** Number of records. */
export const COUNT_BYTES = 8;
/** SHA-256 of everything before it. */
export const DIGEST_BYTES = 32;
export const MAX_HEADER_BYTES: number = 64 * 1024;
export const MAX_KEY_BYTES: number = 1024 * 1024;
export const MAX_VALUE_BYTES: number = 1024 * 1024 * 1024;

/** What a backup says of itself. */
export interface BackupHeader {
  /** Version of the Portico that took it. */
  readonly portico: string;
  /** Version of the store; 0 if the store was empty. */
  readonly store: number;
  /** Version of the Portico that wrote the store, empty if it did not say. */
  readonly writer: string;
  /** When the snapshot was taken, ISO 8601 in UTC. */
  readonly date: string;
}

/** Bytes that are handed on at a time, so that no turn of the event loop is long. */
const CHUNK_BYTES = 64 * 1024;

/** Packs pieces of any length into chunks of one length. */
class Packer {
  readonly #hash = createHash('sha256');
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #used = 0;

  /** Yields the chunks that a piece fills. */
  *add(piece: Buffer): Generator<Buffer> {
    for (let at = 0; at < piece.length; ) {
      const taken = piece.copy(this.#chunk, this.#used, at);
      at += taken;
      this.#used += taken;
      if (this.#used === CHUNK_BYTES) yield this.#take();
    }
  }

  #take(): Buffer {
    const bytes = this.#chunk.subarray(0, this.#used);
    this.#hash.update(bytes);
    this.#chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    this.#used = 0;
    return bytes;
  }

  /** What is left, and the digest. */
  *end(): Generator<Buffer> {
    yield this.#take();
    yield this.#hash.digest();
  }
}

/**
 * Writes a backup.
 * @param entries all entries of one snapshot; they are closed when the reader stops before the end
 */
export async function* backupOf(
  header: BackupHeader,
  entries: AsyncIterable<[Buffer, Buffer]>,
): AsyncGenerator<Buffer, void, void> {
  const packer = new Packer();
  let records = 0;
  // Not `yield*`, which would wait for a promise where there is nothing to hand on.
  for (const chunk of packer.add(preamble(header))) yield chunk;
  for await (const [key, value] of entries) {
    records++;
    for (const piece of [recordHead(key, value), key, value]) for (const chunk of packer.add(piece)) yield chunk;
  }
  const end = Buffer.alloc(RECORD_HEAD_BYTES + COUNT_BYTES);
  end.writeBigUInt64BE(BigInt(records), RECORD_HEAD_BYTES);
  for (const chunk of packer.add(end)) yield chunk;
  for (const chunk of packer.end()) yield chunk;
}

function preamble(header: BackupHeader): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.allocUnsafe(PREAMBLE_BYTES);
  MAGIC.copy(head);
  head.writeUInt16BE(FORMAT_VERSION, 8);
  head.writeUInt32BE(json.length, 10);
  return Buffer.concat([head, json]);
}

function recordHead(key: Buffer, value: Buffer): Buffer {
  if (key.length > MAX_KEY_BYTES || value.length > MAX_VALUE_BYTES) {
    throw new PorticoError(ErrorKinds.Backup, 'the store has a record that is too large for a backup');
  }
  const head = Buffer.allocUnsafe(RECORD_HEAD_BYTES);
  head.writeUInt32BE(key.length, 0);
  head.writeUInt32BE(value.length, 4);
  return head;
}
