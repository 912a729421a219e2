/** Retained messages as records outside the JavaScript heap. A record does not say its topic: its node in the tree does. */
import { type Message, NO_PROPERTIES } from './message.js';
import type { Publication } from './publication.js';
import { Slabs } from './slabs.js';

/** Offsets of a record. */
const SINCE = 0;
const DUE = 8;
const EXPIRES = 16;
const RECEIVED = 24;
const FLAGS = 32;
const PUBLISHER_LENGTH = 33;
const PROPERTIES_LENGTH = 35;
const PAYLOAD_LENGTH = 39;
const HEAD = 43;

/** What a record is made of; a `Publication` has it. */
export type RetainedContent = Pick<Message, 'publisherId' | 'properties' | 'qos' | 'retain' | 'expiresAt'> & {
  readonly buffer: Buffer;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  /** Milliseconds since the epoch; -1 for this moment. */
  readonly receivedAt: number;
};

/** A record is a number from 1; 0 is none. */
export class RetainedRecords {
  readonly #slabs = new Slabs();

  /** Bytes that they take. */
  get memory(): number {
    return this.#slabs.memory;
  }

  /**
   * Writes a message; returns its record.
   * @param since revision at which its topic, which had no message, got one
   * @param due milliseconds since the epoch at which the message is looked at for its expiry; 0 for never
   * @param former record that it replaces, 0 for none
   */
  put(content: RetainedContent, since: number, due: number, former: number): number {
    const { publisherId, properties, buffer, payloadStart, payloadEnd, receivedAt } = content;
    const publisher = Buffer.byteLength(publisherId);
    const payload = payloadEnd - payloadStart;
    const size = HEAD + publisher + properties.length + payload;
    let record = former;
    if (former === 0 || !this.#slabs.suits(former, size)) {
      if (former !== 0) this.#slabs.free(former);
      record = this.#slabs.allocate(size);
    }
    const { bytes, words } = this.#slabs.slab(record);
    const start = this.#slabs.offset(record);
    words.setFloat64(start + SINCE, since);
    words.setFloat64(start + DUE, due);
    words.setFloat64(start + EXPIRES, content.expiresAt);
    words.setFloat64(start + RECEIVED, receivedAt < 0 ? Date.now() : receivedAt);
    words.setUint8(start + FLAGS, content.qos | (content.retain ? 4 : 0));
    words.setUint16(start + PUBLISHER_LENGTH, publisher);
    words.setUint32(start + PROPERTIES_LENGTH, properties.length);
    words.setUint32(start + PAYLOAD_LENGTH, payload);
    let at = start + HEAD;
    at += bytes.write(publisherId, at);
    at += properties.copy(bytes, at);
    buffer.copy(bytes, at, payloadStart, payloadEnd);
    return record;
  }

  free(record: number): void {
    this.#slabs.free(record);
  }

  /** The message of a record, which may be kept. */
  message(record: number, topic: string): Message {
    const { bytes, words } = this.#slabs.slab(record);
    const start = this.#slabs.offset(record);
    const publisherEnd = start + HEAD + words.getUint16(start + PUBLISHER_LENGTH);
    const propertiesEnd = publisherEnd + words.getUint32(start + PROPERTIES_LENGTH);
    const end = propertiesEnd + words.getUint32(start + PAYLOAD_LENGTH);
    const payload = bytes.subarray(propertiesEnd, end);
    const flags = words.getUint8(start + FLAGS);
    return {
      topic,
      payload: this.#slabs.isAlone(record) ? payload : Buffer.from(payload),
      qos: (flags & 3) as 0 | 1 | 2,
      retain: (flags & 4) !== 0,
      properties:
        propertiesEnd === publisherEnd ? NO_PROPERTIES : Buffer.from(bytes.subarray(publisherEnd, propertiesEnd)),
      expiresAt: words.getFloat64(start + EXPIRES),
      publisherId: bytes.utf8Slice(start + HEAD, publisherEnd),
      receivedAt: words.getFloat64(start + RECEIVED),
    };
  }

  /** Points a publication at a record, without a copy. */
  show(record: number, topic: Buffer, publication: Publication): void {
    const { bytes, words } = this.#slabs.slab(record);
    const start = this.#slabs.offset(record);
    const publisherEnd = start + HEAD + words.getUint16(start + PUBLISHER_LENGTH);
    const propertiesEnd = publisherEnd + words.getUint32(start + PROPERTIES_LENGTH);
    const end = propertiesEnd + words.getUint32(start + PAYLOAD_LENGTH);
    const flags = words.getUint8(start + FLAGS);
    publication.qos = (flags & 3) as 0 | 1 | 2;
    publication.retain = (flags & 4) !== 0;
    publication.expiresAt = words.getFloat64(start + EXPIRES);
    publication.receivedAt = words.getFloat64(start + RECEIVED);
    publication.ofRecord(topic, bytes, start + HEAD, publisherEnd, propertiesEnd, end);
  }

  /** Bytes of payload and properties. */
  contentSize(record: number): number {
    const { words } = this.#slabs.slab(record);
    const start = this.#slabs.offset(record);
    return words.getUint32(start + PROPERTIES_LENGTH) + words.getUint32(start + PAYLOAD_LENGTH);
  }

  since(record: number): number {
    return this.#number(record, SINCE);
  }

  due(record: number): number {
    return this.#number(record, DUE);
  }

  setDue(record: number, due: number): void {
    this.#slabs.slab(record).words.setFloat64(this.#slabs.offset(record) + DUE, due);
  }

  expiresAt(record: number): number {
    return this.#number(record, EXPIRES);
  }

  #number(record: number, field: number): number {
    return this.#slabs.slab(record).words.getFloat64(this.#slabs.offset(record) + field);
  }
}
