/**
 * Guards each stored value with a CRC-32 of its key and itself, in its last four bytes: LevelDB is run without
 * checking what it reads, and a table may be copied on, damage and all, into one with a right checksum. What is read
 * under another key than it was written under is not taken for the value of that key either.
 */
import { crc32 } from './crc32.js';
import type { Operation } from './store.js';

const BYTES = 4;

/** Bytes up to which the stored form of a value is made in a buffer that stays. */
const MOST_KEPT = 64 * 1024;

/** The stored form of values; one at a time, because they share a buffer. */
export class Sealer {
  readonly #kept = Buffer.allocUnsafeSlow(MOST_KEPT);

  /** The stored form of a value, which is valid until the next call. */
  seal(key: Buffer, value: Buffer): Buffer {
    const { length } = value;
    const buffer = length + BYTES > MOST_KEPT ? Buffer.allocUnsafeSlow(length + BYTES) : this.#kept;
    buffer.set(value);
    return buffer.subarray(0, buffer.writeUInt32BE(crc32(value, length, crc32(key, key.length)), length));
  }
}

/** The operations as they are stored. */
export function sealAll(operations: readonly Operation[]): Operation[] {
  const sealer = new Sealer();
  return operations.map((operation) => {
    if (operation.type === 'del') return operation;
    const { type, key, value } = operation;
    return { type, key, value: Buffer.from(sealer.seal(key, value)) };
  });
}

/** Whether a stored value is what was written under this key. */
export function isSealed(key: Buffer, stored: Buffer): boolean {
  const end = stored.length - BYTES;
  return end >= 0 && stored.readUInt32BE(end) === crc32(stored, end, crc32(key, key.length));
}

/** The value in its stored form, or undefined if it is not what was written under this key. */
export function unsealed(key: Buffer, stored: Buffer): Buffer | undefined {
  return isSealed(key, stored) ? stored.subarray(0, stored.length - BYTES) : undefined;
}
