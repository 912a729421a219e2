/**
 * `portico import mosquitto-db FILE`: what a `mosquitto.db` says, as records of our store. Memory holds one message at a
 * time, and for each message of the file where it stands.
 */
import { type Message, NO_PROPERTIES } from '../../bus/message.js';
import { isReserved, isShared, isValidFilter, isValidName, isValidShared } from '../../bus/topics.js';
import { WireError } from '../../wire/wire-error.js';
import type { ImportedSession } from './imported-session.js';
import {
  ChunkType,
  type ClientMessage,
  clientIn,
  clientMessageIn,
  fixedBytes,
  idAt,
  identifiersIn,
  MessageState,
  messageIn,
  namesBytes,
  payloadIn,
  propertiesIn,
  subscriptionIn,
} from './mosquitto-chunks.js';
import { type Bytes, type Chunk, MosquittoFile } from './mosquitto-file.js';
import { Released, type ReleasedPublication } from './released.js';
import type { StoreBuilder } from './store-builder.js';
import type { Tally } from './tally.js';

/** Session Expiry Interval of a session that does not end by itself. */
const NEVER = 0xffff_ffff;

const STATES: ReadonlySet<number> = new Set(Object.values(MessageState));

export interface MosquittoImport {
  /** The file, to walk through it. */
  readonly walk: Bytes;
  /** The same file, to look up messages in it. */
  readonly lookUp: Bytes;
  readonly builder: StoreBuilder;
  readonly tally: Tally;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Milliseconds since the epoch at which the file was written. */
  readonly writtenAt: number;
  /** Longest Session Expiry Interval in seconds. */
  readonly maxExpiry: number;
  /** Told how far it has come: chunks and bytes. */
  progress(chunks: number, bytes: number): void;
}

/** @throws UnusableFile */
export async function importMosquittoDb(plan: MosquittoImport): Promise<void> {
  await new MosquittoReader(plan).run();
}

class MosquittoReader {
  readonly #plan: MosquittoImport;
  readonly #file: MosquittoFile;
  readonly #messages = new Map<string, Chunk>();
  /** Clients whose sessions are over. */
  readonly #over = new Set<string>();
  readonly #released = new Released();

  constructor(plan: MosquittoImport) {
    this.#plan = plan;
    this.#file = new MosquittoFile(plan.walk, (from, to, why) => plan.tally.lose(from, to, why));
  }

  async run(): Promise<void> {
    const { builder } = this.#plan;
    let chunks = 0;
    for (const chunk of this.#file.chunks()) {
      this.#take(chunk);
      this.#plan.progress(++chunks, chunk.at);
      await builder.breathe();
    }
    for (const { chunk, recipients } of this.#released.publications()) {
      await this.#publish(chunk, recipients);
    }
  }

