/**
 * The persistence contract of Aedes (aedes-persistence 11, asynchronous flavour) on the store and its group commit.
 *
 * Invariants: a method that changes something resolves once the change is durable, and what it changed is visible to
 * the next call at once; the in-memory indexes say what is in the store, packets themselves stay there. Whoever gave
 * the store and the commit opens and closes them.
 */
import { Readable } from 'node:stream';
import { Counters } from '../bus/counters.js';
import { NO_PROPERTIES } from '../bus/message.js';
import { RetainedMessages } from '../bus/retained.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import {
  type AedesBroker,
  type AedesClient,
  type AedesPacket,
  type AedesSubscription,
  decodeAedesSubscription,
  decodePacket,
  encodeAedesSubscription,
  encodePacket,
  noSuchPacket,
  queuedPacket,
} from './aedes-packets.js';
import { AedesQueues } from './aedes-queues.js';
import { type MatchingSubscription, OfflineSubscriptions } from './aedes-subscriptions.js';
import type { GroupCommit } from './commit.js';
import { AedesKind, aedesKey, aedesParts, aedesRange, numberOfPart, numberPart } from './keys.js';
import { PendingWrites } from './pending-writes.js';
import { strictReader } from './record-reader.js';
import type { Store } from './store.js';

export class AedesPersistence {
  readonly #store: Store;
  readonly #writes: PendingWrites;
  #broker: AedesBroker | null = null;
  #destroyed = false;
  /** Which topics have a retained packet; the messages in it are empty. */
  #retained = newTopics();
  readonly #subscriptions = new OfflineSubscriptions();
  readonly #queues: AedesQueues;
  readonly #incoming = new Map<string, Set<number>>();
  /** Encoded wills, whole, so that deleting and putting take effect in the order of the calls. */
  readonly #wills = new Map<string, Buffer>();

  constructor(store: Store, commit: GroupCommit) {
    this.#store = store;
    this.#writes = new PendingWrites(store, commit);
    this.#queues = new AedesQueues(store, this.#writes);
  }

