/** Finds the associations that have been idle for too long: one timer, for the oldest. */
import { type Clock, Timer, type TimerWheel } from '../timers.js';
import type { Association } from './association.js';
import type { Associations } from './associations.js';

/** Milliseconds; the runtime's timers know no more than 2^31. */
const LONGEST_WAIT = 86_400_000;

export class IdleTimer extends Timer {
  readonly #associations: Associations;
  #idleTime: number;
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  readonly #end: (association: Association) => void;

  /** @param end removes an association from the table */
  constructor(
    associations: Associations,
    idleTime: number,
    clock: Clock,
    wheel: TimerWheel,
    end: (association: Association) => void,
  ) {
    super();
    this.#associations = associations;
    this.#idleTime = idleTime;
    this.#clock = clock;
    this.#wheel = wheel;
    this.#end = end;
  }

  /** Call it after the table has grown or shrunk. */
  update(): void {
    const { size } = this.#associations;
    if (size === 0) this.#wheel.disarm(this);
    else if (this.before === null) this.#wheel.arm(this, Math.min(this.#idleTime, LONGEST_WAIT));
  }

  /** Another time, also for the associations that there are. */
  replace(idleTime: number): void {
    this.#idleTime = idleTime;
    this.#wheel.disarm(this);
    this.expire();
  }

  override expire(): void {
    const now = this.#clock.now();
    let { oldest } = this.#associations;
    while (oldest !== undefined && now - oldest.lastUse >= this.#idleTime) {
      this.#end(oldest);
      oldest = this.#associations.oldest;
    }
    if (oldest !== undefined) this.#wheel.arm(this, Math.min(this.#idleTime - (now - oldest.lastUse), LONGEST_WAIT));
  }
}
