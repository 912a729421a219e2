/**
 * `portico import aedes-level DIR`: what a database of aedes-persistence-level says, as records of our store. Its keys are
 * `kind:client identifier:...`, its values packets and subscriptions in MessagePack.
 */
import { type Message, NO_PROPERTIES } from '../../bus/message.js';
import { isReserved, isShared, isValidFilter, isValidName, isValidShared, matches } from '../../bus/topics.js';
import type { ImportedSession } from './imported-session.js';
import { MessagePackError, unpack } from './message-pack.js';
import type { StoreBuilder } from './store-builder.js';
import type { Tally } from './tally.js';

/** What is read of the database: keys and values of a range, in the order of the keys. */
export interface AedesDatabase {
  iterator(range: { gte: string; lt: string }): AsyncIterable<[string, Buffer]>;
}

export interface AedesImport {
  readonly database: AedesDatabase;
  readonly builder: StoreBuilder;
  readonly tally: Tally;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Told how far it has come: records and bytes. */
  progress(records: number, bytes: number): void;
}

type Fields = ReadonlyMap<string, unknown>;

const NO_PAYLOAD = Buffer.alloc(0);

export async function importAedesLevel(plan: AedesImport): Promise<void> {
  await new AedesReader(plan).run();
}

class AedesReader {
  readonly #plan: AedesImport;
  #records = 0;
  #bytes = 0;
  /** The subscriptions of the client whose queue is being read. */
  #filters: [filter: string, qos: number][] = [];

  constructor(plan: AedesImport) {
    this.#plan = plan;
  }

  async run(): Promise<void> {
    await this.#each('retained:', (fields, key) => this.#takeRetained(fields, key));
    await this.#each('subscriptions:', (fields, key) => this.#takeSubscription(fields, key));
    // What is in flight has been sent before what waits, and takes the numbers before it.
    await this.#eachOutgoing((session, fields, key) => this.#takeInFlight(session, fields, key));
    await this.#eachOutgoing((session, fields, key) => this.#takeWaiting(session, fields, key), true);
    await this.#each('incoming:', (fields, key) => this.#takeIncoming(fields, key));
    await this.#each('will:', (fields, key) => this.#takeWill(fields, key));
  }

