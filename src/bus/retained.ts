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
  /** Revision at which its topic, which had no message, got one. */
  since = 0;
}

/** Nodes of the tree that a message may have on average where `limits.retained_messages` is reached. */
const NODES_PER_MESSAGE = 4;
/** Nodes that there may be in any case. */
const LEAST_NODES = 65_536;

/** Nodes at one depth that a walk has yet to visit. */
interface Branch {
  readonly nodes: Iterator<readonly [string, Node]>;
  readonly depth: number;
  /** Whether a wildcard stands for the first level of a topic here: it does not stand for `$` [MQTT-4.7.2-1]. */
  readonly wild: boolean;
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
  /** Of the tree: long topics have many, and few bytes. */
  #nodes = 0;
  /** Grows with each topic that gets a message. */
  revision = 0;
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
    const { messages } = this.#limits;
    const tooDeep = this.#nodes > Math.max(LEAST_NODES, NODES_PER_MESSAGE * messages);
    const tooMany = former === null && (this.count >= messages || tooDeep);
    if (tooMany || bytes > this.#limits.bytes) {
      if (this.dropExpired(this.#now()) > 0) return this.set(message);
      if (former === null) this.#prune(message.topic);
      this.#counters.droppedRetained++;
      this.onLimit?.(tooMany ? 'limits.retained_messages' : 'limits.retained_bytes', message.topic);
      return false;
    }
    if (former === null) {
      this.count++;
      node.since = ++this.revision;
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
    return this.match(filter).map((message) => message.topic);
  }

  /** Retained messages that match a filter, with the `$` rule [MQTT-4.7.2-1]. */
  match(filter: string): Message[] {
    const found: Message[] = [];
    for (const message of this.walk(filter)) if (message !== null) found.push(message);
    return found;
  }

  /**
   * Retained messages that match a filter, one after the other, so that the walk can be interrupted: messages may come
   * and go meanwhile. Null is a step that found none.
   * @param until topics that had no message at this revision are left out
   */
  *walk(filter: string, until: number = Number.POSITIVE_INFINITY): Generator<Message | null, void> {
    const levels = filter.split('/');
    const root: readonly [string, Node] = ['', this.#root];
    const branches: Branch[] = [{ nodes: [root].values(), depth: 0, wild: false }];
    for (let branch = branches.at(-1); branch !== undefined; branch = branches.at(-1)) {
      const { value, done } = branch.nodes.next();
      if (done) {
        branches.pop();
        continue;
      }
      const [name, node] = value;
      if (branch.wild && name.charCodeAt(0) === 0x24) continue;
      const { depth } = branch;
      const level = levels[depth];
      const { message, children } = node;
      const ends = depth === levels.length || level === '#';
      yield ends && message !== null && node.since <= until && !this.#expired(message) ? message : null;
      if (children === null || depth === levels.length) continue;
      if (level === '#') branches.push({ nodes: children.entries(), depth, wild: node === this.#root });
      else if (level === '+') branches.push({ nodes: children.entries(), depth: depth + 1, wild: depth === 0 });
      else {
        const child = children.get(level);
        if (child !== undefined)
          branches.push({ nodes: [[level, child] as const].values(), depth: depth + 1, wild: false });
      }
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
        this.#nodes++;
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
      this.#nodes--;
      if (parent.children?.size === 0) parent.children = null;
    }
  }
}

function sizeOf(message: Message): number {
  return message.topic.length + message.payload.length + message.properties.length;
}
