/** What the parts of one client share: times, tokens, budgets and the way out. */
import { MessageWriter } from '../message.js';
import { type Clock, SYSTEM_CLOCK, TimerWheel } from '../timers.js';
import type { DatagramAddress } from '../transport.js';
import type { ClientCounters } from './counters.js';
import type { Token, TokenHolder } from './exchange.js';
import {
  type ClientLimits,
  DEFAULT_CLIENT_LIMITS,
  DEFAULT_REQUEST_TRANSMISSION,
  EXCHANGE_LIFETIME,
  type RequestTransmission,
} from './limits.js';
import type { ClientLine } from './line.js';
import { type Peer, Peers } from './peers.js';
import { type FillRandom, RandomWords } from './random-words.js';
import { MESSAGE_ROOM } from './request.js';

/** Options of a client. What is left out has its default. */
export interface ClientOptions {
  readonly limits?: Partial<ClientLimits>;
  readonly transmission?: Partial<RequestTransmission>;
  readonly clock?: Clock;
  /** From 0 to less than 1, for spreading in time. Default `Math.random`. */
  readonly random?: () => number;
  /** For tokens, Request-Tags and first Message IDs. Default: the system's cryptographic source. */
  readonly fillRandom?: FillRandom;
}

export class ClientCore {
  readonly line: ClientLine;
  readonly counters: ClientCounters;
  readonly limits: ClientLimits;
  readonly transmission: RequestTransmission;
  readonly clock: Clock;
  readonly random: () => number;
  readonly words: RandomWords;
  readonly wheel: TimerWheel;
  readonly peers: Peers;
  /** The message being written. */
  readonly writer = new MessageWriter(MESSAGE_ROOM);
  requests = 0;
  observations = 0;
  /** Bytes of all bodies. */
  bodiesBytes = 0;
  closed = false;
  readonly #holders = new Map<string, TokenHolder>();
  /** Confirmable responses that were acknowledged, by sender, token and Message ID, with the time to forget them. */
  readonly #acknowledged = new Map<string, number>();
  readonly #empty = Buffer.alloc(4);

  constructor(line: ClientLine, counters: ClientCounters, options: ClientOptions) {
    this.line = line;
    this.counters = counters;
    this.limits = { ...DEFAULT_CLIENT_LIMITS, ...options.limits };
    this.transmission = { ...DEFAULT_REQUEST_TRANSMISSION, ...options.transmission };
    this.clock = options.clock ?? SYSTEM_CLOCK;
    this.random = options.random ?? Math.random;
    this.words = new RandomWords(options.fillRandom);
    this.wheel = new TimerWheel(this.clock);
    this.peers = new Peers(this.limits.peers);
  }

  /** A token that is not in use with this peer. */
  newToken(peer: Peer): Token {
    for (;;) {
      const token = { high: this.words.next(), low: this.words.next() };
      if (!this.#holders.has(tokenKey(peer, token.high, token.low))) return token;
    }
  }

  /** A Request-Tag that no other operation under way has. */
  newTag(): Buffer {
    const tag = Buffer.alloc(4);
    tag.writeInt32BE(this.words.next());
    return tag;
  }

  hold(peer: Peer, token: Token, holder: TokenHolder): void {
    this.#holders.set(tokenKey(peer, token.high, token.low), holder);
  }

  /** Gives a token back, if it is still this holder's. */
  release(peer: Peer, token: Token, holder: TokenHolder): void {
    const key = tokenKey(peer, token.high, token.low);
    if (this.#holders.get(key) === holder) this.#holders.delete(key);
  }

  holder(peer: Peer, high: number, low: number): TokenHolder | undefined {
    return this.#holders.get(tokenKey(peer, high, low));
  }

  settle(peer: Peer): void {
    this.peers.settle(peer, this.clock.now());
  }

  /** Takes bytes of the budget of bodies. False if there are not as many left. */
  reserve(bytes: number): boolean {
    if (this.bodiesBytes + bytes > this.limits.bodiesBytes) return false;
    this.bodiesBytes += bytes;
    return true;
  }

  send(bytes: Buffer, length: number, peer: DatagramAddress): void {
    if (this.closed) return;
    this.counters.datagramsSent++;
    this.counters.bytesSent += length;
    this.line.send(bytes, 0, length, peer);
  }

  /** Sends an Empty message, an Acknowledgement or a Reset (RFC 7252 4.1). */
  sendEmpty(type: number, messageId: number, peer: DatagramAddress): void {
    const empty = this.#empty;
    empty[0] = 0x40 | (type << 4);
    empty[2] = messageId >>> 8;
    empty[3] = messageId;
    this.send(empty, 4, peer);
  }

  /** Notes that a Confirmable response was acknowledged. */
  remember(key: string): void {
    const now = this.clock.now();
    const memory = this.#acknowledged;
    for (const [oldest, expiry] of memory) {
      if (memory.size < this.limits.acknowledged && expiry > now) break;
      memory.delete(oldest);
    }
    memory.set(key, now + EXCHANGE_LIFETIME);
  }

  /** Whether this is a repetition of a response that was acknowledged before (RFC 7252 4.5). */
  isRemembered(key: string): boolean {
    const expiry = this.#acknowledged.get(key);
    return expiry !== undefined && expiry > this.clock.now();
  }

  /** Runs the caller's code. */
  call(callback: () => void): void {
    try {
      callback();
    } catch {
      this.counters.callbackErrors++;
    }
  }
}

function tokenKey(peer: Peer, high: number, low: number): string {
  return `${peer.key} ${high} ${low}`;
}
