/**
 * Output: the bytes that one connection will hand to its socket at the end of this turn.
 *
 * Buffers come from a pool by size class and go back to it once the socket has taken their bytes synchronously, so an
 * idle connection holds no buffer at all.
 */

const SMALLEST = 4096;
const CLASSES = 6; // 4 KiB ... 128 KiB; larger buffers are not pooled
const LARGEST = SMALLEST << (CLASSES - 1);
const POOLED_BYTES_PER_CLASS = 4 * 1024 * 1024;

/** A buffer, and its words once somebody has asked for them: they go to the pool together. */
interface Block {
  readonly bytes: Buffer;
  words: DataView | null;
}

const pools: Block[][] = Array.from({ length: CLASSES }, () => []);
const EMPTY = Buffer.alloc(0);
const NO_BLOCK: Block = { bytes: EMPTY, words: null };

function classOf(bytes: number): number {
  if (bytes <= SMALLEST) return 0;
  return 32 - Math.clz32((bytes - 1) >>> 12);
}

function take(bytes: number): Block {
  if (bytes > LARGEST) {
    let size = LARGEST;
    while (size < bytes) size *= 2;
    return { bytes: Buffer.allocUnsafeSlow(size), words: null };
  }
  const index = classOf(bytes);
  return pools[index].pop() ?? { bytes: Buffer.allocUnsafeSlow(SMALLEST << index), words: null };
}

function give(block: Block): void {
  const { length } = block.bytes;
  if (length === 0 || length > LARGEST) return;
  const index = classOf(length);
  if (pools[index].length * length < POOLED_BYTES_PER_CLASS) pools[index].push(block);
}

/** A growable byte buffer. Invariant: `length <= buffer.length`; bytes below `length` are valid. */
export class Output {
  buffer: Buffer = EMPTY;
  length = 0;
  /** Where `buffer` comes from, unless somebody has put another one there: that one is left to the collector. */
  #block = NO_BLOCK;

  /** Guarantees room for `bytes` more after `length`; may replace `buffer`. */
  reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.buffer.length) return;
    const next = take(Math.max(needed, this.buffer.length * 2));
    if (this.length > 0) this.buffer.copy(next.bytes, 0, 0, this.length);
    give(this.#block);
    this.#block = next;
    this.buffer = next.bytes;
  }

  /** The bytes written so far, without copying. */
  bytes(): Buffer {
    return this.buffer.subarray(0, this.length);
  }

  /** Forgets the bytes and returns the buffer to the pool. Only when nobody else holds a view of it. */
  recycle(): void {
    give(this.#block);
    this.release();
  }

  /** Forgets the bytes and leaves the buffer to whoever holds a view of it. */
  release(): void {
    this.buffer = EMPTY;
    this.length = 0;
    this.#block = NO_BLOCK;
  }

  writeUInt8(value: number): void {
    this.buffer[this.length++] = value;
  }

  writeUInt16(value: number): void {
    this.buffer[this.length++] = value >>> 8;
    this.buffer[this.length++] = value & 0xff;
  }

  writeUInt32(value: number): void {
    this.buffer[this.length++] = value >>> 24;
    this.buffer[this.length++] = (value >>> 16) & 0xff;
    this.buffer[this.length++] = (value >>> 8) & 0xff;
    this.buffer[this.length++] = value & 0xff;
  }

  /** Variable Byte Integer, 0 to 268,435,455 [MQTT-1.5.5-1]. */
  writeVariableByteInteger(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.buffer[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.buffer[this.length++] = rest;
  }

  /** Copies `source[start, end)`. A native copy costs as much as about 24 bytes by hand, or 200 in words. */
  writeBytes(source: Buffer, start: number, end: number): void {
    const length = end - start;
    let at = this.length;
    this.length = at + length;
    if (length <= SHORT) {
      const target = this.buffer;
      for (let i = start; i < end; i++) target[at++] = source[i];
    } else if (length <= LONG && source === lastSource) {
      lastWords ??= wordsOf(source);
      this.#copyWords(at, lastWords, start, end);
    } else {
      // A source that is used once is not worth a view of its words.
      lastSource = source;
      lastWords = null;
      source.copy(this.buffer, at, start, end);
    }
  }

  /** Copies all of `source`, whose words the caller keeps. */
  writeWords(source: Uint8Array, words: DataView): void {
    const at = this.length;
    this.length = at + source.length;
    if (source.length <= LONG) this.#copyWords(at, words, 0, source.length);
    else this.buffer.set(source, at);
  }

  get #words(): DataView {
    const block = this.#block;
    if (block.bytes !== this.buffer) return wordsOf(this.buffer);
    block.words ??= wordsOf(block.bytes);
    return block.words;
  }

  #copyWords(from: number, source: DataView, start: number, end: number): void {
    const target = this.#words;
    let at = from;
    let i = start;
    for (; i + 8 <= end; i += 8, at += 8) {
      target.setUint32(at, source.getUint32(i, true), true);
      target.setUint32(at + 4, source.getUint32(i + 4, true), true);
    }
    for (; i < end; i++) target.setUint8(at++, source.getUint8(i));
  }
}

/** Bytes up to which a run is copied by hand, and in words. */
const SHORT = 24;
const LONG = 256;

let lastSource: Buffer = EMPTY;
let lastWords: DataView | null = null;

/** A view that reads and writes words at any offset. */
export function wordsOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Bytes that a Variable Byte Integer takes. */
export function variableByteIntegerSize(value: number): number {
  return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}
