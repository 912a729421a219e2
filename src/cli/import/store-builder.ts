/** The records of a new store, made one after the other from what an import reads, and written in batches. */
import { setImmediate } from 'node:timers/promises';
import { type Message, NO_PROPERTIES } from '../../bus/message.js';
import { Publication } from '../../bus/publication.js';
import { isShared } from '../../bus/topics.js';
import { appendRecord } from '../../session/queue-record.js';
import { SEGMENT_VERSION } from '../../session/segment.js';
import { flowKey, queueKey, retainedKey, sessionKey, subscriptionKey, versionKey, willKey } from '../../store/keys.js';
import {
  encodeFlow,
  encodeMessage,
  encodeSession,
  encodeSubscription,
  encodeWill,
  STORE_VERSION,
  type SubscriptionRecord,
  type WillRecord,
} from '../../store/records.js';
import type { Operation } from '../../store/store.js';
import { encodeVersion } from '../../store/upgrade.js';
import { version } from '../../version.js';
import { Output } from '../../wire/output.js';
import { BATCH_BYTES, type WriteBatch } from '../new-store.js';
import { ImportedSession } from './imported-session.js';

/** Bytes after which a queue segment is closed: about what is read ahead at a time. */
const SEGMENT_BYTES = 128 * 1024;

/** Records between two turns of the event loop. */
const TURN = 1000;

/** What stands for a message of which only the release is due. */
const RELEASED: Message = {
  topic: 'released',
  payload: Buffer.alloc(0),
  qos: 2,
  retain: false,
  properties: NO_PROPERTIES,
  expiresAt: 0,
  publisherId: '',
  receivedAt: 0,
};

/** What a session is unless its source says more. */
export interface SessionDefaults {
  /** Session Expiry Interval in seconds. */
  readonly expiryInterval: number;
  /** Milliseconds since the epoch of the last disconnection. */
  readonly disconnectedAt: number;
}

/** The queue segment that is being filled. */
interface OpenSegment {
  readonly session: ImportedSession;
  readonly first: number;
  readonly output: Output;
  count: number;
  /** Milliseconds since the epoch at which the first of its messages expires; 0 if none does. */
  expiresAt: number;
}

export class StoreBuilder {
  readonly #write: WriteBatch;
  readonly #defaults: SessionDefaults;
  readonly #sessions = new Map<string, ImportedSession>();
  readonly #publication = new Publication();
  #batch: Operation[] = [];
  #bytes = 0;
  #breaths = 0;
  #segment: OpenSegment | null = null;

  constructor(write: WriteBatch, defaults: SessionDefaults) {
    this.#write = write;
    this.#defaults = defaults;
    this.#put(versionKey(), encodeVersion({ version: STORE_VERSION, writer: version }));
  }

  /** Call between two records: writes what has been added, if it is enough, and lets signals through. */
  async breathe(): Promise<void> {
    if (this.#bytes >= BATCH_BYTES) await this.#flush();
    if (++this.#breaths % TURN !== 0) return;
    await setImmediate();
    // Nothing to write; whoever writes may have been told to end.
    await this.#write([]);
  }

  /** The session of a client, made if there is none yet. */
  session(clientId: string): ImportedSession {
    const known = this.#sessions.get(clientId);
    if (known !== undefined) return known;
    const { expiryInterval, disconnectedAt } = this.#defaults;
    const session = new ImportedSession(clientId, this.#sessions.size + 1, expiryInterval, disconnectedAt);
    this.#sessions.set(clientId, session);
    return session;
  }

  /** Whether a client has a session. */
  has(clientId: string): boolean {
    return this.#sessions.has(clientId);
  }

  /** A former message of the same topic is gone; an empty one takes it away [MQTT-3.3.1-6]. */
  retain(message: Message): void {
    const key = retainedKey(message.topic);
    if (message.payload.length === 0) this.#batch.push({ type: 'del', key });
    else this.#put(key, encodeMessage({ ...message, retain: true }));
  }

  subscribe(session: ImportedSession, filter: string, subscription: SubscriptionRecord): void {
    if (isShared(filter)) session.sharing = true;
    this.#put(subscriptionKey(session.number, filter), encodeSubscription(subscription));
  }

  will(clientId: string, will: WillRecord): void {
    this.#put(willKey(clientId), encodeWill(will));
  }

  /**
   * A message that is in flight to a client, or waits for it; all of one session come one after the other.
   * @param sequence number that the session gave it
   * @param message QoS 1 or 2, as it is delivered
   */
  queue(session: ImportedSession, sequence: number, message: Message, identifiers: readonly number[] | null): void {
    let segment = this.#segment;
    if (segment === null || segment.session !== session || sequence !== segment.first + segment.count) {
      this.#closeSegment();
      segment = { session, first: sequence, output: new Output(), count: 0, expiresAt: 0 };
      segment.output.reserve(1);
      segment.output.writeUInt8(SEGMENT_VERSION);
      this.#segment = segment;
    }
    const publication = this.#publication;
    publication.topicBytes = Buffer.from(message.topic);
    publication.buffer = message.payload;
    publication.payloadStart = 0;
    publication.payloadEnd = message.payload.length;
    publication.properties = message.properties;
    publication.expiresAt = message.expiresAt;
    appendRecord(segment.output, publication, message.qos, message.retain, identifiers, '', 0);
    segment.count++;
    if (message.expiresAt > 0 && (segment.expiresAt === 0 || message.expiresAt < segment.expiresAt)) {
      segment.expiresAt = message.expiresAt;
    }
    if (segment.output.length >= SEGMENT_BYTES) this.#closeSegment();
  }

  /**
   * A message that its client has confirmed with PUBREC: only PUBREL is due.
   * @param message an empty one stands for what nobody knows any more, as what is in flight has its place in the queue
   * @returns whether its packet identifier is free
   */
  release(session: ImportedSession, packetId: number, message: Message = RELEASED): boolean {
    const sequence = session.inFlight(packetId, true);
    if (sequence > 0) this.queue(session, sequence, message, null);
    return sequence > 0;
  }

  /** Writes the rest: sessions and their flow states. */
  async finish(): Promise<void> {
    this.#closeSegment();
    for (const session of this.#sessions.values()) {
      this.#put(sessionKey(session.clientId), encodeSession(session.record()));
      this.#put(flowKey(session.number), encodeFlow(session.flow()));
      await this.breathe();
    }
    await this.#flush();
  }

  #closeSegment(): void {
    const segment = this.#segment;
    if (segment === null) return;
    this.#segment = null;
    const { session, first, count, output, expiresAt } = segment;
    // The first byte is none of a record.
    const key = queueKey(session.number, first, count, output.length - 1, expiresAt);
    this.#put(key, Buffer.from(output.bytes()));
    output.recycle();
  }

  #put(key: Buffer, value: Buffer): void {
    this.#batch.push({ type: 'put', key, value });
    this.#bytes += key.length + value.length;
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#bytes = 0;
    await this.#write(batch);
  }
}
