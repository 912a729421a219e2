/** Retained messages as records outside the JavaScript heap. A record does not say its topic: its node in the tree does. */
import { type Message, NO_PROPERTIES, type Source } from './message.js';
import type { Publication } from './publication.js';
import { RetainedSources } from './retained-sources.js';
import { Slabs } from './slabs.js';

/** Offsets of a record. */
const SINCE = 0;
const DUE = 8;
const EXPIRES = 16;
const RECEIVED = 24;
const FLAGS = 32;
const PROPERTIES_LENGTH = 33;
const PAYLOAD_LENGTH = 37;
const SOURCE = 41;
const CHECKED = 45;
const HEAD = 49;

/** What a record is made of; a `Publication` has it. */
export type RetainedContent = Pick<Message, 'publisherId' | 'properties' | 'qos' | 'retain' | 'expiresAt'> & {
  readonly buffer: Buffer;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  /** Milliseconds since the epoch; -1 for this moment. */
  readonly receivedAt: number;
  readonly source: Source | null;
};

/** A record is a number from 1; 0 is none. */
export class RetainedRecords {
  readonly #slabs = new Slabs();
  readonly #sources = new RetainedSources();

  /** Bytes that they take. */
  get memory(): number {
    return this.#slabs.memory + this.#sources.memory;
  }

  /**
   * Writes a message; returns its record.
   * @param since revision at which its topic, which had no message, got one
   * @param due milliseconds since the epoch at which the message is looked at for its expiry; 0 for never
   * @param former record that it replaces, 0 for none
   */
  put(content: RetainedContent, since: number, due: number, former: number): number {
    const { properties, buffer, payloadStart, payloadEnd, receivedAt } = content;
    const payload = payloadEnd - payloadStart;
    const size = HEAD + properties.length + payload;
    // Before the former one is released, which may be the same.
    const source = this.#sources.use(content.publisherId, content.source);
    if (former !== 0) this.#sources.release(this.#sourceOf(former));
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
    words.setUint32(start + PROPERTIES_LENGTH, properties.length);
    words.setUint32(start + PAYLOAD_LENGTH, payload);
    words.setUint32(start + SOURCE, source);
    words.setUint32(start + CHECKED, 0);
    if (properties.length > 0) properties.copy(bytes, start + HEAD);
    buffer.copy(bytes, start + HEAD + properties.length, payloadStart, payloadEnd);
    return record;
  }

  free(record: number): void {
    this.#sources.release(this.#sourceOf(record));
    this.#slabs.free(record);
  }

  /** The message of a record, which may be kept. */
  message(record: number, topic: string): Message {
    const { bytes, words } = this.#slabs.slab(record);
    const start = this.#slabs.offset(record);
    const propertiesEnd = start + HEAD + words.getUint32(start + PROPERTIES_LENGTH);
    const end = propertiesEnd + words.getUint32(start + PAYLOAD_LENGTH);
    const payload = bytes.subarray(propertiesEnd, end);
    const flags = words.getUint8(start + FLAGS);
    return {
      topic,
      payload: this.#slabs.isAlone(record) ? payload : Buffer.from(payload),
      qos: (flags & 3) as 0 | 1 | 2,
      retain: (flags & 4) !== 0,
      properties:
        propertiesEnd === start + HEAD ? NO_PROPERTIES : Buffer.from(bytes.subarray(start + HEAD, propertiesEnd)),
      expiresAt: words.getFloat64(start + EXPIRES),
      publisherId: this.#sources.publisherId(words.getUint32(start + SOURCE)),
      receivedAt: words.getFloat64(start + RECEIVED),
      source: this.#sources.source(words.getUint32(start + SOURCE)),
    };
  }

  /** Points a publication at a record, without a copy. */
  show(record: number, topic: Buffer, publication: Publication): void {
    const { bytes, words } = this.#slabs.slab(record);
    const start = this.#slabs.offset(record);
    const propertiesEnd = start + HEAD + words.getUint32(start + PROPERTIES_LENGTH);
    const end = propertiesEnd + words.getUint32(start + PAYLOAD_LENGTH);
    const flags = words.getUint8(start + FLAGS);
    publication.qos = (flags & 3) as 0 | 1 | 2;
    publication.retain = (flags & 4) !== 0;
    publication.expiresAt = words.getFloat64(start + EXPIRES);
    publication.receivedAt = words.getFloat64(start + RECEIVED);
    publication.publishedBy(this.#sources, words.getUint32(start + SOURCE));
    publication.ofRecord(topic, bytes, start + HEAD, propertiesEnd, end);
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

  /** Whose right to publish it stands on; null if nobody's is asked for. */
  source(record: number): Source | null {
    return this.#sources.source(this.#sourceOf(record));
  }

  /** What `setChecked` has left; 0 since it was written. */
  checked(record: number): number {
    return this.#slabs.slab(record).words.getUint32(this.#slabs.offset(record) + CHECKED);
  }

  setChecked(record: number, checked: number): void {
    this.#slabs.slab(record).words.setUint32(this.#slabs.offset(record) + CHECKED, checked);
  }

  #sourceOf(record: number): number {
    return this.#slabs.slab(record).words.getUint32(this.#slabs.offset(record) + SOURCE);
  }

  #number(record: number, field: number): number {
    return this.#slabs.slab(record).words.getFloat64(this.#slabs.offset(record) + field);
  }
}
