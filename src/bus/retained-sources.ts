/**
 * Who published retained messages. Few clients publish many of them, so each is kept once, outside the JavaScript heap, and a
 * message has its number. What was published lately is known as an object, too.
 */
import type { Source } from './message.js';
import { Slabs } from './slabs.js';

/** Offsets of a record. */
const USES = 0;
/** The next one with the same place in the table. */
const NEXT = 4;
const HASH = 8;
const FLAGS = 12;
const ID_LENGTH = 13;
const NAME_LENGTH = 15;
const LISTENER_LENGTH = 17;
const HEAD = 19;

/** Flags: its rights are asked for; it has a user name. These two are part of its identity. */
const ACCOUNTABLE = 1;
const NAMED = 2;
/** It waits in the line of those that no message uses. */
const IDLE = 4;

/** Places in the table at the beginning. A power of two. */
const LEAST_PLACES = 256;
/** Sources that are known as objects by their number and by their client identifier, at most. A power of two. */
const MOST_KNOWN = 512;
/** Sources that no message uses and that are kept for the next one: where many replace each other's message, each comes back soon. A power of two. */
const MOST_IDLE = 1024;

/** Who published a message. */
interface Known {
  readonly number: number;
  readonly publisherId: string;
  /** Null if nobody's rights are asked for. */
  readonly source: Source | null;
}

/** A source is a number from 1; 0 is the broker itself. */
export class RetainedSources {
  readonly #slabs = new Slabs();
  /** The first source of each place. */
  #table = new Uint32Array(LEAST_PLACES);
  /** So that nobody can choose identifiers that all have the same place. */
  readonly #seed = (Math.random() * 2 ** 32) | 0;
  /** Each at a place that its number says; whoever comes there next puts it out. */
  readonly #byNumber: (Known | null)[] = Array.from({ length: MOST_KNOWN }, () => null);
  /** By client identifier; the one that came first goes first. */
  readonly #byId = new Map<string, Known>();
  /** Sources that no message uses, or none did when they came here; the oldest is at `#oldest`. 0 for none. */
  readonly #idle = new Uint32Array(MOST_IDLE);
  #oldest = 0;
  /** Sources that are kept, idle ones among them. */
  #kept = 0;
  /** Number of sources that messages use. */
  size = 0;

  /** Bytes that they take. */
  get memory(): number {
    return this.#slabs.memory + this.#table.byteLength + this.#idle.byteLength;
  }

  /** The number of who published a message, which is used once more until `release`. */
  use(publisherId: string, source: Source | null): number {
    if (publisherId === '' && source === null) return 0;
    let known = this.#byId.get(publisherId);
    if (known === undefined || !isSame(known.source, source)) {
      known = { number: this.#find(publisherId, source), publisherId, source: source && plain(source) };
      this.#remember(known);
    }
    const { number } = known;
    const { words } = this.#slabs.slab(number);
    const at = this.#slabs.offset(number) + USES;
    const uses = words.getUint32(at);
    if (uses === 0) this.size++;
    words.setUint32(at, uses + 1);
    return number;
  }

  /** A message of that source is gone. */
  release(number: number): void {
    if (number === 0) return;
    const { words } = this.#slabs.slab(number);
    const at = this.#slabs.offset(number) + USES;
    const uses = words.getUint32(at) - 1;
    words.setUint32(at, uses);
    if (uses > 0) return;
    this.size--;
    this.#rest(number);
  }

  /** Lets a source wait for another message; the one that has waited longest goes, if it still has none. */
  #rest(number: number): void {
    if (this.#hasFlag(number, IDLE)) return;
    const oldest = this.#idle[this.#oldest];
    this.#idle[this.#oldest] = number;
    this.#oldest = (this.#oldest + 1) & (MOST_IDLE - 1);
    this.#toggle(number, IDLE);
    if (oldest === 0) return;
    this.#toggle(oldest, IDLE);
    if (this.#field(oldest, USES) === 0) this.#remove(oldest);
  }

  #hasFlag(number: number, flag: number): boolean {
    return (this.#slabs.slab(number).words.getUint8(this.#slabs.offset(number) + FLAGS) & flag) !== 0;
  }

  #toggle(number: number, flag: number): void {
    const { words } = this.#slabs.slab(number);
    const at = this.#slabs.offset(number) + FLAGS;
    words.setUint8(at, words.getUint8(at) ^ flag);
  }

  /** Client identifier of the publisher, empty for the broker itself. */
  publisherId(number: number): string {
    return number === 0 ? '' : this.#known(number).publisherId;
  }

  /** Whose rights a message stands on; null if nobody's are asked for. */
  source(number: number): Source | null {
    return number === 0 ? null : this.#known(number).source;
  }

  #known(number: number): Known {
    const known = this.#byNumber[number & (MOST_KNOWN - 1)];
    if (known?.number === number) return known;
    const { bytes, words } = this.#slabs.slab(number);
    const start = this.#slabs.offset(number);
    const flags = words.getUint8(start + FLAGS);
    const idEnd = start + HEAD + words.getUint16(start + ID_LENGTH);
    const id = bytes.utf8Slice(start + HEAD, idEnd);
    const nameEnd = idEnd + words.getUint16(start + NAME_LENGTH);
    const username = (flags & NAMED) === 0 ? null : bytes.utf8Slice(idEnd, nameEnd);
    const listener = bytes.utf8Slice(nameEnd, nameEnd + words.getUint16(start + LISTENER_LENGTH));
    const source = (flags & ACCOUNTABLE) === 0 ? null : plain({ id, username, listener });
    const read: Known = { number, publisherId: id, source };
    this.#remember(read);
    return read;
  }

