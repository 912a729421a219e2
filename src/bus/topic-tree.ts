/**
 * A tree of topic names by level, outside the JavaScript heap: a million topics are a few arrays, which the garbage
 * collector passes by. A node is a number; 0 is none. A level is found by a hash of its parent and its name, in a table
 * that grows by one bucket at a time, so that no insertion takes long.
 */
import { randomInt } from 'node:crypto';
import { Slabs } from './slabs.js';
import { MAX_TOPIC_BYTES } from './topics.js';

export const ROOT = 1;
const SEPARATOR = 0x2f;

/** Fields of a node. */
const PARENT = 0;
/** Place of its name, in `#names`. */
const NAME = 1;
/** First child. Children are a ring in the order in which they came: the first one's previous is the last. */
const FIRST = 2;
const NEXT = 3;
const PREVIOUS = 4;
/** Next node of its bucket, or next free node. */
const CHAIN = 5;
const HASH = 6;
/** What its user keeps there; 0 for nothing. */
const VALUE = 7;
const FIELD_BITS = 3;

/** Nodes of a block. */
const BLOCK_BITS = 12;
const BLOCK_MASK = (1 << BLOCK_BITS) - 1;
const BLOCK_BYTES = (1 << (BLOCK_BITS + FIELD_BITS)) * 4;
/** Buckets of a block. */
const BUCKET_BITS = 14;
const BUCKET_MASK = (1 << BUCKET_BITS) - 1;

const NO_TOPIC = new Uint8Array(0);
/** Where a topic is put together; the tree is never used by two at a time. */
const scratch = Buffer.allocUnsafeSlow(MAX_TOPIC_BYTES);
/** Views of the end of `scratch` by their length, up to some length. */
const views: Buffer[] = [];
const MOST_VIEWED = 256;

export class TopicTree {
  readonly #blocks: Uint32Array[] = [];
  readonly #names = new Slabs();
  readonly #buckets: Uint32Array[] = [];
  /** Linear hashing: `2^#level + #split` buckets, of which those below `#split` and their twins go by one bit more. */
  #level = BUCKET_BITS;
  #split = 0;
  /** Nobody outside can tell which names meet in a bucket. */
  readonly #seed = randomInt(2 ** 32);
  /** Nodes from here on have never been used. */
  #fresh = ROOT + 1;
  #free = 0;
  /** The topic that was grown last, and the nodes of its levels: in the store neighbours have most levels in common. */
  #lastTopic: Uint8Array = NO_TOPIC;
  readonly #lastPath: number[] = [];
  /** How many stand on each node of a block, which keeps it from going; for the blocks on which anybody has stood. */
  readonly #pins: (Uint32Array | undefined)[] = [];
  #pinnedBlocks = 0;
  /** Number of nodes, without the root. */
  size = 0;
  /** Grows with each node that goes: what was found before may stand for another topic now. */
  removals = 0;

  constructor() {
    this.#blocks.push(new Uint32Array(BLOCK_BYTES / 4));
    this.#buckets.push(new Uint32Array(1 << BUCKET_BITS));
  }

  /** Bytes that it takes. */
  get memory(): number {
    const pins = this.#pinnedBlocks * (4 << BLOCK_BITS);
    return this.#blocks.length * BLOCK_BYTES + this.#buckets.length * (4 << BUCKET_BITS) + this.#names.memory + pins;
  }

  /** No node is as high. Those below that are free have no value. */
  get end(): number {
    return this.#fresh;
  }

