/**
 * The router: from a topic to its receivers. A topic is checked, decoded and matched once; the result is a Route, kept
 * in a cache that subscription changes invalidate, and remembered by each connection for its next message.
 */
import { checkTopicName } from '../wire/utf8.js';
import type { Counters } from './counters.js';
import type { Publication } from './publication.js';
import type { Place, RetainedMessages } from './retained.js';
import { type SharedStrategy, SharedSubscriptions } from './shared.js';
import { hasWildcard, isReserved, isShared, levelCount } from './topics.js';
import { type Receiver, type Subscriber, type Subscription, SubscriptionTree } from './tree.js';
import { Work } from './work.js';

/** Routes kept; beyond it the cache starts anew, so that a flood of topics costs memory only once. */
const MAX_ROUTES = 50_000;
/** Bytes of their topics; each of them is kept three times. */
const MAX_ROUTE_BYTES = 16 * 1024 * 1024;
/** Topics that have come once are marked by a hash in a table of so many bits, as a power of two. */
const ONCE_BITS = 20;
/** Marks at which the table is emptied. */
const MOST_ONCE = 100_000;
/** Bytes of the longest topic whose route is kept: V8 hashes strings of more than 16,383 characters by their length alone. */
const MAX_KEPT_TOPIC = 4096;
/** Subscription Identifiers that count as much as a delivery, as a power of two. */
const IDENTIFIED = 4;
/** Bytes whose copy counts as much as a delivery, as a power of two. */
const COPIED = 12;
/** What a message counts for that is to be retained. */
const RETAINING = 4;
const TOPIC_NAME_INVALID = 0x90;
const NOBODY: Receiver[] = [];

/** How somebody who only looks stands in the tree. */
const WATCHING = { qos: 0, noLocal: false, retainAsPublished: true, retainHandling: 2, identifier: 0 } as const;

/** How a group of a shared subscription stands in the tree; its members have their own options. */
const GROUP = { qos: 2, noLocal: false, retainAsPublished: true, retainHandling: 2, identifier: 0 } as const;

/** A topic and whom it reaches. */
export class Route implements Place {
  readonly topic: string;
  /** Made when somebody asks: most of what comes once is passed on in the bytes that it came in. */
  #topicBytes: Buffer | null;
  receivers: Receiver[] = NOBODY;
  /** How many of them only look. */
  watchers = 0;
  /** What the Subscription Identifiers of the receivers count for, which go with each message. */
  identifying = 0;
  /** Generation of the tree that `receivers` was computed for, -1 for never. */
  generation = -1;
  /** Where its retained message was found last. */
  node = 0;
  removals = 0;
  /** Topics that only the broker publishes to: `$SYS/...`. */
  readonly reserved: boolean;
  /** No longer in the cache: whoever remembers it must ask again. */
  evicted = false;

  constructor(topic: string, topicBytes: Buffer | null) {
    this.topic = topic;
    this.reserved = isReserved(topic);
    this.#topicBytes = topicBytes;
  }

  /** How many it reaches that asked for it. */
  get reaches(): number {
    return this.receivers.length - this.watchers;
  }

  /** The topic in UTF-8. */
  get topicBytes(): Buffer {
    this.#topicBytes ??= Buffer.from(this.topic);
    return this.#topicBytes;
  }

  /** Whether the topic is `buffer[start, end)`. */
  is(buffer: Buffer, start: number, end: number): boolean {
    if (this.evicted) return false;
    const bytes = this.topicBytes;
    if (end - start !== bytes.length) return false;
    for (let i = bytes.length - 1; i >= 0; i--) if (bytes[i] !== buffer[start + i]) return false;
    return true;
  }
}

/** What topic names of clients may be. */
export interface TopicLimits {
  /** `mqtt.max_topic_levels`. */
  readonly maxTopicLevels: number;
  /** `mqtt.max_topic_length` in UTF-8 bytes. */
  readonly maxTopicLength: number;
}

