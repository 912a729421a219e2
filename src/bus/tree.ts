/**
 * The tree of topic filters. Each node is a level; a node keeps the subscriptions whose filter ends there and those
 * whose filter ends with `#` below it. Matching walks at most two branches per level, so unrelated subscriptions cost
 * nothing.
 */

import { NameTable } from './name-table.js';
import type { Publication } from './publication.js';
import { Work } from './work.js';

/** Whoever takes messages from the bus. Called on the hot path: `deliver` must not throw and must not publish. */
export interface Subscriber {
  deliver(publication: Publication, receiver: Receiver): void;
  /** Whether the store keeps what it is given with QoS 1 or 2; absent for no. */
  readonly durable?: boolean;
  /** It only looks: a message that reaches nobody else reaches nobody. Absent for no. */
  readonly watches?: boolean;
}

/** A subscription as one subscriber made it. */
export interface Subscription {
  readonly subscriber: Subscriber;
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  /** MQTT 5.0 No Local. */
  readonly noLocal: boolean;
  /** MQTT 5.0 Retain As Published. */
  readonly retainAsPublished: boolean;
  /** MQTT 5.0 Retain Handling 0, 1, 2. */
  readonly retainHandling: 0 | 1 | 2;
  /** Subscription Identifier 1 to 268,435,455, 0 for none. */
  readonly identifier: number;
}

/** What one subscriber is owed for one topic: its overlapping subscriptions in one, so that it gets one copy. */
export interface Receiver {
  readonly subscriber: Subscriber;
  readonly qos: 0 | 1 | 2;
  /** Whether its own publications are another matter [MQTT-3.8.3-3]: they are delivered as `own` says, or not at all. */
  readonly noLocal: boolean;
  /** With `noLocal`, what the subscriptions without No Local owe it of its own publications. */
  readonly own: Receiver | null;
  readonly retainAsPublished: boolean;
  /** Subscription Identifiers of all matching subscriptions [MQTT-3.3.4-4], null for none. */
  readonly identifiers: readonly number[] | null;
  /** The shared subscription that chose this subscriber, `$share/{ShareName}/{filter}`; empty for none. */
  readonly share: string;
}

/** Subscriptions above which a node looks for a subscriber by hash: below, an array is smaller and as fast. */
const INDEXED = 16;

/** The subscriptions of one filter, one for each subscriber: most filters have one. */
type Subscriptions = Subscription | Subscription[] | Map<Subscriber, Subscription>;

/** Children of a node that stand in a list, names and nodes in turn: most nodes have no more. */
const FEW_CHILDREN = 8;

/** Never changed but replaced. */
type Twigs = readonly (string | Node)[];

/** Names of levels that have been there lately, at their hash: many nodes have the same ones. */
const NAMES = 1024;
const lately: string[] = new Array(NAMES).fill('');

/** The same name, and if it was there lately, the same string. */
function shared(name: string): string {
  const { length } = name;
  if (length === 0 || length > 64) return name;
  const last = name.charCodeAt(length - 1);
  const at = (length ^ (name.charCodeAt(0) << 3) ^ (last << 1) ^ (name.charCodeAt(length >> 1) << 5)) & (NAMES - 1);
  if (lately[at] !== name) lately[at] = name;
  return lately[at];
}

class Node {
  children: NameTable<Node> | Twigs | null = null;
  plus: Node | null = null;
  own: Subscriptions | null = null;
  hash: Subscriptions | null = null;

  get empty(): boolean {
    return this.children === null && this.plus === null && this.own === null && this.hash === null;
  }

  child(name: string): Node | undefined {
    const { children } = this;
    if (children === null) return undefined;
    if (children instanceof NameTable) return children.get(name);
    for (let at = 0; at < children.length; at += 2) if (children[at] === name) return children[at + 1] as Node;
    return undefined;
  }

  /** Adds a child that it does not have. */
  addChild(name: string, node: Node): void {
    const { children } = this;
    if (children === null) this.children = [shared(name), node];
    else if (children instanceof NameTable) children.set(name, node);
    else if (children.length < 2 * FEW_CHILDREN) this.children = [...children, shared(name), node];
    else {
      const table = new NameTable<Node>();
      for (let at = 0; at < children.length; at += 2) table.set(children[at] as string, children[at + 1] as Node);
      this.children = table.set(name, node);
    }
  }

  /** Removes a child that it has. */
  removeChild(name: string): void {
    const { children } = this;
    if (children === null) return;
    if (children instanceof NameTable) {
      children.delete(name);
      if (children.size === 0) this.children = null;
    } else this.children = children.length === 2 ? null : children.toSpliced(children.indexOf(name), 2);
  }
}