  #get(node: number, field: number): number {
    return this.#blocks[node >>> BLOCK_BITS][((node & BLOCK_MASK) << FIELD_BITS) | field];
  }

  #set(node: number, field: number, value: number): void {
    this.#blocks[node >>> BLOCK_BITS][((node & BLOCK_MASK) << FIELD_BITS) | field] = value;
  }

  value(node: number): number {
    return this.#get(node, VALUE);
  }

  /** A node whose value becomes 0 should be pruned. */
  setValue(node: number, value: number): void {
    this.#set(node, VALUE, value);
  }

  parent(node: number): number {
    return this.#get(node, PARENT);
  }

  firstChild(node: number): number {
    return this.#get(node, FIRST);
  }

  /** The next of its parent's children, 0 behind the last. */
  sibling(node: number): number {
    const next = this.#get(node, NEXT);
    return next === this.#get(this.#get(node, PARENT), FIRST) ? 0 : next;
  }

  /** Whether a topic that begins here is one of the server's own [MQTT-4.7.2-1]. */
  isReserved(node: number): boolean {
    const at = this.#get(node, NAME);
    const { words } = this.#names.slab(at);
    const offset = this.#names.offset(at);
    return words.getUint16(offset) > 0 && words.getUint8(offset + 2) === 0x24;
  }

  /** The child of the name `bytes[start, end)`, 0 for none. */
  child(parent: number, bytes: Uint8Array, start = 0, end: number = bytes.length): number {
    return this.#find(parent, this.#hash(parent, bytes, start, end), bytes, start, end);
  }

  /** The node of a topic name, 0 for none. */
  find(topic: Uint8Array): number {
    let node = ROOT;
    for (let start = 0; node !== 0 && start <= topic.length; ) {
      const end = levelEnd(topic, start);
      node = this.child(node, topic, start, end);
      start = end + 1;
    }
    return node;
  }

  /** The node of a topic name, which is made if there is none. The bytes must stay as they are. */
  grow(topic: Uint8Array): number {
    const path = this.#lastPath;
    let depth = this.#sharedLevels(topic);
    let start = 0;
    for (let i = 0; i < depth; i++) start = levelEnd(topic, start) + 1;
    let node = depth === 0 ? ROOT : path[depth - 1];
    while (start <= topic.length) {
      const end = levelEnd(topic, start);
      const hash = this.#hash(node, topic, start, end);
      node = this.#find(node, hash, topic, start, end) || this.#add(node, hash, topic, start, end);
      path[depth++] = node;
      start = end + 1;
    }
    this.#lastTopic = topic;
    return node;
  }

  /** How many levels, but for the last, a topic begins with that the last one which was grown has too. */
  #sharedLevels(topic: Uint8Array): number {
    const last = this.#lastTopic;
    const end = Math.min(last.length, topic.length);
    let levels = 0;
    for (let i = 0; i < end && last[i] === topic[i]; i++) if (topic[i] === SEPARATOR) levels++;
    return levels;
  }

  /** Removes a node, and those above it, that have neither value nor child and on which nobody stands. */
  prune(node: number): void {
    for (let at = node; at !== ROOT; ) {
      if (this.#get(at, VALUE) !== 0 || this.#get(at, FIRST) !== 0 || this.#isPinned(at)) return;
      const parent = this.#get(at, PARENT);
      this.#remove(at, parent);
      at = parent;
    }
  }

  /** Keeps a node where it is until it is unpinned as often. */
  pin(node: number): void {
    const block = node >>> BLOCK_BITS;
    let pins = this.#pins[block];
    if (pins === undefined) {
      pins = new Uint32Array(1 << BLOCK_BITS);
      this.#pins[block] = pins;
      this.#pinnedBlocks++;
    }
    pins[node & BLOCK_MASK]++;
  }

  unpin(node: number): void {
    const pins = this.#pins[node >>> BLOCK_BITS] as Uint32Array;
    if (--pins[node & BLOCK_MASK] === 0) this.prune(node);
  }

  #isPinned(node: number): boolean {
    const pins = this.#pins[node >>> BLOCK_BITS];
    return pins !== undefined && pins[node & BLOCK_MASK] > 0;
  }

  /** The topic name of a node in UTF-8, until the next call. */
  topicView(node: number): Buffer {
    const length = scratch.length - this.#write(node);
    if (length > MOST_VIEWED) return scratch.subarray(scratch.length - length);
    views[length] ??= scratch.subarray(scratch.length - length);
    return views[length];
  }

  /** The topic name of a node. */
  topic(node: number): string {
    return scratch.utf8Slice(this.#write(node), scratch.length);
  }

  /** Writes a topic name at the end of `scratch`; returns where it begins. */
  #write(node: number): number {
    let start = scratch.length;
    for (let at = node; at !== ROOT; ) {
      const name = this.#get(at, NAME);
      const { bytes, words } = this.#names.slab(name);
      const offset = this.#names.offset(name);
      const length = words.getUint16(offset);
      start -= length;
      for (let i = 0; i < length; i++) scratch[start + i] = bytes[offset + 2 + i];
      at = this.#get(at, PARENT);
      if (at !== ROOT) scratch[--start] = SEPARATOR;
    }
    return start;
  }

  /** Every step depends on all bits so far, so that without the seed no two names are known to meet. */
  #hash(parent: number, bytes: Uint8Array, start: number, end: number): number {
    let hash = Math.imul(this.#seed ^ parent, 0x9e3779b1);
    hash ^= hash >>> 15;
    for (let i = start; i < end; i++) {
      hash = Math.imul(hash ^ bytes[i], 0x85ebca6b);
      hash ^= hash >>> 13;
    }
    hash = Math.imul(hash, 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #bucketOf(hash: number): number {
    const bucket = hash & ((1 << this.#level) - 1);
    return bucket < this.#split ? hash & ((2 << this.#level) - 1) : bucket;
  }

  #find(parent: number, hash: number, bytes: Uint8Array, start: number, end: number): number {
    const bucket = this.#bucketOf(hash);
    let node = this.#buckets[bucket >>> BUCKET_BITS][bucket & BUCKET_MASK];
    for (; node !== 0; node = this.#get(node, CHAIN)) {
      if (this.#get(node, HASH) !== hash || this.#get(node, PARENT) !== parent) continue;
      if (this.#isNamed(node, bytes, start, end)) return node;
    }
    return 0;
  }

  #isNamed(node: number, bytes: Uint8Array, start: number, end: number): boolean {
    const at = this.#get(node, NAME);
    const { bytes: names, words } = this.#names.slab(at);
    const offset = this.#names.offset(at);
    if (words.getUint16(offset) !== end - start) return false;
    for (let i = start; i < end; i++) if (names[offset + 2 + i - start] !== bytes[i]) return false;
    return true;
  }

  #add(parent: number, hash: number, bytes: Uint8Array, start: number, end: number): number {
    const node = this.#free === 0 ? this.#fresh++ : this.#free;
    if (node === this.#free) this.#free = this.#get(node, CHAIN);
    else if (node >>> BLOCK_BITS === this.#blocks.length) this.#blocks.push(new Uint32Array(BLOCK_BYTES / 4));
    this.#set(node, PARENT, parent);
    this.#set(node, NAME, this.#keepName(bytes, start, end));
    this.#set(node, FIRST, 0);
    this.#set(node, HASH, hash);
    this.#set(node, VALUE, 0);
    this.#joinRing(node, parent);
    this.#joinBucket(node, this.#bucketOf(hash));
    this.size++;
    if (this.size > (1 << this.#level) + this.#split) this.#splitBucket();
    return node;
  }

  #keepName(bytes: Uint8Array, start: number, end: number): number {
    const at = this.#names.allocate(2 + end - start);
    const { bytes: names, words } = this.#names.slab(at);
    const offset = this.#names.offset(at);
    words.setUint16(offset, end - start);
    for (let i = start; i < end; i++) names[offset + 2 + i - start] = bytes[i];
    return at;
  }

  #joinRing(node: number, parent: number): void {
    const first = this.#get(parent, FIRST);
    const last = first === 0 ? node : this.#get(first, PREVIOUS);
    this.#set(node, NEXT, first === 0 ? node : first);
    this.#set(node, PREVIOUS, last);
    this.#set(last, NEXT, node);
    if (first === 0) this.#set(parent, FIRST, node);
    else this.#set(first, PREVIOUS, node);
  }

  #joinBucket(node: number, bucket: number): void {
    const block = this.#buckets[bucket >>> BUCKET_BITS];
    this.#set(node, CHAIN, block[bucket & BUCKET_MASK]);
    block[bucket & BUCKET_MASK] = node;
  }

  /** One bucket becomes two. */
  #splitBucket(): void {
    const bucket = this.#split;
    const twin = bucket + (1 << this.#level);
    if (twin >>> BUCKET_BITS === this.#buckets.length) this.#buckets.push(new Uint32Array(1 << BUCKET_BITS));
    this.#split++;
    const block = this.#buckets[bucket >>> BUCKET_BITS];
    let node = block[bucket & BUCKET_MASK];
    block[bucket & BUCKET_MASK] = 0;
    while (node !== 0) {
      const next = this.#get(node, CHAIN);
      this.#joinBucket(node, this.#bucketOf(this.#get(node, HASH)));
      node = next;
    }
    if (this.#split < 1 << this.#level) return;
    this.#level++;
    this.#split = 0;
  }

  #remove(node: number, parent: number): void {
    this.#lastTopic = NO_TOPIC;
    this.removals++;
    const next = this.#get(node, NEXT);
    const previous = this.#get(node, PREVIOUS);
    this.#set(previous, NEXT, next);
    this.#set(next, PREVIOUS, previous);
    if (this.#get(parent, FIRST) === node) this.#set(parent, FIRST, next === node ? 0 : next);
    this.#leaveBucket(node);
    this.#names.free(this.#get(node, NAME));
    this.#set(node, CHAIN, this.#free);
    this.#free = node;
    this.size--;
  }

  #leaveBucket(node: number): void {
    const bucket = this.#bucketOf(this.#get(node, HASH));
    const block = this.#buckets[bucket >>> BUCKET_BITS];
    const after = this.#get(node, CHAIN);
    let other = block[bucket & BUCKET_MASK];
    if (other === node) {
      block[bucket & BUCKET_MASK] = after;
      return;
    }
    while (this.#get(other, CHAIN) !== node) other = this.#get(other, CHAIN);
    this.#set(other, CHAIN, after);
  }
}

/** End of the level that begins at `start`. */
function levelEnd(topic: Uint8Array, start: number): number {
  let end = start;
  while (end < topic.length && topic[end] !== SEPARATOR) end++;
  return end;
}
