/**
 * Retained messages: the last message of each topic that was published with RETAIN [MQTT-3.3.1-5]. They stand outside the
 * JavaScript heap: a tree by level, so that a subscription finds its own without looking at the others, and a record for
 * each.
 */
import type { Counters } from './counters.js';
import type { MemoryBudget } from './memory-budget.js';
import type { Message } from './message.js';
import { Publication } from './publication.js';
import { RetainedExpiries } from './retained-expiries.js';
import { type RetainedContent, RetainedRecords } from './retained-records.js';
import { RetainedVouching } from './retained-vouching.js';
import { OneTopic, type RetainedWalk } from './retained-walk.js';
import { TopicTree } from './topic-tree.js';
import { TopicWalk } from './topic-walk.js';
import { hasWildcard, isReserved } from './topics.js';

/** Learns what changed, to make it durable. */
export interface RetainedJournal {
  /** The retained message of `topic` is another one, or gone; `bytes` are those of its payload and properties. */
  retainedChanged(topic: string, bytes: number): void;
  /** Whether it can take no change of this topic now. */
  isFull(topic: string): boolean;
  /** A topic that has no retained message was cleared. Whatever took its message may not be durable yet. */
  retainedAbsent(topic: string): void;
}

export interface RetainedLimits {
  /** Most retained messages (`limits.retained_messages`). */
  readonly messages: number;
  /** Most payload and topic bytes of retained messages (`limits.retained_bytes`). */
  readonly bytes: number;
  /** Bytes of the largest payload (`limits.retained_payload`); any if it is left out. */
  readonly payload?: number;
  /** What else may be in memory together with them (`limits.memory`). */
  readonly budget?: MemoryBudget;
}

/** Where the message of a topic was found last: a route remembers it, so that the tree is walked once. */
export interface Place {
  /** Node of the tree, 0 for none. It stands for another topic if nodes have gone since. */
  node: number;
  /** How many had gone by then. */
  removals: number;
}

/** Counts what a limit keeps out. */
const REFUSED_BY = {
  'limits.retained_messages': 'droppedRetainedMessages',
  'limits.retained_bytes': 'droppedRetainedBytes',
  'limits.retained_payload': 'droppedRetainedPayload',
  'limits.memory': 'droppedRetainedMemory',
} as const satisfies Record<string, keyof Counters>;
/** Nodes of the tree that a message may have on average where `limits.retained_messages` is reached. */
const NODES_PER_MESSAGE = 4;
/** Nodes that there may be in any case. */
const LEAST_NODES = 65_536;
/** Messages that have been asked for by name and are kept as they were given out. */
const MOST_RECENT = 256;

export class RetainedMessages {
  readonly #topics = new TopicTree();
  readonly #records = new RetainedRecords();
  /** Whether those who have published may still do so. */
  readonly sources: RetainedVouching;
  #limits: RetainedLimits;
  readonly #counters: Counters;
  readonly #now: () => number;
  readonly #expiries: RetainedExpiries;
  /** What is the broker's own: it has no part in the limits. */
  #ownCount = 0;
  #ownBytes = 0;
  /** Bytes that the budget knows of. */
  #accounted = 0;
  /** What `get` has given out, as long as it is kept: who asks again gets the same message. */
  readonly #recent = new Map<string, Message>();
  /** Where changes are made durable. */
  journal: RetainedJournal | null = null;
  /** Told when a message is not kept; the argument is the option that says so. */
  onLimit: ((option: string, topic: string) => void) | null = null;
  /** Number of retained messages. */
  count = 0;
  /** Grows with each topic that gets a message. */
  revision = 0;
  /** Their topic, payload and property bytes. */
  bytes = 0;

