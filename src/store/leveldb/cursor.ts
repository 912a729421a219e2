/** Walks the little-endian numbers of LevelDB's files. Reading behind the end throws a RangeError. */
export class Cursor {
  readonly #bytes: Buffer;
  readonly end: number;
  at: number;

  constructor(bytes: Buffer, at = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    this.#need(1);
    return this.#bytes[this.at++];
  }

  /** A variable-length number below 2^53. */
  varint(): number {
    let number = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      number += (byte & 0x7f) * scale;
      if (number > Number.MAX_SAFE_INTEGER) throw new RangeError('a number is too large');
      if (byte < 0x80) return number;
    }
  }

  bytes(length: number): Buffer {
    this.#need(length);
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  /** Bytes behind their length. */
  string(): Buffer {
    return this.bytes(this.varint());
  }

  #need(length: number): void {
    if (length < 0 || this.at + length > this.end) throw new RangeError('the end is nearer than a length says');
  }
}
