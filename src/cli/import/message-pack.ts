/**
 * Reads MessagePack, in which aedes-persistence-level keeps its values: maps with names as keys, lists, texts, bytes,
 * numbers, booleans and nil.
 */

/** Lists and maps inside each other, at most. */
const MAX_DEPTH = 32;

/** What is not MessagePack. */
export class MessagePackError extends Error {}

/** @throws MessagePackError if it is not one whole value */
export function unpack(bytes: Buffer): unknown {
  const reader = new Unpacker(bytes);
  try {
    const value = reader.value(0);
    if (reader.at === bytes.length) return value;
  } catch (error) {
    // A read behind the end.
    if (!(error instanceof RangeError)) throw error;
  }
  throw new MessagePackError('the value is not whole');
}

class Unpacker {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw new MessagePackError('the value is too deep');
    const type = this.#unsigned(1);
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 15, depth);
    if (type < 0xa0) return this.#list(type & 15, depth);
    if (type < 0xc0) return this.#text(type & 31);
    if (type >= 0xe0) return type - 256;
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return Buffer.from(this.#take(this.#unsigned(1 << (type - 0xc4))));
      case 0xca:
        return this.#take(4).readFloatBE();
      case 0xcb:
        return this.#take(8).readDoubleBE();
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#unsigned(1 << (type - 0xcc));
      case 0xcf:
        return Number(this.#take(8).readBigUInt64BE());
      case 0xd0:
      case 0xd1:
      case 0xd2:
        return this.#take(1 << (type - 0xd0)).readIntBE(0, 1 << (type - 0xd0));
      case 0xd3:
        return Number(this.#take(8).readBigInt64BE());
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#unsigned(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#list(this.#unsigned(2 << (type - 0xdc)), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#unsigned(2 << (type - 0xde)), depth);
      default:
        throw new MessagePackError(`the value has a type that is not expected, 0x${type.toString(16)}`);
    }
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.at) throw new MessagePackError('the value is cut short');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  #unsigned(length: number): number {
    return this.#take(length).readUIntBE(0, length);
  }

  #text(length: number): string {
    return this.#take(length).utf8Slice();
  }

  #list(length: number, depth: number): unknown[] {
    const list: unknown[] = [];
    for (let i = 0; i < length; i++) list.push(this.value(depth + 1));
    return list;
  }

  #map(length: number, depth: number): Map<string, unknown> {
    const map = new Map<string, unknown>();
    for (let i = 0; i < length; i++) map.set(String(this.value(depth + 1)), this.value(depth + 1));
    return map;
  }
}
