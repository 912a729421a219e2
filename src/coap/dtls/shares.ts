/** Who has how many places in a table, so that whoever has the most makes place first. Everything in constant time. */

type Group<Member> = Set<Member>;

/** Invariant: each group is in `#bySize` under its size, and in `#groups` under its owner; none is empty. */
export class Shares<Member> {
  readonly #groups = new Map<string, Group<Member>>();
  readonly #bySize = new Map<number, Set<Group<Member>>>();
  /** Members of the largest group. */
  #largest = 0;

  get largest(): number {
    return this.#largest;
  }

  add(owner: string, member: Member): void {
    const group = this.#groups.get(owner) ?? new Set();
    this.#groups.set(owner, group);
    this.#take(group);
    group.add(member);
    this.#put(group);
  }

  remove(owner: string, member: Member): void {
    const group = this.#groups.get(owner);
    if (group?.has(member) !== true) return;
    this.#take(group);
    group.delete(member);
    if (group.size > 0) this.#put(group);
    else this.#groups.delete(owner);
    // A group shrinks by one, so the largest is no more than one smaller.
    if (!this.#bySize.has(this.#largest)) this.#largest--;
  }

  /** Makes a member the last of its group to make place. */
  touch(owner: string, member: Member): void {
    const group = this.#groups.get(owner);
    if (group === undefined || group.size === 1 || !group.delete(member)) return;
    group.add(member);
  }

  /** The first member of a largest group. */
  get mostDispensable(): Member | undefined {
    const [group = []] = this.#bySize.get(this.#largest) ?? [];
    const [member] = group;
    return member;
  }

  #take(group: Group<Member>): void {
    const peers = this.#bySize.get(group.size);
    peers?.delete(group);
    if (peers?.size === 0) this.#bySize.delete(group.size);
  }

  #put(group: Group<Member>): void {
    const { size } = group;
    const peers = this.#bySize.get(size);
    if (peers === undefined) this.#bySize.set(size, new Set([group]));
    else peers.add(group);
    this.#largest = Math.max(this.#largest, size);
  }
}
