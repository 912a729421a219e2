/** All sessions of this broker: opening, expiry, and recovery from the store. */
import { ErrorKinds, PorticoError } from '../errors.js';
import {
  Family,
  familyRange,
  filterOf,
  flowKey,
  MAX_NUMBER,
  parseQueueKey,
  sessionKey,
  sessionOf,
  sessionRange,
  subscriptionKey,
  textOf,
} from '../store/keys.js';
import {
  decodeFlow,
  decodeSession,
  decodeSubscription,
  type FlowRecord,
  type SessionRecord,
} from '../store/records.js';
import type { Environment } from './environment.js';
import { inherit, passOn } from './inheritance.js';
import type { QueueExtent } from './link.js';
import { NEVER, Session } from './session.js';

/** Numbers up to here are believed: nobody opens so many sessions, and the next ones must have room. */
const FARTHEST = MAX_NUMBER / 2;
const NO_QUEUE: QueueExtent = { first: 0, end: 0, count: 0, bytes: 0, gone: 0, expiresAt: 0 };

/** Milliseconds until what an ended session leaves is looked for again in a store that was opened anew. */
const RETRY_DELAY = 1000;

export class SessionRegistry {
  #environment!: Environment;
  readonly #sessions = new Map<string, Session>();
  /** Numbers of sessions that ended before what they leave was passed on. */
  readonly #orphans: number[] = [];
  /** Numbers below have been used. */
  #nextNumber = 1;
  /** Sessions whose queue has messages to be taken out of the store. */
  readonly #sweepable = new Set<Session>();
  #sweeping = false;
  /** Values that could not be read, by what they were. */
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
    const { commit, store } = this.#environment;
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
    commit.whenSettled(() => {
      store.clear(sessionRange(Family.Queue, session.number)).catch((error: unknown) => {
        this.#environment.journal.storeFailed(error);
      });
    });
  }

  #inherit(number: number): void {
    const { hooks, journal, commit } = this.#environment;
    inherit(this.#environment, number).catch((error: unknown) => {
      // The next start goes on with it.
      if (hooks.closed) return;
      journal.storeFailed(error);
      // Unless the store was only opened anew: what has been passed on is no longer there once that is written.
      if (!isInterrupted(error)) return;
      setTimeout(() => commit.whenSettled(() => this.#inherit(number)), RETRY_DELAY).unref();
    });
  }

  /** Ends the sessions whose time is over. Call about once a second. */
  tick(now: number): void {
    for (const session of this.#sessions.values()) {
      if (session.outbound.needsSweep(now)) this.#sweepable.add(session);
      if (session.connection !== null) continue;
      if (session.expiryInterval === NEVER) continue;
      if (session.disconnectedAt + session.expiryInterval * 1000 > now) continue;
      this.#environment.counters.sessionsExpired++;
      this.end(session);
    }
    if (this.#sweepable.size > 0 && !this.#sweeping) void this.#sweep();
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

  /** Reads all sessions, subscriptions, flow states and the extent of the queues. */
  async recover(): Promise<void> {
    const { store } = this.#environment;
    const byNumber = new Map<number, { session: Session; record: SessionRecord }>();
    for await (const [key, value] of store.entries(familyRange(Family.Session), true)) {
      const record = this.#read(() => decodeSession(value));
      if (record === null) continue;
      const session = new Session(this.#environment, textOf(key), record.number, Math.max(1, record.expiryInterval));
      session.version = record.version;
      session.sharing = record.sharing;
      session.disconnectedAt = record.connected ? this.#environment.clock.now() : record.disconnectedAt;
      this.#sessions.set(session.id, session);
      byNumber.set(record.number, { session, record });
      this.#used(record.number);
    }
    for await (const [key, value] of store.entries(familyRange(Family.Subscription), true)) {
      const number = this.#read(() => sessionOf(key));
      if (number === null) continue;
      this.#used(number);
      const owner = byNumber.get(number);
      const record = owner && this.#read(() => decodeSubscription(value));
      if (owner && record) {
        owner.session.restoreSubscription({ ...record, subscriber: owner.session, filter: filterOf(key) });
      }
    }
    const flows = await this.#recoverFlows();
    const extents = await this.#recoverExtents(byNumber, flows);
    for (const [number, { session, record }] of byNumber) {
      const flow = flows.get(number) ?? null;
      session.outbound.restore(flow, extents.get(number) ?? NO_QUEUE, record.connected);
      if (record.connected) session.changed();
    }
    for (const number of this.#orphans.splice(0)) this.#inherit(number);
    for (const { session, record } of byNumber.values()) {
      // It was to end with its connection, which the broker's death has closed (MQTT 5.0 3.1.2.11.2).
      if (record.expiryInterval === 0) this.end(session);
    }
  }

  async #recoverFlows(): Promise<Map<number, FlowRecord>> {
    const flows = new Map<number, FlowRecord>();
    for await (const [key, value] of this.#environment.store.entries(familyRange(Family.Flow), true)) {
      const number = this.#read(() => sessionOf(key));
      if (number === null) continue;
      this.#used(number);
      const flow = this.#read(() => decodeFlow(value));
      if (flow !== null) flows.set(number, flow);
    }
    return flows;
  }

  async #recoverExtents(
    known: ReadonlyMap<number, unknown>,
    flows: ReadonlyMap<number, FlowRecord>,
  ): Promise<Map<number, QueueExtent>> {
    const { store } = this.#environment;
    const extents = new Map<number, QueueExtent>();
    const orphans = new Set<number>();
    for (const number of flows.keys()) if (!known.has(number)) orphans.add(number);
    for await (const key of store.keys(familyRange(Family.Queue), true)) {
      const segment = this.#read(() => parseQueueKey(key));
      if (segment === null) continue;
      this.#used(segment.session);
      if (!known.has(segment.session)) {
        orphans.add(segment.session);
        continue;
      }
      const extent = extents.get(segment.session);
      const { first, count, bytes, expiresAt } = segment;
      const flow = flows.get(segment.session);
      if (flow !== undefined && first >= flow.droppedStart && first + count <= flow.droppedEnd) {
        this.#environment.commit.add({ type: 'del', key });
        continue;
      }
      const sent = flow?.sent ?? 1;
      const gone = first - Math.min(first, Math.max(extent?.end ?? 1, sent));
      if (extent === undefined) {
        extents.set(segment.session, { first, end: first + count, count, bytes, gone, expiresAt });
      } else {
        extent.gone += gone;
        if (expiresAt > 0 && (extent.expiresAt === 0 || expiresAt < extent.expiresAt)) extent.expiresAt = expiresAt;
        extent.end = first + count;
        extent.count += count;
        extent.bytes += bytes;
      }
    }
    // What belongs to a session that could not be read is nobody's to delete.
    if (this.damaged > 0) return extents;
    for (const number of orphans) {
      // A session that leaves something to others leaves its flow state too.
      if (flows.has(number)) this.#orphans.push(number);
      else await store.clear(sessionRange(Family.Queue, number));
    }
    return extents;
  }

  /** A number that stands in the store is never given to another session, which would inherit what stands under it. */
  #used(number: number): void {
    if (number > FARTHEST) {
      this.damaged++;
      const error = new PorticoError(ErrorKinds.StoreValue, 'a stored session number is one that no session gets');
      this.#environment.journal.storeFailed(error);
      return;
    }
    if (number >= this.#nextNumber) this.#nextNumber = number + 1;
  }

  #read<T>(decode: () => T): T | null {
    try {
      return decode();
    } catch (error) {
      this.damaged++;
      this.#environment.journal.storeFailed(error);
      return null;
    }
  }
}

/** Whether the store was closed while it was being read, as it is before it is opened anew behind a failed write. */
function isInterrupted(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : '';
  return code === 'LEVEL_ITERATOR_NOT_OPEN' || code === 'LEVEL_DATABASE_NOT_OPEN';
}