  /**
   * All records of one kind that can be read.
   * @param again they have been gone through before, and what is damaged has been said
   */
  async #each(
    prefix: string,
    take: (fields: Fields, key: string) => void | Promise<void>,
    again = false,
  ): Promise<void> {
    const { database, builder, tally, progress } = this.#plan;
    for await (const [key, value] of database.iterator(below(prefix))) {
      const fields = readable(value);
      if (fields !== null) await take(fields, key);
      else if (!again) tally.leave('damaged record', quoted(key));
      await builder.breathe();
      if (again) continue;
      this.#bytes += value.length;
      progress(++this.#records, this.#bytes);
    }
  }

  async #eachOutgoing(
    take: (session: ImportedSession, fields: Fields, key: string) => void,
    again = false,
  ): Promise<void> {
    let clientId: string | null = null;
    const takeOwned = async (fields: Fields, key: string): Promise<void> => {
      const owner = clientOf(key);
      if (owner === null) {
        if (!again) this.#plan.tally.leave('record whose key names no client', quoted(key));
        return;
      }
      if (owner !== clientId) {
        clientId = owner;
        await this.#readFilters(owner);
      }
      take(this.#session(owner), fields, key);
    };
    await this.#each('outgoing:', takeOwned, again);
  }

  async #readFilters(clientId: string): Promise<void> {
    this.#filters = [];
    const range = below(`subscriptions:${encodeURIComponent(clientId)}:`);
    for await (const [, value] of this.#plan.database.iterator(range)) {
      const subscription = readable(value);
      const [filter, qos] = [subscription?.get('topic'), subscription?.get('qos')];
      if (typeof filter === 'string' && typeof qos === 'number') this.#filters.push([filter, qos]);
    }
  }

  #session(clientId: string): ImportedSession {
    const { builder, tally } = this.#plan;
    if (!builder.has(clientId)) tally.take('session');
    return builder.session(clientId);
  }

  /** The message of a packet; null, with a word in the summary, if it is none. */
  #message(fields: Fields, key: string): Message | null {
    const [topic, payload, qos, publisher] = ['topic', 'payload', 'qos', 'clientId'].map((name) => fields.get(name));
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    if (typeof topic !== 'string' || !isValidName(topic)) {
      this.#plan.tally.leave('message whose topic is none', quoted(key));
      return null;
    }
    return {
      topic,
      payload: Buffer.isBuffer(bytes) ? bytes : NO_PAYLOAD,
      qos: qos === 1 || qos === 2 ? qos : 0,
      retain: fields.get('retain') === true,
      properties: NO_PROPERTIES,
      expiresAt: 0,
      publisherId: typeof publisher === 'string' ? publisher : '',
      receivedAt: this.#plan.now,
    };
  }

  #takeRetained(fields: Fields, key: string): void {
    const { builder, tally } = this.#plan;
    const message = this.#message(fields, key);
    if (message === null) return;
    if (isReserved(message.topic)) tally.leave('retained message below $SYS, which is the broker’s own', quoted(key));
    else if (message.payload.length === 0) tally.leave('retained message without payload', quoted(key));
    else {
      builder.retain({ ...message, publisherId: '' });
      tally.take('retained');
    }
  }

  #takeSubscription(fields: Fields, key: string): void {
    const { builder, tally } = this.#plan;
    const [filter, qos, clientId, handling] = ['topic', 'qos', 'clientId', 'rh'].map((name) => fields.get(name));
    const text = typeof filter === 'string' ? filter : '';
    const sound = isShared(text) ? isValidShared(text) : isValidFilter(text);
    if (!sound || typeof clientId !== 'string' || clientId === '' || (qos !== 0 && qos !== 1 && qos !== 2)) {
      tally.leave('subscription whose topic filter is none', quoted(key));
      return;
    }
    builder.subscribe(this.#session(clientId), text, {
      qos,
      noLocal: fields.get('nl') === true,
      retainAsPublished: fields.get('rap') === true,
      retainHandling: handling === 1 || handling === 2 ? handling : 0,
      identifier: 0,
    });
    tally.take('subscription');
  }

  #takeInFlight(session: ImportedSession, fields: Fields, key: string): void {
    const { builder, tally } = this.#plan;
    const packetId = packetIdIn(fields);
    if (packetId === 0) return;
    if (fields.get('cmd') === 'pubrel') {
      // Of a message that its client has, Aedes keeps nothing else.
      if (builder.release(session, packetId)) tally.take('inFlight');
      else tally.leave('release of a message whose packet identifier is in use', quoted(key));
      return;
    }
    const message = this.#message(fields, key);
    if (message === null || message.qos === 0) return;
    const sequence = session.inFlight(packetId, false);
    const number = sequence > 0 ? sequence : session.waiting();
    builder.queue(session, number, { ...message, qos: this.#granted(message) }, null);
    tally.take(sequence > 0 ? 'inFlight' : 'waiting');
  }

  #takeWaiting(session: ImportedSession, fields: Fields, key: string): void {
    const { builder, tally } = this.#plan;
    if (packetIdIn(fields) !== 0) return;
    const message = this.#message(fields, key);
    if (message === null) return;
    if (message.qos === 0) {
      tally.leave('message of QoS 0 that waits, which Portico keeps none of', quoted(key));
      return;
    }
    builder.queue(session, session.waiting(), { ...message, qos: this.#granted(message) }, null);
    tally.take('waiting');
  }

  /** Aedes keeps the QoS of the publication; a client gets no higher one than it was granted [MQTT-3.8.4-8]. */
  #granted({ topic, qos }: Message): 1 | 2 {
    let granted = 0;
    for (const [filter, most] of this.#filters) if (most > granted && matches(filter, topic)) granted = most;
    return qos === 2 && (granted === 2 || granted === 0) ? 2 : 1;
  }

  /** Aedes has published it; what is due is PUBREL. */
  #takeIncoming(fields: Fields, key: string): void {
    const { tally } = this.#plan;
    const [clientId, packetId] = [clientOf(key), packetIdIn(fields)];
    if (clientId === null || packetId === 0) {
      tally.leave('record whose key names no client', quoted(key));
      return;
    }
    this.#session(clientId).inbound.add(packetId);
    tally.take('inbound');
  }

  #takeWill(fields: Fields, key: string): void {
    const { builder, tally } = this.#plan;
    const message = this.#message(fields, key);
    if (message === null) return;
    if (message.publisherId === '') {
      tally.leave('will without a client', quoted(key));
      return;
    }
    builder.will(message.publisherId, { delay: 0, sessionExpiry: 0, message });
    tally.take('will');
  }
}

/** Every key that begins so; `:` is not in the texts that stand before it. */
function below(prefix: string): { gte: string; lt: string } {
  return { gte: prefix, lt: `${prefix.slice(0, -1)};` };
}

/** The client that a key names behind its kind, or null. */
function clientOf(key: string): string | null {
  try {
    return decodeURIComponent(key.split(':')[1] ?? '') || null;
  } catch {
    return null;
  }
}

/** 0 if the packet was not sent. */
function packetIdIn(fields: Fields): number {
  const packetId = fields.get('messageId');
  return typeof packetId === 'number' && packetId > 0 && packetId <= 65535 ? packetId : 0;
}

/** The fields of a value, or null if it is damaged. */
function readable(value: Buffer): Fields | null {
  try {
    const fields = unpack(value);
    return fields instanceof Map ? fields : null;
  } catch (error) {
    if (error instanceof MessagePackError) return null;
    throw error;
  }
}

/** A key, in one line and not too long. */
function quoted(key: string): string {
  return `key ${JSON.stringify(key.slice(0, 80))}`;
}