export class Router {
  readonly work = new Work();
  readonly tree = new SubscriptionTree(this.work);
  readonly shared: SharedSubscriptions;
  readonly retained: RetainedMessages;
  readonly #counters: Counters;
  #limits: TopicLimits;
  /** By the topic's bytes as a Latin-1 string: one to one, and cheaper than decoding UTF-8. */
  readonly #routes = new Map<string, Route>();
  /** The same routes by topic name, for publishers inside the process. */
  readonly #byName = new Map<string, Route>();
  /** Of the topics of all routes. */
  #routeBytes = 0;
  /** Marks of topics that have come once: where topics vary most never come again, and are not worth a route. */
  readonly #once = new Uint32Array(1 << (ONCE_BITS - 5));
  #marks = 0;
  #generation = 0;
  /** Places in the tree of those who only look. */
  #watching = 0;

  constructor(retained: RetainedMessages, counters: Counters, limits: TopicLimits, strategy: SharedStrategy) {
    this.shared = new SharedSubscriptions(strategy, this.work);
    this.retained = retained;
    this.#counters = counters;
    this.#limits = limits;
  }

  /** Puts other limits of topic names in the place of those there are. */
  replaceLimits(limits: TopicLimits): void {
    const { maxTopicLength, maxTopicLevels } = this.#limits;
    this.#limits = limits;
    // What has a route is not looked at again.
    if (limits.maxTopicLength < maxTopicLength || limits.maxTopicLevels < maxTopicLevels) this.#forgetRoutes();
  }

  /** The route of the topic name in `buffer[start, end)`, or the reason code why it is none. */
  resolve(buffer: Buffer, start: number, end: number): Route | number {
    let latin1: string | null = null;
    if (end - start <= MAX_KEPT_TOPIC) {
      latin1 = buffer.latin1Slice(start, end);
      const known = this.#routes.get(latin1);
      if (known !== undefined) return known;
    }
    if (end - start > this.#limits.maxTopicLength) return TOPIC_NAME_INVALID;
    const reason = checkTopicName(buffer, start, end);
    if (reason !== 0) return reason;
    const topic = latin1 !== null && isAscii(buffer, start, end) ? latin1 : buffer.utf8Slice(start, end);
    if (levelCount(topic) > this.#limits.maxTopicLevels) return TOPIC_NAME_INVALID;
    return this.#remember(topic, buffer, start, end);
  }

  /** The route of a topic name that has been routed before, which says that it is valid. */
  known(topic: string): Route | undefined {
    return this.#byName.get(topic);
  }

  /** The route of a topic name that is known to be valid. */
  routeOf(topic: string): Route {
    const known = this.#byName.get(topic);
    if (known !== undefined) return known;
    const bytes = Buffer.from(topic);
    return this.#routes.get(bytes.latin1Slice()) ?? this.#remember(topic, bytes, 0, bytes.length);
  }

  /** @param topic whose bytes are `buffer[start, end)` */
  #remember(topic: string, buffer: Buffer, start: number, end: number): Route {
    const length = end - start;
    if (length > MAX_KEPT_TOPIC || !this.#hasCome(buffer, start, end)) {
      const route = new Route(topic, null);
      route.evicted = true;
      return route;
    }
    if (this.#routes.size >= MAX_ROUTES || this.#routeBytes + length > MAX_ROUTE_BYTES) this.#forgetRoutes();
    this.#routeBytes += length;
    const route = new Route(topic, Buffer.from(topic));
    this.#routes.set(buffer.latin1Slice(start, end), route);
    this.#byName.set(topic, route);
    return route;
  }

  #forgetRoutes(): void {
    for (const route of this.#routes.values()) route.evicted = true;
    this.#routes.clear();
    this.#byName.clear();
    this.#routeBytes = 0;
  }

  /** Whether a topic has come before, not too long ago; now and then true for one that has not. */
  #hasCome(buffer: Buffer, start: number, end: number): boolean {
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ buffer[i], 0x01000193);
    hash = (hash ^ (hash >>> ONCE_BITS)) & ((1 << ONCE_BITS) - 1);
    const mark = 1 << (hash & 31);
    if ((this.#once[hash >>> 5] & mark) !== 0) return true;
    if (this.#marks === MOST_ONCE) {
      this.#once.fill(0);
      this.#marks = 0;
    }
    this.#once[hash >>> 5] |= mark;
    this.#marks++;
    return false;
  }

  /** Adds or replaces a subscription. */
  subscribe(subscription: Subscription): void {
    if (isShared(subscription.filter)) {
      const group = this.shared.join(subscription);
      if (group !== null) this.#add({ ...GROUP, subscriber: group, filter: group.filter });
    } else {
      this.#add(subscription);
    }
    this.#count();
  }

  #add(subscription: Subscription): void {
    this.tree.add(subscription);
    this.#invalidate(subscription.filter);
  }

  /** Removes a subscription; returns whether there was one. */
  unsubscribe(filter: string, subscriber: Subscriber): boolean {
    let removed: boolean;
    if (isShared(filter)) {
      const group = this.shared.leave(filter, subscriber);
      removed = group !== null;
      if (group?.size === 0) this.#remove(group.filter, group);
    } else {
      removed = this.#remove(filter, subscriber);
    }
    this.#count();
    return removed;
  }

  #remove(filter: string, subscriber: Subscriber): boolean {
    const removed = this.tree.remove(filter, subscriber);
    if (removed) this.#invalidate(filter);
    return removed;
  }

