/** The remote endpoints that this endpoint has state for, in a bounded table. */
import { randomInt } from 'node:crypto';
import type { CoapCounters } from './counters.js';
import { isAuthentic } from './echo.js';
import type { NotificationWindow, Observer } from './observe.js';
import { RoundTrip } from './round-trip.js';
import type { Clock } from './timers.js';
import type { Outgoing } from './transmission.js';
import type { DatagramAddress } from './transport.js';

/** A remote endpoint as requests show it. */
export interface CoapRemote extends DatagramAddress {
  /** Identifies the remote endpoint; for plain UDP address and port. */
  readonly key: string;
}

/** One remote endpoint and everything that is counted or in flight for it. */
export class Remote implements CoapRemote {
  address: string;
  port: number;
  family: 'IPv4' | 'IPv6';
  session?: object;
  readonly reliable: boolean;
  readonly key: string;
  /** Never used again for another remote: it keys the deduplication. Starts at 1. */
  readonly id: number;
  /** RFC 7252 4.4: message ids are per remote and start at random. */
  #messageId = randomInt(0x10000);
  /** The one unacknowledged Confirmable message (NSTART, RFC 7252 4.7), and those that wait behind it. */
  inFlight: Outgoing | null = null;
  waiting: Outgoing[] = [];
  /** Separate responses among `inFlight` and `waiting`. */
  separateResponses = 0;
  pendingExchanges = 0;
  observers: Observer[] = [];
  notifications: NotificationWindow | null = null;
  /** It has shown that it is where its datagrams say (RFC 9175 2.4), or need not show it. */
  verified = true;
  /** A message that was in flight when it moved: its acknowledgement does not show where the remote is now. */
  sentElsewhere: Outgoing | null = null;
  /** Bytes of datagrams with their headers, both ways, as long as it has not. */
  unverifiedReceived = 0;
  unverifiedSent = 0;
  /** Null until it is known. */
  roundTrip: RoundTrip | null = null;
  /** When the Non-confirmable notifications sent so far are earned, in milliseconds of the clock. */
  notificationsEarned = 0;
  /** Used again since the table's hand last passed: a flood of remotes that come once does not push out those that return. */
  recent = false;
  /** The table's age when it was last used. */
  age = 0;
  /** Its place in the table. */
  slot = 0;

  constructor(source: DatagramAddress, key: string, id: number) {
    this.address = source.address;
    this.port = source.port;
    this.family = source.family;
    if (source.session !== undefined) this.session = source.session;
    this.reliable = source.reliable ?? false;
    this.key = key;
    this.id = id;
  }

  nextMessageId(): number {
    this.#messageId = (this.#messageId + 1) & 0xffff;
    return this.#messageId;
  }

  /** A Confirmable message was acknowledged after so many milliseconds, at its first transmission. */
  measured(milliseconds: number): void {
    if (this.roundTrip === null) this.roundTrip = new RoundTrip(milliseconds);
    else this.roundTrip.measured(milliseconds);
    this.notificationsEarned = 0;
  }

  /**
   * True if one more Non-confirmable notification may go out: one in a round-trip time on average, or in `interval`
   * milliseconds while that is not known (RFC 7641 4.5.1); any if `interval` is 0.
   */
  mayNotify(now: number, interval: number): boolean {
    if (interval === 0) return true;
    const spacing = this.roundTrip?.smoothed ?? interval;
    const earned = Math.max(now, this.notificationsEarned) + spacing;
    if (earned - now > NOTIFICATION_BURST * spacing) return false;
    this.notificationsEarned = earned;
    return true;
  }

  /** A remote with anything of this cannot be forgotten. */
  get busy(): boolean {
    return this.inFlight !== null || this.pendingExchanges > 0 || this.observers.length > 0;
  }
}

/** How many Non-confirmable notifications may go out at once before they have to keep to their average. */
const NOTIFICATION_BURST = 8;

/** Ports that are told apart among the remotes found last. */
const LATEST = 4096;

/** How many remotes the hand looks at before it gives up on finding an idle one. */
const STEPS = 256;

/**
 * Remotes by key. Those that have been idle for EXCHANGE_LIFETIME are forgotten when new ones come. When full, the
 * second-chance rule takes an idle one that was not used lately.
 */
export class RemoteTable {
  readonly #byKey = new Map<string, Remote>();
  /** Those without a security association that were found last, by port: few devices share one. */
  readonly #latest: (Remote | undefined)[] = new Array(LATEST).fill(undefined);
  readonly #ring: Remote[] = [];
  readonly #capacity: number;
  readonly #counters: CoapCounters;
  readonly #clock: Clock;
  readonly #lifetime: number;
  readonly #verify: boolean;
  #hand = 0;
  #id = 0;
  /** Spans of at least one lifetime since the start. */
  #age = 0;
  #agedAt: number;

