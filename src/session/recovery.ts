/** What a start makes of the sessions in the store, also of what is left of a damaged one. */
import { isShared } from '../bus/topics.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import { messagesOf } from '../store/describe.js';
import {
  Family,
  familyRange,
  filterOf,
  MAX_NUMBER,
  parseQueueKey,
  type SegmentKey,
  sessionOf,
  sessionRange,
  textOf,
} from '../store/keys.js';
import type { RecordReader } from '../store/record-reader.js';
import {
  decodeFlow,
  decodeSession,
  decodeSubscription,
  type FlowRecord,
  type SessionRecord,
  type SubscriptionRecord,
} from '../store/records.js';
import type { Unreadable } from '../store/store.js';
import type { Environment } from './environment.js';
import type { QueueExtent } from './link.js';
import { Session } from './session.js';

const NO_QUEUE: QueueExtent = { first: 0, end: 0, count: 0, bytes: 0, gone: 0, expiresAt: 0 };

/** Bytes of orphaned records that are set aside at a time. */
const ASIDE_BYTES = 1024 * 1024;

/** Families of records under the number of a session. */
const OWNED = [Family.Subscription, Family.Flow, Family.Queue];

/** Numbers up to here are believed: nobody opens so many sessions, and the next ones must have room. */
const FARTHEST = MAX_NUMBER / 2;

/** What the store has told of its damage, as far as sessions are concerned. */
export interface SessionDamage {
  /** Where damaged files are, if there were any: anything may be older than it was. */
  folder: string | null;
  /** Client identifiers of sessions whose record could not be read. */
  readonly clients: Set<string>;
  /** Numbers of sessions whose flow state could not be read. */
  readonly flows: Set<number>;
  /** Whether there is a subscription that could not be read. */
  subscriptions: boolean;
}

export interface Recovered {
  readonly sessions: readonly { readonly session: Session; readonly record: SessionRecord }[];
  /** Numbers of sessions that ended before what they leave to shared subscriptions was passed on. */
  readonly orphans: readonly number[];
  /** Numbers below stand in the store, or stood there. */
  readonly nextNumber: number;
}

interface Owned {
  readonly session: Session;
  readonly record: SessionRecord;
}

/** One pass over the records of sessions. */
export class Recovery {
  readonly #environment: Environment;
  readonly #reader: RecordReader;
  readonly #damage: SessionDamage;
  readonly #owners = new Map<number, Owned>();
  /** Subscriptions whose session has no record, by its number. */
  readonly #ownerless = new Map<number, [string, SubscriptionRecord][]>();
  readonly #known: (session: Session) => void;
  #nextNumber: number;
  /** A record could not be read and is still in the store, which sets nothing aside. */
  #unread = false;

  /**
   * @param nextNumber first number that has not been used in this run
   * @param known told of each session as soon as it is there
   */
  constructor(
    environment: Environment,
    reader: RecordReader,
    damage: SessionDamage,
    nextNumber: number,
    known: (session: Session) => void,
  ) {
    this.#environment = environment;
    this.#reader = reader;
    this.#damage = damage;
    this.#nextNumber = nextNumber;
    this.#known = known;
  }

  /** Reads all sessions, subscriptions, flow states and the extent of the queues. */
  async run(): Promise<Recovered> {
    await this.#readSessions();
    await this.#readSubscriptions();
    this.#rebuildSession();
    const flows = await this.#readFlows();
    const { extents, orphans } = await this.#readExtents(flows);
    for (const [number, { session, record }] of this.#owners) {
      const extent = extents.get(number) ?? NO_QUEUE;
      const flow = flows.get(number) ?? null;
      // Without a flow state, and with one that may be older than it was, whatever is queued may have been sent.
      const doubtful = record.connected || this.#damage.folder !== null || flow === null;
      session.outbound.restore(flow ?? unknownFlow(extent), extent, doubtful);
      if (doubtful) session.changed();
    }
    return {
      sessions: [...this.#owners.values()],
      orphans: await this.#clearOrphans(orphans, flows),
      nextNumber: this.#nextNumber,
    };
  }

  async #readSessions(): Promise<void> {
    const { store } = this.#environment;
    for await (const [key, value] of store.entries(familyRange(Family.Session), true)) {
      const record = this.#reader.read(key, value, sessionIn);
      if (record !== null) this.#own(textOf(key), record);
      else this.#unread = store.setAside === undefined;
    }
    await this.#reader.finish();
  }