  #take(chunk: Chunk): void {
    switch (chunk.type) {
      case ChunkType.Message:
        this.#takeMessage(chunk);
        break;
      case ChunkType.Retained:
        this.#takeRetained(chunk);
        break;
      case ChunkType.Client:
        this.#takeClient(chunk);
        break;
      case ChunkType.ClientMessage:
        this.#takeClientMessage(chunk);
        break;
      case ChunkType.Subscription:
        this.#takeSubscription(chunk);
        break;
    }
  }

  #takeMessage(chunk: Chunk): void {
    const fixed = this.#file.body(chunk, fixedBytes(chunk.type, this.#file.version));
    const body = this.#file.body(chunk, fixed.length + namesBytes(fixed));
    const { id, topic } = messageIn(body);
    if (isValidName(topic)) this.#messages.set(id, chunk);
    else this.#plan.tally.leave('message whose topic is none', offset(chunk));
  }

  /**
   * The message of that number, or null if it cannot be delivered: it has expired, or is not in the file.
   * @param begun it has been sent, so it does not expire any more [MQTT-4.3.3-7]
   */
  #message(id: string, what: string, at: Chunk, begun = false): Message | null {
    const { tally, now } = this.#plan;
    const chunk = this.#messages.get(id);
    if (chunk === undefined) {
      tally.leave(`${what} whose content is not in the file`, offset(at));
      return null;
    }
    const message = this.#read(chunk);
    if (begun || message.expiresAt === 0 || message.expiresAt > now) return message;
    tally.leave(`${what} that has expired`, offset(at));
    return null;
  }

  #read(chunk: Chunk): Message {
    const { lookUp, writtenAt: receivedAt } = this.#plan;
    const body = lookUp.read(chunk.start, chunk.length);
    const properties = this.#undamaged(chunk, () => propertiesIn(body)) ?? NO_PROPERTIES;
    return { ...messageIn(body), payload: payloadIn(body), properties, receivedAt };
  }

  /** What lengths do not show: whether properties are some. Without them, a message is still one. */
  #undamaged<T>(chunk: Chunk, read: () => T): T | null {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#plan.tally.leave(`properties of a message, which are damaged: ${error.message}`, offset(chunk));
      return null;
    }
  }

  #takeRetained(chunk: Chunk): void {
    const { builder, tally } = this.#plan;
    const message = this.#message(idAt(this.#file.body(chunk), 0), 'retained message', chunk);
    if (message === null) return;
    if (isReserved(message.topic)) {
      tally.leave('retained message below $SYS, which is the broker’s own', offset(chunk));
      return;
    }
    if (message.payload.length === 0) {
      tally.leave('retained message without payload', offset(chunk));
      return;
    }
    builder.retain(message);
    tally.take('retained');
  }

  #takeClient(chunk: Chunk): void {
    const { tally, now, writtenAt, maxExpiry } = this.#plan;
    const { clientId, expiresAt, expiryInterval } = clientIn(this.#file.body(chunk), this.#file.version);
    if (clientId === '') {
      tally.leave('session whose client identifier is no text', offset(chunk));
      return;
    }
    const lasting = expiryInterval === NEVER;
    // Of a client that was connected when the file was written, the end was not known.
    const left = expiresAt === 0 || lasting ? writtenAt : (expiresAt - expiryInterval) * 1000;
    if (!lasting && left + expiryInterval * 1000 <= now) {
      this.#over.add(clientId);
      const why = expiryInterval === 0 ? 'that ends with its connection' : 'that has expired';
      tally.leave(`session ${why}`, offset(chunk));
      return;
    }
    const session = this.#session(clientId);
    session.expiryInterval = lasting ? session.expiryInterval : Math.min(expiryInterval, maxExpiry);
    session.version = lasting ? 4 : 5;
    session.disconnectedAt = Math.min(left, now);
  }

  #session(clientId: string): ImportedSession {
    const { builder, tally } = this.#plan;
    if (!builder.has(clientId)) tally.take('session');
    return builder.session(clientId);
  }

  #takeClientMessage(chunk: Chunk): void {
    const { tally } = this.#plan;
    const message = clientMessageIn(this.#file.body(chunk));
    const { clientId, qos, state, incoming } = message;
    if (clientId === '') tally.leave('message whose client identifier is no text', offset(chunk));
    else if (this.#over.has(clientId)) tally.leave('message of a session that is over', offset(chunk));
    else if (qos === 0) tally.leave('message of QoS 0 that waits, which Portico keeps none of', offset(chunk));
    else if (!STATES.has(state)) tally.leave('damaged state of a message', offset(chunk));
    else if (incoming) this.#takeIncoming(chunk, message);
    else this.#takeOutgoing(chunk, message);
  }

  /** Mosquitto publishes on PUBREL, and Portico on PUBLISH: so it is published now, and PUBREL only answered. */
  #takeIncoming(chunk: Chunk, { clientId, id, packetId, qos, state }: ClientMessage): void {
    const { tally } = this.#plan;
    if (qos !== 2 || packetId === 0 || state === MessageState.ResendPubcomp) {
      tally.leave('publication that is complete but for its acknowledgement', offset(chunk));
      return;
    }
    this.#session(clientId).inbound.add(packetId);
    tally.take('inbound');
    const stored = this.#messages.get(id);
    if (stored === undefined) {
      tally.leave('publication that awaits PUBREL whose content is not in the file', offset(chunk));
      return;
    }
    const { topic, qos: published } = this.#read(stored);
    this.#released.add(stored, { topic, qos: published }, clientId);
  }

  #takeOutgoing(chunk: Chunk, outgoing: ClientMessage): void {
    const { builder, tally } = this.#plan;
    const { clientId, id, packetId, qos, state, dup, retain } = outgoing;
    if (state === MessageState.ResendPubrel || state === MessageState.AwaitsPubcomp) {
      const stored = this.#messages.get(id);
      const message = stored && { ...this.#read(stored), qos, retain };
      if (builder.release(this.#session(clientId), packetId, message)) tally.take('inFlight');
      else tally.leave('release of a message whose packet identifier is in use', offset(chunk));
      return;
    }
    const unsent = (state === MessageState.PublishQos1 || state === MessageState.PublishQos2) && !dup;
    const begun = state !== MessageState.Queued && !unsent;
    const message = this.#message(id, 'waiting message', chunk, begun);
    if (message === null) return;
    const identifiers = this.#undamaged(chunk, () => identifiersIn(this.#file.body(chunk)));
    const session = this.#session(clientId);
    const sequence = begun ? session.inFlight(packetId, false) : 0;
    const number = sequence > 0 ? sequence : session.waiting();
    builder.queue(session, number, { ...message, qos, retain }, identifiers);
    tally.take(sequence > 0 ? 'inFlight' : 'waiting');
  }

  #takeSubscription(chunk: Chunk): void {
    const { builder, tally } = this.#plan;
    const { clientId, filter, qos, options, identifier } = subscriptionIn(this.#file.body(chunk));
    const sound = isShared(filter) ? isValidShared(filter) : isValidFilter(filter);
    if (clientId === '' || !sound || qos > 2) {
      tally.leave('subscription whose topic filter is none', offset(chunk));
      return;
    }
    if (this.#over.has(clientId)) {
      tally.leave('subscription of a session that is over', offset(chunk));
      return;
    }
    const subscription = {
      qos: qos as 0 | 1 | 2,
      noLocal: (options & 4) !== 0,
      retainAsPublished: (options & 8) !== 0,
      retainHandling: Math.min((options >> 4) & 3, 2) as 0 | 1 | 2,
      identifier,
    };
    const session = this.#session(clientId);
    builder.subscribe(session, filter, subscription);
    this.#released.subscribe(session, filter, subscription);
    tally.take('subscription');
  }

  async #publish(chunk: Chunk, recipients: ReleasedPublication['recipients']): Promise<void> {
    const { builder, tally, now } = this.#plan;
    const message = this.#read(chunk);
    if (message.expiresAt > 0 && message.expiresAt <= now) {
      tally.leave('publication that awaits PUBREL and has expired', offset(chunk));
      return;
    }
    if (message.retain && !isReserved(message.topic)) builder.retain(message);
    for (const [session, { qos, retain, identifiers }] of recipients) {
      const delivered = { ...message, qos, retain: retain && message.retain };
      builder.queue(session, session.waiting(), delivered, identifiers.length > 0 ? identifiers : null);
      tally.take('waiting');
      await builder.breathe();
    }
  }
}

function offset(chunk: Chunk): string {
  return `offset ${chunk.at}`;
}
