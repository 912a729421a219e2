/**
 * A message on its way through the bus. A connection reuses one Publication for all that it receives: it is a view of
 * the chunk that the message arrived in and is valid only until the publishing call returns.
 */
import { forwardableProperties } from '../wire/publish-view.js';
import type { LiveSource } from '../wire/publish-writer.js';
import { type Message, NO_PROPERTIES } from './message.js';
import type { Route } from './router.js';
import type { Subscriber } from './tree.js';

const EMPTY = Buffer.alloc(0);

export class Publication implements LiveSource {
  /** Where it goes. Set before it enters the router. */
  route: Route | null = null;
  topicBytes: Buffer = EMPTY;
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
  /** Who published, for No Local; null for the broker itself. */
  publisher: Subscriber | null = null;
  publisherId = '';

  #properties: Buffer | null = NO_PROPERTIES;
  #message: Message | null = null;
  #frames: (Frame | null)[] = [null, null, null, null, null, null, null, null];
  #framed = false;

  get topic(): string {
    return this.route === null ? '' : this.route.topic;
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
    if (this.#framed) {
      this.#frames.fill(null);
      this.#framed = false;
    }
  }

  /** Points this publication at a message that has bytes of its own. */
  of(message: Message, route: Route): this {
    this.route = route;
    this.topicBytes = route.topicBytes;
    this.buffer = message.payload;
    this.payloadStart = 0;
    this.payloadEnd = message.payload.length;
    this.#properties = message.properties;
    this.propertiesStart = -1;
    this.bodyStart = -1;
    this.qos = message.qos;
    this.retain = message.retain;
    this.expiresAt = message.expiresAt;
    this.publisherId = message.publisherId;
    this.renew();
    this.#message = message;
    return this;
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
      receivedAt: Date.now(),
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
