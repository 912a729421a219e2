/** Bodies that wait for their next block, of requests (Block1) and of responses (Block2): by key, bounded in number, bytes and time. */
import type { CoapCounters } from './counters.js';
import type { CoapLimits } from './limits.js';
import { type Clock, Timer, type TimerWheel } from './timers.js';

export interface Expiring {
  /** Milliseconds of the clock. */
  expiry: number;
}

export abstract class KeptBodies<Body extends Expiring, Limit extends string> extends Timer {
  /** In the order of their last use: the first is the oldest. */
  readonly #bodies = new Map<string, Body>();
  readonly #lifetime: number;
  readonly #wheel: TimerWheel;
  readonly #clock: Clock;
  /** Told of each body that is given up, with the name of the limit. */
  onEviction: ((limit: Limit) => void) | null = null;

  protected readonly limits: CoapLimits;
  protected readonly counters: CoapCounters;
  /** Bytes. */
  protected held = 0;

  /** `lifetime` in milliseconds: how long a body waits for its next block, or for the request of that. */
  constructor(limits: CoapLimits, lifetime: number, counters: CoapCounters, wheel: TimerWheel, clock: Clock) {
    super();
    this.limits = limits;
    this.counters = counters;
    this.#lifetime = lifetime;
    this.#wheel = wheel;
    this.#clock = clock;
  }

  /** Bodies that wait. */
  get size(): number {
    return this.#bodies.size;
  }

  /** Bytes held for them. */
  get bytes(): number {
    return this.held;
  }

  /** Their keys, the oldest first. */
  protected get keys(): Iterable<string> {
    return this.#bodies.keys();
  }

  /** When what is used now will have waited for too long. */
  protected get expiry(): number {
    return this.#clock.now() + this.#lifetime;
  }

  /** The body of a key, which is now the newest; it waits anew. */
  protected use(key: string): Body | undefined {
    const body = this.#bodies.get(key);
    if (body === undefined) return undefined;
    this.#bodies.delete(key);
    this.#bodies.set(key, body);
    body.expiry = this.expiry;
    return body;
  }

  /** Puts a body in the place of the one that has its key. */
  protected set(key: string, body: Body): void {
    this.drop(key);
    this.#bodies.set(key, body);
    if (this.before === null) this.#wheel.arm(this, this.#lifetime);
  }

  protected drop(key: string): void {
    const body = this.#bodies.get(key);
    if (body === undefined) return;
    this.#bodies.delete(key);
    this.dropped(body);
  }

  /** A body is gone: its bytes are free. */
  protected abstract dropped(body: Body): void;

  /** A body has waited for too long; it is to be counted. */
  protected abstract expired(): void;

  expire(): void {
    const now = this.#clock.now();
    for (const [key, body] of this.#bodies) {
      if (body.expiry > now) {
        this.#wheel.arm(this, body.expiry - now);
        return;
      }
      this.drop(key);
      this.expired();
    }
  }
}
