/**
 * Who may come in: `limits.pending_connections`, `limits.connections_per_address`, and nobody from a banned address. A connection has an entry here from
 * its first moment, before anything of it has been read, to its end.
 */
import { addressOf, shownAddress } from '../access/address.js';
import type { Lockout } from '../access/lockout.js';
import type { Counters } from '../bus/counters.js';
import type { SessionOptions } from './environment.js';
import type { Journal, Party } from './journal.js';

/** One connection. */
export interface Entry {
  /** Null for a connection that counts for no address. */
  readonly address: string | null;
  /** It has not been accepted yet. */
  pending: boolean;
  /** It counts among the clients of its address. */
  admitted: boolean;
  gone: boolean;
  /** When the broker began to check its password, in milliseconds since the epoch; absent while it does not. */
  checkedSince?: number | undefined;
  /** Milliseconds for which it has waited for that. */
  waited?: number;
}

/** Milliseconds of waiting for the broker that do not count against a client. */
const MOST_EXCUSED = 30_000;

/** Milliseconds that a connection has waited for the broker to check its password, as far as that is no reason to end it. */
export function excusedTime({ checkedSince, waited = 0 }: Entry, now: number): number {
  const waiting = checkedSince === undefined ? 0 : now - checkedSince;
  return Math.min(MOST_EXCUSED, waited + waiting);
}

interface Address {
  /** Connections that are open. */
  open: number;
  /** Those of them whose CONNECT was admitted. */
  admitted: number;
}

export class Gate {
  #options: SessionOptions;
  readonly #counters: Counters;
  readonly #journal: Journal;
  readonly #lockout: Lockout;
  readonly #addresses = new Map<string, Address>();
  /** Connections that have not been accepted yet. */
  pending = 0;

  constructor(options: SessionOptions, counters: Counters, journal: Journal, lockout: Lockout) {
    this.#options = options;
    this.#counters = counters;
    this.#journal = journal;
    this.#lockout = lockout;
  }

  /** Puts other limits in the place of those there are. */
  replace(options: SessionOptions): void {
    this.#options = options;
  }

  /** Whether everybody from an address is banned, so that it is turned away; that is counted and logged then. */
  isBanned(party: Party): boolean {
    if (!this.#lockout.isBanned(party.remote, party.transport)) return false;
    this.#counters.refusedBanned++;
    const whose = shownAddress(addressOf(party.remote) ?? '');
    this.#refuse(party, 'access.lockout_address_failures', ` of ${whose}, which is banned,`);
    return true;
  }

  /** A connection comes. Null if it has to be closed at once; that is counted and logged then. */
  enter(party: Party): Entry | null {
    const { pendingConnections, connectionsPerAddress } = this.#options;
    if (this.isBanned(party)) return null;
    if (this.pending >= pendingConnections) {
      this.#counters.refusedPending++;
      this.#refuse(party, 'limits.pending_connections');
      return null;
    }
    const address = connectionsPerAddress < Number.POSITIVE_INFINITY ? addressOf(party.remote) : null;
    if (address !== null) {
      const known = this.#addresses.get(address);
      if (known === undefined) this.#addresses.set(address, { open: 1, admitted: 0 });
      else if (known.open >= 2 * connectionsPerAddress) {
        this.#refuseAddress(party, address);
        return null;
      } else known.open++;
    }
    this.pending++;
    return { address, pending: true, admitted: false, gone: false };
  }

  /**
   * A CONNECT has come. False if there are too many clients of its address; that is counted and logged then.
   * @param former the connection that it would take over
   */
  admits(party: Party, entry: Entry, former: Entry | null): boolean {
    const address = entry.address === null ? undefined : this.#addresses.get(entry.address);
    if (entry.address === null || address === undefined || entry.admitted) return true;
    const takesOver = former !== null && former.address === entry.address && !former.gone;
    if (address.admitted >= this.#options.connectionsPerAddress && !takesOver) {
      this.#refuseAddress(party, entry.address);
      return false;
    }
    entry.admitted = true;
    address.admitted++;
    return true;
  }

  #refuseAddress(party: Party, address: string): void {
    this.#counters.refusedAddress++;
    this.#refuse(party, 'limits.connections_per_address', ` of ${address}`);
  }

  #refuse(party: Party, option: string, whose = ''): void {
    this.#journal.limit(party, option, `a connection${whose} was refused`);
  }

  /** CONNACK has said yes. */
  accepted(entry: Entry): void {
    if (entry.pending) this.pending--;
    entry.pending = false;
  }

  /** The connection has ended. */
  leave(entry: Entry): void {
    if (entry.gone) return;
    entry.gone = true;
    this.accepted(entry);
    const address = entry.address === null ? undefined : this.#addresses.get(entry.address);
    if (entry.address === null || address === undefined) return;
    address.open--;
    if (entry.admitted) address.admitted--;
    if (address.open === 0) this.#addresses.delete(entry.address);
  }
}
