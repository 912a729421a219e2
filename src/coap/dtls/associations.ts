/** The table of security associations: by key, by address and by Connection ID, in the order of their last use. */
import type { DatagramAddress } from '../transport.js';
import type { Association } from './association.js';
import { UseList } from './use-list.js';

/** What identifies a remote endpoint without a Connection ID. */
export function tupleOf(address: DatagramAddress): string {
  return `${address.address} ${address.port}`;
}

/** Invariant: each association of the two lists is in `#byKey`, and in `#byCid` if it has one; none is anywhere else. */
export class Associations {
  readonly #byKey = new Map<string, Association>();
  readonly #byTuple = new Map<string, Association>();
  readonly #byCid = new Map<string, Association>();
  readonly #known = new UseList();
  /** Those of devices that have not shown who they are. */
  readonly #strangers = new UseList();

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

  /** The one that makes place for others: the oldest stranger, so that no number of them drives out a known device. */
  get leastWanted(): Association | undefined {
    return this.#strangers.oldest ?? this.#known.oldest;
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
    this.#listOf(association).append(association);
  }

  remove(association: Association): void {
    const { ownCid } = association.keys.agreement;
    this.#byKey.delete(association.source.key!);
    this.#leave(association);
    if (ownCid !== undefined) this.#byCid.delete(ownCid);
    this.#listOf(association).remove(association);
  }

  /** Notes that an association was used. */
  touch(association: Association, now: number): void {
    association.lastUse = now;
    const list = this.#listOf(association);
    if (list.newest === association) return;
    list.remove(association);
    list.append(association);
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

  #listOf(association: Association): UseList {
    return association.keys.agreement.session.proof === 'none' ? this.#strangers : this.#known;
  }
}