  #own(clientId: string, record: SessionRecord): void {
    const session = new Session(this.#environment, clientId, record.number, Math.max(1, record.expiryInterval));
    session.version = record.version;
    session.sharing = record.sharing;
    session.disconnectedAt = record.connected ? this.#environment.clock.now() : record.disconnectedAt;
    this.#owners.set(record.number, { session, record });
    this.#known(session);
    this.#used(record.number);
  }

  async #readSubscriptions(): Promise<void> {
    const { store } = this.#environment;
    for await (const [key, value] of store.entries(familyRange(Family.Subscription), true)) {
      const number = this.#reader.read(key, value, () => numberOf(key));
      if (number === null) continue;
      this.#used(number);
      const record = this.#reader.read(key, value, decodeSubscription);
      if (record === null) continue;
      const owner = this.#owners.get(number);
      if (owner !== undefined) this.#subscribe(owner.session, filterOf(key), record);
      else {
        const known = this.#ownerless.get(number);
        if (known === undefined) this.#ownerless.set(number, [[filterOf(key), record]]);
        else known.push([filterOf(key), record]);
      }
    }
    await this.#reader.finish();
  }

  #subscribe(session: Session, filter: string, record: SubscriptionRecord): void {
    // Spelled out: a copy of the record by `...` takes ten times as long.
    session.restoreSubscription({
      subscriber: session,
      filter,
      qos: record.qos,
      noLocal: record.noLocal,
      retainAsPublished: record.retainAsPublished,
      retainHandling: record.retainHandling,
      identifier: record.identifier,
    });
  }

  /**
   * A session ends together with its subscriptions. So if one record of a session could not be read, and the
   * subscriptions of one session have none, they belong together: the session goes on, with what it cannot know at its
   * most lasting.
   */
  #rebuildSession(): void {
    const { clients, folder } = this.#damage;
    if (folder !== null || clients.size !== 1 || this.#ownerless.size !== 1) return;
    const [clientId] = clients;
    const [[number, subscriptions]] = this.#ownerless;
    this.#own(clientId, {
      number,
      expiryInterval: this.#environment.options.sessionExpiryMax,
      connected: true,
      disconnectedAt: 0,
      version: 5,
      sharing: subscriptions.some(([filter]) => isShared(filter)),
    });
    this.#ownerless.clear();
    const { session } = this.#owners.get(number) as Owned;
    for (const [filter, record] of subscriptions) this.#subscribe(session, filter, record);
    clients.clear();
  }

  async #readFlows(): Promise<Map<number, FlowRecord>> {
    const flows = new Map<number, FlowRecord>();
    for await (const [key, value] of this.#environment.store.entries(familyRange(Family.Flow), true)) {
      const number = this.#reader.read(key, value, () => numberOf(key));
      if (number === null) continue;
      this.#used(number);
      const flow = this.#reader.read(key, value, decodeFlow);
      if (flow !== null) flows.set(number, flow);
    }
    await this.#reader.finish();
    return flows;
  }

  async #readExtents(
    flows: ReadonlyMap<number, FlowRecord>,
  ): Promise<{ extents: Map<number, QueueExtent>; orphans: Set<number> }> {
    const extents = new Map<number, QueueExtent>();
    const orphans = new Set(this.#ownerless.keys());
    for (const number of flows.keys()) if (!this.#owners.has(number)) orphans.add(number);
    for await (const key of this.#environment.store.keys(familyRange(Family.Queue), true)) {
      const segment = segmentOf(key);
      if (segment === null) {
        await this.#readWhole(key, () => numberOf(key) && parseQueueKey(key));
        continue;
      }
      this.#used(segment.session);
      if (!this.#owners.has(segment.session)) {
        orphans.add(segment.session);
        continue;
      }
      const extent = extents.get(segment.session);
      const { first, count, bytes, expiresAt } = segment;
      const flow = flows.get(segment.session);
      if (flow !== undefined && isOver(flow, first, first + count)) {
        this.#environment.commit.add({ type: 'del', key });
        continue;
      }
      if (extent !== undefined && first < extent.end) {
        // A sweep has put others in its place, and the record of that was lost.
        await this.#readWhole(key, () => {
          throw new PorticoError(ErrorKinds.StoreValue, 'some of its messages stand in another segment too');
        });
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
    await this.#reader.finish();
    return { extents, orphans };
  }

  /** Reads a record of which only the key is known: whoever reads what is set aside wants its value. */
  async #readWhole(key: Buffer, decode: () => unknown): Promise<void> {
    const value = await this.#environment.store.get(key);
    if (value !== undefined) this.#reader.read(key, value, decode);
  }

  /**
   * Takes what belongs to no session out of the store; what a damaged session has left is kept aside.
   * @returns the numbers of those that leave something to others
   */
  async #clearOrphans(orphans: ReadonlySet<number>, flows: ReadonlyMap<number, FlowRecord>): Promise<number[]> {
    const { store } = this.#environment;
    const leaving: number[] = [];
    // What belongs to a session that could not be read is nobody's to delete.
    if (this.#unread) return leaving;
    const { folder } = this.#damage;
    if (folder !== null && orphans.size > 0) await this.#tellOrphans(orphans, folder);
    for (const number of orphans) {
      if (this.#ownerless.has(number)) await (folder === null ? this.#setAside(number) : this.#clear(number));
      // A session that leaves something to others leaves its flow state too.
      else if (flows.has(number) || this.#damage.flows.has(number)) leaving.push(number);
      else await store.clear(sessionRange(Family.Queue, number));
    }
    return leaving;
  }

  /** Says what is left of sessions that nobody knows; the damaged files that were moved away have it all. */
  async #tellOrphans(orphans: ReadonlySet<number>, folder: string): Promise<void> {
    const { store } = this.#environment;
    const left = new Map<number, number>();
    let messages = 0;
    for (const number of orphans) {
      for (const family of OWNED) {
        for await (const key of store.keys(sessionRange(family, number))) {
          left.set(family, (left.get(family) ?? 0) + 1);
          if (family === Family.Queue) messages += messagesOf(key);
        }
      }
    }
    store.onDamage?.({ kind: 'orphans', sessions: [...orphans], left, messages, folder });
  }

  async #clear(number: number): Promise<void> {
    for (const family of OWNED) await this.#environment.store.clear(sessionRange(family, number));
  }

  async #setAside(number: number): Promise<void> {
    const { store } = this.#environment;
    const why = 'the record of its session could not be read';
    for (const family of OWNED) {
      let records: Unreadable[] = [];
      let bytes = 0;
      for await (const [key, value] of store.entries(sessionRange(family, number))) {
        records.push({ key, value, why });
        bytes += value.length;
        if (bytes < ASIDE_BYTES) continue;
        await store.setAside?.(records);
        records = [];
        bytes = 0;
      }
      await store.setAside?.(records);
    }
  }

  /** A number that stands in the store is never given to another session, which would inherit what stands under it. */
  #used(number: number): void {
    if (number >= this.#nextNumber && number <= FARTHEST) this.#nextNumber = number + 1;
  }
}

