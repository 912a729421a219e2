/**
 * A client of the broker inside its process: the one door through which plugins, CoAP endpoints and HTTP requests
 * publish and subscribe. It has an identity, and the rules, limits, counters and log lines of any other client.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Message } from '../bus/message.js';
import type { Grant } from '../bus/party.js';
import { Publication } from '../bus/publication.js';
import type { Subscription } from '../bus/tree.js';
import { ReasonCode } from '../wire/reason-codes.js';
import type { AccessControl } from './access-control.js';
import type { Environment } from './environment.js';
import type { MessageHandler } from './handling.js';
import { InProcessPublications } from './in-process-publications.js';
import { InProcessSubscription, subscribeRefusal } from './in-process-subscription.js';
import type { Party } from './journal.js';
import { type Keeper, type KeptSubscription, keepSubscription } from './kept-subscription.js';
import type { PublishOptions, PublishOutcome } from './publish-outcome.js';
import { aclOf, type ClientRights, rightsOf } from './rights.js';
import type { Session } from './session.js';

/** Who an in-process client is. */
export interface ClientIdentity {
  readonly id: string;
  readonly username?: string | null;
  /** `address:port` of whoever stands behind it. */
  readonly remote: string;
  /** `http`, `internal`, or the listener type of CoAP: `coap`, `coaps` and so on. */
  readonly transport: string;
  /**
   * It does what the configuration says, and nothing that anybody else asks for: access control lists are not asked about it.
   * Absent: they are.
   */
  readonly trusted?: boolean;
  /** What whoever opens it knows of the way there, by names that an admin reads; absent for nothing. Asked when an admin asks. */
  readonly details?: () => Readonly<Record<string, unknown>>;
}

/** What a client inside the process has subscribed to. */
export interface Held {
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** The session in which its messages wait while nobody takes them; null if they do not. */
  readonly session: Session | null;
}

/** Steps of a walk through retained messages before others have their turn. */
const STEPS = 500;

export interface SubscriptionHandle {
  readonly filter: string;
  cancel(): void;
}

export class InProcessClient implements Party {
  readonly #environment: Environment;
  readonly id: string;
  username: string | null;
  readonly remote: string;
  readonly transport: string;
  readonly version = 0;
  readonly trusted: boolean;
  readonly details: ClientIdentity['details'];
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Seconds; 0 for none. */
  keepalive = 0;
  readonly #publications: InProcessPublications;
  readonly #subscriptions = new Set<InProcessSubscription>();
  readonly #kept = new Set<KeptSubscription>();
  /** Told of the end; undefined if the client is not on the list of those connected. */
  #onEnd: ((reason: string) => void) | null | undefined = undefined;
  /** What decides on it. */
  readonly access: AccessControl;
  /** What it may do; null until that is asked for. */
  rights: ClientRights | null = null;
  /** What a back-end has said of it; null if none has let it in. */
  grant: Grant | null = null;
  /** It came with a user name and, if there are any to compare with, its password. */
  byPassword = false;
  #closedWith: number | null = null;

  constructor(environment: Environment, identity: ClientIdentity) {
    this.#environment = environment;
    this.id = identity.id;
    this.username = identity.username ?? null;
    this.remote = identity.remote;
    this.transport = identity.transport;
    this.trusted = identity.trusted ?? false;
    this.access = environment.access;
    this.details = identity.details;
    this.since = environment.clock.now();
    this.#publications = new InProcessPublications(environment, this);
  }

  /** What tells it from all other clients inside the process. */
  get key(): string {
    return `${this.transport} ${this.id}`;
  }

  get party(): this {
    return this;
  }

  get closed(): boolean {
    return this.#closedWith !== null;
  }

  /** The MQTT 5.0 reason code that it was closed with; null while it is open. */
  get closedWith(): number | null {
    return this.#closedWith;
  }

