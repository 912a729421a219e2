/** The endpoints that a client talks to: one message in flight each, the others in line (RFC 7252 4.7). */
import type { RoundTrip } from '../round-trip.js';
import type { DatagramAddress } from '../transport.js';
import type { ClientExchange } from './exchange.js';
import { EXCHANGE_LIFETIME } from './limits.js';

/** One peer and what is under way with it. */
export class Peer {
  readonly key: string;
  readonly address: DatagramAddress;
  /** NSTART is 1. Invariant: `waiting` is empty unless `inFlight` is set. */
  inFlight: ClientExchange | null = null;
  readonly waiting: ClientExchange[] = [];
  /** Every exchange without a response, those that wait and those that are acknowledged among them. */
  readonly exchanges = new Set<ClientExchange>();
  requests = 0;
  observations = 0;
  /** Null until it is known. */
  roundTrip: RoundTrip | null = null;
  /** Milliseconds of the clock; only of a peer with nothing under way. */
  idleSince = 0;
  #messageId: number;

  constructor(key: string, address: DatagramAddress, messageId: number) {
    this.key = key;
    this.address = address;
    this.#messageId = messageId & 0xffff;
  }

  /** RFC 7252 4.4: Message IDs are per peer and start at random. */
  nextMessageId(): number {
    this.#messageId = (this.#messageId + 1) & 0xffff;
    return this.#messageId;
  }

  get busy(): boolean {
    return this.requests > 0 || this.observations > 0 || this.exchanges.size > 0;
  }

  /** The exchange that sent this Message ID last. */
  find(messageId: number): ClientExchange | undefined {
    for (const exchange of this.exchanges) if (exchange.messageId === messageId) return exchange;
    return undefined;
  }
}

/** Peers by key. Idle ones are kept for EXCHANGE_LIFETIME, so that none of their Message IDs comes again too early. */
export class Peers {
  readonly #all = new Map<string, Peer>();
  /** In the order in which they became idle. */
  readonly #idle = new Set<Peer>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#all.size;
  }

  all(): IterableIterator<Peer> {
    return this.#all.values();
  }

  peek(source: DatagramAddress): Peer | undefined {
    return this.#all.get(peerKey(source));
  }

  /** The peer, known from now on; undefined if all places are taken by busy ones. `messageId` is where a new one starts. */
  obtain(address: DatagramAddress, now: number, messageId: number): Peer | undefined {
    const key = peerKey(address);
    const known = this.#all.get(key);
    if (known !== undefined) {
      this.#idle.delete(known);
      return known;
    }
    for (const oldest of this.#idle) {
      if (this.#all.size < this.#capacity && now - oldest.idleSince < EXCHANGE_LIFETIME) break;
      this.#idle.delete(oldest);
      this.#all.delete(oldest.key);
    }
    if (this.#all.size >= this.#capacity) return undefined;
    const peer = new Peer(key, address, messageId);
    this.#all.set(key, peer);
    return peer;
  }

  /** To be called whenever something with the peer is over, or did not begin. */
  settle(peer: Peer, now: number): void {
    if (peer.busy || this.#idle.has(peer)) return;
    peer.idleSince = now;
    this.#idle.add(peer);
  }
}

export function peerKey(address: DatagramAddress): string {
  return address.key ?? `${address.address}:${address.port}`;
}
