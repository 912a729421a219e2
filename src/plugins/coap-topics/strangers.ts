/**
 * Devices that prove nothing, and so have no connection: clients of the broker that are there, and counted, from their first
 * request until nothing has been heard of their endpoint for EXCHANGE_LIFETIME (RFC 7252 4.8.2). Who observes stays.
 */
import type { CoapRemote } from '../../coap/remotes.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { InProcessClient } from '../plugin.js';

/** Milliseconds between two looks at who is silent. */
const INTERVAL = 1000;
/** Endpoints that are looked at for one that can go. */
const STEPS = 16;

/** One remote endpoint. */
interface Stranger {
  /** First the client that it has called itself last, then those with other names that observe something. */
  clients: readonly InProcessClient[];
  /** Milliseconds of the clock, as of the last look. */
  heardAt: number;
}

export interface StrangersOptions {
  /** Milliseconds: EXCHANGE_LIFETIME. */
  readonly lifetime: number;
  /** Endpoints at once (`coap.clients`); one more takes the place of the one that has been silent longest. */
  readonly most: number;
}

export class Strangers {
  readonly #open: (remote: CoapRemote, clientId: string | undefined) => InProcessClient;
  readonly #options: StrangersOptions;
  readonly #now: () => number;
  /** By the key of the endpoint, in the order in which they were last heard of. */
  readonly #byKey = new Map<string, Stranger>();
  /** The time of the last look: a request need not ask the clock. */
  #lookedAt = 0;
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param open makes the client of an endpoint, by its name or without one
   * @param now milliseconds of a clock
   */
  constructor(
    open: (remote: CoapRemote, clientId: string | undefined) => InProcessClient,
    options: StrangersOptions,
    now: () => number,
  ) {
    this.#open = open;
    this.#options = options;
    this.#now = now;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** The client of an endpoint. It may call itself what it likes, as an MQTT client without user name may. */
  hear(remote: CoapRemote, clientId: string | undefined): InProcessClient {
    const { key } = remote;
    let stranger = this.#byKey.get(key);
    if (stranger === undefined) stranger = this.#add(key);
    else if (stranger.heardAt !== this.#lookedAt) this.#touch(key, stranger);
    const last = stranger.clients.at(0);
    // An admin may have ended it.
    const stays = last !== undefined && !last.closed;
    if (stays && (clientId === undefined || clientId === last.id)) return last;
    const client =
      stranger.clients.find(({ id, closed }) => id === clientId && !closed) ?? this.#appear(remote, clientId);
    const others = stranger.clients.filter((other) => other !== client);
    stranger.clients = [client, ...others.filter(({ subscriptions }) => subscriptions > 0)];
    for (const other of others) if (other.subscriptions === 0) other.close();
    return client;
  }

  /** The client that an endpoint has called itself last, without counting as heard of. */
  peek(key: string): InProcessClient | undefined {
    return this.#byKey.get(key)?.clients.at(0);
  }

  #appear(remote: CoapRemote, clientId: string | undefined): InProcessClient {
    const client = this.#open(remote, clientId);
    client.appear();
    return client;
  }

  #add(key: string): Stranger {
    if (this.#byKey.size >= this.#options.most) this.#makeRoom();
    if (this.#timer === null) {
      this.#lookedAt = this.#now();
      this.#timer = setInterval(() => this.sweep(), INTERVAL).unref();
    }
    const stranger = { clients: [], heardAt: this.#lookedAt };
    this.#byKey.set(key, stranger);
    return stranger;
  }

  #touch(key: string, stranger: Stranger): void {
    stranger.heardAt = this.#lookedAt;
    this.#byKey.delete(key);
    this.#byKey.set(key, stranger);
  }

  /** The one that has been silent longest goes. Those that observe have a bound of their own. */
  #makeRoom(): void {
    let steps = 0;
    for (const [key, stranger] of this.#byKey) {
      if (!isObserving(stranger)) {
        this.gone(key, 'there are more devices than coap.clients');
        return;
      }
      this.#touch(key, stranger);
      if (++steps === STEPS) return;
    }
  }

  /** Ends those of whom nothing has been heard for too long. */
  sweep(): void {
    const now = this.#now();
    this.#lookedAt = now;
    for (const [key, stranger] of this.#byKey) {
      // Who was heard of later stands behind. What came after a look counts as of that look.
      if (now - stranger.heardAt <= this.#options.lifetime + INTERVAL) break;
      if (isObserving(stranger)) this.#touch(key, stranger);
      else this.gone(key, 'nothing heard for EXCHANGE_LIFETIME');
    }
    if (this.#byKey.size === 0) this.#stopTimer();
  }

  /** An endpoint will not be heard of again, or is no more waited for: its clients end, and what they observe. */
  gone(key: string, reason: string, reasonCode?: number): void {
    const stranger = this.#byKey.get(key);
    if (stranger === undefined) return;
    this.#byKey.delete(key);
    for (const client of stranger.clients) client.close(reason, reasonCode);
  }

  /** Ends all. */
  close(): void {
    this.#stopTimer();
    for (const key of [...this.#byKey.keys()]) {
      this.gone(key, 'the CoAP listener is closed', ReasonCode.ServerShuttingDown);
    }
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}

function isObserving({ clients }: Stranger): boolean {
  return clients.some(({ subscriptions }) => subscriptions > 0);
}
