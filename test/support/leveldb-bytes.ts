/** Bytes as LevelDB writes them to its files. */
import { crc32c } from '../../src/store/leveldb/crc32c.js';

/** Type of a fragment that is a whole record. */
export const FULL = 1;

/** The CRC of bytes as it is stored. */
export function masked(bytes: Buffer): Buffer {
  const crc = crc32c(bytes, 0, bytes.length);
  const stored = Buffer.alloc(4);
  stored.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return stored;
}

/** A fragment of a log. */
export function fragment(data: Buffer, type = FULL): Buffer {
  const length = Buffer.from([data.length & 0xff, data.length >> 8]);
  return Buffer.concat([masked(Buffer.concat([Buffer.from([type]), data])), length, Buffer.from([type]), data]);
}
