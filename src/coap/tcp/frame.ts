/** The message format of CoAP over TCP (RFC 8323 3.2): a length in front, no version, type or message id. */

/** Bytes of a frame's head at most, without its token: two nibbles, extended length, code. */
const MOST_HEAD = 6;
const LENGTH_8 = 13;
const LENGTH_16 = 14;
const LENGTH_32 = 15;
const BASE_8 = 13;
const BASE_16 = 269;
const BASE_32 = 65_805;

/** Where the parts of a frame stand; reused from frame to frame. */
export class FrameHead {
  code = 0;
  tokenLength = 0;
  /** The token, with options and payload behind it, is `[tokenStart, end)`. */
  tokenStart = 0;
  end = 0;
}

/** What `readHead` found. */
export const Head = { Whole: 0, Unfinished: 1, Malformed: 2 } as const;

/** Reads the head of the frame at `start`. If it is unfinished, `end` says how far the frame goes, 0 if that is unknown. */
export function readHead(bytes: Buffer, start: number, frame: FrameHead): number {
  frame.end = 0;
  if (start >= bytes.length) return Head.Unfinished;
  const first = bytes[start];
  const nibble = first >>> 4;
  frame.tokenLength = first & 15;
  if (frame.tokenLength > 8) return Head.Malformed;
  const extended = nibble < LENGTH_8 ? 0 : nibble === LENGTH_8 ? 1 : nibble === LENGTH_16 ? 2 : 4;
  const codeAt = start + 1 + extended;
  if (codeAt > bytes.length) return Head.Unfinished;
  let length = nibble;
  if (nibble === LENGTH_8) length = bytes[start + 1] + BASE_8;
  else if (nibble === LENGTH_16) length = bytes.readUInt16BE(start + 1) + BASE_16;
  else if (nibble === LENGTH_32) length = bytes.readUInt32BE(start + 1) + BASE_32;
  frame.tokenStart = codeAt + 1;
  frame.end = frame.tokenStart + frame.tokenLength + length;
  if (frame.end > bytes.length) return Head.Unfinished;
  frame.code = bytes[codeAt];
  return Head.Whole;
}

/** The message of a frame as it would be over UDP, of a type and with a message id. */
export function datagramOf(bytes: Buffer, frame: FrameHead, type: number, messageId: number): Buffer {
  const datagram = Buffer.allocUnsafe(4 + frame.end - frame.tokenStart);
  datagram[0] = 0x40 | (type << 4) | frame.tokenLength;
  datagram[1] = frame.code;
  datagram[2] = messageId >>> 8;
  datagram[3] = messageId;
  bytes.copy(datagram, 4, frame.tokenStart, frame.end);
  return datagram;
}

/** The frame of a message as it is over UDP, `datagram[start, end)`. */
export function frameOf(datagram: Buffer, start: number, end: number): Buffer {
  const tokenLength = datagram[start] & 15;
  const length = end - start - 4 - tokenLength;
  const frame = Buffer.allocUnsafe(MOST_HEAD + end - start - 4);
  let at = 1;
  if (length < BASE_8) frame[0] = (length << 4) | tokenLength;
  else if (length < BASE_16) {
    frame[0] = (LENGTH_8 << 4) | tokenLength;
    at = frame.writeUInt8(length - BASE_8, at);
  } else if (length < BASE_32) {
    frame[0] = (LENGTH_16 << 4) | tokenLength;
    at = frame.writeUInt16BE(length - BASE_16, at);
  } else {
    frame[0] = (LENGTH_32 << 4) | tokenLength;
    at = frame.writeUInt32BE(length - BASE_32, at);
  }
  frame[at++] = datagram[start + 1];
  at += datagram.copy(frame, at, start + 4, end);
  return frame.subarray(0, at);
}
