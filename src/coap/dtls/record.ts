/** The record layer's format (RFC 6347 4.1, RFC 9146 4): reads the records of a datagram in place, and writes them. */
import { EXPLICIT_NONCE_BYTES, type Protection } from './cipher.js';
import { ContentType, LARGEST_PLAINTEXT, RECORD_HEADER, VERSION_1_0, VERSION_1_2 } from './protocol.js';

/** Bytes of the Connection IDs that this server gives. */
export const CID_BYTES = 8;
/** No fragment is longer: the largest plaintext, its inner type and what the ciphers add. */
const LARGEST_FRAGMENT = LARGEST_PLAINTEXT + 256;
const EPOCH_OFFSET = 3;

/** One record of a datagram. Reused: everything in it belongs to the datagram that was read last. */
export class RecordReader {
  #bytes: Buffer = Buffer.alloc(0);
  #next = 0;
  #start = 0;
  /** Counts datagrams: whether two records came in the same one. */
  datagram = 0;
  type = 0;
  version = 0;
  epoch = 0;
  sequence = 0;
  /** The fragment is `bytes[fragmentStart, fragmentEnd)`. */
  fragmentStart = 0;
  fragmentEnd = 0;

  begin(datagram: Buffer): void {
    this.#bytes = datagram;
    this.#next = 0;
    this.datagram++;
  }

  /**
   * Goes to the next record. False at the end, and at anything that is no record of DTLS 1.2: the rest of the datagram
   * is dropped then (RFC 6347 4.1.2.7).
   */
  next(): boolean {
    const bytes = this.#bytes;
    const start = this.#next;
    if (bytes.length - start < RECORD_HEADER) return false;
    this.#start = start;
    this.type = bytes[start];
    const header = this.type === ContentType.Cid ? RECORD_HEADER + CID_BYTES : RECORD_HEADER;
    if (bytes.length - start < header) return false;
    this.version = bytes.readUInt16BE(start + 1);
    this.epoch = bytes.readUInt16BE(start + EPOCH_OFFSET);
    this.sequence = bytes.readUIntBE(start + EPOCH_OFFSET + 2, 6);
    // RFC 6347 4.1: the records before the version is agreed on may bear the number of DTLS 1.0.
    if (this.version !== VERSION_1_2 && (this.version !== VERSION_1_0 || this.epoch !== 0)) return false;
    const length = bytes.readUInt16BE(start + header - 2);
    this.fragmentStart = start + header;
    this.fragmentEnd = this.fragmentStart + length;
    if (length > LARGEST_FRAGMENT || this.fragmentEnd > bytes.length) return false;
    this.#next = this.fragmentEnd;
    return true;
  }

  /** The fragment, as a view. */
  fragment(): Buffer {
    return this.#bytes.subarray(this.fragmentStart, this.fragmentEnd);
  }

  /** The record with its header, as a view. */
  whole(): Buffer {
    return this.#bytes.subarray(this.#start, this.fragmentEnd);
  }

  /** The Connection ID of a record of type 25, as a text that keys a table. */
  cid(): string {
    const start = this.#start + RECORD_HEADER - 2;
    return this.#bytes.toString('latin1', start, start + CID_BYTES);
  }

  /** Opens a protected record. Undefined if it is not authentic, or holds more than a record may (RFC 5246 6.2.1). */
  open(protection: Protection): OpenedRecord | undefined {
    const length = this.fragmentEnd - this.fragmentStart - protection.expansion;
    if (length < 0) return undefined;
    const header = this.#bytes.subarray(this.#start, this.fragmentStart);
    const plaintext = protection.open(this.fragment(), additionalData(header, length));
    if (plaintext === undefined) return undefined;
    if (this.type !== ContentType.Cid) {
      return plaintext.length > LARGEST_PLAINTEXT ? undefined : { type: this.type, content: plaintext };
    }
    // DTLSInnerPlaintext: content, its type, and any number of zero bytes.
    let end = plaintext.length;
    while (end > 0 && plaintext[end - 1] === 0) end--;
    if (end === 0 || end - 1 > LARGEST_PLAINTEXT) return undefined;
    return { type: plaintext[end - 1], content: plaintext.subarray(0, end - 1) };
  }
}

/** What a protected record holds. */
export interface OpenedRecord {
  readonly type: number;
  readonly content: Buffer;
}

const CID_ADDITIONAL = 23;
const plainAdditional = Buffer.alloc(RECORD_HEADER);

/** What is authenticated besides the ciphertext; RFC 5246 6.2.3.3, with a Connection ID RFC 9146 5.3. */
function additionalData(header: Buffer, plaintextLength: number): Buffer {
  if (header[0] !== ContentType.Cid) {
    const additional = plainAdditional;
    header.copy(additional, 0, EPOCH_OFFSET, RECORD_HEADER - 2);
    header.copy(additional, 8, 0, EPOCH_OFFSET);
    additional.writeUInt16BE(plaintextLength, RECORD_HEADER - 2);
    return additional;
  }
  const cidLength = header.length - RECORD_HEADER;
  const additional = Buffer.alloc(CID_ADDITIONAL + cidLength, 0xff);
  additional[8] = ContentType.Cid;
  additional[9] = cidLength;
  // Type, version, epoch, sequence number and Connection ID as they stand in the header.
  header.copy(additional, 10, 0, header.length - 2);
  additional.writeUInt16BE(plaintextLength, additional.length - 2);
  return additional;
}

/** Bytes of the longest record that is ever written. */
export const LARGEST_RECORD = RECORD_HEADER + 255 + LARGEST_FRAGMENT;

function writeHeader(
  output: Buffer,
  at: number,
  type: number,
  version: number,
  epoch: number,
  sequence: number,
  cid: Buffer,
): number {
  output[at] = type;
  output.writeUInt16BE(version, at + 1);
  output.writeUInt16BE(epoch, at + EPOCH_OFFSET);
  output.writeUIntBE(sequence, at + EPOCH_OFFSET + 2, 6);
  cid.copy(output, at + RECORD_HEADER - 2);
  return at + RECORD_HEADER + cid.length;
}

const NO_CID = Buffer.alloc(0);

/** Writes an unprotected record, of epoch 0, to `output` at `at`; returns its end. */
export function writePlainRecord(
  output: Buffer,
  at: number,
  type: number,
  sequence: number,
  content: Buffer,
  version: number = VERSION_1_2,
): number {
  const start = writeHeader(output, at, type, version, 0, sequence, NO_CID);
  output.writeUInt16BE(content.length, start - 2);
  return start + content.copy(output, start);
}

/**
 * Writes a protected record of epoch 1 to `output` at `at`; returns its end.
 * @param cid the peer's Connection ID; without bytes the record has the form of RFC 6347
 */
export function writeProtectedRecord(
  output: Buffer,
  at: number,
  protection: Protection,
  type: number,
  sequence: number,
  content: Buffer,
  cid: Buffer,
): number {
  const outer = cid.length > 0 ? ContentType.Cid : type;
  const plaintext = cid.length > 0 ? Buffer.concat([content, Buffer.from([type])]) : content;
  const start = writeHeader(output, at, outer, VERSION_1_2, 1, sequence, cid);
  output.writeUInt16BE(plaintext.length + protection.expansion, start - 2);
  const explicit = output.subarray(at + EPOCH_OFFSET, at + EPOCH_OFFSET + EXPLICIT_NONCE_BYTES);
  return protection.seal(
    plaintext,
    explicit,
    additionalData(output.subarray(at, start), plaintext.length),
    output,
    start,
  );
}