  /** @param now milliseconds since the epoch */
  constructor(limits: RetainedLimits, counters: Counters, now: () => number) {
    this.#now = now;
    this.#limits = limits;
    this.#counters = counters;
    this.#expiries = new RetainedExpiries(this.#topics, this.#records);
    this.sources = new RetainedVouching(this.#topics, this.#records, counters);
  }

  /** Puts other limits in the place of those there are; what is kept already stays. */
  replaceLimits(limits: RetainedLimits): void {
    this.#limits = { ...limits, ...(this.#limits.budget === undefined ? {} : { budget: this.#limits.budget }) };
  }

  /** Bytes of the largest payload that is kept (`limits.retained_payload`); infinite for any. */
  get mostPayload(): number {
    return this.#limits.payload ?? Number.POSITIVE_INFINITY;
  }

  /** Bytes of memory that they take, all told. */
  get memory(): number {
    return this.#topics.memory + this.#records.memory;
  }

  /** Takes a publication whose RETAIN is 1: an empty payload clears [MQTT-3.3.1-6], any other replaces. */
  publish(publication: Publication): void {
    // Only what nobody acknowledges comes when there is no room.
    if (publication.qos === 0 && this.journal?.isFull(publication.topic)) {
      this.#counters.droppedUnwritten++;
      this.onLimit?.('store.unwritten_bytes', publication.topic);
      return;
    }
    if (publication.payloadEnd === publication.payloadStart) this.delete(publication.topic);
    else this.#replace(publication.topic, publication.topicBytes, publication, publication.route);
  }

  /** Keeps a message as its topic's retained one. Returns false if a limit forbids it. */
  set(message: Message): boolean {
    return this.#replace(message.topic, Buffer.from(message.topic), contentOf(message));
  }

  #replace(name: string, topic: Buffer, content: RetainedContent, place: Place | null = null): boolean {
    const node = this.#isKnown(place) ? place.node : this.#topics.grow(topic);
    if (place !== null) this.#remember(place, node);
    const former = this.#topics.value(node);
    const size = sizeOf(content);
    const bytes = this.bytes + topic.length + size - this.#sizeAt(topic, former);
    const option = this.#limitReached(name, content, former === 0, bytes);
    if (option !== null) {
      if (option !== 'limits.retained_payload' && this.dropExpired(this.#now()) > 0) {
        return this.#replace(name, topic, content, place);
      }
      this.#topics.prune(node);
      this.#counters[REFUSED_BY[option]]++;
      this.onLimit?.(option, name);
      return false;
    }
    this.#keep(node, name, content, former, bytes);
    this.journal?.retainedChanged(name, size);
    return true;
  }

  #isKnown(place: Place | null): place is Place {
    return place !== null && place.node !== 0 && place.removals === this.#topics.removals;
  }

