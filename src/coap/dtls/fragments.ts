/** Handshake messages and their fragments (RFC 6347 4.2.2, 4.2.3). */
import { HANDSHAKE_HEADER } from './protocol.js';

/** One fragment of a handshake message, which may be the whole of it. */
export interface Fragment {
  readonly type: number;
  /** Bytes of the whole message. */
  readonly length: number;
  readonly messageSequence: number;
  readonly offset: number;
  /** A view of the record. */
  readonly body: Buffer;
}

/** The fragment at `at` of a record's content; undefined if there is none. It takes `HANDSHAKE_HEADER` and its body. */
export function readFragment(content: Buffer, at: number): Fragment | undefined {
  if (content.length - at < HANDSHAKE_HEADER) return undefined;
  const length = content.readUIntBE(at + 1, 3);
  const offset = content.readUIntBE(at + 6, 3);
  const size = content.readUIntBE(at + 9, 3);
  const start = at + HANDSHAKE_HEADER;
  if (offset + size > length || start + size > content.length) return undefined;
  // An empty fragment of a message that is not empty says nothing.
  if (size === 0 && length > 0) return undefined;
  return {
    type: content[at],
    length,
    messageSequence: content.readUInt16BE(at + 4),
    offset,
    body: content.subarray(start, start + size),
  };
}

/** A fragment of a message as it goes into a record. */
export function writeFragment(
  type: number,
  messageSequence: number,
  body: Buffer,
  offset: number,
  size: number,
): Buffer {
  const bytes = Buffer.allocUnsafe(HANDSHAKE_HEADER + size);
  bytes[0] = type;
  bytes.writeUIntBE(body.length, 1, 3);
  bytes.writeUInt16BE(messageSequence, 4);
  bytes.writeUIntBE(offset, 6, 3);
  bytes.writeUIntBE(size, 9, 3);
  body.copy(bytes, HANDSHAKE_HEADER, offset, offset + size);
  return bytes;
}

/** A message in one fragment: the form that the hashes of the handshake take (RFC 6347 4.2.6). */
export function wholeMessage(type: number, messageSequence: number, body: Buffer): Buffer {
  return writeFragment(type, messageSequence, body, 0, body.length);
}

/** Bytes of the longest message taken. */
export const LARGEST_MESSAGE = 4096;
/** Pieces with gaps between them. A sender has no reason for more. */
const PIECES = 32;

/** One message being put together from fragments in any order, which may overlap. */
export class Reassembly {
  readonly type: number;
  readonly body: Buffer;
  /** Where received pieces begin and end, in order, with gaps between them. */
  readonly #pieces: number[] = [];

  constructor(type: number, length: number) {
    this.type = type;
    this.body = Buffer.alloc(length);
  }

  get complete(): boolean {
    return (
      this.body.length === 0 || (this.#pieces.length === 2 && this.#pieces[1] - this.#pieces[0] === this.body.length)
    );
  }

  /** Takes a fragment; one that contradicts the first, or makes one gap too many, is dropped. */
  add(fragment: Fragment): void {
    if (fragment.type !== this.type || fragment.length !== this.body.length) return;
    const pieces = this.#pieces;
    let start = fragment.offset;
    let end = start + fragment.body.length;
    let from = 0;
    while (from < pieces.length && pieces[from + 1] < start) from += 2;
    let to = from;
    while (to < pieces.length && pieces[to] <= end) {
      start = Math.min(start, pieces[to]);
      end = Math.max(end, pieces[to + 1]);
      to += 2;
    }
    if (to === from && pieces.length >= 2 * PIECES) return;
    pieces.splice(from, to - from, start, end);
    fragment.body.copy(this.body, fragment.offset);
  }
}

/** The handshake messages of one side, one after the other. */
export class Messages {
  #assembly: Reassembly | undefined;

  /** Takes a fragment of the message that is due; that message once it is whole. 'too long': it is longer than is taken. */
  add(fragment: Fragment): Reassembly | 'too long' | undefined {
    if (this.#assembly === undefined && fragment.length > LARGEST_MESSAGE) return 'too long';
    const assembly = this.#assembly ?? new Reassembly(fragment.type, fragment.length);
    this.#assembly = assembly;
    assembly.add(fragment);
    if (!assembly.complete) return undefined;
    this.#assembly = undefined;
    return assembly;
  }
}
