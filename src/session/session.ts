/**
 * A session: what outlives a network connection. A durable one (Session Expiry Interval above 0, or Clean Session 0
 * before MQTT 5.0) lives in the store; another ends with its connection.
 */
import { Holding, type MemoryBudget } from '../bus/memory-budget.js';
import type { Publication } from '../bus/publication.js';
import type { Member } from '../bus/shared.js';
import { TextMap } from '../bus/text-map.js';
import { isShared, levelCount } from '../bus/topics.js';
import type { Receiver, Subscription } from '../bus/tree.js';
import type { Group, Participant } from '../store/group.js';
import { sessionKey, subscriptionKey } from '../store/keys.js';
import { encodeSession, encodeSubscription } from '../store/records.js';
import type { Operation, Store } from '../store/store.js';
import type { Connection } from './connection.js';
import type { Environment } from './environment.js';
import type { KeptSubscription } from './kept-subscription.js';
import type { OutboundHost, QueueOptions } from './link.js';
import { Outbound } from './outbound.js';

/** Session Expiry Interval that means never [MQTT 3.1.2.11.2]. */
export const NEVER = 0xffffffff;

/** What a session, a subscription, a level of its filter and an unreleased publication take of the heap, about. */
const SESSION_BYTES = 1500;
const SUBSCRIPTION_BYTES = 300;
const LEVEL_BYTES = 250;
const INBOUND_BYTES = 40;

/** Bytes of the heap that a session takes from its beginning. */
export function heapBytesOf(clientId: string): number {
  return SESSION_BYTES + 2 * clientId.length;
}

export class Session implements Member, Participant, OutboundHost {
  readonly #environment: Environment;
  readonly id: string;
  /** Number of the session in the store; never used twice. */
  readonly number: number;
  readonly subscriptions = new TextMap<Subscription>();
  /** Levels of all their filters: what they cost in the tree. */
  levels = 0;
  readonly outbound: Outbound;
  /** What the session takes of the heap, with its subscriptions and the publications that it has not released. */
  readonly heap: Holding;
  #subscriptionBytes = 0;
  readonly durable: boolean;
  /** Seconds; `NEVER` for no end. */
  expiryInterval: number;
  /** The connection that uses this session now. */
  connection: Connection | null = null;
  /** The subscription of a client inside the process that uses this session now, instead of a connection. */
  keeper: KeptSubscription | null = null;
  /** Milliseconds since the epoch; 0 while connected. */
  disconnectedAt = 0;
  version = 4;
  /** Messages for it that a limit has taken, since the broker started or it began. */
  dropped = 0;
  /** Why its last connection ended, in words; empty if none has since the broker started. */
  leftBecause = '';
  /** Whether it has, or had, a shared subscription, whose other members inherit from it. */
  sharing = false;
  group: Group | null = null;
  #recordChanged = false;
  /** Off the bus: its record is not written any more. */
  #left = false;
  #ended = false;

  constructor(environment: Environment, id: string, number: number, expiryInterval: number) {
    this.#environment = environment;
    this.id = id;
    this.number = number;
    this.expiryInterval = expiryInterval;
    this.durable = expiryInterval > 0;
    this.outbound = new Outbound(this);
    this.heap = new Holding(environment.heap);
    this.weigh();
  }

  get party(): Connection | null {
    return this.connection;
  }

  get online(): boolean {
    return this.connection?.connected === true;
  }

  get ready(): boolean {
    return this.outbound.hasPlace && this.connection?.congested === false;
  }

  isFull(qos: number): boolean {
    return qos === 0 ? this.connection?.congested === true : this.outbound.isFull;
  }

  get load(): number {
    return this.outbound.inFlight + this.outbound.waiting;
  }

  get store(): Store | null {
    return this.durable ? this.#environment.store : null;
  }

  get counters(): Environment['counters'] {
    return this.#environment.counters;
  }

  get options(): QueueOptions {
    return this.#environment.options;
  }

  get budget(): MemoryBudget {
    return this.#environment.budget;
  }

  get leaving(): boolean {
    return this.#left;
  }

  /** A publication that matches a subscription of this session. */
  deliver(publication: Publication, receiver: Receiver): void {
    const qos = Math.min(publication.qos, receiver.qos) as 0 | 1 | 2;
    const retain = receiver.retainAsPublished && publication.retain;
    if (qos > 0) this.outbound.deliver(publication, qos, retain, receiver.identifiers, receiver.share);
    else if (!this.durable || !this.#letWait(publication, receiver, retain)) {
      this.connection?.sendQos0(publication, retain, receiver.identifiers);
    }
  }