/** Whether all messages of a segment are done. */
function isOver(flow: FlowRecord, first: number, end: number): boolean {
  return end <= flow.base || (first >= flow.droppedStart && end <= flow.droppedEnd);
}

/** What is left of a queue whose flow state is gone: all of it is to be sent, perhaps again. */
function unknownFlow({ first, end }: QueueExtent): FlowRecord | null {
  if (end === 0) return null;
  const dropped = { droppedStart: 0, droppedEnd: 0, assumedGone: 0 };
  return { base: first, sent: first, tail: end, reserved: end, ...dropped, exceptions: [], inbound: [] };
}

/** @throws PorticoError `PORTICO_STORE_VALUE` if no session has such a number */
function numberOf(key: Buffer): number {
  return believed(sessionOf(key));
}

/** @throws PorticoError `PORTICO_STORE_VALUE` as `decodeSession`, and if no session has its number */
function sessionIn(value: Buffer): SessionRecord {
  const record = decodeSession(value);
  believed(record.number);
  return record;
}

function believed(number: number): number {
  if (number <= FARTHEST) return number;
  throw new PorticoError(ErrorKinds.StoreValue, 'a stored session number is one that no session gets');
}

/** What a Queue key says, or null if it is not one. */
function segmentOf(key: Buffer): SegmentKey | null {
  try {
    numberOf(key);
    return parseQueueKey(key);
  } catch {
    return null;
  }
}
