/** Reads Snappy's block format (google/snappy, format_description.txt), with which LevelDB compresses its blocks. */

/** No block of the store is larger: a message has at most 256 MiB, a segment a little more than one commit group. */
const LARGEST = 2 ** 30;

/** The uncompressed bytes, or null if these are not Snappy's. */
export function uncompress(bytes: Buffer): Buffer | null {
  let at = 0;
  let size = 0;
  for (let shift = 0; ; shift += 7) {
    if (at >= bytes.length || shift > 28) return null;
    const byte = bytes[at++];
    size += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  // No element makes more than 64 bytes of fewer than two.
  if (size > LARGEST || size > bytes.length * 64) return null;
  const out = Buffer.allocUnsafe(size);
  let to = 0;
  while (at < bytes.length) {
    const tag = bytes[at++];
    let length: number;
    if ((tag & 3) === 0) {
      length = (tag >>> 2) + 1;
      if (length > 60) {
        const extra = length - 60;
        if (at + extra > bytes.length) return null;
        length = bytes.readUIntLE(at, extra) + 1;
        at += extra;
      }
      if (at + length > bytes.length || to + length > size) return null;
      bytes.copy(out, to, at, at + length);
      at += length;
      to += length;
      continue;
    }
    const extra = (tag & 3) === 3 ? 4 : tag & 3;
    if (at + extra > bytes.length) return null;
    let offset: number;
    if ((tag & 3) === 1) {
      length = 4 + ((tag >>> 2) & 7);
      offset = ((tag >>> 5) << 8) | bytes[at];
    } else {
      length = (tag >>> 2) + 1;
      offset = bytes.readUIntLE(at, extra);
    }
    at += extra;
    if (offset === 0 || offset > to || to + length > size) return null;
    // A copy may overlap what it makes: byte by byte it repeats.
    for (let i = 0; i < length; i++, to++) out[to] = out[to - offset];
  }
  return to === size ? out : null;
}
