/** The table of handshakes in progress: by address and port, and by host, so that none takes the place of all others. */
import { isIPv6 } from 'node:net';
import { tupleOf } from './associations.js';
import type { Handshake } from './handshake.js';
import { Shares } from './shares.js';

/** Groups of an IPv6 address that a site has (RFC 4291 2.5.4). */
const SITE_GROUPS = 4;

/** Who is behind an address: the address itself; with IPv6 its first 64 bits, since whoever has one has all of them. */
export function hostOf(address: string): string {
  // An IPv4 address in the form of IPv6 is one of IPv4.
  if (!isIPv6(address) || address.includes('.')) return address;
  const [head = '', tail] = address.split('%')[0].split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const last = tail === '' ? [] : tail.split(':');
    while (groups.length < SITE_GROUPS && groups.length + last.length < 8) groups.push('0');
    groups.push(...last);
  }
  return groups.slice(0, SITE_GROUPS).join(':');
}

export class Handshakes {
  readonly #byTuple = new Map<string, Handshake>();
  readonly #shares = new Shares<Handshake>();

  get size(): number {
    return this.#byTuple.size;
  }

  get(tuple: string): Handshake | undefined {
    return this.#byTuple.get(tuple);
  }

  all(): Iterable<Handshake> {
    return this.#byTuple.values();
  }

  /** There is none yet at its address and port. */
  add(handshake: Handshake): void {
    const { source } = handshake;
    this.#byTuple.set(tupleOf(source), handshake);
    this.#shares.add(hostOf(source.address), handshake);
  }

  /** Removes a handshake if it is there. */
  remove(handshake: Handshake): void {
    const { source } = handshake;
    const tuple = tupleOf(source);
    if (this.#byTuple.get(tuple) !== handshake) return;
    this.#byTuple.delete(tuple);
    this.#shares.remove(hostOf(source.address), handshake);
  }

  /** Who makes place: the oldest handshake of a host that has the most. */
  get mostDispensable(): Handshake | undefined {
    return this.#shares.mostDispensable;
  }
}
