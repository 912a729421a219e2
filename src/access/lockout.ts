/**
 * Who has failed to prove who it is too often. Three things are counted, each within `access.lockout_window`:
 * - a user from an address: its refusals come later and later, and at `access.lockout_failures` it is banned: this user from
 *   this address;
 * - an address, whoever it says it is: from half of `access.lockout_address_failures` on, its refusals come later and later, and
 *   there it is banned;
 * - a user from everywhere: from `access.lockout_failures` elsewhere on, all its refusals come as late as they may. It is never
 *   banned everywhere, or anybody could lock out anybody.
 *
 * A wrong password that is repeated is no guess: it makes the refusal later, and counts towards a ban once. So one device with an
 * old password bans nobody.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { addressOf, isLoopback } from './address.js';

export interface LockoutOptions {
  /** `access.lockout_window` in seconds. */
  readonly lockoutWindow: number;
  /** `access.lockout_failures`; 0 for no bans of users. */
  readonly lockoutFailures: number;
  /** `access.lockout_address_failures`; 0 for no bans of addresses. */
  readonly lockoutAddressFailures: number;
  /** `access.lockout_time` in seconds. */
  readonly lockoutTime: number;
  /** `access.lockout_loopback`: whether addresses of this machine count, too. */
  readonly lockoutLoopback: boolean;
  /** `limits.lockout_entries`: addresses, users, users of an address, and bans, of each so many. */
  readonly lockoutEntries: number;
}

/** One failure. */
export interface FailedLogin {
  /** `address:port` of the client, or what stands for it. */
  readonly remote: string;
  readonly transport: string;
  readonly username: string | null;
  /** The wrong password; undefined where nobody sees it. */
  readonly secret: Uint8Array | undefined;
}

export interface Ban {
  /** As `addressOf` gives it. */
  readonly address: string;
  /** Whether it holds over this transport alone; null for all that are not `coap`. */
  readonly transport: string | null;
  /** Null if it holds for everybody from there. */
  readonly username: string | null;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly until: number;
  readonly failures: number;
}

/** What comes of a failure. */
export interface LockoutOutcome {
  /** Milliseconds that the refusal has to wait. */
  readonly delay: number;
  /** Bans that begin with it. */
  readonly bans: readonly Ban[];
  /** Entries that were forgotten to make room. */
  readonly forgotten: number;
}

/** Failures of one user from one address that are answered at once. */
const FREE = 3;
/** Milliseconds before the next one is answered; each further one takes twice as long. */
const FIRST_DELAY = 1000;
/** The longest name that is kept as it stands. */
const LONGEST_NAME = 64;
/** Wrong passwords that are known again, at least. */
const LEAST_SECRETS = 8;
const NOTHING: LockoutOutcome = { delay: 0, bans: [], forgotten: 0 };

/** Failures of one address, user, or user of an address. */
interface Failures {
  /** When the window began, in milliseconds since the epoch. */
  since: number;
  /** All of them. */
  all: number;
  /** Those that count towards a ban. */
  counted: number;
  /** Of the wrong passwords, so that one that comes again is known; 32 bits each. */
  readonly secrets: number[];
}

/** Failures by what failed, in the order of their last one; bounded. */
class FailureTable {
  readonly #entries = new Map<string, Failures>();

  /** The failures of a key, which has just failed once more. */
  touch(key: string, now: number, window: number): Failures {
    let failures = this.#entries.get(key);
    if (failures !== undefined) this.#entries.delete(key);
    if (failures === undefined || now - failures.since >= window) {
      failures = { since: now, all: 0, counted: 0, secrets: [] };
    }
    this.#entries.set(key, failures);
    return failures;
  }

  /** Forgets those that have not failed for longest while there are too many; returns how many were forgotten. */
  trim(most: number): number {
    let forgotten = 0;
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= most) break;
      this.#entries.delete(key);
      forgotten++;
    }
    return forgotten;
  }

  forget(matches: (key: string) => boolean): void {
    for (const key of this.#entries.keys()) if (matches(key)) this.#entries.delete(key);
  }

  get size(): number {
    return this.#entries.size;
  }
}

