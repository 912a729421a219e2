/**
 * For how long a commit group stays open: what is written together costs one write and one fsync. But where all wait for
 * their acknowledgement before they go on, nobody would be left to serve while it is being written.
 */

/** Changes and acknowledgements that join in a turn of a busy broker, at least. */
const MANY = 16;
/** Where so many wait for an acknowledgement, each turn that brings any is worth another: the others are about to come. */
const CROWD = 32;
/** Of those that wait, this part is served while the others' group is written: a half, as a shift. */
const LEFT_TO_SERVE = 1;

export class Growth {
  readonly #most: number;
  /** `performance.now()` at which the open group could have been closed, 0 before. */
  #since = 0;
  /** What had joined when it was last looked at, and the acknowledgements among it. */
  #joined = 0;
  #acknowledgements = 0;
  /** Acknowledgements that waited when a group was last through: those of that group, and of the next one. */
  waited = 0;

  /** @param most milliseconds for which a group grows */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Whether the open group stays open for another turn: many have joined in this one, or any at all where many wait. To be
   * asked once a turn, from when the group could be closed until it is.
   * @param revision grows with each change that joins
   * @param acknowledgements those of the open group
   */
  goesOn(revision: number, acknowledgements: number): boolean {
    const joined = revision + acknowledgements;
    const now = performance.now();
    const first = this.#since === 0;
    if (first) this.#since = now;
    const step = joined - this.#joined;
    const next = first ? acknowledgements : 2 * acknowledgements - this.#acknowledgements;
    const goesOn =
      (step >= MANY || (step > 0 && this.waited >= CROWD)) && !this.#areMost(next) && now - this.#since < this.#most;
    this.#joined = goesOn ? joined : revision;
    this.#acknowledgements = acknowledgements;
    if (!goesOn) this.#since = 0;
    return goesOn;
  }

  /** Whether so many, of all that wait for an acknowledgement, would leave too few to serve. */
  #areMost(acknowledgements: number): boolean {
    return this.waited > 0 && acknowledgements > this.waited - (this.waited >> LEFT_TO_SERVE);
  }
}
