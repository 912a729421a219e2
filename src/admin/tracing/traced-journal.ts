/** A journal whose entries are told to traces, too: each of them, where the log has one line for many. */
import type { Journal, Party } from '../../session/journal.js';
import type { Tracing } from '../../session/tracing.js';
import type { Outage } from '../../store/commit.js';

export class TracedJournal implements Journal {
  readonly #journal: Journal;
  readonly #tracing: Tracing;

  constructor(journal: Journal, tracing: Tracing) {
    this.#journal = journal;
    this.#tracing = tracing;
  }

  connected(party: Party, kept: boolean, sessionPresent: boolean, keepalive: number): void {
    this.#journal.connected(party, kept, sessionPresent, keepalive);
    this.#tracing.tracer?.tell(party, 'connected', { kept, session_present: sessionPresent, keepalive });
  }

  disconnected(party: Party, reason: string): void {
    this.#journal.disconnected(party, reason);
    this.#tracing.tracer?.tell(party, 'disconnected', { reason });
  }

  refused(party: Party, reason: string): void {
    this.#journal.refused(party, reason);
    this.#tracing.tracer?.tell(party, 'refused', { reason });
  }

  loginFailed(party: Party, username: string | null, method: string): void {
    this.#journal.loginFailed(party, username, method);
    this.#tracing.tracer?.tell(party, 'login failed', { user: username, method });
  }

  denied(party: Party, action: string, topic: string, reason: string): void {
    this.#journal.denied(party, action, topic, reason);
    this.#tracing.tracer?.tell(party, 'denied', { action, topic, reason });
  }

  subscribed(party: Party, filter: string, qos: number): void {
    this.#journal.subscribed(party, filter, qos);
    this.#tracing.tracer?.tell(party, 'subscribed', { filter, qos });
  }

  unsubscribed(party: Party, filter: string): void {
    this.#journal.unsubscribed(party, filter);
    this.#tracing.tracer?.tell(party, 'unsubscribed', { filter });
  }

  limit(party: Party | null, option: string, detail: string): void {
    this.#journal.limit(party, option, detail);
    if (party !== null) this.#tracing.tracer?.tell(party, 'limit', { option, detail });
  }

  storeFailed(error: unknown): void {
    this.#journal.storeFailed(error);
  }

  internalFault(error: unknown, held: boolean): void {
    this.#journal.internalFault(error, held);
  }

  storeSilent(seconds: number): void {
    this.#journal.storeSilent(seconds);
  }

  storeRecovered(outage: Outage): void {
    this.#journal.storeRecovered(outage);
  }

  syncFailed(error: unknown): void {
    this.#journal.syncFailed(error);
  }

  syncRecovered(milliseconds: number): void {
    this.#journal.syncRecovered(milliseconds);
  }

  storeDamaged(sentence: string): void {
    this.#journal.storeDamaged(sentence);
  }

  storeTorn(sentence: string): void {
    this.#journal.storeTorn(sentence);
  }
}
