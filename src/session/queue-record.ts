/**
 * One queued message as it stands in a queue segment, in memory and on disk. All numbers big-endian:
 *
 *     u32 length of what follows
 *     u8  flags: QoS in bits 0-1, RETAIN 4, has expiry 8, has Subscription Identifiers 16, is shared 32, has deadline 64
 *     f64 milliseconds since the epoch at which it expires, if flag 8
 *     f64 milliseconds since the epoch at which it has waited too long (`limits.queue_age`), if flag 64
 *     u32 count, u32 each: Subscription Identifiers, if flag 16
 *     u16 length, the shared subscription that it came by, u16 length, its publisher's client identifier, if flag 32
 *     u16 topic length, topic
 *     u32 properties length, properties
 *     payload
 */
import type { Message } from '../bus/message.js';
import type { Publication } from '../bus/publication.js';
import type { Output } from '../wire/output.js';
import type { PublishSource } from '../wire/publish-writer.js';

const EMPTY = Buffer.alloc(0);
const HAS_EXPIRY = 8;
const HAS_IDENTIFIERS = 16;
const IS_SHARED = 32;
const HAS_DEADLINE = 64;
/** Bytes of a record besides topic, properties, payload, expiry and identifiers. */
const FIXED = 4 + 1 + 2 + 4;

/**
 * Appends a record; returns its bytes.
 * @param share the shared subscription that it comes by, empty for none
 * @param deadline milliseconds since the epoch at which it has waited too long, 0 for never
 */
export function appendRecord(
  out: Output,
  publication: Publication,
  qos: number,
  retain: boolean,
  identifiers: readonly number[] | null,
  share: string,
  deadline: number,
): number {
  const payload = publication.payloadEnd - publication.payloadStart;
  const shareBytes = share === '' ? 0 : Buffer.byteLength(share);
  const publisherBytes = shareBytes === 0 ? 0 : Buffer.byteLength(publication.publisherId);
  const size =
    FIXED +
    (publication.expiresAt > 0 ? 8 : 0) +
    (deadline > 0 ? 8 : 0) +
    (identifiers === null ? 0 : 4 + 4 * identifiers.length) +
    (shareBytes === 0 ? 0 : 4 + shareBytes + publisherBytes) +
    publication.topicBytes.length +
    publication.properties.length +
    payload;
  out.reserve(size);
  out.writeUInt32(size - 4);
  out.writeUInt8(
    qos |
      (retain ? 4 : 0) |
      (publication.expiresAt > 0 ? HAS_EXPIRY : 0) |
      (identifiers === null ? 0 : HAS_IDENTIFIERS) |
      (shareBytes === 0 ? 0 : IS_SHARED) |
      (deadline > 0 ? HAS_DEADLINE : 0),
  );
  if (publication.expiresAt > 0) out.length = out.buffer.writeDoubleBE(publication.expiresAt, out.length);
  if (deadline > 0) out.length = out.buffer.writeDoubleBE(deadline, out.length);
  if (identifiers !== null) {
    out.writeUInt32(identifiers.length);
    for (const identifier of identifiers) out.writeUInt32(identifier);
  }
  if (shareBytes > 0) {
    out.writeUInt16(shareBytes);
    out.length += out.buffer.write(share, out.length);
    out.writeUInt16(publisherBytes);
    out.length += out.buffer.write(publication.publisherId, out.length);
  }
  out.writeUInt16(publication.topicBytes.length);
  out.writeBytes(publication.topicBytes, 0, publication.topicBytes.length);
  out.writeUInt32(publication.properties.length);
  out.writeBytes(publication.properties, 0, publication.properties.length);
  out.writeBytes(publication.buffer, publication.payloadStart, publication.payloadEnd);
  return size;
}

/** Offset of the record after the one at `offset`. */
export function nextRecord(buffer: Buffer, offset: number): number {
  return offset + 4 + buffer.readUInt32BE(offset);
}

