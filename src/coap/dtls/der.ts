/** Reads DER (X.690), as much of it as certificates need. What is not as asked for sets `failed` and reads as empty. */

const EMPTY = Buffer.alloc(0);

export const DerTag = {
  Boolean: 0x01,
  Integer: 0x02,
  BitString: 0x03,
  OctetString: 0x04,
  ObjectIdentifier: 0x06,
  Sequence: 0x30,
  /** [0] and [3], constructed: version and extensions of a certificate. */
  Version: 0xa0,
  Extensions: 0xa3,
} as const;

export class DerReader {
  readonly #bytes: Buffer;
  #at = 0;
  failed = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The tag of the next value; -1 at the end. */
  get next(): number {
    return this.failed ? -1 : (this.#bytes[this.#at] ?? -1);
  }

  /** The content of the next value, which has this tag. */
  take(tag: number): Buffer {
    if (this.next !== tag) this.failed = true;
    const [start, end] = this.#bounds();
    this.#at = end;
    return this.#bytes.subarray(start, end);
  }

  /** The content of the next value if it has this tag. */
  optional(tag: number): Buffer | undefined {
    return this.next === tag ? this.take(tag) : undefined;
  }

  /** The next value, whatever it is, with tag and length. */
  whole(): Buffer {
    const from = this.#at;
    const [, end] = this.#bounds();
    this.#at = end;
    return this.failed ? EMPTY : this.#bytes.subarray(from, end);
  }

  /** Where the content of the next value begins and ends; lengths have at most 3 bytes. */
  #bounds(): [number, number] {
    const bytes = this.#bytes;
    const at = this.#at;
    const first = bytes[at + 1] ?? 0xff;
    const more = first < 0x80 ? 0 : first & 0x7f;
    const start = at + 2 + more;
    if (this.failed || first === 0x80 || more > 3 || start > bytes.length) return this.#fail();
    const length = more === 0 ? first : bytes.readUIntBE(at + 2, more);
    return start + length > bytes.length ? this.#fail() : [start, start + length];
  }

  #fail(): [number, number] {
    this.failed = true;
    return [this.#at, this.#at];
  }
}
