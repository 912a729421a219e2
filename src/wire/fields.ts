/** Writing of UTF-8 Encoded Strings and Binary Data: MQTT 5.0 1.5.4, 1.5.6. Both begin with two bytes of length. */
import type { Output } from './output.js';
import { malformed } from './wire-error.js';

/** Bytes of a string with its length. Throws `WireError` 0x81 if it has more than 65,535 or contains U+0000. */
export function stringSize(text: string): number {
  if (text.includes('\0')) malformed('a string with U+0000 [MQTT-1.5.4-2]');
  return checked(Buffer.byteLength(text));
}

/** Bytes of Binary Data with its length. Throws `WireError` 0x81 if it has more than 65,535. */
export function binarySize(bytes: Buffer): number {
  return checked(bytes.length);
}

function checked(length: number): number {
  if (length > 0xffff) malformed(`a field of ${length} bytes: there is room for 65,535`);
  return 2 + length;
}

/** Appends a string that `stringSize` has measured and for which there is room. */
export function writeString(out: Output, text: string): void {
  const length = Buffer.byteLength(text);
  out.writeUInt16(length);
  out.buffer.write(text, out.length);
  out.length += length;
}

/** Appends Binary Data that `binarySize` has measured and for which there is room. */
export function writeBinary(out: Output, bytes: Buffer): void {
  out.writeUInt16(bytes.length);
  out.writeBytes(bytes, 0, bytes.length);
}
