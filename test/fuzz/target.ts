/** What a fuzz target is, and how it reads its input. */

/** One parser, or a few that belong together, behind one function. */
export interface Target {
  readonly name: string;
  /** Parts of the paths of the files whose coverage guides, with slashes. */
  readonly scope: readonly string[];
  /** Bytes of the longest input. */
  readonly longest: number;
  /** Words of the format, which chance would take long to find. */
  readonly words: readonly (string | Buffer)[];
  /** Inputs to begin with, besides those of test/fuzz/corpus. */
  seeds(): Buffer[];
  /**
   * Takes any bytes; throws if an invariant is broken, and only then. May return a word for what became of them: an
   * input with a new word is kept, as one with new coverage is.
   */
  run(input: Buffer): string | undefined | Promise<string | undefined>;
  /** Ends what the target has started. */
  close?(): Promise<void>;
}

/** Reads an input piece by piece. What is not there any more is 0, or empty: no input is too short. */
export class Feed {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get empty(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#at < this.#bytes.length ? this.#bytes[this.#at++] : 0;
  }

  /** 0 to 65,535. */
  short(): number {
    return (this.byte() << 8) | this.byte();
  }

  /** At most `length` bytes. */
  take(length: number): Buffer {
    const piece = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += piece.length;
    return piece;
  }

  rest(): Buffer {
    return this.take(this.#bytes.length);
  }
}

/** Bytes in front of others, as targets read them. */
export function input(...parts: (number | string | Buffer)[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))));
}
