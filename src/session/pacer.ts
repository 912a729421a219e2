/**
 * Keeps work that may be long out of everybody's way: what all connections together do of it in one turn of the event
 * loop is bounded, and they take turns.
 */
import { type InLine, WaitingLine } from './waiting-line.js';

/** Work that has been interrupted. */
export interface Paced extends InLine {
  /** Goes on with it, for as long as the pacer has steps left. */
  pump(): void;
}

/** Steps of one turn, of well below a microsecond each. */
const STEPS_PER_TURN = 300;

export class Pacer {
  /** In the order in which they go on. */
  readonly #waiting = new WaitingLine<Paced>();
  #left = STEPS_PER_TURN;
  #scheduled = false;

  /** Whether there is a step left in this turn. */
  get mayGoOn(): boolean {
    return this.#left > 0;
  }

  spend(steps: number): void {
    this.#left -= steps;
    this.#schedule();
  }

  /** Pumps `work` in one of the next turns. */
  wait(work: Paced): void {
    this.#waiting.join(work);
    this.#schedule();
  }

  /** It has no more work. */
  leave(work: Paced): void {
    this.#waiting.leave(work);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.#left = STEPS_PER_TURN;
    // Whoever is interrupted again goes to the end.
    while (this.#left > 0 && this.#waiting.size > 0) this.#waiting.next()?.pump();
    if (this.#waiting.size > 0) this.#schedule();
  };
}
