/** Reads the fields of handshake messages. What is not there sets `failed` and reads as zero or empty. */

const EMPTY = Buffer.alloc(0);

export class FieldReader {
  readonly #bytes: Buffer;
  #at = 0;
  failed = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** An unsigned number of 1 to 3 bytes. */
  uint(size: number): number {
    const bytes = this.take(size);
    return bytes.length === 0 ? 0 : bytes.readUIntBE(0, size);
  }

  /** The next bytes, as a view. */
  take(length: number): Buffer {
    if (length > this.left) this.failed = true;
    if (this.failed) return EMPTY;
    const start = this.#at;
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** A vector: its length in `size` bytes, and that many bytes. */
  vector(size: number): Buffer {
    return this.take(this.uint(size));
  }
}

/** A copy for as long as an association lives: not of the runtime's pool, of which a few bytes keep 8 KiB from being freed. */
export function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.alloc(bytes.length);
  bytes.copy(copy);
  return copy;
}
