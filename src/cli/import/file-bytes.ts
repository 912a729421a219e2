/** The bytes of a file, read through a window: small reads near each other cost one call of the system. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Bytes } from './mosquitto-file.js';

const WINDOW_BYTES = 256 * 1024;
/** A look at so few bytes far from the window does not move it: who searches a damaged file looks at many places. */
const GLANCE_BYTES = 64;

export class FileBytes implements Bytes {
  readonly #fd: number;
  readonly size: number;
  /** Milliseconds since the epoch at which it was written last. */
  readonly writtenAt: number;
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES);
  readonly #glance = Buffer.allocUnsafe(GLANCE_BYTES);
  #windowAt = 0;
  #windowLength = 0;

  /** @throws the error of the operating system */
  constructor(path: string) {
    this.#fd = openSync(path, 'r');
    const { size, mtimeMs } = fstatSync(this.#fd);
    this.size = size;
    this.writtenAt = mtimeMs;
  }

  read(at: number, length: number): Buffer {
    const wanted = Math.max(0, Math.min(length, this.size - at));
    if (wanted > WINDOW_BYTES) {
      const bytes = Buffer.allocUnsafe(wanted);
      return bytes.subarray(0, this.#fill(bytes, at));
    }
    const windowEnd = this.#windowAt + this.#windowLength;
    if (wanted <= GLANCE_BYTES && (at < this.#windowAt || at > windowEnd)) {
      return this.#glance.subarray(0, Math.min(wanted, this.#fill(this.#glance, at)));
    }
    if (at < this.#windowAt || at + wanted > windowEnd) {
      this.#windowAt = at;
      this.#windowLength = this.#fill(this.#window, at);
    }
    const start = at - this.#windowAt;
    return this.#window.subarray(start, Math.min(start + wanted, this.#windowLength));
  }

  #fill(bytes: Buffer, at: number): number {
    let filled = 0;
    while (filled < bytes.length) {
      const read = readSync(this.#fd, bytes, filled, bytes.length - filled, at + filled);
      if (read === 0) break;
      filled += read;
    }
    return filled;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
