/** Coarse timers: one wheel for everything that an endpoint waits for, driven by one timer of the runtime. */
// The global of this name is found anew each time.
import { performance } from 'node:perf_hooks';

/** Time and the runtime's timer, so that tests can turn them. */
export interface Clock {
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** Calls back once, no earlier than after `delay` milliseconds; returns what `clearTimer` takes. */
  setTimer(callback: () => void, delay: number): unknown;
  clearTimer(timer: unknown): void;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  setTimer: (callback, delay) => setTimeout(callback, delay),
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/** Something that waits. A timer is its own list node, so arming and disarming allocates nothing. */
export abstract class Timer {
  /** Invariant: both are set while the timer is armed, both are null otherwise. */
  declare before: Timer | null;
  declare after: Timer | null;
  /** Due at this tick of the wheel. */
  declare tick: number;

  // Each request is a timer: fields that are defined, not assigned, would cost a tenth of its time.
  constructor() {
    this.before = null;
    this.after = null;
    this.tick = 0;
  }

  /** Called once when the time is up; the timer is disarmed by then and may be armed again. */
  abstract expire(): void;
}

/** The head of a ring of timers. */
class Slot extends Timer {
  constructor() {
    super();
    this.before = this;
    this.after = this;
  }

  expire(): void {}
}

/** Resolution of the wheel in milliseconds: a timer fires up to this much late. */
export const RESOLUTION = 10;
const SLOTS = 256;

/** A hashed timing wheel. A timer further away than one turn stays in its slot until its own tick comes. */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #slots: Slot[] = [];
  readonly #due = new Slot();
  readonly #turn = (): void => this.#run();
  #tick: number;
  #armed = 0;
  #timer: unknown = null;
  #timerTick = 0;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tick = Math.floor(clock.now() / RESOLUTION);
    for (let index = 0; index < SLOTS; index++) this.#slots.push(new Slot());
  }

  /** Timers waiting. */
  get size(): number {
    return this.#armed;
  }

  /** Arms a timer, or arms it anew; `delay` in milliseconds. A closed wheel arms nothing. */
  arm(timer: Timer, delay: number): void {
    this.disarm(timer);
    if (this.#closed) return;
    const now = this.#clock.now();
    if (this.#armed === 0) this.#tick = Math.floor(now / RESOLUTION);
    timer.tick = Math.max(Math.ceil((now + delay) / RESOLUTION), this.#tick + 1);
    this.#append(timer, this.#slots[timer.tick % SLOTS]);
    if (this.#timer === null || timer.tick < this.#timerTick) this.#wait(timer.tick, now);
  }

  disarm(timer: Timer): void {
    if (timer.before === null || timer.after === null) return;
    timer.before.after = timer.after;
    timer.after.before = timer.before;
    timer.before = null;
    timer.after = null;
    this.#armed--;
  }

  /** Forgets every timer, for good. */
  close(): void {
    this.#closed = true;
    for (const slot of this.#slots) {
      while (slot.after !== slot) this.disarm(slot.after as Timer);
    }
    if (this.#timer !== null) this.#clock.clearTimer(this.#timer);
    this.#timer = null;
  }

  #wait(tick: number, now: number): void {
    if (this.#timer !== null) this.#clock.clearTimer(this.#timer);
    this.#timerTick = tick;
    this.#timer = this.#clock.setTimer(this.#turn, Math.max(1, tick * RESOLUTION - now));
  }

  #run(): void {
    this.#timer = null;
    const target = Math.floor(this.#clock.now() / RESOLUTION);
    // After a long pause each slot is visited once; nothing due can hide further ahead than one turn.
    let tick = Math.max(this.#tick + 1, target - SLOTS + 1);
    for (; tick <= target; tick++) this.#expire(this.#slots[tick % SLOTS], target);
    this.#tick = Math.max(this.#tick, target);
    if (this.#armed > 0) this.#waitForNextSlot();
  }

  #expire(slot: Slot, target: number): void {
    // Due timers move to a list of their own first: `expire` may arm and disarm any timer, also those still to come.
    let timer = slot.after as Timer;
    while (timer !== slot) {
      const next = timer.after as Timer;
      if (timer.tick <= target) {
        this.disarm(timer);
        this.#append(timer, this.#due);
      }
      timer = next;
    }
    while (this.#due.after !== this.#due) {
      const due = this.#due.after as Timer;
      this.disarm(due);
      due.expire();
    }
  }

  #append(timer: Timer, slot: Slot): void {
    const last = slot.before as Timer;
    timer.before = last;
    timer.after = slot;
    last.after = timer;
    slot.before = timer;
    this.#armed++;
  }

  #waitForNextSlot(): void {
    for (let ahead = 1; ahead <= SLOTS; ahead++) {
      const tick = this.#tick + ahead;
      // What was armed by an expiring timer is waited for already, but others may be due before it.
      if (this.#timer !== null && this.#timerTick <= tick) return;
      const slot = this.#slots[tick % SLOTS];
      if (slot.after !== slot) {
        this.#wait(tick, this.#clock.now());
        return;
      }
    }
  }
}
