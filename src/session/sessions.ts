/** All sessions of this broker: opening, expiry and end. */
import { TextMap } from '../bus/text-map.js';
import type { Damage } from '../store/damage.js';
import { Family, flowKey, sessionKey, sessionOf, sessionRange, subscriptionKey, textOf } from '../store/keys.js';
import { RecordReader } from '../store/record-reader.js';
import type { Environment } from './environment.js';
import type { InProcessClient } from './in-process-client.js';
import { inherit, passOn } from './inheritance.js';
import { OneByOne } from './one-by-one.js';
import { Recovery, type SessionDamage } from './recovery.js';
import { NEVER, Session } from './session.js';

/** Milliseconds until what an ended session leaves is looked for again in a store that was opened anew. */
const RETRY_DELAY = 1000;
const FLOW_KEY_BYTES = flowKey(0).length;

export class SessionRegistry {
  #environment!: Environment;
  readonly #sessions = new TextMap<Session>();
  /** Numbers below have been used. */
  #nextNumber = 1;
  /** Sessions whose queue has messages to be taken out of the store. */
  readonly #sweepable = new Set<Session>();
  #sweeping = false;
  /** What ended sessions leave in the store. */
  readonly #leftovers = new OneByOne();
  readonly #damage: SessionDamage = { folder: null, clients: new Set(), flows: new Set(), subscriptions: false };
  /** Records that could not be read and are still in a store that sets nothing aside. */
  damaged = 0;

  /** Binds the registry to its broker; before any other call. */
  bind(environment: Environment): void {
    this.#environment = environment;
  }

  get(clientId: string): Session | undefined {
    return this.#sessions.get(clientId);
  }

  /** Number of sessions that have a connection. */
  connected = 0;

  /** Clients inside the process that are connected, by their `key`. Nothing of them outlives that. */
  readonly inProcess = new Map<string, InProcessClient>();

  /** Clients inside the process that are there without a connection: anonymous CoAP devices. */
  readonly strangers = new Set<InProcessClient>();

  /** Number of clients inside the process that are there, connected or not. */
  get present(): number {
    return this.inProcess.size + this.strangers.size;
  }