export class Lockout {
  #options: LockoutOptions;
  #longestDelay: number;
  readonly #now: () => number;
  readonly #key = randomBytes(32);
  readonly #addresses = new FailureTable();
  readonly #users = new FailureTable();
  /** Of users of an address. */
  readonly #clients = new FailureTable();
  /** In the order in which they began, which is that in which they end. */
  readonly #bans = new Map<string, Ban>();

  /**
   * @param longestDelay milliseconds that a refusal waits at most
   * @param now milliseconds since the epoch
   */
  constructor(options: LockoutOptions, longestDelay: number, now: () => number) {
    this.#options = options;
    this.#longestDelay = longestDelay;
    this.#now = now;
  }

  /**
   * Other limits from here on. Bans there are last as long as a new one would, from when they began; failures count on.
   * @param longestDelay as for the constructor
   * @returns how many entries were forgotten because there may be fewer
   */
  replace(options: LockoutOptions, longestDelay: number): number {
    const { lockoutTime } = this.#options;
    this.#options = options;
    this.#longestDelay = longestDelay;
    if (options.lockoutTime !== lockoutTime) {
      for (const [key, ban] of this.#bans) {
        this.#bans.set(key, { ...ban, until: ban.since + options.lockoutTime * 1000 });
      }
    }
    this.expire();
    return this.#trim();
  }

