/**
 * Shares out each turn of the event loop among those who send. What all packets of one turn cause together is bounded:
 * once it is reached, whoever has had his part waits for one of the next turns, in the order of all who wait.
 */
import type { Work } from '../bus/work.js';
import { type InLine, WaitingLine } from './waiting-line.js';

/** Work of one turn, of all connections: 4 to 20 ms. */
const MOST_WORK = 20_000;
/** Work that a connection may cause in any turn, so that whoever sends little never waits for whoever sends much. */
const LEAST_WORK = 2000;

/** Whoever waits for its next share. */
export interface Sharing extends InLine {
  /** Goes on, for as long as its share lasts. */
  goOn(): void;
}

export class Shares {
  readonly #work: Work;
  /** In the order in which they go on. */
  readonly #waiting = new WaitingLine<Sharing>();
  /** Reading of the work when this turn began. */
  #before = 0;
  #scheduled = false;
  /** Number of the turn. */
  turn = 0;

  constructor(work: Work) {
    this.#work = work;
  }

  /** Somebody is about to do work. Returns the number of the turn. */
  begin(): number {
    this.#schedule();
    return this.turn;
  }

  /** Whether a connection that has caused `work` in this turn has had its share. */
  isUsedUp(work: number): boolean {
    return work >= LEAST_WORK && this.#work.done - this.#before >= MOST_WORK;
  }

  /** Goes on in one of the next turns. */
  wait(sharing: Sharing): void {
    this.#waiting.join(sharing);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#next);
  }

  readonly #next = (): void => {
    this.#scheduled = false;
    this.turn++;
    this.#before = this.#work.done;
    while (this.#waiting.size > 0 && this.#work.done - this.#before < MOST_WORK) this.#waiting.next()?.goOn();
    if (this.#waiting.size > 0) this.#schedule();
  };
}
