/** What becomes of a client that cannot prove who it is, and of one that has been banned for that. */
import { shownAddress } from '../access/address.js';
import type { Ban } from '../access/lockout.js';
import { ReasonCode } from '../wire/reason-codes.js';
import type { Refusal } from './authentication.js';
import type { Environment, SessionOptions } from './environment.js';
import type { Party } from './journal.js';

/** Who failed, at what. */
export interface LoginFailure {
  /** Whom the client claimed to be; null if it did not say. */
  readonly username: string | null;
  /** `password`, `jwt`, `http`, `psk`, `hook`, or the name of an authentication method: for the log. */
  readonly method: string;
  /** The wrong password; left out where nobody sees it. Nothing of it is kept that could be read. */
  readonly secret?: Uint8Array | undefined;
}

/**
 * Counts and logs a client that has not proved who it is. Every way of proving it calls this: passwords, SCRAM and other
 * methods, pre-shared keys.
 * @returns milliseconds that the refusal has to wait; `Environment.refusals` waits
 */
export function loginFailed(environment: Environment, client: Party, failure: LoginFailure): number {
  const { lockout, counters, journal } = environment;
  const { username, method, secret } = failure;
  counters.failedLogins++;
  journal.loginFailed(client, username, method);
  const { remote, transport } = client;
  const { delay, bans, forgotten } = lockout.failed({ remote, transport, username, secret });
  if (delay > 0) counters.delayedRefusals++;
  for (const ban of bans) tellBan(environment, client, ban);
  tellForgotten(environment, forgotten);
  return delay;
}

function tellForgotten({ counters, journal }: Environment, forgotten: number): void {
  if (forgotten === 0) return;
  counters.forgottenFailures += forgotten;
  journal.limit(null, 'limits.lockout_entries', 'failed logins, or bans, of the one longest ago were forgotten');
}

/** Milliseconds that a refusal waits at most: it must come before the connection is closed for having none. */
export function longestRefusal({ connectTimeout }: Pick<SessionOptions, 'connectTimeout'>): number {
  return (connectTimeout * 1000) / 2;
}

/** Puts the limits of failed logins that are in force now in the place of those there were. */
export function replaceLockout(environment: Environment): void {
  const { lockout, options, counters } = environment;
  tellForgotten(environment, lockout.replace(options, longestRefusal(options)));
  counters.bans = lockout.size;
}

function tellBan({ lockout, counters, journal, options }: Environment, client: Party, ban: Ban): void {
  counters.bansImposed++;
  counters.bans = lockout.size;
  const address = `${shownAddress(ban.address)}${ban.transport === null ? '' : ` over ${ban.transport}`}`;
  const who = ban.username === null ? address : `user ${JSON.stringify(ban.username)} from ${address}`;
  const option = ban.username === null ? 'access.lockout_address_failures' : 'access.lockout_failures';
  journal.limit(client, option, `${who} is banned for ${options.lockoutTime} s: ${ban.failures} failed logins`);
}

/** The refusal of a client that is banned, counted and logged; null if it is not. */
export function banned(environment: Environment, client: Party, username: string | null): Refusal | null {
  const { lockout, counters, journal } = environment;
  const ban = lockout.banOf(client.remote, client.transport, username);
  if (ban === null) return null;
  counters.refusedBanned++;
  const option = ban.username === null ? 'access.lockout_address_failures' : 'access.lockout_failures';
  const reason = `banned for failed logins (${option})`;
  journal.limit(client, option, 'a connection was refused: it is banned');
  return { reasonCode: ReasonCode.Banned, reason, told: 'banned for failed logins' };
}

/** Forgets bans whose time is over. Call about once a second. */
export function expireBans({ lockout, counters }: Environment): void {
  if (lockout.size > 0) lockout.expire();
  counters.bans = lockout.size;
}
