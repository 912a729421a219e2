/**
 * Who may come in: `limits.pending_connections` and `limits.connections_per_address`. A connection has an entry here from
 * its first moment, before anything of it has been read, to its end.
 */
import { isIP } from 'node:net';
import type { Counters } from '../bus/counters.js';
import type { SessionOptions } from './environment.js';
import type { Journal, Party } from './journal.js';

/** Groups of an IPv6 address that say whose it is: whoever has one address has its whole /64. */
const NETWORK_GROUPS = 4;

/** What is counted as one address; null for what has none, such as a stream inside the process. */
export function addressOf(remote: string): string | null {
  const [, inBrackets, plain] = /^(?:\[([^\]]+)\]|([^[\]]+)):\d+$/.exec(remote) ?? [];
  const address = inBrackets ?? plain ?? '';
  const family = isIP(address);
  if (family === 0) return null;
  return family === 4 ? address : networkOf(address);
}

/** The /64 of an IPv6 address. */
function networkOf(address: string): string {
  const [before, after] = address.split('%')[0].split('::');
  const head = before === '' ? [] : before.split(':');
  // Only `::` leaves groups out. An IPv4 address at the end stands for two of them, behind those that count.
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const tailGroups = tail.length + (after?.includes('.') ? 1 : 0);
  const zeros = after === undefined ? 0 : 8 - head.length - tailGroups;
  const groups = [...head, ...new Array<string>(Math.max(0, zeros)).fill('0'), ...tail];
  return groups
    .slice(0, NETWORK_GROUPS)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

/** One connection. */
export interface Entry {
  /** Null for a connection that counts for no address. */
  readonly address: string | null;
  /** It has not been accepted yet. */
  pending: boolean;
  /** It counts among the clients of its address. */
  admitted: boolean;
  gone: boolean;
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
  readonly #addresses = new Map<string, Address>();
  /** Connections that have not been accepted yet. */
  pending = 0;

  constructor(options: SessionOptions, counters: Counters, journal: Journal) {
    this.#options = options;
    this.#counters = counters;
    this.#journal = journal;
  }

  /** Puts other limits in the place of those there are. */
  replace(options: SessionOptions): void {
    this.#options = options;
  }

  /** A connection comes. Null if it has to be closed at once; that is counted and logged then. */
  enter(party: Party): Entry | null {
    const { pendingConnections, connectionsPerAddress } = this.#options;
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