/** Subscriptions whose list of one receiver is remembered; beyond it that begins anew. */
const MOST_SOLE = 1024;

export class SubscriptionTree {
  readonly #root = new Node();
  readonly #work: Work;
  /** Of subscriptions that matched alone since the tree changed last. */
  readonly #sole = new Map<Subscription, Receiver[]>();
  /** What a match finds, and the nodes of one level and of the next. Empty between matches. */
  readonly #found = new Scratch<Subscription>();
  readonly #nodes = new Scratch<Node>();
  readonly #below = new Scratch<Node>();
  /** Number of subscriptions in the tree. */
  size = 0;

  /** @param work counts the nodes and subscriptions that are looked at */
  constructor(work: Work = new Work()) {
    this.#work = work;
  }

  /** Adds a subscription, replacing the subscriber's former one for the same filter [MQTT-3.8.4-3]. */
  add(subscription: Subscription): void {
    if (this.#sole.size > 0) this.#sole.clear();
    let node = this.#root;
    const levels = subscription.filter.split('/');
    const hash = levels[levels.length - 1] === '#';
    const depth = hash ? levels.length - 1 : levels.length;
    this.#work.done += depth;
    for (let i = 0; i < depth; i++) node = this.#descend(node, levels[i]);
    if (hash) node.hash = this.#put(node.hash, subscription);
    else node.own = this.#put(node.own, subscription);
  }

  #descend(node: Node, level: string): Node {
    if (level === '+') {
      node.plus ??= new Node();
      return node.plus;
    }
    const known = node.child(level);
    if (known !== undefined) return known;
    const child = new Node();
    node.addChild(level, child);
    return child;
  }

  /** Puts a subscription among those of its filter; returns these. */
  #put(list: Subscriptions | null, subscription: Subscription): Subscriptions {
    if (list instanceof Map) {
      if (!list.has(subscription.subscriber)) this.size++;
      return list.set(subscription.subscriber, subscription);
    }
    if (Array.isArray(list)) {
      const at = list.findIndex((other) => other.subscriber === subscription.subscriber);
      if (at >= 0) {
        list[at] = subscription;
        return list;
      }
      this.size++;
      list.push(subscription);
      return list.length <= INDEXED ? list : new Map(list.map((each) => [each.subscriber, each]));
    }
    if (list?.subscriber === subscription.subscriber) return subscription;
    this.size++;
    return list === null ? subscription : [list, subscription];
  }

  /** Removes a subscriber's subscription; returns whether there was one. */
  remove(filter: string, subscriber: Subscriber): boolean {
    if (this.#sole.size > 0) this.#sole.clear();
    const levels = filter.split('/');
    const hash = levels[levels.length - 1] === '#';
    const depth = hash ? levels.length - 1 : levels.length;
    const path: Node[] = [this.#root];
    for (let i = 0; i < depth; i++) {
      const node = path[i];
      const next = levels[i] === '+' ? node.plus : node.child(levels[i]);
      if (next === null || next === undefined) return false;
      path.push(next);
    }
    const last = path[depth];
    const list = hash ? last.hash : last.own;
    if (list === null) return false;
    const left = without(list, subscriber);
    if (left === undefined) return false;
    if (hash) last.hash = left;
    else last.own = left;
    this.size--;
    this.#prune(path, levels, depth);
    return true;
  }

  #prune(path: Node[], levels: string[], depth: number): void {
    for (let i = depth; i > 0 && path[i].empty; i--) {
      const parent = path[i - 1];
      if (levels[i - 1] === '+') parent.plus = null;
      else parent.removeChild(levels[i - 1]);
    }
  }

  /** All subscriptions that match a topic name, in no particular order. */
  match(topic: string): Subscription[] {
    const found = this.#find(topic);
    const all = found.items.slice(0, found.length);
    found.clear();
    return all;
  }

  /** What each subscriber is owed for a topic name. */
  receivers(topic: string): Receiver[] {
    const found = this.#find(topic);
    const owed = found.length === 1 ? this.#soleReceiver(found.items[0]) : receiversOf(found);
    found.clear();
    return owed;
  }

  /** The list of the one receiver whose subscription matches: the same for all topics that it alone matches. */
  #soleReceiver(subscription: Subscription): Receiver[] {
    let sole = this.#sole.get(subscription);
    if (sole === undefined) {
      if (this.#sole.size >= MOST_SOLE) this.#sole.clear();
      sole = [receiverOf(subscription)];
      this.#sole.set(subscription, sole);
    }
    return sole;
  }

  /** The subscriptions that match a topic name; whoever asks clears the list. */
  #find(topic: string): Scratch<Subscription> {
    const found = this.#found;
    const reserved = topic.charCodeAt(0) === 0x24;
    let nodes = this.#nodes;
    let below = this.#below;
    nodes.push(this.#root);
    // Level by level, for a topic may have more of them than a stack has room.
    for (let start = 0; nodes.length > 0; ) {
      // A leading `$` is not matched by a wildcard in the first level [MQTT-4.7.2-1].
      const wild = start > 0 || !reserved;
      const ended = start > topic.length;
      const separator = topic.indexOf('/', start);
      const end = separator < 0 ? topic.length : separator;
      const name = ended ? '' : topic.slice(start, end);
      for (let i = 0; i < nodes.length; i++) {
        const node = nodes.items[i];
        if (node.hash !== null && wild) append(found, node.hash);
        if (ended) {
          if (node.own !== null) append(found, node.own);
          continue;
        }
        const child = node.child(name);
        if (child !== undefined) below.push(child);
        if (node.plus !== null && wild) below.push(node.plus);
      }
      this.#work.done += nodes.length;
      nodes.clear();
      [nodes, below] = [below, nodes];
      start = end + 1;
    }
    this.#work.done += found.length;
    return found;
  }
}