  /**
   * @param lifetime EXCHANGE_LIFETIME in milliseconds
   * @param verify new remotes have to show where they are
   */
  constructor(capacity: number, counters: CoapCounters, clock: Clock, lifetime: number, verify = false) {
    this.#verify = verify;
    this.#capacity = Math.max(1, capacity);
    this.#counters = counters;
    this.#clock = clock;
    this.#lifetime = lifetime;
    this.#agedAt = clock.now();
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Every remote, in no order. */
  all(): readonly Remote[] {
    return this.#ring;
  }

  /** The remote if it is known. */
  peek(source: DatagramAddress): Remote | undefined {
    return this.#byKey.get(keyOf(source));
  }

  /** As `peek`, without making a key in most cases. */
  #find(source: DatagramAddress): Remote | undefined {
    if (source.key !== undefined) return this.#byKey.get(source.key);
    const slot = source.port % LATEST;
    const latest = this.#latest[slot];
    if (latest !== undefined && latest.port === source.port && latest.address === source.address) return latest;
    const known = this.#byKey.get(keyOf(source));
    this.#latest[slot] = known;
    return known;
  }

  /** The remote, remembered from now on; undefined if the table is full of busy ones. */
  obtain(source: DatagramAddress): Remote | undefined {
    const known = this.#find(source);
    if (known === undefined) return this.#add(source, keyOf(source));
    known.recent = true;
    known.age = this.#age;
    if (source.key !== undefined) {
      // A security association may move to another address.
      known.address = source.address;
      known.port = source.port;
      known.family = source.family;
    }
    return known;
  }

  #drop(remote: Remote): void {
    this.#byKey.delete(remote.key);
    const slot = remote.port % LATEST;
    if (this.#latest[slot] === remote) this.#latest[slot] = undefined;
  }

  #add(source: DatagramAddress, key: string): Remote | undefined {
    this.#forget();
    const slot = this.#ring.length < this.#capacity ? this.#ring.length : this.#free();
    if (slot < 0) return undefined;
    this.#id = (this.#id + 1) | 0 || 1;
    const remote = new Remote(source, key, this.#id);
    remote.age = this.#age;
    remote.verified = !this.#verify || isAuthentic(source);
    remote.slot = slot;
    this.#ring[slot] = remote;
    this.#byKey.set(key, remote);
    return remote;
  }

  /**
   * Notes that a remote with a key is at another address. DTLS proves who sends and that it is new, not that answers reach
   * that address: it has to be shown (RFC 9146 6).
   */
  moved(source: DatagramAddress): void {
    const remote = this.peek(source);
    if (remote === undefined) return;
    remote.address = source.address;
    remote.port = source.port;
    remote.family = source.family;
    remote.verified = !this.#verify || isAuthentic(source);
    remote.unverifiedReceived = 0;
    remote.unverifiedSent = 0;
    remote.sentElsewhere = remote.inFlight;
    remote.roundTrip = null;
  }

  /** Forgets a remote that will never be heard of again. */
  remove(remote: Remote): void {
    if (this.#byKey.get(remote.key) !== remote) return;
    this.#drop(remote);
    const last = this.#ring.pop();
    if (last !== undefined && last !== remote) {
      last.slot = remote.slot;
      this.#ring[last.slot] = last;
    }
    if (this.#hand >= this.#ring.length) this.#hand = 0;
  }

  /** Forgets, once in a lifetime, whoever has not been used since before the last time: nothing of it is valid any more. */
  #forget(): void {
    const now = this.#clock.now();
    if (now - this.#agedAt < this.#lifetime) return;
    this.#agedAt = now;
    this.#age++;
    let kept = 0;
    for (const remote of this.#ring) {
      if (remote.busy || remote.age >= this.#age - 1) {
        remote.slot = kept;
        this.#ring[kept++] = remote;
      } else this.#drop(remote);
    }
    this.#ring.length = kept;
    this.#hand = 0;
  }

  #free(): number {
    for (let step = Math.min(STEPS, 2 * this.#capacity); step > 0; step--) {
      const slot = this.#hand;
      this.#hand = slot + 1 === this.#capacity ? 0 : slot + 1;
      const remote = this.#ring[slot];
      if (remote.busy) continue;
      // Under a flood of new remotes nothing is found within the steps unless the last one is taken as it is.
      if (remote.recent && step > 1) {
        remote.recent = false;
        continue;
      }
      this.#drop(remote);
      this.#counters.remoteEvictions++;
      return slot;
    }
    return -1;
  }
}

function keyOf(source: DatagramAddress): string {
  return source.key ?? `${source.address}:${source.port}`;
}
