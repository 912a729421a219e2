/** Reads the fields of one packet. Every overrun is a malformed packet. */
import { decodeString } from './utf8.js';
import { malformed } from './wire-error.js';

export class Reader {
  readonly buffer: Buffer;
  readonly end: number;
  at: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.buffer = buffer;
    this.at = start;
    this.end = end;
  }

  #need(bytes: number): number {
    const at = this.at;
    if (at + bytes > this.end) malformed('a packet that ends too early');
    this.at = at + bytes;
    return at;
  }

  uint8(): number {
    return this.buffer[this.#need(1)];
  }

  uint16(): number {
    const at = this.#need(2);
    return (this.buffer[at] << 8) | this.buffer[at + 1];
  }

  uint32(): number {
    return this.buffer.readUInt32BE(this.#need(4));
  }

  /** At most four bytes, and no more than needed [MQTT-1.5.5-1]. */
  variableByteInteger(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.uint8();
      value |= (byte & 0x7f) << shift;
      if (byte < 128) {
        if (byte === 0 && shift > 0) break;
        return value;
      }
    }
    return malformed('a malformed variable byte integer [MQTT-1.5.5-1]');
  }

  /** Binary Data, copied. */
  binary(): Buffer {
    const length = this.uint16();
    const at = this.#need(length);
    return Buffer.from(this.buffer.subarray(at, at + length));
  }

  string(): string {
    const length = this.uint16();
    const at = this.#need(length);
    return decodeString(this.buffer, at, at + length);
  }
}
