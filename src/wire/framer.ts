/**
 * Cuts a stream of bytes into control packets, in place: a packet that lies whole in a chunk is handed on as offsets
 * into it, and only a packet that is spread over chunks is copied.
 */
import { ReasonCode } from './reason-codes.js';
import { malformed, WireError } from './wire-error.js';

const SMALLEST_HELD = 256;
const NOTHING = Buffer.alloc(0);

/** What `PacketParser` and `ClientPacketParser` have in common. */
export abstract class PacketFramer {
  /** Protocol version of the connection; 0 while it is not known. */
  version: 0 | 3 | 4 | 5 = 0;
  /** Bytes of the largest packet that is taken; a larger one is an error as soon as its length is known. */
  maximumPacketSize: number;
  /**
   * Bytes that cannot be handed on yet. Invariant: unless paused or parsing, they are the beginning of one packet.
   */
  #held: Buffer = NOTHING;
  #heldLength = 0;
  /** Bytes of memory that `#held` keeps. */
  #capacity = 0;
  /** Bytes that a callback pushed while their predecessors were being parsed. */
  #late: Buffer = NOTHING;
  #paused = false;
  /** The packet that is being handed on is to be handed on again. */
  #again = false;
  #stopped = false;
  #parsing = false;

  constructor(maximumPacketSize: number) {
    this.maximumPacketSize = maximumPacketSize;
  }

  /** Throws `WireError` if a packet with this first byte must not come now. May be asked before the rest is there. */
  protected abstract checkFirst(first: number): void;

  /** A whole packet: its first byte is at `start`, what follows its Remaining Length is `[body, end)`. */
  protected abstract takePacket(buffer: Buffer, start: number, body: number, end: number): void;

  /** The stream is broken. Called at most once, and last. */
  protected abstract takeError(error: WireError): void;

  get paused(): boolean {
    return this.#paused;
  }

  /** Bytes held: those of an incomplete packet, and while paused all that arrived. */
  get buffered(): number {
    return this.#heldLength + this.#late.length;
  }

