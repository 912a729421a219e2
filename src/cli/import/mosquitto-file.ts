/**
 * Walks through the chunks of a `mosquitto.db`, also of one that is cut short or damaged: what cannot be a chunk is passed
 * over to the next chunk behind which the head of another one stands, or the end.
 */
import {
  agrees,
  CHUNK_HEAD_BYTES,
  ChunkType,
  FILE_HEAD_BYTES,
  type FormatVersion,
  fixedBytes,
  MAGIC,
} from './mosquitto-chunks.js';

/** The bytes of a file. */
export interface Bytes {
  readonly size: number;
  /** Bytes that are good until the next call; fewer than asked for only at the end. */
  read(at: number, length: number): Buffer;
}

/** A chunk whose lengths agree. */
export interface Chunk {
  readonly type: number;
  /** Offset of its head. */
  readonly at: number;
  /** Offset of its body. */
  readonly start: number;
  /** Bytes of its body. */
  readonly length: number;
}

/** Bytes that are searched at a time. */
const SEARCHED = 64 * 1024;

/** Nothing can be read of a file; the message says why. */
export class UnusableFile extends Error {}

export class MosquittoFile {
  readonly #bytes: Bytes;
  readonly version: FormatVersion;
  /** Told of bytes that are no chunks. */
  readonly #lost: (from: number, to: number, why: string) => void;

  /** @throws UnusableFile if it is none of Mosquitto, or of a version that is not read */
  constructor(bytes: Bytes, lost: (from: number, to: number, why: string) => void) {
    this.#bytes = bytes;
    this.#lost = lost;
    const head = bytes.read(0, FILE_HEAD_BYTES);
    if (head.length === 0) throw new UnusableFile('it is empty');
    if (!head.subarray(0, MAGIC.length).equals(MAGIC.subarray(0, head.length))) {
      throw new UnusableFile('it is not a persistence file of Mosquitto');
    }
    if (head.length < FILE_HEAD_BYTES) throw new UnusableFile('it is cut short within its first bytes');
    const version = head.readUInt32BE(MAGIC.length + 4);
    if (version !== 5 && version !== 6) {
      throw new UnusableFile(
        `its format has version ${version}, and 5 and 6 are read; let Mosquitto 2 start and stop with it once, which ` +
          'writes it anew',
      );
    }
    this.version = version;
  }

  /** The chunks in their order. */
  *chunks(): Generator<Chunk> {
    let at = FILE_HEAD_BYTES;
    while (at < this.#bytes.size) {
      const chunk = this.#chunkAt(at);
      if (chunk !== null) {
        yield chunk;
        at = chunk.start + chunk.length;
        continue;
      }
      const next = this.#next(at);
      const cut = next === this.#bytes.size;
      this.#lost(at, next, cut ? 'the file is cut short or damaged up to its end' : 'damaged bytes that are no chunks');
      at = next;
    }
  }

  /** The body of a chunk, or its beginning; good until the next read. */
  body(chunk: Chunk, length: number = chunk.length): Buffer {
    return this.#bytes.read(chunk.start, Math.min(length, chunk.length));
  }

  #chunkAt(at: number): Chunk | null {
    const head = this.#bytes.read(at, CHUNK_HEAD_BYTES);
    if (head.length < CHUNK_HEAD_BYTES) return null;
    const type = head.readUInt32BE(0);
    const length = head.readUInt32BE(4);
    const start = at + CHUNK_HEAD_BYTES;
    const fixed = fixedBytes(type, this.version);
    if (fixed === 0 || length < fixed || length > this.#bytes.size - start) return null;
    if (!agrees(type, this.version, this.#bytes.read(start, fixed), length)) return null;
    return { type, at, start, length };
  }

  /** Where chunks go on behind something that is none. */
  #next(at: number): number {
    const { size } = this.#bytes;
    // If only its body is damaged, its length still leads behind it.
    const head = this.#bytes.read(at, CHUNK_HEAD_BYTES);
    if (head.length === CHUNK_HEAD_BYTES) {
      const behind = at + CHUNK_HEAD_BYTES + head.readUInt32BE(4);
      if (behind === size || (behind < size && this.#chunkAt(behind) !== null)) return behind;
    }
    for (let from = at + 1; from < size; from += SEARCHED) {
      // A copy: looking closer reads elsewhere.
      const bytes = Buffer.from(this.#bytes.read(from, SEARCHED + 3));
      for (let i = bytes.indexOf(0); i >= 0 && i < SEARCHED; i = bytes.indexOf(0, i + 1)) {
        const type = bytes[i + 3];
        if (
          bytes[i + 1] !== 0 ||
          bytes[i + 2] !== 0 ||
          !(type >= ChunkType.Configuration && type <= ChunkType.Client)
        ) {
          continue;
        }
        if (this.#isFollowed(from + i)) return from + i;
      }
    }
    return size;
  }

  #isFollowed(at: number): boolean {
    const chunk = this.#chunkAt(at);
    if (chunk === null) return false;
    const behind = chunk.start + chunk.length;
    if (behind === this.#bytes.size) return true;
    const head = this.#bytes.read(behind, CHUNK_HEAD_BYTES);
    if (head.length < CHUNK_HEAD_BYTES) return false;
    // The next one may be damaged too, or be cut short.
    const fixed = fixedBytes(head.readUInt32BE(0), this.version);
    return fixed > 0 && head.readUInt32BE(4) >= fixed;
  }
}
