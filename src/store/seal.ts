/**
 * Guards each stored value with a CRC-32 of its key and itself, in its last four bytes: LevelDB is run without
 * checking what it reads, and a table may be copied on, damage and all, into one with a right checksum. What is read
 * under another key than it was written under is not taken for the value of that key either.
 */
import { crc32 } from './crc32.js';
import type { Operation } from './store.js';

const BYTES = 4;

/** The stored form of values; one at a time, because they share a buffer. */
export class Sealer {
  #buffer: Buffer = Buffer.allocUnsafeSlow(64 * 1024);

  /** The operations as they are stored. Their values are valid until the next call. */
  seal(operations: readonly Operation[]): Operation[] {
    let size = 0;
    for (const operation of operations) if (operation.type === 'put') size += operation.value.length + BYTES;
    let buffer = this.#buffer;
    if (size > buffer.length) {
      buffer = Buffer.allocUnsafeSlow(size);
      if (size <= LARGEST_KEPT) this.#buffer = buffer;
    }
    let at = 0;
    return operations.map((operation) => {
      if (operation.type === 'del') return operation;
      const { key, value } = operation;
      const start = at;
      buffer.set(value, start);
      at = buffer.writeUInt32BE(crc32(value, value.length, crc32(key, key.length)), start + value.length);
      return { type: 'put', key, value: buffer.subarray(start, at) };
    });
  }
}

/** A buffer up to this size is kept for the next batch. */
const LARGEST_KEPT = 4 * 1024 * 1024;

/** Whether a stored value is what was written under this key. */
export function isSealed(key: Buffer, stored: Buffer): boolean {
  const end = stored.length - BYTES;
  return end >= 0 && stored.readUInt32BE(end) === crc32(stored, end, crc32(key, key.length));
}

/** The value in its stored form, or undefined if it is not what was written under this key. */
export function unsealed(key: Buffer, stored: Buffer): Buffer | undefined {
  return isSealed(key, stored) ? stored.subarray(0, stored.length - BYTES) : undefined;
}