  /**
   * Puts the client on the list of those connected; a former one of its transport and identifier is taken over.
   * @param keepalive seconds, for the log and for admins
   * @param onEnd told, once, that the client is closed
   */
  connect(keepalive: number, onEnd: ((reason: string) => void) | null): void {
    const { sessions, counters, journal } = this.#environment;
    const former = sessions.inProcess.get(this.key);
    if (former !== undefined) {
      counters.takeovers++;
      former.close(`another connection took over its client identifier: ${this.remote}`);
    }
    this.#onEnd = onEnd;
    this.keepalive = keepalive;
    sessions.inProcess.set(this.key, this);
    journal.connected(this, false, false, keepalive);
  }

  /**
   * Counts the client among those that are there, until it is closed. It has not connected: it takes over nobody, has no
   * place in `limits.connections`, and its coming and going is not in the log, which anyone could fill.
   */
  appear(): void {
    this.#environment.sessions.strangers.add(this);
  }

  /** Seconds until the client may publish again: its rates are used up. At least 1. */
  get retryAfter(): number {
    return this.#publications.retryAfter;
  }

  /** Whether a hook is asked before its messages are delivered, which may answer later. */
  get isAsked(): boolean {
    return this.#environment.hooks.authorizePublish !== null;
  }

  /**
   * Bytes of the largest payload that is taken and can be retained: the outcome of a larger one is 0x95. One beyond
   * `limits.payload` reaches nobody, one beyond `limits.retained_payload` is delivered. Infinite for any.
   */
  get mostRetained(): number {
    const { router, options } = this.#environment;
    return Math.min(router.retained.mostPayload, options.maxPayload);
  }

  /**
   * Publishes a message.
   * @param payload valid until this returns; the broker copies what it keeps
   * @param outcome told once everything that the message changed is durable, possibly before this returns. Reason codes
   * 0x95 and 0x97 say that the message was delivered, and not retained because of a limit.
   */
  publish(topic: string, payload: Buffer, options: PublishOptions, outcome: PublishOutcome | null): void {
    this.#publications.publish(topic, payload, options, outcome);
  }

  /** Whether the client may be given a message, counted if not. */
  mayReceive(topic: string): boolean {
    const acl = aclOf(this);
    if (acl === null || rightsOf(this, acl).decide('receive', topic).allowed) return true;
    this.#environment.counters.deniedReceive++;
    const { tracing } = this.#environment;
    if (tracing.tracer !== null) tracing.withheld(this, Buffer.from(topic));
    return false;
  }

  /** Whether the client may know of a topic: access control lists let it read there, or publish. No hook is asked; not counted. */
  mayKnow(topic: string): boolean {
    const acl = aclOf(this);
    if (acl === null) return true;
    const rights = rightsOf(this, acl);
    return rights.decide('receive', topic).allowed || rights.decide('publish', topic).allowed;
  }

  /**
   * Asks whether a client may publish on a topic, as for a publication without content, and publishes nothing.
   * @param answer told the MQTT 5.0 reason code, possibly before this returns; a refusal is counted and logged. The topic
   * is another one if a hook has changed it.
   * @param party the client, if it is another one; null for one that nobody knows, which may only where anybody may
   */
  mayPublish(topic: string, answer: (reasonCode: number, topic: string) => void, party: Party | null = this): void {
    this.#publications.ask(topic, answer, party);
  }