/** QoS of the record at `offset`. */
function recordQos(buffer: Buffer, offset: number): 0 | 1 | 2 {
  const qos = buffer[offset + 4] & 3;
  return qos === 0 ? 0 : qos === 2 ? 2 : 1;
}

/** A view of one record; reused, valid until the segment's bytes change. */
export class RecordView implements PublishSource {
  topicBytes: Buffer = EMPTY;
  buffer: Buffer = EMPTY;
  payloadStart = 0;
  payloadEnd = 0;
  properties: Buffer = EMPTY;
  readonly bodyStart = -1;
  readonly bodyHasPacketId = false;
  readonly bodyHasProperties = false;
  qos: 0 | 1 | 2 = 1;
  retain = false;
  expiresAt = 0;
  /** Milliseconds since the epoch at which it has waited too long; 0 for never. */
  deadline = 0;
  identifiers: readonly number[] | null = null;
  /** The shared subscription that it came by, in UTF-8; empty for none. */
  share: Buffer = EMPTY;
  /** Client identifier of its publisher, in UTF-8; empty also if it came by no shared subscription. */
  publisher: Buffer = EMPTY;

  read(buffer: Buffer, offset: number): void {
    this.buffer = buffer;
    this.payloadEnd = nextRecord(buffer, offset);
    const flags = buffer[offset + 4];
    this.qos = recordQos(buffer, offset);
    this.retain = (flags & 4) !== 0;
    let at = offset + 5;
    this.expiresAt = 0;
    if ((flags & HAS_EXPIRY) !== 0) {
      this.expiresAt = buffer.readDoubleBE(at);
      at += 8;
    }
    this.deadline = 0;
    if ((flags & HAS_DEADLINE) !== 0) {
      this.deadline = buffer.readDoubleBE(at);
      at += 8;
    }
    this.identifiers = null;
    if ((flags & HAS_IDENTIFIERS) !== 0) {
      const identifiers: number[] = [];
      const count = buffer.readUInt32BE(at);
      at += 4;
      for (let i = 0; i < count; i++, at += 4) identifiers.push(buffer.readUInt32BE(at));
      this.identifiers = identifiers;
    }
    this.share = EMPTY;
    this.publisher = EMPTY;
    if ((flags & IS_SHARED) !== 0) {
      const end = at + 2 + buffer.readUInt16BE(at);
      this.share = buffer.subarray(at + 2, end);
      at = end + 2 + buffer.readUInt16BE(end);
      this.publisher = buffer.subarray(end + 2, at);
    }
    const topicEnd = at + 2 + buffer.readUInt16BE(at);
    this.topicBytes = buffer.subarray(at + 2, topicEnd);
    const propertiesEnd = topicEnd + 4 + buffer.readUInt32BE(topicEnd);
    this.properties = propertiesEnd === topicEnd + 4 ? EMPTY : buffer.subarray(topicEnd + 4, propertiesEnd);
    this.payloadStart = propertiesEnd;
  }

  /** Whether it may not wait for ever. */
  get mayExpire(): boolean {
    return this.expiresAt > 0 || this.deadline > 0;
  }

  /** The message, with bytes of its own. */
  message(): Message {
    return {
      topic: this.topicBytes.utf8Slice(),
      payload: Buffer.from(this.buffer.subarray(this.payloadStart, this.payloadEnd)),
      qos: this.qos,
      retain: this.retain,
      properties: Buffer.from(this.properties),
      expiresAt: this.expiresAt,
      publisherId: this.publisher.utf8Slice(),
      receivedAt: 0,
    };
  }
}

const view = new RecordView();

/** Whether `count` whole records stand in `buffer` from `offset` to its end. */
export function areRecords(buffer: Buffer, offset: number, count: number): boolean {
  let at = offset;
  try {
    for (let i = 0; i < count; i++) {
      view.read(buffer, at);
      if (view.payloadEnd > buffer.length || view.payloadStart > view.payloadEnd) return false;
      at = view.payloadEnd;
    }
  } catch {
    return false;
  }
  return at === buffer.length;
}
