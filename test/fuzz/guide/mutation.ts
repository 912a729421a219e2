/** Changes to inputs, as fuzzers make them: bits, bytes, runs, lengths, words of the format, parts of other inputs. */
import type { Random } from '../../support/random.js';

/** Bytes at which parsers go wrong. */
const EDGES = [0x00, 0x01, 0x02, 0x0b, 0x23, 0x26, 0x7f, 0x80, 0x81, 0xc0, 0xff];

/** Puts `piece` into `bytes` in the place of `[from, to)`. */
function replace(bytes: Buffer, from: number, to: number, piece: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, from), piece, bytes.subarray(to)]);
}

/** Writes how many bytes follow, or a number near it, where a length may stand. */
function setLength(bytes: Buffer, random: Random): void {
  const at = random.below(bytes.length);
  const size = 1 + random.below(2);
  if (at + size > bytes.length) return;
  const most = bytes.length - at - size;
  const length = random.oneIn(2) ? most : random.below(most + 3);
  if (size === 1) bytes[at] = length;
  else bytes.writeUInt16BE(length & 0xffff, at);
}

function change(bytes: Buffer, words: readonly Buffer[], others: readonly Buffer[], random: Random): Buffer {
  const at = random.below(bytes.length + 1);
  const to = Math.min(bytes.length, at + 1 + random.below(random.oneIn(4) ? bytes.length + 1 : 8));
  const kind = bytes.length === 0 ? 4 : random.below(13);
  switch (kind) {
    case 0:
      bytes[at % bytes.length] ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[at % bytes.length] = random.oneIn(2) ? random.pick(EDGES) : random.below(256);
      return bytes;
    case 2:
      bytes[at % bytes.length] += random.pick([-2, -1, 1, 2]);
      return bytes;
    case 3:
      return replace(bytes, at, to, Buffer.alloc(0));
    case 4:
      return replace(bytes, at, at, random.bytes(1 + random.below(8)));
    case 5:
      return words.length === 0 ? bytes : replace(bytes, at, at, random.pick(words));
    case 6: {
      const word = words.length === 0 ? random.bytes(2) : random.pick(words);
      return replace(bytes, at, Math.min(bytes.length, at + word.length), word);
    }
    case 7:
      // A run twice.
      return replace(bytes, to, to, bytes.subarray(at, to));
    case 8: {
      // A run somewhere else.
      const place = random.below(bytes.length + 1);
      return replace(bytes, place, place, bytes.subarray(at, to));
    }
    case 9: {
      const other = random.pick(others);
      const from = random.below(other.length + 1);
      const end = from + random.below(other.length - from + 1);
      return replace(bytes, at, random.oneIn(2) ? at : to, other.subarray(from, end));
    }
    case 10:
      return bytes.subarray(0, at);
    case 11:
      // One byte many times.
      return replace(bytes, at, at, Buffer.alloc(random.pick([2, 16, 64, 300]), bytes[at % bytes.length]));
    default:
      setLength(bytes, random);
      return bytes;
  }
}

/** A changed copy of one of the inputs. */
export function mutate(inputs: readonly Buffer[], words: readonly Buffer[], longest: number, random: Random): Buffer {
  // The youngest have been tried the least.
  const recent = random.oneIn(2) ? Math.min(inputs.length, 16) : inputs.length;
  let bytes: Buffer = Buffer.from(inputs[inputs.length - 1 - random.below(recent)]);
  for (let changes = 1 << random.below(5); changes > 0; changes--) {
    bytes = change(bytes, words, inputs, random);
    if (bytes.length > longest) bytes = bytes.subarray(0, longest);
  }
  // A copy of its own: pieces of the pool would let a target see what it was not given.
  return Buffer.from(bytes);
}
