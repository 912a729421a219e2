/**
 * Output: the bytes that one connection will hand to its socket at the end of this turn.
 *
 * Buffers come from a pool by size class and go back to it once the socket has taken their bytes synchronously, so an
 * idle connection holds no buffer at all. The segments of queues are outputs too.
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
  if (length < SMALLEST || length > LARGEST) return;
  const index = classOf(length);
  if (pools[index].length * length < POOLED_BYTES_PER_CLASS) pools[index].push(block);
}

/** A buffer whose output has parted with it, for as long as somebody else reads from it. */
export type Lent = Block;

/** Nobody reads from the buffer any more. */
export function giveBack(lent: Lent): void {
  give(lent);
}

/** A block that does not go to the pool: a piece of one of Node's slabs, which costs little. */
function loose(bytes: number): Block {
  return { bytes: Buffer.allocUnsafe(bytes), words: null };
}

/** A growable byte buffer. Invariant: `length <= buffer.length`; bytes below `length` are valid. */
export class Output {
  buffer: Buffer = EMPTY;
  length = 0;
  /** Where `buffer` comes from, unless somebody has put another one there: that one is left to the collector. */
  #block = NO_BLOCK;
  readonly #small: boolean;

  /** @param small whether it may be smaller than the blocks of the pool: there are many, and most stay so */
  constructor(small = false) {
    this.#small = small;
  }

  /** Guarantees room for `bytes` more after `length`; may replace `buffer`. */
  reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.buffer.length) return;
    const wanted = Math.max(needed, this.buffer.length * 2);
    const next = this.#small && wanted < SMALLEST ? loose(wanted) : take(wanted);
    if (this.length > 0) this.buffer.copy(next.bytes, 0, 0, this.length);
    give(this.#block);
    this.#block = next;
    this.buffer = next.bytes;
  }

  /** The bytes written so far, without copying. */
  bytes(): Buffer {
    return this.buffer.subarray(0, this.length);
  }

  /** Forgets the bytes; their buffer goes back to the pool when the caller gives it back. */
  lend(): Lent {
    const block = this.#block;
    this.release();
    return block;
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

  /**
   * Copies `source[start, end)`: by hand, in words, or natively, whichever is the fastest. A native copy costs as much as
   * 60 bytes by hand or 400 in words, and a view of a source's words as much as a copy. So a short source has none.
   */
  writeBytes(source: Buffer, start: number, end: number): void {
    const length = end - start;
    const at = this.length;
    this.length = at + length;
    const words = length > SHORT && length <= LONG && source.length > MIDDLING ? knownWords(source) : null;
    if (words !== null) this.#copyWords(at, words, start, end);
    else if (length > MIDDLING) source.copy(this.buffer, at, start, end);
    else {
      const target = this.buffer;
      for (let i = start, to = at; i < end; i++) target[to++] = source[i];
    }
  }

  /** Copies all of `source`, whose words the caller keeps. */
  writeWords(source: Uint8Array, words: DataView): void {
    const at = this.length;
    this.length = at + source.length;
    if (source.length <= LONG && source.length >= 8) this.#copyWords(at, words, 0, source.length);
    else this.buffer.set(source, at);
  }

  get #words(): DataView {
    const block = this.#block;
    if (block.bytes !== this.buffer) return wordsOf(this.buffer);
    block.words ??= wordsOf(block.bytes);
    return block.words;
  }

  /** Copies at least eight bytes: two words at a time, and the last eight at once, some of them again. */
  #copyWords(at: number, source: DataView, start: number, end: number): void {
    const target = this.#words;
    const offset = at - start;
    const last = end - 8;
    for (let i = start; i < last; i += 8) {
      target.setUint32(offset + i, source.getUint32(i, true), true);
      target.setUint32(offset + i + 4, source.getUint32(i + 4, true), true);
    }
    target.setUint32(offset + last, source.getUint32(last, true), true);
    target.setUint32(offset + last + 4, source.getUint32(last + 4, true), true);
  }
}

/** Bytes up to which a run is copied by hand in any case, by hand if the source is new, and in words. */
const SHORT = 12;
const MIDDLING = 60;
const LONG = 384;

/** The last two sources: most messages of a chunk are copied out of it in turn with something else. */
let last: Buffer = EMPTY;
let lastWords: DataView | null = null;
let older: Buffer = EMPTY;
let olderWords: DataView | null = null;

/** The words of a source that has been copied from before; null for one that is new. */
function knownWords(source: Buffer): DataView | null {
  if (source === last) {
    lastWords ??= wordsOf(source);
    return lastWords;
  }
  const words = source === older ? (olderWords ?? wordsOf(source)) : null;
  older = last;
  olderWords = lastWords;
  last = source;
  lastWords = words;
  return words;
}

/** A view that reads and writes words at any offset. */
export function wordsOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Writes a Variable Byte Integer, 0 to 268,435,455, and returns where it ends [MQTT-1.5.5-1]. */
export function putVariableByteInteger(buffer: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest > 127) {
    buffer[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  buffer[at++] = rest;
  return at;
}

/** Bytes that a Variable Byte Integer takes. */
export function variableByteIntegerSize(value: number): number {
  return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}