  /** Number of sessions. */
  get size(): number {
    return this.#sessions.size;
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  /**
   * Opens the session for a CONNECT.
   * @param clean whether a former session is discarded [MQTT-3.1.2-4]
   * @param expiryInterval seconds; 0 ends the session with its connection
   */
  open(clientId: string, clean: boolean, expiryInterval: number): { session: Session; present: boolean } {
    const former = this.#sessions.get(clientId);
    if (former !== undefined) {
      // Without an interval a durable session stays in the store until this connection ends: only its end is nearer.
      if (!clean && former.durable) {
        former.expiryInterval = expiryInterval;
        return { session: former, present: true };
      }
      this.end(former);
    }
    const session = new Session(this.#environment, clientId, this.#nextNumber++, expiryInterval);
    this.#sessions.set(clientId, session);
    return { session, present: false };
  }

  /** Ends a session for good. */
  end(session: Session): void {
    const filters = [...session.subscriptions.keys()];
    const inherited = session.durable && session.sharing;
    const left = [...session.outbound.unacknowledgedShared()];
    if (inherited) session.leaveBus();
    else session.end();
    passOn(this.#environment, left);
    if (this.#sessions.get(session.id) === session) this.#sessions.delete(session.id);
    this.#environment.wills.sessionEnded(session.id);
    if (!session.durable) return;
    const { commit } = this.#environment;
    commit.add({ type: 'del', key: sessionKey(session.id) });
    if (!inherited) commit.add({ type: 'del', key: flowKey(session.number) });
    for (const filter of filters) commit.add({ type: 'del', key: subscriptionKey(session.number, filter) });
    if (inherited) {
      commit.whenSettled(() => {
        session.end();
        this.#inherit(session.number);
      });
      return;
    }
    // The queue is orphaned once the session is gone, so it may go after it, and not in one piece.
    commit.whenSettled(() => this.#leftovers.add(() => this.#clear(session.number)));
  }

  async #clear(number: number): Promise<void> {
    const { hooks, journal, store } = this.#environment;
    // The next start does it.
    if (hooks.closed) return;
    try {
      await store.clear(sessionRange(Family.Queue, number));
    } catch (error) {
      journal.storeFailed(error);
    }
  }

  #inherit(number: number): void {
    this.#leftovers.add(() => this.#passOn(number));
  }

  async #passOn(number: number): Promise<void> {
    const { hooks, journal, commit } = this.#environment;
    try {
      await inherit(this.#environment, number);
    } catch (error) {
      // The next start goes on with it.
      if (hooks.closed) return;
      journal.storeFailed(error);
      // Unless the store was only opened anew: what has been passed on is no longer there once that is written.
      if (!isInterrupted(error)) return;
      setTimeout(() => commit.whenSettled(() => this.#inherit(number)), RETRY_DELAY).unref();
    }
  }

  /** Ends the sessions whose time is over. Call about once a second. */
  tick(now: number): void {
    for (const session of this.#sessions.values()) {
      if (session.outbound.needsSweep(now)) this.#sweepable.add(session);
      if (session.connection !== null || session.keeper !== null) continue;
      if (session.expiryInterval === NEVER) continue;
      if (session.disconnectedAt + session.expiryInterval * 1000 > now) continue;
      this.#expired(session);
      this.end(session);
    }
    if (this.#sweepable.size > 0 && !this.#sweeping) void this.#sweep();
  }

  /** The log names the option that has given a session its time, unless its client has chosen it. */
  #expired({ id, version, expiryInterval, outbound }: Session): void {
    const { counters, journal, options } = this.#environment;
    counters.sessionsExpired++;
    const byDefault = version !== 5 && options.sessionExpiryDefault < options.sessionExpiryMax;
    if (expiryInterval !== (byDefault ? options.sessionExpiryDefault : options.sessionExpiryMax)) return;
    const option = byDefault ? 'mqtt.session_expiry_default' : 'mqtt.session_expiry_max';
    const what = `${outbound.waiting} messages that waited`;
    journal.limit(null, option, `the session of ${id} has ended after ${expiryInterval} s, and with it ${what}`);
  }

  /** Takes expired and dropped messages out of the queues in the store, one after the other. */
  async #sweep(): Promise<void> {
    this.#sweeping = true;
    for (const session of this.#sweepable) {
      this.#sweepable.delete(session);
      try {
        await session.outbound.sweep(this.#environment.clock.now());
      } catch (error) {
        this.#environment.journal.storeFailed(error);
      }
    }
    this.#sweeping = false;
  }

  /** Reads what a start needs of the store; records that do not decode are set aside. */
  reader(): RecordReader {
    const { store, journal } = this.#environment;
    return new RecordReader(store, (error) => {
      this.damaged++;
      journal.storeFailed(error);
    });
  }

  /** The store has met damage, which the next `recover` takes into account. */
  damagedBy(damage: Damage): void {
    if (damage.kind === 'files') this.#damage.folder = damage.folder;
    if (damage.kind !== 'record') return;
    const [family] = damage.key;
    if (family === Family.Session) this.#damage.clients.add(textOf(damage.key));
    // A key that is cut short is nobody's.
    else if (family === Family.Flow && damage.key.length === FLOW_KEY_BYTES) {
      this.#damage.flows.add(sessionOf(damage.key));
    } else if (family === Family.Subscription) this.#damage.subscriptions = true;
  }

  /** Whether the store had subscriptions that could not be read: a shared one may be without members for that. */
  get hasLostSubscriptions(): boolean {
    return this.#damage.subscriptions;
  }

  /** The client identifier of a session number; for messages to people. */
  clientOf(number: number): string | undefined {
    for (const session of this.#sessions.values()) if (session.number === number) return session.id;
    return undefined;
  }

  /** Takes back all sessions, subscriptions, flow states and queues from the store. */
  async recover(): Promise<void> {
    const known = (session: Session): void => {
      this.#sessions.set(session.id, session);
    };
    const recovery = new Recovery(this.#environment, this.reader(), this.#damage, this.#nextNumber, known);
    const { sessions, orphans, nextNumber } = await recovery.run();
    this.#nextNumber = nextNumber;
    for (const number of orphans) this.#inherit(number);
    for (const { session, record } of sessions) {
      // It was to end with its connection, which the broker's death has closed (MQTT 5.0 3.1.2.11.2).
      if (record.expiryInterval === 0) this.end(session);
    }
  }
}

/** Whether the store was closed while it was being read, as it is before it is opened anew behind a failed write. */
function isInterrupted(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : '';
  return code === 'LEVEL_ITERATOR_NOT_OPEN' || code === 'LEVEL_DATABASE_NOT_OPEN';
}
