/**
 * Retained messages on their way to new subscriptions. They are paced by what the client takes, outside the queue's
 * limits: a subscription to `#` never loses any of them, however many there are.
 */
import type { Message } from '../bus/message.js';
import { Publication } from '../bus/publication.js';
import type { Receiver, Subscription } from '../bus/tree.js';
import type { Connection } from './connection.js';
import type { Session } from './session.js';

interface Pending {
  readonly filter: string;
  readonly receiver: Receiver;
  /** No Local: what the client itself has published is not for it [MQTT-3.8.3-3]. */
  readonly noLocal: boolean;
  /** What is left of the retained messages to look at. */
  readonly messages: Iterator<Message | null, void>;
}

/** Steps in one go; then other connections have their turn. */
const BATCH = 5000;
/** What a message that is sent counts for. */
const SENDING = 10;

export class RetainedDelivery {
  readonly #connection: Connection;
  /** By filter. */
  readonly #pending = new Map<string, Pending>();
  #scheduled = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Adds what a subscription is owed. It is looked for when its turn comes, so that however many subscriptions wait,
   * they cost next to nothing, and a newer message replaces an older one.
   */
  add(subscription: Subscription): void {
    const { filter, subscriber, qos, noLocal, identifier } = subscription;
    const receiver: Receiver = {
      subscriber,
      qos,
      noLocal: false,
      own: null,
      // A message that is sent because of a new subscription has RETAIN 1 [MQTT-3.3.1-8].
      retainAsPublished: true,
      identifiers: identifier > 0 ? [identifier] : null,
      share: '',
    };
    const { retained } = this.#connection.environment.router;
    this.remove(filter);
    // A topic whose first message comes from here on is no news from before the subscription.
    this.#pending.set(filter, { filter, receiver, noLocal, messages: retained.walk(filter, retained.revision) });
  }

  /** The filter has been unsubscribed, or subscribed again: what it was owed is not sent [MQTT-3.10.4-2]. */
  remove(filter: string): void {
    this.#pending.delete(filter);
  }

  /** Takes the next step; returns what it counts for. */
  #step(session: Session, { filter, receiver, noLocal, messages }: Pending): number {
    const { router } = this.#connection.environment;
    const { value, done } = messages.next();
    router.work.done++;
    if (done) this.remove(filter);
    else if (value !== null && !(noLocal && value.publisherId === session.id)) {
      session.deliver(new Publication().of(value, router.routeOf(value.topic)), receiver);
      return SENDING;
    }
    return 1;
  }

  /** The connection is gone and the session is kept: what is still owed waits in its queue [MQTT-3.3.1-9]. */
  handOver(session: Session): void {
    if (this.#connection.environment.sessions.get(session.id) !== session) return;
    for (let steps = 0; this.#pending.size > 0; ) {
      const [pending] = this.#pending.values();
      steps += this.#step(session, pending);
      if (steps < BATCH) continue;
      setImmediate(() => this.handOver(session));
      return;
    }
  }

  /** Sends as many as the client takes now. */
  pump(): void {
    const connection = this.#connection;
    const { session } = connection;
    if (session === null || connection.closed || this.#scheduled) return;
    let steps = 0;
    for (let [pending] = this.#pending.values(); pending !== undefined; [pending] = this.#pending.values()) {
      // What the socket takes at once was never in its way, and no event would tell of it.
      if (connection.congested) connection.flush();
      if (connection.congested || !session.outbound.hasPlace) return;
      if (steps >= BATCH) {
        this.#goOn();
        return;
      }
      steps += this.#step(session, pending);
    }
    if (connection.retainedDelivery === this) connection.retainedDelivery = null;
  }

  #goOn(): void {
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.pump();
    });
  }
}
