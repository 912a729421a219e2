/**
 * Shared subscriptions: MQTT 5.0 4.8.2. A group, which is a ShareName with a topic filter, stands in the tree as one
 * subscriber and hands each message to one of its members.
 */
import type { Publication } from './publication.js';
import { TextMap } from './text-map.js';
import { sharedPartsOf } from './topics.js';
import type { Receiver, Subscriber, Subscription } from './tree.js';
import type { Work } from './work.js';

/**
 * Who gets the next message (`mqtt.shared_strategy`). `round_robin`: one after the other. `least_in_flight`: whoever has
 * the fewest messages unacknowledged or waiting. `sticky`: the same member for each publisher. `topic_hash`: the same
 * member for each topic. The last two move nobody but those of a member that comes or goes.
 */
export type SharedStrategy = 'round_robin' | 'least_in_flight' | 'sticky' | 'topic_hash';

/** A subscriber that can be a member of a group. */
export interface Member extends Subscriber {
  /** Client identifier. */
  readonly id: string;
  /** Whether it takes messages now; if not, they wait for it. */
  readonly online: boolean;
  /** Whether the next message would be sent at once. */
  readonly ready: boolean;
  /** Whether a limit would take a message of this QoS from it. */
  isFull(qos: number): boolean;
  /** Whether what waits for it survives its absence. */
  readonly durable: boolean;
  /** Messages that it has not acknowledged or that wait for it. */
  readonly load: number;
}

/** A member as the receiver of a message. */
interface Membership extends Receiver {
  readonly subscriber: Member;
  /** Spreads topics and publishers over members. */
  readonly hash: number;
}

export class SharedGroup implements Subscriber {
  /** The whole `$share/{ShareName}/{filter}`. */
  readonly key: string;
  /** The topic filter alone. */
  readonly filter: string;
  /** Who gets the next message; a reload may change it. */
  strategy: SharedStrategy;
  readonly #members: Membership[] = [];
  readonly #work: Work;
  #turn = 0;

  constructor(key: string, filter: string, strategy: SharedStrategy, work: Work) {
    this.#work = work;
    this.key = key;
    this.filter = filter;
    this.strategy = strategy;
  }

  get size(): number {
    return this.#members.length;
  }

  /** Whether one of its members is: nobody knows before whose turn it is. */
  get durable(): boolean {
    return this.#members.some(({ subscriber, qos }) => subscriber.durable && qos > 0);
  }

  /** Adds a member, or replaces its subscription. */
  join(subscription: Subscription): void {
    const subscriber = subscription.subscriber as Member;
    const membership: Membership = {
      subscriber,
      qos: subscription.qos,
      noLocal: false,
      own: null,
      retainAsPublished: subscription.retainAsPublished,
      identifiers: subscription.identifier > 0 ? [subscription.identifier] : null,
      share: this.key,
      hash: hashOf(subscriber.id),
    };
    const at = this.#members.findIndex((member) => member.subscriber === subscriber);
    if (at < 0) this.#members.push(membership);
    else this.#members[at] = membership;
  }

  /** Removes a member; returns whether it was one. */
  leave(subscriber: Subscriber): boolean {
    const at = this.#members.findIndex((member) => member.subscriber === subscriber);
    if (at < 0) return false;
    this.#members.splice(at, 1);
    return true;
  }

  /** Hands the message to one member, at the QoS of its own subscription [MQTT-4.8.2-3]. */
  deliver(publication: Publication): void {
    const member = this.#choose(publication);
    member?.subscriber.deliver(publication, member);
  }

