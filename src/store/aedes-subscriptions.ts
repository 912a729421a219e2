/** The subscriptions of durable sessions by client and by topic, in memory. */
import { type Subscriber, SubscriptionTree } from '../bus/tree.js';
import { type AedesSubscription, subscriptionOf } from './aedes-packets.js';

/** A client with subscriptions. It is a key of the tree only: nothing is delivered through this tree. */
class OfflineClient implements Subscriber {
  readonly id: string;
  readonly subscriptions = new Map<string, AedesSubscription>();

  constructor(id: string) {
    this.id = id;
  }

  deliver(): void {}
}

/** A subscription that matches a topic. */
export interface MatchingSubscription extends AedesSubscription {
  readonly clientId: string;
}

export class OfflineSubscriptions {
  readonly #clients = new Map<string, OfflineClient>();
  /** Subscriptions with QoS 1 or 2: those for which messages are queued. */
  #tree = new SubscriptionTree();

  /** Number of subscriptions with QoS 1 or 2. */
  get count(): number {
    return this.#tree.size;
  }

  /** Number of clients with any subscription. */
  get clientCount(): number {
    return this.#clients.size;
  }

  clear(): void {
    this.#clients.clear();
    this.#tree = new SubscriptionTree();
  }

  /** Adds a subscription or replaces the one to the same filter [MQTT-3.8.4-3]. */
  add(clientId: string, subscription: AedesSubscription): void {
    let client = this.#clients.get(clientId);
    if (client === undefined) {
      client = new OfflineClient(clientId);
      this.#clients.set(clientId, client);
    }
    const { topic, qos } = subscription;
    client.subscriptions.set(topic, subscriptionOf(topic, subscription));
    if (qos === 0) {
      this.#tree.remove(topic, client);
      return;
    }
    this.#tree.add({
      subscriber: client,
      filter: topic,
      qos: qos === 2 ? 2 : 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      identifier: 0,
    });
  }

  /** Returns whether there was such a subscription. */
  remove(clientId: string, topic: string): boolean {
    const client = this.#clients.get(clientId);
    if (client === undefined || !client.subscriptions.delete(topic)) return false;
    this.#tree.remove(topic, client);
    if (client.subscriptions.size === 0) this.#clients.delete(clientId);
    return true;
  }

  /** Copies of a client's subscriptions. */
  ofClient(clientId: string): AedesSubscription[] {
    const found: AedesSubscription[] = [];
    const client = this.#clients.get(clientId);
    if (client !== undefined) for (const subscription of client.subscriptions.values()) found.push({ ...subscription });
    return found;
  }

  /** Subscriptions with QoS 1 or 2 that match a topic name, without Subscription Identifiers. */
  matching(topic: string): MatchingSubscription[] {
    return this.#tree.match(topic).map(({ subscriber, filter, qos }) => {
      // Nothing but OfflineClient is put into this tree.
      const client = subscriber as OfflineClient;
      const stored = client.subscriptions.get(filter);
      return { clientId: client.id, topic: filter, qos, rh: stored?.rh, rap: stored?.rap, nl: stored?.nl };
    });
  }

  /** Identifiers of the clients with a subscription to exactly this filter. */
  clientsOf(topic: string): string[] {
    const found: string[] = [];
    for (const client of this.#clients.values()) if (client.subscriptions.has(topic)) found.push(client.id);
    return found;
  }
}
