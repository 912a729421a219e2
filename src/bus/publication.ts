/**
 * A message on its way through the bus. A connection reuses one Publication for all that it receives: it is a view of
 * the chunk that the message arrived in and is valid only until the publishing call returns.
 */
import { forwardableProperties } from '../wire/publish-view.js';
import type { LiveSource } from '../wire/publish-writer.js';
import { type Message, NO_PROPERTIES, type Source } from './message.js';
import { isLent, type Party } from './party.js';
import type { Route } from './router.js';

const EMPTY = Buffer.alloc(0);

/** Where publications come from: a session, or a client inside the process. */
export interface Publisher {
  /** The client that publishes; null if it is not connected any more. */
  readonly party: Party | null;
}

/** Client identifiers by number. */
export interface Publishers {
  publisherId(number: number): string;
}

export class Publication implements LiveSource {
  /** Where it goes. Set before it enters the router. */
  route: Route | null = null;
  buffer: Buffer = EMPTY;
  payloadStart = 0;
  payloadEnd = 0;
  propertiesStart = -1;
  bodyStart = -1;
  bodyHasPacketId = false;
  bodyHasProperties = false;
  qos: 0 | 1 | 2 = 0;
  retain = false;
  /** Milliseconds since the epoch, 0 for never. */
  expiresAt = 0;
  /** Milliseconds since the epoch at which the broker received it; -1 for a message that comes in this moment. */
  receivedAt = -1;
  /** Who published, for No Local and for rights; null for the broker itself and for wills. */
  publisher: Publisher | null = null;

  /** Where it has no route. */
  #topicBytes: Buffer = EMPTY;
  #topic: string | null = null;
  #publisherId: string | null = '';
  /** Who knows it, if nobody has asked for it. */
  #publishers: Publishers | null = null;
  #publisherNumber = 0;
  /** Of a message whose publisher is not connected. */
  #source: Source | null = null;
  #properties: Buffer | null = NO_PROPERTIES;
  #message: Message | null = null;
  #frames: (Frame | null)[] = [null, null, null, null, null, null, null, null];
  #framed = false;

  get topicBytes(): Buffer {
    return this.route === null ? this.#topicBytes : this.route.topicBytes;
  }

  /** For one that goes nowhere. */
  set topicBytes(topic: Buffer) {
    this.route = null;
    this.#topicBytes = topic;
  }

  get topic(): string {
    if (this.route !== null) return this.route.topic;
    this.#topic ??= this.#topicBytes.utf8Slice();
    return this.#topic;
  }

  /** Client identifier of the publisher, empty for the broker itself. */
  get publisherId(): string {
    this.#publisherId ??= this.#publishers?.publisherId(this.#publisherNumber) ?? '';
    return this.#publisherId;
  }

  set publisherId(id: string) {
    this.#publisherId = id;
  }

  /** The publisher is that one of `publishers`, for as long as the record stands that says so. */
  publishedBy(publishers: Publishers, number: number): void {
    this.#publisherId = null;
    this.#publishers = publishers;
    this.#publisherNumber = number;
  }

  /** Whose right to publish it stands on if it is retained; null if nobody's is asked for. */
  get source(): Source | null {
    if (this.publisher === null) return this.#source;
    const { party } = this.publisher;
    return party === null || party.trusted === true || isLent(party.grant) ? null : party;
  }

  /** A client that is not connected any more, or null. */
  set source(source: Source | null) {
    this.#source = source;
  }

  /** Cut out of the packet when somebody asks: who only passes a message on takes them as they came. */
  get properties(): Buffer {
    this.#properties ??= forwardableProperties(this.buffer, this.propertiesStart, this.payloadStart);
    return this.#properties;
  }

  /** @param properties null if they stand in `buffer` from `propertiesStart` on */
  set properties(properties: Buffer | null) {
    this.#properties = properties;
  }

  /** Forgets what was derived from the former content. Call after the fields are set. */
  renew(): void {
    this.#message = null;
    this.#topic = null;
    if (this.#framed) {
      this.#frames.fill(null);
      this.#framed = false;
    }
  }

  /** Points this publication at a message that has bytes of its own. */
  of(message: Message, route: Route): this {
    this.route = route;
    this.buffer = message.payload;
    this.payloadStart = 0;
    this.payloadEnd = message.payload.length;
    this.#properties = message.properties;
    this.propertiesStart = -1;
    this.bodyStart = -1;
    this.qos = message.qos;
    this.retain = message.retain;
    this.expiresAt = message.expiresAt;
    this.receivedAt = message.receivedAt;
    this.publisherId = message.publisherId;
    this.#source = message.source ?? null;
    this.renew();
    this.#message = message;
    return this;
  }

  /**
   * Points this publication at the record of a message, which is a run of properties and payload in `bytes` from `start` on;
   * the caller sets the numbers. It is good for as long as `bytes` and `topic` stay as they are.
   */
  ofRecord(topic: Buffer, bytes: Buffer, start: number, propertiesEnd: number, end: number): void {
    this.topicBytes = topic;
    this.buffer = bytes;
    this.#properties = propertiesEnd === start ? NO_PROPERTIES : bytes.subarray(start, propertiesEnd);
    this.propertiesStart = -1;
    this.payloadStart = propertiesEnd;
    this.payloadEnd = end;
    this.bodyStart = -1;
    this.renew();
  }

  /** A copy that may be kept. */
  message(): Message {
    this.#message ??= {
      topic: this.topic,
      payload: Buffer.from(this.buffer.subarray(this.payloadStart, this.payloadEnd)),
      qos: this.qos,
      retain: this.retain,
      properties: this.properties.length === 0 ? NO_PROPERTIES : Buffer.from(this.properties),
      expiresAt: this.expiresAt,
      publisherId: this.publisherId,
      receivedAt: this.receivedAt < 0 ? Date.now() : this.receivedAt,
    };
    return this.#message;
  }

  /** The encoded packet for one kind of receiver, if it was made for another one before. */
  frame(kind: number): Frame | null {
    return this.#frames[kind];
  }

  keepFrame(kind: number, frame: Frame): void {
    this.#frames[kind] = frame;
    this.#framed = true;
  }
}

/** An encoded PUBLISH that is the same for many receivers but for the packet identifier. */
export interface Frame {
  readonly bytes: Uint8Array;
  /** `bytes` as words. */
  readonly words: DataView;
  /** Offset of the packet identifier, 0 if there is none. */
  readonly packetIdAt: number;
}