  /**
   * A QoS 0 message waits if its client is away, or behind others that wait (`limits.queue_qos0`), unless too much waits for the
   * store. Returns false if it is to be sent now.
   */
  #letWait(publication: Publication, { identifiers, share }: Receiver, retain: boolean): boolean {
    const { options, commit, counters, journal } = this.#environment;
    if (!options.queueQos0 || this.keeper !== null || (this.online && !this.outbound.holdsQos0)) return false;
    if (commit.load.crowded) {
      this.dropped++;
      counters.publishDropped++;
      counters.droppedUnqueued++;
      journal.limit(this.connection, 'store.unwritten_bytes', `a QoS 0 message for ${this.id} was dropped`);
    } else this.outbound.deliver(publication, 0, retain, identifiers, share);
    return true;
  }

  /** Measures what the session takes of the heap; returns whether that is more than it may. */
  weigh(): boolean {
    const { isOver } = this.heap;
    const inbound = INBOUND_BYTES * this.outbound.inbound.size;
    this.heap.set(heapBytesOf(this.id) + this.#subscriptionBytes + inbound);
    return isOver;
  }

  #count(filter: string, sign: 1 | -1): void {
    const levels = levelCount(filter);
    this.levels += sign * levels;
    this.#subscriptionBytes += sign * (SUBSCRIPTION_BYTES + 2 * filter.length + LEVEL_BYTES * levels);
    this.weigh();
  }

  /** Adds or replaces a subscription; returns the one it replaced. */
  subscribe(subscription: Subscription): Subscription | undefined {
    if (!this.sharing && isShared(subscription.filter)) {
      this.sharing = true;
      this.changed();
    }
    const former = this.subscriptions.get(subscription.filter);
    if (former === undefined) this.#count(subscription.filter, 1);
    this.subscriptions.set(subscription.filter, subscription);
    this.#environment.router.subscribe(subscription);
    if (this.durable) {
      const key = subscriptionKey(this.number, subscription.filter);
      this.#environment.commit.add({ type: 'put', key, value: encodeSubscription(subscription) });
    }
    return former;
  }

  /** Puts back a subscription that the store holds. */
  restoreSubscription(subscription: Subscription): void {
    this.#count(subscription.filter, 1);
    this.subscriptions.set(subscription.filter, subscription);
    this.#environment.router.subscribe(subscription);
  }

  /** Removes a subscription; returns whether there was one. */
  unsubscribe(filter: string): boolean {
    if (!this.subscriptions.delete(filter)) return false;
    this.#count(filter, -1);
    this.#environment.router.unsubscribe(filter, this);
    if (this.durable) this.#environment.commit.add({ type: 'del', key: subscriptionKey(this.number, filter) });
    return true;
  }

  /** A connection begins to use this session. Deliveries start with `resume`. */
  attach(connection: Connection): void {
    this.keep(null);
    if (this.connection === null) this.#environment.sessions.connected++;
    this.connection = connection;
    this.version = connection.version;
    this.disconnectedAt = 0;
    this.changed();
  }

  /** The connection is gone. */
  detach(): void {
    if (this.connection !== null) this.#environment.sessions.connected--;
    this.connection = null;
    this.disconnectedAt = this.#environment.clock.now();
    this.outbound.suspend();
    this.changed();
  }

  /** A subscription inside the process begins to use this session; null if none does any more. */
  keep(keeper: KeptSubscription | null): void {
    const former = this.keeper;
    if (former === keeper) return;
    this.keeper = keeper;
    this.disconnectedAt = keeper === null ? this.#environment.clock.now() : 0;
    if (former !== null) this.outbound.suspend();
    this.changed();
    former?.lost();
  }

  /** The session's record has to be written. */
  changed(): void {
    if (!this.durable || this.#ended) return;
    this.#recordChanged = true;
    this.enlist();
  }

  enlist(bytes = 0): void {
    if (!this.#ended) this.#environment.commit.enlist(this, bytes);
  }

  enlistLazily(): void {
    if (!this.#ended) this.#environment.commit.enlistLazily(this);
  }

  onLimit(option: string, messages = 1): void {
    this.dropped += messages;
    const detail = `a message for ${this.id} was dropped`;
    this.#environment.journal.limit(this.connection, option, detail);
    const { tracer } = this.#environment.tracing;
    if (this.connection === null && tracer !== null) {
      const away = { id: this.id, remote: '', username: null, transport: '', version: this.version };
      tracer.tell(away, 'limit', { option, detail });
    }
  }

  now(): number {
    return this.#environment.clock.now();
  }

  write(operations: readonly Operation[]): void {
    for (const operation of operations) this.#environment.commit.add(operation);
  }

  whenSettled(callback: () => void): void {
    this.#environment.commit.whenSettled(callback);
  }

  onDamage(error: unknown, key: Buffer, value: Buffer | undefined): void {
    const { store, journal } = this.#environment;
    if (store.setAside === undefined) journal.storeFailed(error);
    // A store that sets damaged values aside has told of one that is not there any more.
    else if (value !== undefined) {
      const why = error instanceof Error ? error.message : String(error);
      store.setAside([{ key, value, why }]).catch((failure: unknown) => journal.storeFailed(failure));
    }
  }

  onStoreFailure(error: unknown): void {
    this.#environment.journal.storeFailed(error);
  }

  collect(operations: Operation[]): void {
    if (this.#ended || !this.durable) return;
    if (this.#recordChanged && !this.#left) {
      const value = encodeSession({
        number: this.number,
        expiryInterval: this.expiryInterval,
        connected: this.connection !== null || this.keeper !== null,
        disconnectedAt: this.disconnectedAt,
        version: this.version,
        sharing: this.sharing,
      });
      operations.push({ type: 'put', key: sessionKey(this.id), value });
    }
    this.outbound.collect(operations);
  }

  collected(): void {
    if (this.#ended || !this.durable) return;
    if (!this.#left) this.#recordChanged = false;
    this.outbound.collected();
  }

  committed(): void {
    if (this.#ended) return;
    this.outbound.committed();
    this.connection?.retainedDelivery?.pump();
  }

  /** Takes the session off the bus. Its queue and flow state are still written. */
  leaveBus(): void {
    for (const filter of this.subscriptions.keys()) this.#environment.router.unsubscribe(filter, this);
    this.subscriptions.clear();
    this.outbound.suspend();
    this.#left = true;
    this.enlist();
    this.connection = null;
    this.keep(null);
  }

  /** Ends the session: nothing of it remains on the bus. The registry removes what is in the store. */
  end(): void {
    this.leaveBus();
    this.#ended = true;
    this.outbound.dispose();
    this.heap.set(0);
  }
}
