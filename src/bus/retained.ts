/**
 * Retained messages: the last message of each topic that was published with RETAIN [MQTT-3.3.1-5]. A tree by level, so
 * that a subscription finds its own without looking at the others.
 */
import type { Counters } from './counters.js';
import { DueList } from './due-list.js';
import type { Message } from './message.js';
import type { Publication } from './publication.js';

/** Learns what changed, to make it durable. */
export interface RetainedJournal {
  /** The retained message of `topic` is now `message`, or gone. */
  retainedChanged(topic: string, message: Message | null): void;
}

export interface RetainedLimits {
  /** Most retained messages (`limits.retained_messages`). */
  readonly messages: number;
  /** Most payload and topic bytes of retained messages (`limits.retained_bytes`). */
  readonly bytes: number;
}

class Node {
  children: Map<string, Node> | null = null;
  message: Message | null = null;
  /** Milliseconds since the epoch at which the message is looked at for its expiry; 0 for never. */
  due = 0;
}

/** Entries of topics that need none any more, at which the list of expiries is made anew. */
const MOST_STALE = 1024;

export class RetainedMessages {
  readonly #root = new Node();
  /** The nodes that have a message, by topic: most of what is asked for is one exact topic. */
  readonly #byTopic = new Map<string, Node>();
  readonly #limits: RetainedLimits;
  readonly #counters: Counters;
  readonly #now: () => number;
  readonly #expiries = new DueList();
  /** Where changes are made durable. */
  journal: RetainedJournal | null = null;
  /** Told when a message is not kept; the argument is the option that says so. */
  onLimit: ((option: string, topic: string) => void) | null = null;
  /** Number of retained messages. */
  count = 0;
  /** Their topic and payload bytes. */
  bytes = 0;

  /** @param now milliseconds since the epoch */
  constructor(limits: RetainedLimits, counters: Counters, now: () => number) {
    this.#now = now;
    this.#limits = limits;
    this.#counters = counters;
  }

  /** Takes a publication whose RETAIN is 1: an empty payload clears [MQTT-3.3.1-6], any other replaces. */
  publish(publication: Publication): void {
    if (publication.payloadEnd === publication.payloadStart) this.delete(publication.topic);
    else this.set(publication.message());
  }