  #remember(known: Known): void {
    this.#byNumber[known.number & (MOST_KNOWN - 1)] = known;
    this.#byId.set(known.publisherId, known);
    if (this.#byId.size <= MOST_KNOWN) return;
    for (const first of this.#byId.keys()) {
      this.#byId.delete(first);
      return;
    }
  }

  /** The source with that identity, made if there is none. */
  #find(publisherId: string, source: Source | null): number {
    const username = source?.username ?? null;
    const id = Buffer.from(publisherId);
    const name = Buffer.from(username ?? '');
    const listener = Buffer.from(source?.listener ?? '');
    const flags = (source === null ? 0 : ACCOUNTABLE) | (username === null ? 0 : NAMED);
    const hash = this.#hashOf(id, name, listener);
    for (let number = this.#table[hash & (this.#table.length - 1)]; number !== 0; number = this.#field(number, NEXT)) {
      if (this.#field(number, HASH) === hash && this.#is(number, flags, id, name, listener)) return number;
    }
    return this.#add(hash, flags, id, name, listener);
  }

  #is(number: number, flags: number, id: Buffer, name: Buffer, listener: Buffer): boolean {
    const { bytes, words } = this.#slabs.slab(number);
    const start = this.#slabs.offset(number);
    if ((words.getUint8(start + FLAGS) & ~IDLE) !== flags || words.getUint16(start + ID_LENGTH) !== id.length)
      return false;
    if (words.getUint16(start + NAME_LENGTH) !== name.length) return false;
    if (words.getUint16(start + LISTENER_LENGTH) !== listener.length) return false;
    const idEnd = start + HEAD + id.length;
    const nameEnd = idEnd + name.length;
    if (id.compare(bytes, start + HEAD, idEnd) !== 0 || name.compare(bytes, idEnd, nameEnd) !== 0) return false;
    return listener.compare(bytes, nameEnd, nameEnd + listener.length) === 0;
  }

  #add(hash: number, flags: number, id: Buffer, name: Buffer, listener: Buffer): number {
    const number = this.#slabs.allocate(HEAD + id.length + name.length + listener.length);
    const { bytes, words } = this.#slabs.slab(number);
    const start = this.#slabs.offset(number);
    words.setUint32(start + USES, 0);
    words.setUint32(start + HASH, hash);
    words.setUint8(start + FLAGS, flags);
    words.setUint16(start + ID_LENGTH, id.length);
    words.setUint16(start + NAME_LENGTH, name.length);
    words.setUint16(start + LISTENER_LENGTH, listener.length);
    id.copy(bytes, start + HEAD);
    name.copy(bytes, start + HEAD + id.length);
    listener.copy(bytes, start + HEAD + id.length + name.length);
    if (++this.#kept > this.#table.length) this.#grow();
    this.#link(number, hash);
    return number;
  }

  #link(number: number, hash: number): void {
    const place = hash & (this.#table.length - 1);
    this.#setField(number, NEXT, this.#table[place]);
    this.#table[place] = number;
  }

  #grow(): void {
    const former = this.#table;
    this.#table = new Uint32Array(former.length * 2);
    for (let number of former) {
      while (number !== 0) {
        const next = this.#field(number, NEXT);
        this.#link(number, this.#field(number, HASH));
        number = next;
      }
    }
  }

  #remove(number: number): void {
    const { publisherId } = this.#known(number);
    this.#byNumber[number & (MOST_KNOWN - 1)] = null;
    if (this.#byId.get(publisherId)?.number === number) this.#byId.delete(publisherId);
    const next = this.#field(number, NEXT);
    const chain = this.#field(number, HASH) & (this.#table.length - 1);
    let before = this.#table[chain];
    if (before === number) this.#table[chain] = next;
    else {
      while (this.#field(before, NEXT) !== number) before = this.#field(before, NEXT);
      this.#setField(before, NEXT, next);
    }
    this.#slabs.free(number);
    this.#kept--;
  }

  #field(number: number, field: number): number {
    return this.#slabs.slab(number).words.getUint32(this.#slabs.offset(number) + field);
  }

  #setField(number: number, field: number, value: number): void {
    this.#slabs.slab(number).words.setUint32(this.#slabs.offset(number) + field, value);
  }

  /** FNV-1a from a secret beginning, with its upper bits mixed into the lower ones. */
  #hashOf(id: Buffer, name: Buffer, listener: Buffer): number {
    let hash = this.#seed;
    for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id[i], 0x01000193);
    hash = Math.imul(hash ^ id.length, 0x01000193);
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name[i], 0x01000193);
    for (let i = 0; i < listener.length; i++) hash = Math.imul(hash ^ listener[i], 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    return (hash ^ (hash >>> 13)) >>> 0;
  }
}

function isSame(known: Source | null, source: Source | null): boolean {
  if (known === null || source === null) return known === source;
  return known.username === source.username && (known.listener ?? '') === (source.listener ?? '');
}

/** A connection is one, too, and must not be kept by what it has published. */
function plain({ id, username, listener = '' }: Source): Source {
  return listener === '' ? { id, username } : { id, username, listener };
}
