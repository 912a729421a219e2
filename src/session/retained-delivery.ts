/**
 * Retained messages on their way to new subscriptions. They are paced by what the client takes, outside the queue's
 * limits: a subscription to `#` loses none of them while its client is there, however many there are. What a kept session is
 * still owed when its client goes is queued, within the limits of its queue.
 */
import { Publication } from '../bus/publication.js';
import type { RetainedWalk } from '../bus/retained-walk.js';
import { TextMap } from '../bus/text-map.js';
import type { Receiver, Subscription } from '../bus/tree.js';
import type { Waiting } from '../store/load.js';
import type { Connection } from './connection.js';
import type { Paced } from './pacer.js';
import type { Session } from './session.js';

interface Pending {
  readonly filter: string;
  readonly receiver: Receiver;
  /** No Local: what the client itself has published is not for it [MQTT-3.8.3-3]. */
  readonly noLocal: boolean;
  /** Revision of the retained messages at which it was subscribed. */
  readonly revision: number;
  /** What is left of the retained messages to look at; null until its turn comes. */
  walk: RetainedWalk | null;
}

/** Steps that a message which is sent counts for. */
const SENDING = 10;

export class RetainedDelivery implements Paced, Waiting {
  readonly #connection: Connection;
  /** By filter. */
  readonly #pending = new TextMap<Pending>();
  readonly #publication = new Publication();
  /** The one that is being sent. */
  #current: Pending | null = null;
  inLine = false;
  /** The session whose queue gets the rest, once the connection is gone. */
  #heir: Session | null = null;

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
    this.remove(filter);
    // A topic whose first message comes from here on is no news from before the subscription.
    const { revision } = this.#connection.environment.router.retained;
    this.#pending.set(filter, { filter, receiver, noLocal, revision, walk: null });
  }

  /** The filter has been unsubscribed, or subscribed again: what it was owed is not sent [MQTT-3.10.4-2]. */
  remove(filter: string): void {
    const pending = this.#pending.get(filter);
    if (pending === undefined) return;
    pending.walk?.close();
    this.#pending.delete(filter);
    if (pending === this.#current) this.#current = null;
  }

  /** The connection is gone and the session is kept: what is still owed waits in its queue [MQTT-3.3.1-9]. */
  handOver(session: Session): void {
    this.#heir = session;
    this.#connection.environment.commit.expected++;
    this.pump();
  }

  /** What is queued has room again. */
  storeChanged(): void {
    this.pump();
  }

  /** The heir gets nothing more. */
  #handedOver(): void {
    if (this.#heir === null) return;
    this.#heir = null;
    this.#connection.environment.commit.expected--;
  }

  /** The connection is gone: what nobody inherits is not sent. */
  stop(): void {
    if (this.#heir === null) this.#forget();
  }

  #forget(): void {
    for (const filter of [...this.#pending.keys()]) this.remove(filter);
    const { pacer, commit } = this.#connection.environment;
    pacer.leave(this);
    commit.load.forget(this);
    this.#handedOver();
  }

  /** Sends as many as the client takes now, and others leave room for. */
  pump(): void {
    const connection = this.#connection;
    const session = this.#heir ?? connection.session;
    if (session === null || (this.#heir === null && connection.closed)) return;
    const { pacer, sessions, commit } = connection.environment;
    if (this.#heir !== null && sessions.get(session.id) !== session) {
      this.#forget();
      return;
    }
    for (let pending = this.#next(); pending !== null; pending = this.#next()) {
      if (this.#heir === null && !this.#hasPlace(session)) return;
      // Nobody publishes these, who would not be read (`store.unwritten_bytes`).
      if (commit.load.crowded && session.durable && pending.receiver.qos > 0) {
        commit.load.wait(this);
        return;
      }
      if (!pacer.mayGoOn) {
        pacer.wait(this);
        return;
      }
      pacer.spend(this.#step(session, pending));
    }
    if (connection.retainedDelivery === this) connection.retainedDelivery = null;
    this.#handedOver();
  }

  /** The one that is being sent, or the first that waits. */
  #next(): Pending | null {
    this.#current ??= this.#pending.first() ?? null;
    return this.#current;
  }

  /** Whether the client takes another message now. If not, it is an event that tells when it does. */
  #hasPlace(session: Session): boolean {
    const connection = this.#connection;
    // What the socket takes at once was never in its way, and no event would tell of it.
    if (connection.congested) connection.flush();
    return !connection.congested && session.outbound.hasPlace;
  }

  /** Looks at the next message; returns what that counts for. */
  #step(session: Session, pending: Pending): number {
    const { router } = this.#connection.environment;
    pending.walk ??= router.retained.walk(pending.filter, pending.revision);
    const publication = this.#publication;
    const found = pending.walk.next(publication);
    router.work.done++;
    if (pending.walk.done) this.remove(pending.filter);
    if (!found || (pending.noLocal && publication.publisherId === session.id)) return 1;
    session.deliver(publication, pending.receiver);
    return SENDING;
  }
}