  /** Lets somebody look at what is published on the topics of a filter, which is valid and not shared. */
  watch(filter: string, subscriber: Subscriber): void {
    this.#watching++;
    this.#add({ ...WATCHING, filter, subscriber });
  }

  unwatch(filter: string, subscriber: Subscriber): void {
    if (this.#remove(filter, subscriber)) this.#watching--;
  }

  #count(): void {
    this.#counters.sharedSubscriptions = this.shared.members;
    this.#counters.subscriptions = this.tree.size - this.#watching - this.shared.size + this.shared.members;
  }

  #invalidate(filter: string): void {
    if (hasWildcard(filter)) {
      this.#generation++;
      return;
    }
    const route = this.#routes.get(Buffer.from(filter).latin1Slice());
    if (route !== undefined) route.generation = -1;
  }

  #receiversOf(route: Route): Receiver[] {
    if (route.generation !== this.#generation) {
      route.receivers = this.tree.receivers(route.topic);
      route.identifying = 0;
      for (const { identifiers } of route.receivers) route.identifying += (identifiers?.length ?? 0) >> IDENTIFIED;
      route.watchers = this.#watching === 0 ? 0 : route.receivers.filter(({ subscriber }) => subscriber.watches).length;
      route.generation = this.#generation;
    }
    return route.receivers;
  }

  /** Whether a publication changes what the store keeps: it is retained, or waits for a session that is kept. */
  needsStore(route: Route, qos: number, retain: boolean, publisher: Subscriber | null): boolean {
    if (retain && !route.reserved) return true;
    if (qos === 0) return false;
    const receivers = this.#receiversOf(route);
    this.work.done += receivers.length;
    for (const { subscriber, noLocal, own, qos: granted } of receivers) {
      if (subscriber.durable !== true) continue;
      const most = noLocal && subscriber === publisher ? (own?.qos ?? 0) : granted;
      if (most > 0) return true;
    }
    return false;
  }

  /**
   * Delivers a publication to all its receivers and keeps it if it is retained [MQTT-3.3.1-5]. Synchronous; what has
   * to be durable has joined the open commit group when it returns.
   */
  publish(publication: Publication): void {
    const route = publication.route;
    if (route === null) return;
    if (publication.retain) {
      this.retained.publish(publication);
      this.work.done += RETAINING;
    }
    const receivers = this.#receiversOf(route);
    const bytes = publication.payloadEnd - publication.payloadStart;
    this.work.done += receivers.length * (1 + (bytes >> COPIED)) + route.identifying;
    for (let i = 0; i < receivers.length; i++) {
      const receiver = receivers[i];
      if (!receiver.noLocal || receiver.subscriber !== (publication.publisher as object | null)) {
        receiver.subscriber.deliver(publication, receiver);
      } else if (receiver.own !== null) {
        receiver.subscriber.deliver(publication, receiver.own);
      }
    }
  }
}

function isAscii(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (buffer[i] > 0x7f) return false;
  return true;
}