  #choose(publication: Publication): Membership | null {
    switch (this.strategy) {
      case 'round_robin':
        return this.#next(publication.qos);
      case 'least_in_flight':
        return this.#leastLoaded(publication.qos);
      case 'sticky':
        return this.#highest(hashOf(publication.publisherId), publication.qos);
      case 'topic_hash':
        return this.#highest(hashOf(publication.topic), publication.qos);
    }
  }

  /** The next of the highest rank. */
  #next(qos: number): Membership | null {
    const members = this.#members;
    let best: Membership | null = null;
    let rank: number = Rank.None;
    let chosen = 0;
    for (let i = 0; i < members.length && rank < Rank.Ready; i++) {
      this.#work.done++;
      const at = (this.#turn + i) % members.length;
      const other = rankOf(members[at], qos);
      if (other <= rank) continue;
      rank = other;
      best = members[at];
      chosen = at;
    }
    this.#turn = chosen + 1;
    return best;
  }

  #leastLoaded(qos: number): Membership | null {
    const members = this.#members;
    let best: Membership | null = null;
    let rank: number = Rank.None;
    this.#turn++;
    this.#work.done += members.length;
    for (let i = 0; i < members.length; i++) {
      const member = members[(this.#turn + i) % members.length];
      const other = Math.min(rankOf(member, qos), Rank.There);
      if (other < rank || other === Rank.None) continue;
      if (best !== null && other === rank && member.subscriber.load >= best.subscriber.load) continue;
      best = member;
      rank = other;
    }
    return best;
  }

  /** Of those that are there, the one whose hash together with `key` is the highest; else of those it can wait for. */
  #highest(key: number, qos: number): Membership | null {
    let best: Membership | null = null;
    let rank: number = Rank.None;
    let highest = -1;
    this.#work.done += this.#members.length;
    for (const member of this.#members) {
      const other = Math.min(rankOf(member, qos), Rank.There);
      if (other < rank || other === Rank.None) continue;
      const weight = mix(key ^ member.hash);
      if (other === rank && weight <= highest) continue;
      best = member;
      rank = other;
      highest = weight;
    }
    return best;
  }
}

/** How well a member suits a message. */
const Rank = {
  /** It cannot get it. */
  None: 0,
  /** A limit would take the message from it. */
  Full: 1,
  /** Absent, but the message can wait for it. */
  Absent: 2,
  /** Connected. */
  There: 3,
  /** The message would be sent at once. */
  Ready: 4,
} as const;

function rankOf({ subscriber, qos }: Membership, published: number): number {
  if (subscriber.online && subscriber.ready) return Rank.Ready;
  const delivered = Math.min(qos, published);
  if (!subscriber.online && (!subscriber.durable || delivered === 0)) return Rank.None;
  if (subscriber.isFull(delivered)) return Rank.Full;
  return subscriber.online ? Rank.There : Rank.Absent;
}

/** FNV-1a over UTF-16 code units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** Spreads the bits of a hash; 0 to 2^32 - 1. */
function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** All groups, by their whole filter. */
export class SharedSubscriptions {
  readonly #groups = new TextMap<SharedGroup>();
  #strategy: SharedStrategy;
  readonly #work: Work;
  /** Members of all groups. */
  members = 0;

  /** @param work counts the members that are looked at */
  constructor(strategy: SharedStrategy, work: Work) {
    this.#strategy = strategy;
    this.#work = work;
  }

  /** Puts another strategy in the place of the one there is, for all groups. */
  replaceStrategy(strategy: SharedStrategy): void {
    this.#strategy = strategy;
    for (const group of this.#groups.values()) group.strategy = strategy;
  }

  /** Number of groups. */
  get size(): number {
    return this.#groups.size;
  }

  get(key: string): SharedGroup | undefined {
    return this.#groups.get(key);
  }

  /** Adds a subscription to its group. Returns the group if it is new. */
  join(subscription: Subscription): SharedGroup | null {
    const known = this.#groups.get(subscription.filter);
    const filter = sharedPartsOf(subscription.filter)[1];
    const group = known ?? new SharedGroup(subscription.filter, filter, this.#strategy, this.#work);
    const before = group.size;
    group.join(subscription);
    this.members += group.size - before;
    if (known !== undefined) return null;
    this.#groups.set(subscription.filter, group);
    return group;
  }

  /** Removes a subscriber from a group. Returns the group, which may be empty now; null if it was no member. */
  leave(key: string, subscriber: Subscriber): SharedGroup | null {
    const group = this.#groups.get(key);
    if (group === undefined || !group.leave(subscriber)) return null;
    this.members--;
    if (group.size === 0) this.#groups.delete(key);
    return group;
  }
}
