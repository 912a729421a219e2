/** Writes flights of a handshake: messages in fragments, fragments in records, records in datagrams. */
import type { Keys } from './association.js';
import { writeFragment } from './fragments.js';
import { ContentType, HANDSHAKE_HEADER, HandshakeType, RECORD_HEADER, SEQUENCE_NUMBERS } from './protocol.js';
import { LARGEST_RECORD, writePlainRecord, writeProtectedRecord } from './record.js';

/** A handshake message as it is sent; or, without a type, a ChangeCipherSpec. */
export interface FlightMessage {
  readonly type: number;
  readonly messageSequence: number;
  readonly body: Buffer;
}

export const CHANGE_CIPHER_SPEC: FlightMessage = { type: -1, messageSequence: 0, body: Buffer.from([1]) };

/** No fragment of a longer message is shorter than this, unless it is the last. */
const SHORTEST_PIECE = 16;
/** Datagrams are put together here and leave at once. */
const scratch = Buffer.allocUnsafeSlow(LARGEST_RECORD);

export class FlightWriter {
  readonly #limit: number;
  readonly #send: (bytes: Buffer, length: number) => void;
  /** Of the next record of epoch 0. */
  #sequence: number;

  /**
   * @param limit bytes of the longest datagram
   * @param sequence of the first record: that of the ClientHello (RFC 6347 4.2.1)
   */
  constructor(limit: number, sequence: number, send: (bytes: Buffer, length: number) => void) {
    this.#limit = limit;
    this.#sequence = sequence;
    this.#send = send;
  }

  /** Sends messages in as few datagrams as they need. @param keys protect Finished */
  send(flight: readonly FlightMessage[], keys: Keys | undefined): void {
    let at = 0;
    const flush = (): void => {
      if (at > 0) this.#send(scratch, at);
      at = 0;
    };
    for (const message of flight) {
      if (message.type < 0) {
        if (this.#limit - at < RECORD_HEADER + 1) flush();
        at = this.#plain(at, ContentType.ChangeCipherSpec, message.body);
        continue;
      }
      const protectedBy = message.type === HandshakeType.Finished ? keys : undefined;
      const overhead = RECORD_HEADER + HANDSHAKE_HEADER + (protectedBy === undefined ? 0 : expansionOf(protectedBy));
      const { body } = message;
      let offset = 0;
      do {
        const left = body.length - offset;
        if (this.#limit - at - overhead < Math.min(left, SHORTEST_PIECE)) flush();
        const size = Math.min(left, Math.max(SHORTEST_PIECE, this.#limit - at - overhead));
        const fragment = writeFragment(message.type, message.messageSequence, body, offset, size);
        if (protectedBy === undefined) at = this.#plain(at, ContentType.Handshake, fragment);
        else at = writeRecord(scratch, at, protectedBy, ContentType.Handshake, fragment);
        offset += size;
      } while (offset < body.length);
    }
    flush();
  }

  /** Sends an alert that nothing protects. */
  alert(level: number, description: number): void {
    this.#send(scratch, this.#plain(0, ContentType.Alert, Buffer.from([level, description])));
  }

  #plain(at: number, type: number, content: Buffer): number {
    if (this.#sequence >= SEQUENCE_NUMBERS) return at;
    return writePlainRecord(scratch, at, type, this.#sequence++, content);
  }
}

function expansionOf(keys: Keys): number {
  const { write, peerCid } = keys.agreement;
  return write.expansion + (peerCid.length > 0 ? peerCid.length + 1 : 0);
}

/** Writes a record under `keys` to `output` at `at`; returns its end, which is `at` if the sequence numbers are used up. */
export function writeRecord(output: Buffer, at: number, keys: Keys, type: number, content: Buffer): number {
  const sequence = keys.nextSequence();
  if (sequence < 0) return at;
  const { write, peerCid } = keys.agreement;
  return writeProtectedRecord(output, at, write, type, sequence, content, peerCid);
}
