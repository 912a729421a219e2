/** The table of security associations: by key, by address and by Connection ID, in the order of their last use. */
import type { DatagramAddress } from '../transport.js';
import type { Association } from './association.js';
import { Shares } from './shares.js';
import { UseList } from './use-list.js';

/** What identifies a remote endpoint without a Connection ID. */
export function tupleOf(address: DatagramAddress): string {
  return `${address.address} ${address.port}`;
}

/** The identity that a device has shown; undefined if it has not. */
function identityOf({ keys }: Association): string | undefined {
  const { proof, identity } = keys.agreement.session;
  return proof === 'none' ? undefined : identity;
}

/**
 * Invariant: each association of the two lists is in `#byKey`, and in `#byCid` if it has one; those of known devices are in
 * `#shares`; none is anywhere else.
 */
export class Associations {
  readonly #byKey = new Map<string, Association>();
  readonly #byTuple = new Map<string, Association>();
  readonly #byCid = new Map<string, Association>();
  readonly #known = new UseList();
  /** Those of devices that have not shown who they are. */
  readonly #strangers = new UseList();
  /** Known devices by identity, each one's in the order of last use. */
  readonly #shares = new Shares<Association>();

  get size(): number {
    return this.#byKey.size;
  }

  /** The one that has been idle longest. */
  get oldest(): Association | undefined {
    const known = this.#known.oldest;
    const stranger = this.#strangers.oldest;
    if (known === undefined || stranger === undefined) return known ?? stranger;
    return stranger.lastUse < known.lastUse ? stranger : known;
  }

  /**
   * The one that makes place for others: the oldest stranger, so that no number of them drives out a known device; else the
   * oldest of the identity that has the most, so that no key takes the places of others.
   */
  get leastWanted(): Association | undefined {
    // As a rule each device has one.
    return this.#strangers.oldest ?? (this.#shares.largest > 1 ? this.#shares.mostDispensable : this.#known.oldest);
  }

  byKey(key: string): Association | undefined {
    return this.#byKey.get(key);
  }

  byTuple(tuple: string): Association | undefined {
    return this.#byTuple.get(tuple);
  }

  byCid(cid: string): Association | undefined {
    return this.#byCid.get(cid);
  }

  all(): Iterable<Association> {
    return this.#byKey.values();
  }

  add(association: Association): void {
    const { ownCid } = association.keys.agreement;
    this.#byKey.set(association.source.key!, association);
    this.#byTuple.set(tupleOf(association.source), association);
    if (ownCid !== undefined) this.#byCid.set(ownCid, association);
    const identity = identityOf(association);
    this.#listOf(identity).append(association);
    if (identity !== undefined) this.#shares.add(identity, association);
  }

  remove(association: Association): void {
    const { ownCid } = association.keys.agreement;
    this.#byKey.delete(association.source.key!);
    this.#leave(association);
    if (ownCid !== undefined) this.#byCid.delete(ownCid);
    const identity = identityOf(association);
    this.#listOf(identity).remove(association);
    if (identity !== undefined) this.#shares.remove(identity, association);
  }

  /** Notes that an association was used. */
  touch(association: Association, now: number): void {
    association.lastUse = now;
    const identity = identityOf(association);
    const list = this.#listOf(identity);
    if (list.newest === association) return;
    list.remove(association);
    list.append(association);
    if (identity !== undefined) this.#shares.touch(identity, association);
  }

  /**
   * Follows an association to a new address. Another association that was there stays reachable by its Connection ID; one
   * without is told apart by its address only, and keeps it.
   */
  move(association: Association, to: DatagramAddress): void {
    const { key, session } = association.source;
    this.#leave(association);
    const { address, port, family } = to;
    association.source = { address, port, family, key: key!, session: session!, unproven: true };
    const tuple = tupleOf(to);
    const there = this.#byTuple.get(tuple);
    if (there === undefined || there.keys.agreement.ownCid !== undefined) this.#byTuple.set(tuple, association);
  }

  #leave(association: Association): void {
    const tuple = tupleOf(association.source);
    if (this.#byTuple.get(tuple) === association) this.#byTuple.delete(tuple);
  }

  #listOf(identity: string | undefined): UseList {
    return identity === undefined ? this.#strangers : this.#known;
  }
}
