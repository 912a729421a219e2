/**
 * Members that wait for their turn, first come, first served. A Set would do, but for the memory: after each deletion it
 * goes on in a table of its own sooner or later, and the tables that it has left keep each other from being collected.
 */

/** Waits in no more than one line. */
export interface InLine {
  /** Whether it waits. Owned by the line. */
  inLine: boolean;
}

export class WaitingLine<Member extends InLine> {
  /** From `#first` on. One that has left without its turn stands here until its turn comes. */
  readonly #members: (Member | null)[] = [];
  #first = 0;
  /** Number of members that wait. */
  size = 0;

  /** Whoever waits already keeps its place. */
  join(member: Member): void {
    if (member.inLine) return;
    member.inLine = true;
    this.size++;
    this.#members.push(member);
  }

  leave(member: Member): void {
    if (!member.inLine) return;
    member.inLine = false;
    this.size--;
    if (this.size > 0) return;
    // Nobody who has left is kept from being collected.
    this.#members.length = 0;
    this.#first = 0;
  }

  /** Takes the first one out of the line. */
  next(): Member | null {
    while (this.#first < this.#members.length) {
      const member = this.#members[this.#first] as Member;
      this.#members[this.#first++] = null;
      if (!member.inLine) continue;
      this.leave(member);
      if (this.#first >= LONG && this.#first * 2 > this.#members.length) this.#compact();
      return member;
    }
    return null;
  }

  #compact(): void {
    this.#members.splice(0, this.#first);
    this.#first = 0;
  }
}

/** Places that are empty, from which on their memory is worth a copy of the others. */
const LONG = 1024;
