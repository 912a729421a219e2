/**
 * Whether a remote is where its datagrams say it is (RFC 9175 2), and how much it is sent before it has shown that: the
 * source address of UDP can be forged, and answers must not become a weapon against whom it names (RFC 7252 11.3).
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { Remote } from './remotes.js';
import type { DatagramAddress } from './transport.js';

/** An unverified remote gets at most so many times the bytes that it sent. */
const FACTOR = 3;
/** IPv4 and UDP headers, which every datagram has in both directions. */
const HEADERS = 28;
const TIME_BYTES = 4;
const MAC_BYTES = 8;

/**
 * Echo values: the second in which they were made, and a MAC over it and the remote. The server keeps nothing for them; after
 * a restart all are stale.
 */
export class EchoValues {
  readonly #secret = randomBytes(32);
  readonly #second: () => number;
  readonly #lifetime: number;

  /** `second` counts whole seconds since the start; a value is fresh for `lifetime` seconds. */
  constructor(second: () => number, lifetime: number) {
    this.#second = second;
    this.#lifetime = lifetime;
  }

  make(remote: Remote): Buffer {
    return this.#sign(remote, this.#second());
  }

  /** The value was made here, for this remote, and not too long ago (RFC 9175 2.3). */
  isFresh(remote: Remote, value: Buffer): boolean {
    if (value.length !== TIME_BYTES + MAC_BYTES) return false;
    const made = value.readUInt32BE(0);
    const age = this.#second() - made;
    return age >= 0 && age <= this.#lifetime && timingSafeEqual(value, this.#sign(remote, made));
  }

  #sign(remote: Remote, second: number): Buffer {
    const value = Buffer.alloc(TIME_BYTES + MAC_BYTES);
    value.writeUInt32BE(second, 0);
    createHmac('sha256', this.#secret)
      .update(value.subarray(0, TIME_BYTES))
      .update(remote.key)
      // A security association may move: what it was sent at one address proves nothing of the next.
      .update(` ${remote.address} ${remote.port}`)
      .digest()
      .copy(value, TIME_BYTES, 0, MAC_BYTES);
    return value;
  }
}

/**
 * True for remotes whose address nobody can forge: a security association where its handshake was, a connection of TCP, and
 * this machine itself.
 */
export function isAuthentic(source: DatagramAddress): boolean {
  return (source.key !== undefined && source.unproven !== true) || isThisMachine(source);
}

/** True for addresses that no other machine can have. */
function isThisMachine(source: DatagramAddress): boolean {
  return isIPv4(source.address) ? source.address.startsWith('127.') : source.address === '::1';
}

/** A datagram of an unverified remote arrived: it earns answers. */
export function received(remote: Remote, length: number): void {
  if (!remote.verified) remote.unverifiedReceived += length + HEADERS;
}

/** A datagram goes out to a remote. */
export function sent(remote: Remote, length: number): void {
  if (!remote.verified) remote.unverifiedSent += length + HEADERS;
}

/** True if a datagram of `length` bytes may go to the remote. */
export function affords(remote: Remote, length: number): boolean {
  return remote.verified || remote.unverifiedSent + length + HEADERS <= FACTOR * remote.unverifiedReceived;
}
