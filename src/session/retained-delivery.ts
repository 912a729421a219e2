/**
 * Retained messages on their way to new subscriptions. They are paced by what the client takes, outside the queue's
 * limits: a subscription to `#` never loses any of them, however many there are.
 */
import { Publication } from '../bus/publication.js';
import type { Receiver, Subscription } from '../bus/tree.js';
import type { Connection } from './connection.js';
import type { Session } from './session.js';

interface Pending {
  readonly filter: string;
  readonly receiver: Receiver;
  /** No Local: what the client itself has published is not for it [MQTT-3.8.3-3]. */
  readonly noLocal: boolean;
  readonly topics: string[];
  at: number;
}

/** Messages sent in one go; then other connections have their turn. */
const BATCH = 500;

export class RetainedDelivery {
  readonly #connection: Connection;
  readonly #pending: Pending[] = [];
  #scheduled = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Adds what a subscription is owed. Topics are noted, not messages, so that a newer message replaces an older one. */
  add(subscription: Subscription): void {
    this.remove(subscription.filter);
    const topics = this.#connection.environment.router.retained.topics(subscription.filter);
    if (topics.length === 0) return;
    const receiver: Receiver = {
      subscriber: subscription.subscriber,
      qos: subscription.qos,
      noLocal: false,
      own: null,
      // A message that is sent because of a new subscription has RETAIN 1 [MQTT-3.3.1-8].
      retainAsPublished: true,
      identifiers: subscription.identifier > 0 ? [subscription.identifier] : null,
      share: '',
    };
    this.#pending.push({ filter: subscription.filter, receiver, noLocal: subscription.noLocal, topics, at: 0 });
  }

  /** The filter has been unsubscribed, or subscribed again: what it was owed is not sent [MQTT-3.10.4-2]. */
  remove(filter: string): void {
    const at = this.#pending.findIndex((pending) => pending.filter === filter);
    if (at >= 0) this.#pending.splice(at, 1);
  }

  /** Returns whether the topic still has a message that is for this subscription. */
  #deliver(session: Session, topic: string, { receiver, noLocal }: Pending): boolean {
    const { router } = this.#connection.environment;
    const message = router.retained.get(topic);
    if (message === null || (noLocal && message.publisherId === session.id)) return false;
    session.deliver(new Publication().of(message, router.routeOf(topic)), receiver);
    return true;
  }

  /** The connection is gone and the session is kept: what is still owed waits in its queue [MQTT-3.3.1-9]. */
  handOver(session: Session): void {
    for (const pending of this.#pending.splice(0)) {
      for (const topic of pending.topics.slice(pending.at)) this.#deliver(session, topic, pending);
    }
  }

  /** Sends as many as the client takes now. */
  pump(): void {
    const connection = this.#connection;
    const { session } = connection;
    if (session === null || connection.closed || this.#scheduled) return;
    for (let sent = 0; this.#pending.length > 0; ) {
      // What the socket takes at once was never in its way, and no event would tell of it.
      if (connection.congested) connection.flush();
      if (connection.congested || !session.outbound.hasPlace) return;
      const [pending] = this.#pending;
      if (pending.at === pending.topics.length) {
        this.#pending.shift();
        continue;
      }
      if (!this.#deliver(session, pending.topics[pending.at++], pending)) continue;
      if (++sent === BATCH) {
        this.#scheduled = true;
        setImmediate(() => {
          this.#scheduled = false;
          this.pump();
        });
        return;
      }
    }
    if (connection.retainedDelivery === this) connection.retainedDelivery = null;
  }
}
