/** The table of security associations: by key, by address and by Connection ID, in the order of their last use. */
import type { DatagramAddress } from '../transport.js';
import type { Association } from './association.js';

/** What identifies a remote endpoint without a Connection ID. */
export function tupleOf(address: DatagramAddress): string {
  return `${address.address} ${address.port}`;
}

/** Invariant: each association of the list is in `#byKey`, and in `#byCid` if it has one; none is anywhere else. */
export class Associations {
  readonly #byKey = new Map<string, Association>();
  readonly #byTuple = new Map<string, Association>();
  readonly #byCid = new Map<string, Association>();
  #oldest: Association | undefined;
  #newest: Association | undefined;

  get size(): number {
    return this.#byKey.size;
  }

  get oldest(): Association | undefined {
    return this.#oldest;
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
    this.#append(association);
  }

  remove(association: Association): void {
    const { ownCid } = association.keys.agreement;
    this.#byKey.delete(association.source.key!);
    this.#leave(association);
    if (ownCid !== undefined) this.#byCid.delete(ownCid);
    this.#unlink(association);
  }

  /** Notes that an association was used. */
  touch(association: Association, now: number): void {
    association.lastUse = now;
    if (this.#newest === association) return;
    this.#unlink(association);
    this.#append(association);
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

  #append(association: Association): void {
    association.older = this.#newest;
    association.newer = undefined;
    if (this.#newest !== undefined) this.#newest.newer = association;
    else this.#oldest = association;
    this.#newest = association;
  }

  #unlink(association: Association): void {
    const { older, newer } = association;
    if (older !== undefined) older.newer = newer;
    else this.#oldest = newer;
    if (newer !== undefined) newer.older = older;
    else this.#newest = older;
    association.older = undefined;
    association.newer = undefined;
  }
}
