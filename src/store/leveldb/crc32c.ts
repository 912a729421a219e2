/** CRC-32C (Castagnoli, RFC 3720 appendix B.4), with which LevelDB guards its blocks and log records. */

const POLYNOMIAL = 0x82f63b78;

/** Eight tables, so that eight bytes are taken at a time. */
const TABLES: readonly Int32Array[] = tables();
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES;

function tables(): Int32Array[] {
  const made = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    made[0][i] = crc;
  }
  for (let table = 1; table < 8; table++) {
    for (let i = 0; i < 256; i++) {
      const below = made[table - 1][i];
      made[table][i] = (below >>> 8) ^ made[0][below & 0xff];
    }
  }
  return made;
}

/**
 * The CRC of `bytes[start, end)` behind what `former` is the CRC of.
 * @returns 0 to 0xffffffff
 */
export function crc32c(bytes: Buffer, start: number, end: number, former = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let crc = ~former;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const low = crc ^ view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    crc =
      T7[low & 0xff] ^
      T6[(low >>> 8) & 0xff] ^
      T5[(low >>> 16) & 0xff] ^
      T4[low >>> 24] ^
      T3[high & 0xff] ^
      T2[(high >>> 8) & 0xff] ^
      T1[(high >>> 16) & 0xff] ^
      T0[high >>> 24];
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ T0[(crc ^ bytes[at]) & 0xff];
  return ~crc >>> 0;
}

/** Takes one more byte into a CRC in the making, which is the inverse of the CRC; it begins as -1. */
export function withByte(register: number, byte: number): number {
  return (register >>> 8) ^ T0[(register ^ byte) & 0xff];
}

/** LevelDB stores a CRC turned and moved, because a CRC of bytes that hold their own CRC says little. */
export function unmasked(stored: number): number {
  const turned = (stored - 0xa282ead8) >>> 0;
  return ((turned >>> 17) | (turned << 15)) >>> 0;
}
