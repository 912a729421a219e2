/** CRC-32 (ISO 3309, the polynomial of zlib) of runs that are mostly short: a native call costs as much as 100 bytes. */
import { crc32 as native } from 'node:zlib';

const POLYNOMIAL = 0xedb88320;
/** Bytes up to which a run is taken by hand. */
const SHORT = 64;

const TABLE = new Int32Array(256);
for (let i = 0; i < 256; i++) {
  let crc = i;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  TABLE[i] = crc;
}

/**
 * The CRC of `bytes[0, end)` behind what `former` is the CRC of.
 * @returns 0 to 0xffffffff
 */
export function crc32(bytes: Buffer, end: number, former = 0): number {
  if (end > SHORT) return native(end === bytes.length ? bytes : bytes.subarray(0, end), former);
  let crc = ~former;
  for (let at = 0; at < end; at++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[at]) & 0xff];
  return ~crc >>> 0;
}