  #remember(place: Place, node: number): void {
    place.node = node;
    place.removals = this.#topics.removals;
  }

  /** The node of a topic, 0 for none. */
  #find(topic: Buffer, place: Place | null): number {
    if (this.#isKnown(place)) return place.node;
    const node = this.#topics.find(topic);
    if (place !== null) this.#remember(place, node);
    return node;
  }

  /** @param bytes what all would have with this message */
  #limitReached(
    topic: string,
    { payloadStart, payloadEnd }: RetainedContent,
    isNew: boolean,
    bytes: number,
  ): keyof typeof REFUSED_BY | null {
    if (isReserved(topic)) return null;
    const { messages, bytes: mostBytes, payload = Number.POSITIVE_INFINITY, budget } = this.#limits;
    if (payloadEnd - payloadStart > payload) return 'limits.retained_payload';
    const tooDeep = this.#topics.size > Math.max(LEAST_NODES, NODES_PER_MESSAGE * messages);
    if (isNew && (this.count - this.#ownCount >= messages || tooDeep)) return 'limits.retained_messages';
    if (bytes - this.#ownBytes > mostBytes) return 'limits.retained_bytes';
    return bytes > this.bytes && budget?.hasRoom(bytes - this.bytes) === false ? 'limits.memory' : null;
  }

  /** Tells the budget what is held now. */
  #account(): void {
    const { budget } = this.#limits;
    if (budget === undefined) return;
    const { memory } = this;
    budget.used += memory - this.#accounted;
    this.#accounted = memory;
  }

  /** Puts back a message that the store holds, at start-up. */
  restore(message: Message): void {
    const topic = Buffer.from(message.topic);
    const node = this.#topics.grow(topic);
    const former = this.#topics.value(node);
    const content = contentOf(message);
    const bytes = this.bytes + topic.length + sizeOf(content) - this.#sizeAt(topic, former);
    this.#keep(node, message.topic, content, former, bytes);
  }

  #keep(node: number, topic: string, content: RetainedContent, former: number, bytes: number): void {
    let since = 0;
    let due = 0;
    if (former === 0) {
      this.count++;
      since = ++this.revision;
    } else {
      since = this.#records.since(former);
      due = this.#records.due(former);
      if (this.#recent.size > 0) this.#recent.delete(topic);
    }
    if (isReserved(topic)) {
      if (former === 0) this.#ownCount++;
      this.#ownBytes += bytes - this.bytes;
    }
    this.bytes = bytes;
    const record = this.#records.put(content, since, due, former);
    this.#topics.setValue(node, record);
    if (content.expiresAt !== 0) this.#expiries.add(node, record, content.expiresAt, this.count);
    this.#account();
  }

  /** Topic, payload and property bytes of what a topic has. */
  #sizeAt(topic: Buffer, record: number): number {
    return record === 0 ? 0 : topic.length + this.#records.contentSize(record);
  }

  /**
   * Forgets messages whose time is over [MQTT-3.3.2-5], a bounded number at a time; returns their number. Call about once
   * a second.
   */
  dropExpired(now: number): number {
    let dropped = 0;
    for (const node of this.#expiries.expired(now)) {
      this.delete(this.#topics.topic(node));
      dropped++;
    }
    this.#counters.retainedExpired += dropped;
    return dropped;
  }

  /** Entries of the list of expiries. */
  get expiries(): number {
    return this.#expiries.size;
  }

  /** Forgets a topic's retained message; returns whether there was one. */
  delete(topic: string): boolean {
    const bytes = Buffer.from(topic);
    const node = this.#topics.find(bytes);
    const record = this.#topics.value(node);
    if (record === 0) {
      this.journal?.retainedAbsent(topic);
      return false;
    }
    this.#recent.delete(topic);
    const size = this.#sizeAt(bytes, record);
    this.count--;
    this.bytes -= size;
    if (isReserved(topic)) {
      this.#ownCount--;
      this.#ownBytes -= size;
    }
    this.#records.free(record);
    this.#topics.setValue(node, 0);
    this.#topics.prune(node);
    this.#account();
    this.journal?.retainedChanged(topic, 0);
    return true;
  }

  /** Whether a topic has a retained message that has not expired, and that may be given to clients. */
  has(topic: Buffer, place: Place | null = null): boolean {
    const node = this.#find(topic, place);
    return this.#isGiven(this.#topics.value(node), Number.POSITIVE_INFINITY) && this.sources.vouchFor(node);
  }

  /** Whether a topic has a retained message that has not expired, given to clients or not. */
  holds(topic: Buffer, place: Place | null = null): boolean {
    return this.#isGiven(this.#topics.value(this.#find(topic, place)), Number.POSITIVE_INFINITY);
  }

  /** The message of a topic as it is kept, expired or not, for the store. */
  kept(topic: string, place: Place | null = null): Message | null {
    const node = this.#isKnown(place) ? place.node : this.#topics.find(Buffer.from(topic));
    const record = this.#topics.value(node);
    return record === 0 ? null : this.#records.message(record, topic);
  }

  /** The retained message of a topic, if it has one that has not expired, and that may be given to clients. */
  get(topic: string): Message | null {
    if (this.sources.guarded && !this.sources.vouchFor(this.#topics.find(Buffer.from(topic)))) return null;
    let message = this.#recent.get(topic);
    if (message === undefined) {
      const found = this.kept(topic);
      if (found === null) return null;
      message = found;
      if (this.#recent.size >= MOST_RECENT) this.#recent.clear();
      this.#recent.set(topic, message);
    }
    return message.expiresAt === 0 || message.expiresAt > this.#now() ? message : null;
  }

  /** Hands all messages to the journal again. */
  writeAnew(): void {
    for (let node = 1; node < this.#topics.end; node++) {
      const record = this.#topics.value(node);
      if (record === 0) continue;
      this.journal?.retainedChanged(this.#topics.topic(node), this.#records.contentSize(record));
    }
  }

  /** Topics with a retained message that match a filter, with the `$` rule [MQTT-4.7.2-1]. */
  topics(filter: string): string[] {
    return this.match(filter).map((message) => message.topic);
  }

  /** Retained messages that match a filter, with the `$` rule [MQTT-4.7.2-1], whether they may be given to clients or not. */
  match(filter: string): Message[] {
    const found: Message[] = [];
    const publication = new Publication();
    for (const walk = this.#walk(filter, Number.POSITIVE_INFINITY, false); !walk.done; )
      if (walk.next(publication)) found.push(publication.message());
    return found;
  }

  /**
   * Retained messages that match a filter and may be given to clients, one after the other, so that the walk can be
   * interrupted: messages may come and go meanwhile.
   * @param until topics that had no message at this revision are left out
   */
  walk(filter: string, until: number = Number.POSITIVE_INFINITY): RetainedWalk {
    return this.#walk(filter, until, true);
  }

  /** @param guarded whether those that may not be given to clients are left out */
  #walk(filter: string, until: number, guarded: boolean): RetainedWalk {
    if (!hasWildcard(filter)) {
      const topic = Buffer.from(filter);
      return new OneTopic((publication) => {
        const node = this.#topics.find(topic);
        const record = this.#topics.value(node);
        if (!this.#isGiven(record, until) || (guarded && !this.sources.vouchFor(node))) return false;
        this.#records.show(record, topic, publication);
        return true;
      });
    }
    const walk = new TopicWalk(this.#topics, filter);
    return {
      get done() {
        return walk.done;
      },
      next: (publication) => {
        const node = walk.next();
        const record = this.#topics.value(node);
        if (!this.#isGiven(record, until) || (guarded && !this.sources.vouchFor(node))) return false;
        this.#records.show(record, this.#topics.topicView(node), publication);
        return true;
      },
      close: () => walk.close(),
    };
  }

  #isGiven(record: number, until: number): boolean {
    if (record === 0 || this.#records.since(record) > until) return false;
    const expiresAt = this.#records.expiresAt(record);
    return expiresAt === 0 || expiresAt > this.#now();
  }
}

/** Bytes of payload and properties. */
function sizeOf({ properties, payloadStart, payloadEnd }: RetainedContent): number {
  return properties.length + payloadEnd - payloadStart;
}

function contentOf(message: Message): RetainedContent {
  const { payload, ...rest } = message;
  return { ...rest, source: message.source ?? null, buffer: payload, payloadStart: 0, payloadEnd: payload.length };
}