  /**
   * Subscribes. Retained messages are not sent; ask `retained` for them.
   * @param ended told that the client was closed, and the subscription with it
   * @returns the subscription, or the MQTT 5.0 reason code why there is none
   */
  subscribe(
    filter: string,
    qos: 0 | 1 | 2,
    handler: MessageHandler,
    ended: (() => void) | null = null,
  ): SubscriptionHandle | number {
    const { router, journal } = this.#environment;
    const refusal = subscribeRefusal(this.#environment, this, filter, this.subscriptions);
    if (refusal !== ReasonCode.Success) return refusal;
    const subscriber = new InProcessSubscription(this, this.#environment, filter, qos, handler, ended);
    const subscription: Subscription = {
      subscriber,
      filter,
      qos,
      noLocal: false,
      retainAsPublished: true,
      retainHandling: 2,
      identifier: 0,
    };
    this.#subscriptions.add(subscriber);
    router.subscribe(subscription);
    journal.subscribed(this, filter, qos);
    return {
      filter,
      cancel: () => {
        if (!this.#subscriptions.delete(subscriber)) return;
        router.unsubscribe(filter, subscriber);
        journal.unsubscribed(this, filter);
      },
    };
  }

  /**
   * Subscribes so that QoS 1 and 2 messages wait in the store while nobody takes them, by a name of its own.
   * @param expiry seconds that they wait
   * @returns the subscription, which begins with its `resume`, or the MQTT 5.0 reason code why there is none
   */
  keepSubscription(id: string, filter: string, expiry: number, keeper: Keeper): KeptSubscription | number {
    const refusal = subscribeRefusal(this.#environment, this, filter, this.subscriptions);
    if (refusal !== ReasonCode.Success) return refusal;
    const kept = keepSubscription(this.#environment, this, id, filter, expiry, {
      take: (message) => keeper.take(message),
      lost: () => {
        if (typeof kept === 'object') this.#kept.delete(kept);
        keeper.lost();
      },
    });
    if (typeof kept === 'object') this.#kept.add(kept);
    return kept;
  }

  /** Whether a topic has a retained message: for whoever may read it, or replace it, which goes for one that is withheld, too. */
  hasRetained(topic: string): boolean {
    const { router } = this.#environment;
    const acl = aclOf(this);
    const route = router.known(topic) ?? null;
    const bytes = route?.topicBytes ?? Buffer.from(topic);
    if (acl === null) return router.retained.holds(bytes, route);
    const rights = rightsOf(this, acl);
    if (rights.decide('publish', topic).allowed) return router.retained.holds(bytes, route);
    return rights.decide('receive', topic).allowed && router.retained.has(bytes, route);
  }

  /** The retained message of a topic, if there is one and the client may receive it. */
  retained(topic: string): Message | null {
    return this.mayReceive(topic) ? this.#environment.router.retained.get(topic) : null;
  }

  /**
   * Hands over retained messages that match a filter, as long as `take` wants more. Others have their turn in between:
   * messages may come and go meanwhile.
   */
  async retainedMessages(filter: string, take: (message: Message) => boolean): Promise<void> {
    const publication = new Publication();
    const walk = this.#environment.router.retained.walk(filter);
    for (let steps = 1; !walk.done; steps++) {
      const found = walk.next(publication) && this.mayReceive(publication.topic);
      if (found && !take(publication.message())) walk.close();
      else if (steps % STEPS === 0) await turn();
    }
  }

  /** Milliseconds since the epoch, by the clock that messages expire by. */
  now(): number {
    return this.#environment.clock.now();
  }

  /** What it has subscribed to. */
  *held(): Iterable<Held> {
    for (const { filter, qos, since } of this.#subscriptions) yield { filter, qos, since, session: null };
    for (const kept of this.#kept) if (kept.filter !== '') yield kept;
  }

  /** The topic of its last publication; null if there was none. */
  get lastTopic(): string | null {
    return this.#publications.lastTopic;
  }

  /** Number of subscriptions. */
  get subscriptions(): number {
    return this.#subscriptions.size + this.#kept.size;
  }

  /**
   * Ends all subscriptions, and the connection if there is one.
   * @param reason in words, for the log
   * @param reasonCode whether it may come back, for whoever tells it
   */
  close(reason = 'closed', reasonCode: number = ReasonCode.NotAuthorized): void {
    if (this.closed) return;
    this.#closedWith = reasonCode;
    const { router, sessions, journal } = this.#environment;
    const subscriptions = [...this.#subscriptions];
    this.#subscriptions.clear();
    sessions.strangers.delete(this);
    for (const subscriber of subscriptions) router.unsubscribe(subscriber.filter, subscriber);
    if (this.#onEnd !== undefined) {
      if (sessions.inProcess.get(this.key) === this) sessions.inProcess.delete(this.key);
      journal.disconnected(this, reason);
      this.#onEnd?.(reason);
    }
    for (const subscriber of subscriptions) subscriber.ended?.();
    for (const kept of [...this.#kept]) kept.suspend();
  }
}