  /** Keeps a message as its topic's retained one. Returns false if a limit forbids it. */
  set(message: Message): boolean {
    const node = this.#byTopic.get(message.topic) ?? this.#grow(message.topic);
    const former = node.message;
    const bytes = this.bytes + sizeOf(message) - (former === null ? 0 : sizeOf(former));
    const tooMany = former === null && this.count >= this.#limits.messages;
    if (tooMany || bytes > this.#limits.bytes) {
      if (this.dropExpired(this.#now()) > 0) return this.set(message);
      if (former === null) this.#prune(message.topic);
      this.#counters.droppedRetained++;
      this.onLimit?.(tooMany ? 'limits.retained_messages' : 'limits.retained_bytes', message.topic);
      return false;
    }
    if (former === null) {
      this.count++;
      this.#byTopic.set(message.topic, node);
    }
    this.bytes = bytes;
    node.message = message;
    this.#expireLater(node, message.topic, message.expiresAt);
    this.journal?.retainedChanged(message.topic, message);
    return true;
  }

  /** Forgets the messages whose time is over [MQTT-3.3.2-5]; returns their number. Call about once a second. */
  dropExpired(now: number): number {
    let dropped = 0;
    for (const topic of this.#expiries.take(now)) {
      const node = this.#byTopic.get(topic);
      if (node === undefined || node.message === null) continue;
      node.due = 0;
      const { expiresAt } = node.message;
      if (expiresAt === 0) continue;
      if (expiresAt > now) {
        this.#expireLater(node, topic, expiresAt);
        continue;
      }
      this.delete(topic);
      dropped++;
    }
    this.#counters.retainedExpired += dropped;
    return dropped;
  }

  /** Entries of the list of expiries. */
  get expiries(): number {
    return this.#expiries.size;
  }

  /** Each topic stands in the list once, unless its next message expires earlier than its last one. */
  #expireLater(node: Node, topic: string, expiresAt: number): void {
    if (expiresAt === 0 || (node.due > 0 && node.due <= expiresAt)) return;
    if (this.#expiries.size > 2 * this.count + MOST_STALE) this.#renewExpiries();
    node.due = expiresAt;
    this.#expiries.add(topic, expiresAt);
  }

  /** A topic that comes and goes leaves entries behind. */
  #renewExpiries(): void {
    this.#expiries.clear();
    for (const [topic, node] of this.#byTopic) {
      node.due = node.message?.expiresAt ?? 0;
      if (node.due > 0) this.#expiries.add(topic, node.due);
    }
  }

  /** Puts back a message that the store holds, at start-up. */
  restore(message: Message): void {
    const node = this.#grow(message.topic);
    this.#byTopic.set(message.topic, node);
    if (node.message === null) this.count++;
    else this.bytes -= sizeOf(node.message);
    this.bytes += sizeOf(message);
    node.message = message;
    this.#expireLater(node, message.topic, message.expiresAt);
  }

  /** Forgets a topic's retained message; returns whether there was one. */
  delete(topic: string): boolean {
    const node = this.#byTopic.get(topic);
    if (node === undefined || node.message === null) return false;
    this.#byTopic.delete(topic);
    this.count--;
    this.bytes -= sizeOf(node.message);
    node.message = null;
    this.#prune(topic);
    this.journal?.retainedChanged(topic, null);
    return true;
  }

  /** The retained message of a topic, if it has one that has not expired. */
  get(topic: string): Message | null {
    const message = this.#byTopic.get(topic)?.message ?? null;
    return message === null || this.#expired(message) ? null : message;
  }

  /** Topics with a retained message that match a filter, with the `$` rule [MQTT-4.7.2-1]. */
  topics(filter: string): string[] {
    const found: string[] = [];
    for (const message of this.match(filter)) found.push(message.topic);
    return found;
  }

  /** Retained messages that match a filter, with the `$` rule [MQTT-4.7.2-1]. */
  match(filter: string): Message[] {
    const found: Message[] = [];
    const levels = filter.split('/');
    this.#collect(this.#root, levels, 0, found);
    return found;
  }

  #collect(node: Node, levels: string[], depth: number, found: Message[]): void {
    if (depth === levels.length) {
      if (node.message !== null && !this.#expired(node.message)) found.push(node.message);
      return;
    }
    const level = levels[depth];
    if (level === '#') {
      this.#collectAll(node, depth, found);
      return;
    }
    if (level !== '+') {
      const child = node.children?.get(level);
      if (child !== undefined) this.#collect(child, levels, depth + 1, found);
      return;
    }
    if (node.children === null) return;
    for (const [name, child] of node.children) {
      if (depth === 0 && name.charCodeAt(0) === 0x24) continue;
      this.#collect(child, levels, depth + 1, found);
    }
  }

  #collectAll(node: Node, depth: number, found: Message[]): void {
    if (node.message !== null && !this.#expired(node.message)) found.push(node.message);
    if (node.children === null) return;
    for (const [name, child] of node.children) {
      if (depth === 0 && name.charCodeAt(0) === 0x24) continue;
      this.#collectAll(child, depth + 1, found);
    }
  }

  #expired(message: Message): boolean {
    return message.expiresAt !== 0 && message.expiresAt <= this.#now();
  }

  #grow(topic: string): Node {
    let node = this.#root;
    for (const level of topic.split('/')) {
      node.children ??= new Map();
      let child = node.children.get(level);
      if (child === undefined) {
        child = new Node();
        node.children.set(level, child);
      }
      node = child;
    }
    return node;
  }

  #prune(topic: string): void {
    const levels = topic.split('/');
    const path: Node[] = [this.#root];
    for (const level of levels) {
      const next = path[path.length - 1].children?.get(level);
      if (next === undefined) break;
      path.push(next);
    }
    for (let i = path.length - 1; i > 0; i--) {
      if (path[i].message !== null || path[i].children !== null) break;
      const parent = path[i - 1];
      parent.children?.delete(levels[i - 1]);
      if (parent.children?.size === 0) parent.children = null;
    }
  }
}

function sizeOf(message: Message): number {
  return message.topic.length + message.payload.length + message.properties.length;
}
