/**
 * What an admin wants to read: who came, who left and why, what was refused, which limit was reached. Sessions tell it
 * here; monitor/ turns it into log lines.
 */

import type { Party } from '../bus/party.js';
import type { Outage } from '../store/commit.js';

export type { Party } from '../bus/party.js';

export interface Journal {
  /** @param kept whether the session outlives the connection */
  connected(party: Party, kept: boolean, sessionPresent: boolean, keepalive: number): void;
  /** @param reason in words */
  disconnected(party: Party, reason: string): void;
  /** A connection was refused before it was one. */
  refused(party: Party, reason: string): void;
  /**
   * A client has not proved who it is.
   * @param username whom it claimed to be
   * @param method `password`, `jwt`, `http`, `psk`, `hook`, or the name of an authentication method
   */
  loginFailed(party: Party, username: string | null, method: string): void;
  /** @param action `publish`, `subscribe` */
  denied(party: Party, action: string, topic: string, reason: string): void;
  subscribed(party: Party, filter: string, qos: number): void;
  unsubscribed(party: Party, filter: string): void;
  /** @param option the configuration option that names the limit */
  limit(party: Party | null, option: string, detail: string): void;
  storeFailed(error: unknown): void;
  /** The broker itself is at fault. @param held whether nothing is written until it is over */
  internalFault(error: unknown, held: boolean): void;
  /** @param seconds for which the store has not answered */
  storeSilent(seconds: number): void;
  storeRecovered(outage: Outage): void;
  /** A timed sync (`store.sync: interval`) has failed, or works again after so many milliseconds. */
  syncFailed(error: unknown): void;
  syncRecovered(milliseconds: number): void;
  /** Something in the store was damaged. @param sentence what, what was lost, and where the damaged bytes are */
  storeDamaged(sentence: string): void;
  /** Something that a kill or a power cut leaves in a store, and that means no loss. */
  storeTorn(sentence: string): void;
}

/** A journal that nobody reads. */
export const SILENT: Journal = {
  connected() {},
  disconnected() {},
  refused() {},
  loginFailed() {},
  denied() {},
  subscribed() {},
  unsubscribed() {},
  limit() {},
  storeFailed() {},
  internalFault() {},
  storeSilent() {},
  storeRecovered() {},
  syncFailed() {},
  syncRecovered() {},
  storeDamaged() {},
  storeTorn() {},
};