  /** Forgets what is too much. */
  #trim(): number {
    const { lockoutEntries } = this.#options;
    const tables = [this.#clients, this.#addresses, this.#users];
    let forgotten = tables.reduce((sum, table) => sum + table.trim(lockoutEntries), 0);
    for (; this.#bans.size > lockoutEntries; forgotten++) this.#dropOldestBan();
    return forgotten;
  }

  /** Bans, also those whose time is over if `expire` was not called since. */
  get size(): number {
    return this.#bans.size;
  }

  /** Entries of failures. */
  get entries(): number {
    return this.#addresses.size + this.#users.size + this.#clients.size;
  }

  /** Whether everybody from an address is banned. Costs nothing while nobody is. */
  isBanned(remote: string, transport: string): boolean {
    if (this.#bans.size === 0) return false;
    const origin = this.#originOf(remote, transport);
    return origin !== null && this.#inForce(origin) !== null;
  }

  /** The ban that holds for a client, or null. */
  banOf(remote: string, transport: string, username: string | null): Ban | null {
    if (this.#bans.size === 0) return null;
    const origin = this.#originOf(remote, transport);
    if (origin === null) return null;
    return this.#inForce(origin) ?? this.#inForce(clientKey(origin, username));
  }

  #inForce(key: string): Ban | null {
    const ban = this.#bans.get(key);
    return ban !== undefined && this.#now() < ban.until ? ban : null;
  }

  /** A client has failed to prove who it is. Nothing comes of it if it is banned already. */
  failed({ remote, transport, username, secret }: FailedLogin): LockoutOutcome {
    const { lockoutFailures, lockoutAddressFailures } = this.#options;
    if (lockoutFailures === 0 && lockoutAddressFailures === 0) return NOTHING;
    const origin = this.#originOf(remote, transport);
    if (origin === null || this.banOf(remote, transport, username) !== null) return NOTHING;
    const now = this.#now();
    const window = this.#options.lockoutWindow * 1000;
    const client = this.#clients.touch(clientKey(origin, username), now, window);
    const address = this.#addresses.touch(origin, now, window);
    const user = this.#users.touch(nameKey(username), now, window);
    client.all++;
    if (this.#isNew(client, secret)) {
      client.counted++;
      address.counted++;
      user.counted++;
    }
    const notorious = lockoutFailures > 0 && user.counted - client.counted >= lockoutFailures;
    // Many names are guessed at from there: each of them alone would be answered at once.
    const crowd = lockoutAddressFailures > 0 ? address.counted - Math.ceil(lockoutAddressFailures / 2) + FREE : 0;
    const bans: Ban[] = [];
    if (lockoutFailures > 0 && client.counted >= lockoutFailures) {
      bans.push(this.#ban(clientKey(origin, username), remote, transport, username, client.counted));
      client.counted = 0;
    }
    if (lockoutAddressFailures > 0 && address.counted >= lockoutAddressFailures) {
      bans.push(this.#ban(origin, remote, transport, null, address.counted));
      address.counted = 0;
    }
    const forgotten = this.#trim();
    return { delay: notorious ? this.#longestDelay : this.#delay(Math.max(client.all, crowd)), bans, forgotten };
  }

  #dropOldestBan(): void {
    for (const key of this.#bans.keys()) {
      this.#bans.delete(key);
      return;
    }
  }

  #delay(failures: number): number {
    if (failures <= FREE) return 0;
    return Math.min(this.#longestDelay, FIRST_DELAY * 2 ** Math.min(failures - FREE - 1, 20));
  }

  /** Whether a wrong password has not come before; one that nobody sees is always new. */
  #isNew(client: Failures, secret: Uint8Array | undefined): boolean {
    if (secret === undefined) return true;
    const mark = createHmac('sha256', this.#key).update(secret).digest().readInt32BE(0);
    if (client.secrets.includes(mark)) return false;
    if (client.secrets.length >= Math.max(LEAST_SECRETS, this.#options.lockoutFailures)) client.secrets.shift();
    client.secrets.push(mark);
    return true;
  }

  #ban(key: string, remote: string, transport: string, username: string | null, failures: number): Ban {
    const since = this.#now();
    const ban: Ban = {
      address: addressOf(remote) ?? '',
      transport: isForgeable(transport) ? transport : null,
      username,
      since,
      until: since + this.#options.lockoutTime * 1000,
      failures,
    };
    this.#bans.delete(key);
    this.#bans.set(key, ban);
    return ban;
  }

  /** Forgets bans whose time is over. */
  expire(): void {
    const now = this.#now();
    for (const [key, ban] of this.#bans) {
      if (now < ban.until) break;
      this.#bans.delete(key);
    }
  }

  /** Bans in force, the oldest first. */
  list(): Ban[] {
    this.expire();
    return [...this.#bans.values()];
  }

  /**
   * Lifts bans, and forgets the failures that led to them.
   * @param address as `addressOf` gives it; null for any
   * @param username null for any
   * @returns how many bans there were
   */
  lift(address: string | null, username: string | null): number {
    this.expire();
    let lifted = 0;
    for (const [key, ban] of this.#bans) {
      if (address !== null && ban.address !== address) continue;
      if (username !== null && (ban.username === null || nameKey(ban.username) !== nameKey(username))) continue;
      this.#bans.delete(key);
      lifted++;
    }
    const ofAddress = (key: string): boolean => address === null || key.split(/[ \n]/)[0] === address;
    const name = username === null ? '' : nameKey(username);
    this.#clients.forget((key) => ofAddress(key) && (username === null || key.endsWith(`\n${name}`)));
    if (username === null) this.#addresses.forget(ofAddress);
    if (address === null) this.#users.forget((key) => username === null || key === name);
    return lifted;
  }

  /**
   * Whom failures are counted for; null for nobody. Whoever sends a datagram can write any address on it: what fails over plain
   * CoAP must not ban anybody elsewhere.
   */
  #originOf(remote: string, transport: string): string | null {
    const address = addressOf(remote);
    if (address === null || (!this.#options.lockoutLoopback && isLoopback(address))) return null;
    return isForgeable(transport) ? `${address} ${transport}` : address;
  }
}

/** Whether the address of a client may be anybody's: over TCP, TLS and DTLS it has answered. */
function isForgeable(transport: string): boolean {
  return transport === 'coap';
}

function clientKey(origin: string, username: string | null): string {
  return `${origin}\n${nameKey(username)}`;
}

/** A name, or what stands for a long one. No name that stands for itself begins like what stands for another. */
function nameKey(username: string | null): string {
  if (username === null) return '-';
  if (username.length <= LONGEST_NAME) return `=${username}`;
  return `#${createHash('sha256').update(username).digest('base64')}`;
}