  /** Takes the next bytes of the stream and hands on every packet that they complete. Never throws. */
  push(chunk: Buffer): void {
    if (this.#stopped) return;
    if (this.#parsing) {
      this.#late = Buffer.concat([this.#late, chunk]);
      return;
    }
    this.#take(chunk);
    if (this.#late.length > 0) this.#takeLate();
  }

  /** Hands on no further packet until `resume`; may be called in a callback. */
  pause(): void {
    this.#paused = true;
  }

  /** In a callback: as `pause`, and `resume` hands on the same packet again first. It must not come in the same callback. */
  putBack(): void {
    this.#paused = true;
    this.#again = true;
  }

  /** Hands on what was kept, before it returns; in a callback, after that. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#parsing || this.#stopped) return;
    this.#parseHeld();
    if (this.#late.length > 0) this.#takeLate();
  }

  /** Drops everything; no callback comes after it. */
  stop(): void {
    this.#stopped = true;
    this.#held = NOTHING;
    this.#heldLength = 0;
    this.#late = NOTHING;
  }

  #takeLate(): void {
    while (this.#late.length > 0 && !this.#stopped) {
      const late = this.#late;
      this.#late = NOTHING;
      this.#take(late);
    }
  }

  #take(chunk: Buffer): void {
    let at = 0;
    while (this.#heldLength > 0 && !this.#paused && at < chunk.length) {
      const until = Math.min(at + this.#missing(), chunk.length);
      this.#hold(chunk, at, until);
      at = until;
      this.#parseHeld();
    }
    if (!this.#paused && !this.#stopped && at < chunk.length) at = this.#parse(chunk, at, chunk.length);
    if (!this.#stopped && at < chunk.length) this.#hold(chunk, at, chunk.length);
  }

  /** Bytes that the held packet lacks, as far as its length is known. At least 1. */
  #missing(): number {
    let at = 1;
    let remaining = 0;
    for (let shift = 0; at < this.#heldLength; shift += 7) {
      const byte = this.#held[at++];
      remaining |= (byte & 0x7f) << shift;
      if (byte < 128) return at + remaining - this.#heldLength;
    }
    return 1;
  }

  /** Keeps `chunk[from, to)`. The buffer grows with what really arrives, whatever length a packet claims. */
  #hold(chunk: Buffer, from: number, to: number): void {
    const needed = this.#heldLength + to - from;
    if (needed > this.#held.length) {
      // Never more for one packet than the largest that is taken.
      const more = Math.min(this.#held.length * 2, this.maximumPacketSize);
      const grown = Buffer.allocUnsafe(Math.max(needed, more, SMALLEST_HELD));
      this.#held.copy(grown, 0, 0, this.#heldLength);
      this.#held = grown;
      this.#capacity = grown.length;
    }
    chunk.copy(this.#held, this.#heldLength, from, to);
    this.#heldLength = needed;
  }

  #parseHeld(): void {
    const at = this.#parse(this.#held, 0, this.#heldLength);
    if (this.#stopped) return;
    if (at === this.#heldLength) {
      this.#held = NOTHING;
      this.#heldLength = 0;
    } else if (at > 0) {
      const rest = this.#held.subarray(at, this.#heldLength);
      // A small rest gets a copy of its own size, so that a long pause does not leave its whole buffer to it. A large one
      // stays where it is: many short pauses must not copy it again and again.
      const small = rest.length * 2 < this.#capacity;
      this.#held = small ? Buffer.from(rest) : rest;
      if (small) this.#capacity = rest.length;
      this.#heldLength = rest.length;
    }
  }

  /** Hands on the complete packets of `buffer[from, length)`; returns where the first one begins that was not. */
  #parse(buffer: Buffer, from: number, length: number): number {
    let at = from;
    this.#parsing = true;
    try {
      while (!this.#paused && !this.#stopped && length - at >= 2) {
        let remaining = buffer[at + 1];
        let body = at + 2;
        if (remaining > 127) {
          body = this.#bodyOf(buffer, at, length);
          if (body === 0) break;
          remaining = remainingLength(buffer, at + 1, body);
        }
        const end = body + remaining;
        if (end - at > this.maximumPacketSize) {
          this.checkFirst(buffer[at]);
          throw new WireError(ReasonCode.PacketTooLarge, `a packet of ${end - at} bytes`);
        }
        if (end > length) {
          this.checkFirst(buffer[at]);
          break;
        }
        this.takePacket(buffer, at, body, end);
        if (this.#again) break;
        at = end;
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#again = false;
    this.#parsing = false;
    return at;
  }

  /** Where the body begins behind a Remaining Length of several bytes; 0 if that is not complete. */
  #bodyOf(buffer: Buffer, start: number, length: number): number {
    const most = start + 5;
    let at = start + 2;
    while (at < length && at < most && buffer[at] > 127) at++;
    if (at === most) {
      this.checkFirst(buffer[start]);
      malformed('a Remaining Length of more than four bytes');
    }
    if (at === length) {
      this.checkFirst(buffer[start]);
      return 0;
    }
    // Only MQTT 5.0 asks for the shortest form [MQTT-1.5.5-1].
    if (buffer[at] === 0 && this.version === 5) {
      this.checkFirst(buffer[start]);
      malformed('a Remaining Length that is longer than it need be [MQTT-1.5.5-1]');
    }
    return at + 1;
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.stop();
    // A callback's own failure must not reach the event loop of the socket: it ends this connection alone.
    const words = error instanceof Error ? error.message : String(error);
    const coded = error instanceof WireError ? error : new WireError(ReasonCode.ImplementationSpecificError, words);
    try {
      this.takeError(coded);
    } catch {
      // The callback for failures failed: nobody is left to be told.
    }
  }
}

function remainingLength(buffer: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = end - 1; at >= start; at--) value = (value << 7) | (buffer[at] & 0x7f);
  return value;
}
