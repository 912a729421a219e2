/** How fast one client may send: `limits.messages_per_second` and `limits.bytes_per_second`. */
import { Bucket } from './bucket.js';
import type { SessionOptions } from './environment.js';
import type { RateTimer, Waiting } from './rate-timer.js';

/** A client that sends too fast for long is one line in the log in this time, in milliseconds. */
const LOG_INTERVAL = 60_000;

/** What one client has sent, against what it may. */
export class Rates {
  readonly messages: Bucket | null;
  readonly bytes: Bucket | null;
  #loggedAt = Number.NEGATIVE_INFINITY;

  private constructor(messages: Bucket | null, bytes: Bucket | null) {
    this.messages = messages;
    this.bytes = bytes;
  }

  /** Null if a client may send as fast as it can. */
  static of({ messagesPerSecond, bytesPerSecond }: SessionOptions, now: number): Rates | null {
    const messages = messagesPerSecond < Number.POSITIVE_INFINITY ? new Bucket(messagesPerSecond, now) : null;
    const bytes = bytesPerSecond < Number.POSITIVE_INFINITY ? new Bucket(bytesPerSecond, now) : null;
    return messages === null && bytes === null ? null : new Rates(messages, bytes);
  }

  refill(now: number): void {
    this.messages?.refill(now);
    this.bytes?.refill(now);
  }

  /** Whether the client has sent more than it may have by now. */
  get exceeded(): boolean {
    return (this.messages !== null && this.messages.tokens < 0) || (this.bytes !== null && this.bytes.tokens < 0);
  }

  /** The option whose rate has nothing left, for a client that is refused what comes too early; null for none. */
  get spent(): 'limits.messages_per_second' | 'limits.bytes_per_second' | null {
    if (this.messages !== null && this.messages.tokens < 1) return 'limits.messages_per_second';
    return this.bytes !== null && this.bytes.tokens <= 0 ? 'limits.bytes_per_second' : null;
  }

  /** Whether nothing is used that has not come back. */
  get full(): boolean {
    return this.messages?.full !== false && this.bytes?.full !== false;
  }

  /** One message is let through. */
  take(bytes: number): void {
    if (this.messages !== null) this.messages.tokens--;
    if (this.bytes !== null) this.bytes.tokens -= bytes;
  }

  /** Seconds until nothing is spent any more. */
  get delay(): number {
    return Math.max(this.messages?.delay(1) ?? 0, this.bytes?.delay(0) ?? 0);
  }

  /** Whether it is time to tell of this client, again. */
  isNews(now: number): boolean {
    if (now - this.#loggedAt < LOG_INTERVAL) return false;
    this.#loggedAt = now;
    return true;
  }
}

/** Whoever is not read from until its rates allow it. */
export interface Throttled {
  /** Reads on, unless it is too early; returns whether it does. */
  readOn(now: number): boolean;
}

/** All clients that are not read from because they have sent too fast. */
export class Throttle implements Waiting {
  readonly #timer: RateTimer;
  readonly #throttled = new Set<Throttled>();

  constructor(timer: RateTimer) {
    this.#timer = timer;
  }

  add(throttled: Throttled): void {
    this.#throttled.add(throttled);
    this.#timer.add(this);
  }

  /** The connection is gone. */
  remove(throttled: Throttled): void {
    this.#throttled.delete(throttled);
  }

  letOn(now: number): boolean {
    // Who reads on may be back here before this is over.
    for (const throttled of [...this.#throttled]) {
      this.#throttled.delete(throttled);
      if (!throttled.readOn(now)) this.#throttled.add(throttled);
    }
    return this.#throttled.size > 0;
  }
}
