/** Writes what LevelDB's logs consist of (doc/log_format.md). */

import { crc32c } from './crc32c.js';
import { BLOCK, HEAD, Type } from './log-format.js';

/** The CRC of bytes as LevelDB stores it. */
export function masked(bytes: Buffer): Buffer {
  const crc = crc32c(bytes, 0, bytes.length);
  const stored = Buffer.alloc(4);
  stored.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return stored;
}

/** A fragment of a log; one that is a whole record, unless its type says something else. */
export function fragment(data: Buffer, type: number = Type.Full): Buffer {
  const length = Buffer.from([data.length & 0xff, data.length >> 8]);
  return Buffer.concat([masked(Buffer.concat([Buffer.from([type]), data])), length, Buffer.from([type]), data]);
}

/** A log of one record. */
export function logOf(record: Buffer): Buffer {
  const room = BLOCK - HEAD;
  if (record.length <= room) return fragment(record);
  const fragments: Buffer[] = [];
  for (let at = 0; at < record.length; at += room) {
    const type = at === 0 ? Type.First : at + room < record.length ? Type.Middle : Type.Last;
    fragments.push(fragment(record.subarray(at, at + room), type));
  }
  return Buffer.concat(fragments);
}

/** @param number 0 to 2^53 - 1 */
export function varint(number: number): Buffer {
  const bytes: number[] = [];
  let left = number;
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
  return Buffer.from([...bytes, left]);
}