function receiversOf(found: Scratch<Subscription>): Receiver[] {
  const merged = new Map<Subscriber, MergedReceiver>();
  for (let i = 0; i < found.length; i++) {
    const subscription = found.items[i];
    const former = merged.get(subscription.subscriber);
    merged.set(subscription.subscriber, former ? merge(former, subscription) : receiverOf(subscription));
  }
  return [...merged.values()];
}

/** Items for which a list keeps its room. */
const MOST_KEPT = 256;

/** A list that is filled again and again, and leaves no garbage: an array that grows from nothing has room for 17. */
class Scratch<T> {
  items: T[] = [];
  length = 0;

  push(item: T): void {
    this.items[this.length++] = item;
  }

  /** Forgets the items, and lets go of them. */
  clear(): void {
    if (this.length > MOST_KEPT) this.items = [];
    else for (let i = 0; i < this.length; i++) this.items[i] = undefined as T;
    this.length = 0;
  }
}

/** A node may have more subscriptions than a function takes arguments. */
function append(found: Scratch<Subscription>, more: Subscriptions): void {
  if (more instanceof Map) for (const subscription of more.values()) found.push(subscription);
  else if (Array.isArray(more)) for (const subscription of more) found.push(subscription);
  else found.push(more);
}

/** What is left of a filter's subscriptions without a subscriber's, null for nothing; undefined if it has none there. */
function without(list: Subscriptions, subscriber: Subscriber): Subscriptions | null | undefined {
  if (list instanceof Map) {
    if (!list.delete(subscriber)) return undefined;
    return list.size > 0 ? list : null;
  }
  if (Array.isArray(list)) {
    const at = list.findIndex((other) => other.subscriber === subscriber);
    if (at < 0) return undefined;
    list.splice(at, 1);
    return list.length > 0 ? list : null;
  }
  return list.subscriber === subscriber ? null : undefined;
}

/** A receiver that is being put together: its list of identifiers is its own. */
interface MergedReceiver extends Receiver {
  readonly identifiers: number[] | null;
  readonly own: MergedReceiver | null;
}

function receiverOf(subscription: Subscription): MergedReceiver {
  return {
    subscriber: subscription.subscriber,
    qos: subscription.qos,
    noLocal: subscription.noLocal,
    own: null,
    retainAsPublished: subscription.retainAsPublished,
    identifiers: subscription.identifier > 0 ? [subscription.identifier] : null,
    share: '',
  };
}

function merge(former: MergedReceiver, subscription: Subscription): MergedReceiver {
  const own = mergeOwn(former, subscription);
  let { identifiers } = former;
  if (subscription.identifier > 0) {
    identifiers ??= [];
    identifiers.push(subscription.identifier);
  }
  return {
    subscriber: former.subscriber,
    qos: Math.max(subscription.qos, former.qos) as 0 | 1 | 2,
    noLocal: former.noLocal || subscription.noLocal,
    own,
    retainAsPublished: former.retainAsPublished || subscription.retainAsPublished,
    identifiers,
    share: '',
  };
}

/** What is left for the subscriber's own publications, if they are another matter. */
function mergeOwn(former: MergedReceiver, subscription: Subscription): MergedReceiver | null {
  if (!former.noLocal) return subscription.noLocal ? { ...former, identifiers: copy(former.identifiers) } : null;
  if (subscription.noLocal) return former.own;
  return former.own === null ? receiverOf(subscription) : merge(former.own, subscription);
}

function copy(identifiers: readonly number[] | null): number[] | null {
  return identifiers === null ? null : [...identifiers];
}