  /** The broker that `setup` was given. */
  get broker(): AedesBroker {
    if (this.#broker === null) throw new PorticoError(ErrorKinds.Closed, 'the persistence has not been set up');
    return this.#broker;
  }

  /**
   * Rebuilds the indexes from the store and moves the broker's counter above all counters in it. The store is open.
   * A record that does not decode is set aside.
   * @throws PorticoError `PORTICO_STORE_VALUE` if there is one in a store that sets nothing aside
   */
  async setup(broker: AedesBroker): Promise<void> {
    this.#broker = broker;
    await this.#writes.settled();
    await this.#loadRetained();
    await this.#loadSubscriptions();
    await this.#queues.load(broker);
    this.#incoming.clear();
    for await (const key of this.#store.keys(aedesRange(AedesKind.Incoming))) {
      const [clientId, messageId] = aedesParts(key);
      this.#incomingOf(clientId).add(numberOfPart(messageId));
    }
    this.#wills.clear();
    for await (const [key, value] of this.#store.entries(aedesRange(AedesKind.Will))) {
      this.#wills.set(aedesParts(key)[0], value);
    }
    await this.durable();
  }

  async #loadRetained(): Promise<void> {
    this.#retained = newTopics();
    for await (const key of this.#store.keys(aedesRange(AedesKind.Retained))) this.#rememberTopic(aedesParts(key)[0]);
  }

  async #loadSubscriptions(): Promise<void> {
    this.#subscriptions.clear();
    const reader = strictReader(this.#store);
    for await (const [key, value] of this.#store.entries(aedesRange(AedesKind.Subscription))) {
      const [clientId, topic] = aedesParts(key);
      const subscription = reader.read(key, value, (stored) => decodeAedesSubscription(topic, stored));
      if (subscription !== null) this.#subscriptions.add(clientId, subscription);
    }
    await reader.finish();
  }

  /** Writes a record with the next group. */
  protected put(key: Buffer, value: Buffer): void {
    this.#writes.put(key, value);
  }

  /** Deletes a record with the next group. */
  protected delete(key: Buffer): void {
    this.#writes.delete(key);
  }

  /** Resolves once every change made until now is durable. */
  protected async durable(): Promise<void> {
    await this.#writes.settled();
  }

  /** @throws PorticoError `PORTICO_CLOSED` before `setup` and after `destroy` */
  protected assertOpen(): void {
    if (this.#destroyed) throw new PorticoError(ErrorKinds.Closed, 'the persistence has been destroyed');
    if (this.#broker === null) throw new PorticoError(ErrorKinds.Closed, 'the persistence has not been set up');
  }

  /** Keeps the packet as the retained one of its topic; an empty payload clears [MQTT-3.3.1-6]. */
  async storeRetained(packet: AedesPacket): Promise<void> {
    this.assertOpen();
    const topic = packet.topic ?? '';
    const key = aedesKey(AedesKind.Retained, topic);
    if (packet.payload === undefined || packet.payload.length === 0) {
      if (this.#retained.delete(topic)) this.delete(key);
    } else {
      this.put(key, encodePacket(packet));
      this.#rememberTopic(topic);
    }
    await this.durable();
  }

  /** Retained packets that match a filter. */
  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern]);
  }

  /** Retained packets that match each of the filters, filter by filter [MQTT-3.8.4-5]. */
  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    this.assertOpen();
    const topics = patterns.flatMap((pattern) => this.#retained.topics(pattern));
    return Readable.from(this.#packets(topics.map((topic) => aedesKey(AedesKind.Retained, topic))));
  }

  async *#packets(keys: readonly Buffer[]): AsyncGenerator<AedesPacket> {
    for (const key of keys) {
      const value = await this.#writes.get(key);
      if (value !== undefined) yield decodePacket(value);
    }
  }

  #rememberTopic(topic: string): void {
    this.#retained.restore({
      topic,
      payload: NO_PROPERTIES,
      qos: 0,
      retain: true,
      properties: NO_PROPERTIES,
      expiresAt: 0,
      publisherId: '',
      receivedAt: 0,
    });
  }

  /** Adds or replaces [MQTT-3.8.4-3] subscriptions of a durable session. */
  async addSubscriptions(client: AedesClient, subscriptions: readonly AedesSubscription[]): Promise<void> {
    this.assertOpen();
    for (const subscription of subscriptions) {
      this.put(aedesKey(AedesKind.Subscription, client.id, subscription.topic), encodeAedesSubscription(subscription));
      this.#subscriptions.add(client.id, subscription);
    }
    await this.durable();
  }

  /** Removes a client's subscriptions to these filters; it need not have them. */
  async removeSubscriptions(client: AedesClient, topics: readonly string[]): Promise<void> {
    this.assertOpen();
    for (const topic of topics) {
      if (this.#subscriptions.remove(client.id, topic)) this.delete(aedesKey(AedesKind.Subscription, client.id, topic));
    }
    await this.durable();
  }

  /** A client's subscriptions, those with QoS 0 too; they are durable when this resolves. */
  async subscriptionsByClient(client: AedesClient): Promise<AedesSubscription[]> {
    this.assertOpen();
    const found = this.#subscriptions.ofClient(client.id);
    await this.durable();
    return found;
  }

  /** Number of subscriptions with QoS 1 or 2, and of clients with any subscription. */
  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    this.assertOpen();
    return { subsCount: this.#subscriptions.count, clientsCount: this.#subscriptions.clientCount };
  }

  /** The subscriptions with QoS 1 or 2 that match a topic name, without Subscription Identifiers. */
  async subscriptionsByTopic(topic: string): Promise<MatchingSubscription[]> {
    this.assertOpen();
    return this.#subscriptions.matching(topic);
  }

  /** Removes all subscriptions of a client. */
  async cleanSubscriptions(client: AedesClient): Promise<void> {
    this.assertOpen();
    await this.removeSubscriptions(
      client,
      this.#subscriptions.ofClient(client.id).map(({ topic }) => topic),
    );
  }

  /** Appends a packet to a client's queue. */
  async outgoingEnqueue(subscription: { readonly clientId: string }, packet: AedesPacket): Promise<void> {
    await this.outgoingEnqueueCombi([subscription], packet);
  }

  /** Appends a packet to the queues of all these clients; one copy for each, however many filters matched. */
  async outgoingEnqueueCombi(
    subscriptions: readonly { readonly clientId: string }[],
    packet: AedesPacket,
  ): Promise<void> {
    this.assertOpen();
    if (subscriptions.length === 0) return;
    this.#queues.append(new Set(subscriptions.map(({ clientId }) => clientId)), packet);
    await this.durable();
  }

  /**
   * Notes the Packet Identifier under which a queued packet is sent, or puts PUBREL in the place of the PUBLISH with
   * its Packet Identifier [MQTT-4.3.3-4].
   * @throws PorticoError `PORTICO_NO_SUCH_PACKET`
   */
  async outgoingUpdate(client: AedesClient, packet: AedesPacket): Promise<void> {
    this.assertOpen();
    this.#queues.update(client.id, packet);
    await this.durable();
  }

  /**
   * Removes the packet that an acknowledgement is for, or the very packet if it is one of the queue.
   * @returns the packet that was queued, undefined if there is none
   */
  async outgoingClearMessageId(client: AedesClient, packet: AedesPacket): Promise<AedesPacket | undefined> {
    this.assertOpen();
    const cleared = await this.#queues.clear(client.id, packet);
    await this.durable();
    return cleared;
  }

  /** What waits for a client, in order, as of the call; what is acknowledged meanwhile is left out. */
  outgoingStream(client: AedesClient): Readable {
    this.assertOpen();
    return Readable.from(this.#queues.waiting(client.id));
  }

  /** Keeps a QoS 2 publication until its PUBREL. */
  async incomingStorePacket(client: AedesClient, packet: AedesPacket): Promise<void> {
    this.assertOpen();
    const { messageId = 0 } = packet;
    this.put(incomingKey(client.id, messageId), encodePacket({ ...queuedPacket(packet), messageId }));
    this.#incomingOf(client.id).add(messageId);
    await this.durable();
  }

  #incomingOf(clientId: string): Set<number> {
    let messageIds = this.#incoming.get(clientId);
    if (messageIds === undefined) {
      messageIds = new Set();
      this.#incoming.set(clientId, messageIds);
    }
    return messageIds;
  }

  /**
   * The QoS 2 publication with this Packet Identifier; it is durable when this resolves, so it may be acknowledged.
   * @throws PorticoError `PORTICO_NO_SUCH_PACKET`
   */
  async incomingGetPacket(client: AedesClient, packet: AedesPacket): Promise<AedesPacket> {
    this.assertOpen();
    const { messageId } = packet;
    if (messageId === undefined || !this.#incoming.get(client.id)?.has(messageId)) throw noSuchPacket();
    const value = await this.#writes.get(incomingKey(client.id, messageId));
    if (value === undefined) throw noSuchPacket();
    await this.durable();
    return decodePacket(value);
  }

  /** @throws PorticoError `PORTICO_NO_SUCH_PACKET` */
  async incomingDelPacket(client: AedesClient, packet: AedesPacket): Promise<void> {
    this.assertOpen();
    const messageIds = this.#incoming.get(client.id);
    const { messageId } = packet;
    if (messageId === undefined || messageIds === undefined || !messageIds.delete(messageId)) throw noSuchPacket();
    if (messageIds.size === 0) this.#incoming.delete(client.id);
    this.delete(incomingKey(client.id, messageId));
    await this.durable();
  }

  /** Forgets all QoS 2 publications of a client whose session ends [MQTT-3.1.2-4]. */
  async cleanIncoming(client: AedesClient): Promise<void> {
    this.assertOpen();
    for (const messageId of this.#incoming.get(client.id) ?? []) this.delete(incomingKey(client.id, messageId));
    this.#incoming.delete(client.id);
    await this.durable();
  }

  /** Keeps a client's will. By contract `packet` itself gets the broker's and the client's identifier. */
  async putWill(client: AedesClient, packet: AedesPacket): Promise<void> {
    this.assertOpen();
    packet.brokerId = this.broker.id;
    packet.clientId = client.id;
    const value = encodePacket(packet);
    this.#wills.set(client.id, value);
    this.put(aedesKey(AedesKind.Will, client.id), value);
    await this.durable();
  }

  async getWill(client: AedesClient): Promise<AedesPacket | undefined> {
    this.assertOpen();
    const value = this.#wills.get(client.id);
    return value === undefined ? undefined : decodePacket(value);
  }

  /** Removes a client's will and returns it. */
  async delWill(client: AedesClient): Promise<AedesPacket | undefined> {
    this.assertOpen();
    const value = this.#wills.get(client.id);
    if (value === undefined) return undefined;
    this.#wills.delete(client.id);
    this.delete(aedesKey(AedesKind.Will, client.id));
    await this.durable();
    return decodePacket(value);
  }

  /** Wills of brokers that are not among these, which are alive. */
  streamWill(brokers: Readonly<Record<string, unknown>> = {}): Readable {
    this.assertOpen();
    const orphaned = [...this.#wills.values()].map(decodePacket).filter(({ brokerId = '' }) => {
      return !(Object.hasOwn(brokers, brokerId) && brokers[brokerId]);
    });
    return Readable.from(orphaned);
  }

  /** Identifiers of the clients that have a subscription to exactly this filter. */
  getClientList(topic: string): Readable {
    this.assertOpen();
    return Readable.from(this.#subscriptions.clientsOf(topic));
  }

  /**
   * Ends the use of this object once all changes are durable; the store stays open.
   * @throws PorticoError `PORTICO_CLOSED` the second time
   */
  async destroy(): Promise<void> {
    if (this.#destroyed) throw new PorticoError(ErrorKinds.Closed, 'the persistence has been destroyed');
    this.#destroyed = true;
    await this.durable();
  }
}

function newTopics(): RetainedMessages {
  return new RetainedMessages({ messages: Infinity, bytes: Infinity }, new Counters(), Date.now);
}

function incomingKey(clientId: string, messageId: number): Buffer {
  return aedesKey(AedesKind.Incoming, clientId, numberPart(messageId));
}
