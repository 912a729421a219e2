/**
 * What a session still owes its client: QoS 1 and 2 messages in order, with the state of each delivery.
 *
 * Every message gets a sequence number when it is queued, and its packet identifier follows from it. So the identifier
 * needs no storage of its own, and after a crash a message is sent again under the identifier that it had before
 * [MQTT-4.4.0-1], which QoS 2 depends on.
 *
 * Invariants: `base <= next <= sent <= tail`. All below `base` are done. Those in `[base, sent)` have been sent on this
 * connection or an earlier one and have a state, or have been dropped. `[next, sent)` awaits being sent again.
 * `[sent, tail)` waits. `inFlight` counts those in `[base, next)` that are not done; it never exceeds the window.
 */
import { Holding } from '../bus/memory-budget.js';
import type { Message } from '../bus/message.js';
import type { Publication } from '../bus/publication.js';
import { flowKey } from '../store/keys.js';
import { encodeFlow, type FlowRecord } from '../store/records.js';
import type { Operation } from '../store/store.js';
import { Delivery, DeliveryStates } from './delivery-states.js';
import type { SharedMessage } from './inheritance.js';
import type { Link, OutboundHost, QueueExtent } from './link.js';
import { QueueCursor } from './queue-cursor.js';
import type { RecordView } from './queue-record.js';
import { QueueExpiry, type SweepHost, sweepDropped } from './queue-sweep.js';
import { SegmentQueue } from './segment-queue.js';
import { SequenceRange } from './sequence-range.js';

/** Packet identifiers are 1 to 65,535 [MQTT-2.2.1-4]. */
const PACKET_IDS = 65535;
/**
 * Numbers that a session may use before its flow record is written again. After a crash the session goes on behind them:
 * a client may still acknowledge a message that was sent and then lost with its record, and that acknowledgement must not
 * meet a new message under the same identifier.
 */
const RESERVED = 16384;

/** Bytes that a segment takes up besides its records: its buffer is at least as large. */
const SEGMENT_COST = 4096;

/** Milliseconds until a queue that the store did not give is asked for again. */
const RETRY_DELAY = 250;

/** Dropped messages that the store may still have before they are taken out of it. */
const MOST_DROPPED_IN_STORE = 1024;

export class Outbound {
  readonly #host: OutboundHost;
  readonly #queue: SegmentQueue;
  /** Made when the first message is read back from the queue. */
  #cursor: QueueCursor | null = null;
  /** What the queue holds in memory. */
  readonly #holding: Holding;
  #base = 1;
  #next = 1;
  #sent = 1;
  #tail = 1;
  /** Over `[base, sent)`. */
  readonly #states = new DeliveryStates();
  #inFlight = 0;
  /** Messages in `[next, sent)` that are not done. */
  #again = 0;
  #waitingBytes = 0;
  /** Sent before a restart, perhaps: DUP is set below it. */
  #dupBelow = 0;
  /** Sent before a restart, for certain. */
  #sentBefore = 0;
  /** Numbers below are reserved by a flow record that is durable; and by the one that is being written. */
  #reserved = 1;
  #reserving = 1;
  /** Numbers skipped by a restart: there are no such messages. */
  readonly #gap = new SequenceRange();
  /** Messages that were passed over: they were dropped for newer ones, or are not there. `end <= sent`. */
  readonly #dropped = new SequenceRange();
  /** Dropped messages that the store still has, about. */
  #droppedInStore = 0;
  #flowChanged = true;
  #releasing: number[] = [];
  #collected: number[] = [];
  /** Packet identifiers of inbound QoS 2 publications that await PUBREL; kept here because they share the record. */
  readonly inbound = new Set<number>();
  /** QoS 1 messages of shared subscriptions that are sent, by sequence number, of a session without store. */
  #shared: Map<number, SharedMessage> | null = null;
  /** The connection that takes deliveries now. */
  link: Link | null = null;
  /** Messages that have not been sent and never will be: they expired while their client was away. */
  #gone = 0;
  /** Of those that were dropped: how many were taken for such that had expired. */
  #assumedGone = 0;
  readonly #expiry = new QueueExpiry();

  constructor(host: OutboundHost) {
    this.#host = host;
    this.#holding = new Holding(host.budget);
    this.#queue = new SegmentQueue(
      host.number,
      host.store,
      this.#holding,
      host.limits.memory,
      (sequence) => this.#isDone(sequence),
      (error, key, value) => host.onDamage(error, key, value),
    );
  }

  /** Messages that have not been sent yet, or not on this connection. */
  get waiting(): number {
    return this.#again + this.#unsent;
  }

  /** Messages that have not been sent yet, on no connection: those that the limits count. */
  get #unsent(): number {
    return this.#tail - this.#sent - this.#gap.countFrom(this.#sent) - this.#gone;
  }

  /** Messages that are sent or being sent and not acknowledged. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether a message that can wait elsewhere may join: it would be among the next to be sent, and within all limits. */
  get hasPlace(): boolean {
    const { waiting } = this;
    if (this.link === null || this.#inFlight + waiting >= this.link.window) return false;
    const { limits } = this.#host;
    return waiting === 0 || (waiting < limits.messages && this.#waitingBytes < limits.bytes);
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Whether the next message would be dropped. */
  get isFull(): boolean {
    return this.#limitReached() !== null && (this.link === null || !this.#mayGoLive(this.link));
  }

  /** Takes back what the store holds of this session. */
  restore(flow: FlowRecord | null, extent: QueueExtent, online: boolean): void {
    const { first, count, end, bytes } = extent;
    this.#assumedGone = Math.min(flow?.assumedGone ?? 0, extent.gone);
    this.#gone = extent.gone - this.#assumedGone;
    this.#expiry.expect(extent.expiresAt);
    this.#base = flow?.base ?? 1;
    this.#dropped.set(flow?.droppedStart ?? 0, flow?.droppedEnd ?? 0);
    const gapStart = Math.max(this.#base, end, this.#dropped.end);
    this.#gap.set(gapStart, Math.max(gapStart, (online ? flow?.reserved : flow?.tail) ?? 1));
    this.#tail = this.#gap.end;
    this.#sent = this.#base;
    if (this.#dropped.end > this.#base) this.#sendingBegunBelow(this.#dropped.end);
    for (const { sequence, state } of flow?.exceptions ?? []) {
      this.#sendingBegunBelow(sequence + 1);
      // What was about to be released was recorded as released: PUBREL is what it awaits.
      this.#setState(sequence, state === Delivery.Releasing ? Delivery.AwaitsPubcomp : state);
    }
    this.#sendingBegunBelow(Math.min(flow?.sent ?? 1, gapStart));
    this.#advance();
    this.#next = this.#base;
    for (let sequence = this.#base; sequence < this.#sent; sequence++) if (!this.#isDone(sequence)) this.#again++;
    this.#sentBefore = flow?.sent ?? 1;
    this.#dupBelow = online ? this.#gap.start : this.#sentBefore;
    for (const packetId of flow?.inbound ?? []) this.inbound.add(packetId);
    this.#queue.restore(first, count);
    this.#waitingBytes = bytes;
  }

  /** Takes back that the messages below a number, which have no state yet, await PUBACK unless they were dropped. */
  #sendingBegunBelow(end: number): void {
    while (this.#sent < end) {
      if (this.#dropped.holds(this.#sent)) this.#sent = this.#dropped.end;
      else this.#setState(this.#sent++, Delivery.AwaitsPuback);
    }
  }

  /**
   * A message for this client, QoS 1 or 2: sent now if nothing stands before it, queued if not.
   * @param share the shared subscription that it comes by, empty for none
   */
  deliver(
    publication: Publication,
    qos: 1 | 2,
    retain: boolean,
    identifiers: readonly number[] | null,
    share: string,
  ): void {
    const link = this.link;
    const live = link !== null && this.#mayGoLive(link);
    if (this.#host.store === null) {
      if (link === null || !this.#hasRoom(publication.payloadEnd - publication.payloadStart, live)) return;
      if (live) {
        const sequence = this.#tail++;
        if (share !== '' && qos === 1) this.#keepShared(sequence, share, { ...publication.message(), qos });
        this.#sendLive(link, publication, sequence, qos, retain, identifiers);
        return;
      }
      const deadline = this.#deadline();
      this.#waitingBytes += this.#queue.append(this.#tail++, publication, qos, retain, identifiers, share, deadline);
      return;
    }
    if (!live && !this.#hasRoom()) return;
    const deadline = this.#deadline();
    this.#expiry.expect(publication.expiresAt);
    this.#expiry.expect(deadline);
    const sequence = this.#tail++;
    const opens = this.#queue.isBetween;
    const bytes = this.#queue.append(sequence, publication, qos, retain, identifiers, share, deadline);
    this.#host.enlist(opens ? SEGMENT_COST + bytes : bytes);
    // A QoS 2 message leaves after the commit: what has once been on the wire must be sent again under its identifier.
    if (live && qos === 1) this.#sendLive(link, publication, sequence, qos, retain, identifiers);
    else this.#waitingBytes += bytes;
    // Half of the reservation is used up: the next flow record extends it.
    if (this.#reserved - sequence < RESERVED / 2) this.#flowChanged = true;
  }

  /** A message that is sent is another's if it stays unacknowledged; not at QoS 2 [MQTT-4.8.2-5]. */
  #keepShared(sequence: number, share: string, message: Message): void {
    this.#shared ??= new Map();
    this.#shared.set(sequence, { share, message });
  }

  /**
   * The messages of shared subscriptions that are not acknowledged and that another client may get, of a session without
   * store; for another, the store has them.
   */
  *unacknowledgedShared(): Iterable<SharedMessage> {
    if (this.#host.store !== null) return;
    yield* this.#shared?.values() ?? [];
    for (const record of this.#queue.records(this.#next)) {
      if (record.share.length > 0) yield { share: record.share.utf8Slice(), message: record.message() };
    }
  }

  #mayGoLive(link: Link): boolean {
    return (
      this.#next === this.#tail &&
      (this.#host.store === null || this.#tail < this.#reserved) &&
      this.#inFlight < link.window &&
      this.#next - this.#base < PACKET_IDS &&
      !link.congested
    );
  }

  #sendLive(
    link: Link,
    publication: Publication,
    sequence: number,
    qos: 1 | 2,
    retain: boolean,
    identifiers: readonly number[] | null,
  ): void {
    this.#setState(sequence, qos === 2 ? Delivery.AwaitsPubrec : Delivery.AwaitsPuback);
    this.#sent = sequence + 1;
    this.#next = sequence + 1;
    this.#inFlight++;
    if (link.sendPublication(publication, qos, retain, packetIdOf(sequence), identifiers)) return;
    this.#finish(sequence);
  }

  /** When a message that begins to wait now has waited too long, in milliseconds since the epoch; 0 for never. */
  #deadline(): number {
    const { age } = this.#host.limits;
    return age === 0 ? 0 : this.#host.now() + age * 1000;
  }

  /** The option that says that no further message may wait, or be held at all, if there is one. */
  #limitReached(bytes = 0, live = false): string | null {
    const { limits, store } = this.#host;
    // What a durable session cannot have in memory waits in the store.
    if (store === null && (this.#holding.lacksRoomFor(bytes) || (!live && this.#holding.isOver)))
      return 'limits.memory';
    if (live) return null;
    if (this.#unsent >= limits.messages) return 'limits.queued_messages';
    if (this.#waitingBytes >= limits.bytes) return 'limits.queued_bytes';
    return null;
  }

  /** Whether one more message may wait, once the oldest have made room for it if they are to. */
  #hasRoom(bytes = 0, live = false): boolean {
    for (let option = this.#limitReached(bytes, live); option !== null; option = this.#limitReached(bytes, live)) {
      const { limits, counters } = this.#host;
      const lacksMemory = option === 'limits.memory';
      const goesOn = limits.whenFull === 'drop_oldest' && !lacksMemory && this.#dropOldest();
      counters.publishDropped++;
      if (lacksMemory) counters.droppedMemory++;
      else if (option === 'limits.queued_bytes') counters.droppedQueuedBytes++;
      else counters.droppedQueuedMessages++;
      this.#host.onLimit(option);
      if (!goesOn) return false;
    }
    return true;
  }

  /** Drops the oldest message that has not been sent. Returns false if there is none. */
  #dropOldest(): boolean {
    while (this.#sent < this.#tail) {
      const sequence = this.#sent;
      const unsent = this.#unsent;
      if (this.#gap.holds(sequence)) {
        this.#passOver(this.#gap.end);
        continue;
      }
      this.#passOver(sequence + 1);
      if (this.#host.store === null) this.#queue.sentUpTo(this.#next);
      else if (!this.#queue.finish(sequence)) this.#droppedInStore++;
      // Whether an expired message was here is not known without reading: they are counted as the oldest.
      if (this.#gone > 0) {
        this.#gone--;
        this.#assumedGone++;
        continue;
      }
      this.#waitingBytes -= this.#waitingBytes / Math.max(1, unsent);
      return true;
    }
    return false;
  }

  /** A connection takes over: everything that is not acknowledged is sent again, in order [MQTT-4.4.0-1]. */
  resume(link: Link): void {
    this.link = link;
    this.#next = this.#base;
    this.#inFlight = 0;
    this.#again = 0;
    this.#cursor = null;
    // PUBREL waits neither for Receive Maximum nor for the store [MQTT-3.3.4-10].
    for (let sequence = this.#base; sequence < this.#sent; sequence++) {
      if (this.#dropped.holds(sequence)) {
        sequence = this.#dropped.end - 1;
        continue;
      }
      const state = this.#state(sequence);
      if (state !== Delivery.Done) this.#again++;
      if (state === Delivery.AwaitsPubcomp) link.sendPubrel(packetIdOf(sequence));
    }
    this.pump();
  }

  /** The connection is gone. */
  suspend(): void {
    this.link = null;
    this.#flowChanged = true;
    this.#queue.release(this.#sent);
  }

  /** Sends what may be sent now. */
  pump(): void {
    const link = this.link;
    if (link === null) {
      // What was read for a client that has gone meanwhile.
      this.#queue.release(this.#sent);
      return;
    }
    while (this.#next < this.#tail && !link.congested && this.#inFlight < link.window) {
      if (this.#next < this.#sent && this.#skip()) continue;
      if (this.#next - this.#base >= PACKET_IDS) break;
      if (!this.#sendNext(link)) break;
    }
    this.#queue.sentUpTo(this.#next);
    if (this.#next < this.#tail) return;
    // Nothing waits: what a restart could only estimate is known now.
    this.#waitingBytes = 0;
    this.#gone = 0;
  }

  /** Passes over a message that needs no PUBLISH again. */
  #skip(): boolean {
    if (this.#dropped.holds(this.#next)) {
      this.#next = this.#dropped.end;
      return true;
    }
    const state = this.#state(this.#next);
    if (state === Delivery.AwaitsPuback || state === Delivery.AwaitsPubrec) return false;
    if (state !== Delivery.Done) {
      this.#inFlight++;
      this.#again--;
    }
    this.#next++;
    return true;
  }

  /** Sends the message at `next`. Returns false if it has to wait for the store. */
  #sendNext(link: Link): boolean {
    const wanted = this.#next;
    this.#cursor ??= new QueueCursor(this.#queue);
    const cursor = this.#cursor;
    const segment = cursor.seek(wanted);
    if (segment === null) {
      if (this.#queue.needsLoad(wanted)) this.#load();
      // The counters of a damaged store promised more than there is.
      else this.#lose(this.#tail);
      return false;
    }
    this.#lose(segment.first);
    // What comes behind a gap may have been sent before, and need no PUBLISH again.
    if (this.#next !== wanted) return true;
    const { record } = cursor;
    const size = cursor.read(segment, wanted);
    const uncommitted = this.#host.store !== null && !segment.stored;
    if (uncommitted && (record.qos === 2 || wanted >= this.#reserved)) return false;
    const sequence = wanted;
    const again = sequence < this.#sent;
    const begun = this.#hasBegun(sequence, record.qos);
    cursor.pass();
    this.#next++;
    if (!again) {
      this.#waitingBytes = Math.max(0, this.#waitingBytes - size);
      this.#setState(sequence, record.qos === 2 ? Delivery.AwaitsPubrec : Delivery.AwaitsPuback);
      this.#sent = this.#next;
    } else {
      this.#again--;
      if (record.qos === 2 && this.#state(sequence) === Delivery.AwaitsPuback) {
        this.#setState(sequence, Delivery.AwaitsPubrec);
      }
    }
    this.#inFlight++;
    if (!begun && record.mayExpire && this.#isOver(record)) {
      this.#finish(sequence);
      return true;
    }
    if (this.#host.store === null && record.share.length > 0 && record.qos === 1) {
      this.#keepShared(sequence, record.share.utf8Slice(), record.message());
    }
    const dup = again || sequence < this.#dupBelow;
    const sent = link.sendPublish(
      record,
      record.qos,
      record.retain,
      dup,
      packetIdOf(sequence),
      record.expiresAt,
      record.identifiers,
    );
    if (!sent) this.#finish(sequence);
    return true;
  }

  /** Whether a message has expired, or has waited too long; then it is counted. */
  #isOver(record: RecordView): boolean {
    const now = this.#host.now();
    if (record.expiresAt > 0 && record.expiresAt <= now) this.#expired(1, 0);
    else if (record.deadline > 0 && record.deadline <= now) this.#expired(0, 1);
    else return false;
    return true;
  }

  #load(): void {
    this.#queue.load(
      this.#next,
      () => this.pump(),
      (error) => {
        this.#host.onStoreFailure(error);
        setTimeout(() => this.pump(), RETRY_DELAY).unref();
      },
    );
  }

  /** Passes over messages below `end` that have no records: they were done before their segments were deleted. */
  #lose(end: number): void {
    while (this.#next < end && this.#next < this.#sent) {
      if (this.#skip()) continue;
      this.#setState(this.#next++, Delivery.Done);
      this.#again--;
      this.#advance();
    }
    if (this.#next >= end) return;
    const missing = end - this.#next - this.#gap.countIn(this.#next, end);
    const gone = Math.min(missing, this.#gone);
    this.#gone -= gone;
    // These had expired; then others that were taken for them had not.
    const mistaken = Math.min(missing - gone, this.#assumedGone);
    this.#assumedGone -= mistaken;
    this.#host.counters.publishDropped += mistaken;
    this.#host.counters.droppedQueuedMessages += mistaken;
    this.#passOver(end);
  }

  /** The messages from `sent` to `end` are done, and have not been sent. However many they are, they are one range. */
  #passOver(end: number): void {
    const dropped = this.#dropped;
    if (dropped.end !== this.#sent) {
      // Something has been sent behind those that were passed over before, so they are not too many to have states.
      const { start, end: formerEnd } = dropped;
      dropped.set(this.#sent, this.#sent);
      for (let sequence = Math.max(start, this.#base); sequence < formerEnd; sequence++) {
        this.#setState(sequence, Delivery.Done);
      }
    }
    dropped.end = end;
    this.#sent = end;
    if (this.#next >= dropped.start) this.#next = end;
    this.#flowChanged = true;
    this.#advance();
  }

  /**
   * @param expired messages whose Message Expiry Interval has run out
   * @param aged messages that have waited for `limits.queue_age`
   */
  #expired(expired: number, aged: number): void {
    const { counters } = this.#host;
    counters.publishDropped += expired + aged;
    counters.droppedExpired += expired;
    if (aged === 0) return;
    counters.droppedAged += aged;
    this.#host.onLimit('limits.queue_age');
  }

  /** Whether a message has been sent, as far as is known: then it does not expire any more [MQTT-4.3.3-7]. */
  #hasBegun(sequence: number, qos: number): boolean {
    return sequence < this.#sent || sequence < (qos === 2 ? this.#dupBelow : this.#sentBefore);
  }

  /** Whether it is time for `sweep`. */
  needsSweep(now: number): boolean {
    return this.#droppedInStore >= MOST_DROPPED_IN_STORE || (this.link === null && this.#expiry.isDue(now));
  }

  /**
   * Takes messages that have been dropped out of the store; and those that have expired, while no client is connected:
   * otherwise they are dropped when their turn comes. Resolves when that is durable.
   * @param now milliseconds since the epoch
   */
  async sweep(now: number): Promise<void> {
    const { number, store } = this.#host;
    if (store === null) return;
    const interrupted = (): boolean => this.link !== null || this.#host.leaving;
    const host: SweepHost = {
      number,
      store,
      get interrupted() {
        return interrupted();
      },
      isDone: (sequence) => this.#isDone(sequence),
      hasBegun: (sequence, qos) => this.#hasBegun(sequence, qos),
      expired: (expired, aged, bytes) => {
        this.#gone += expired + aged;
        this.#waitingBytes = Math.max(0, this.#waitingBytes - bytes);
        this.#expired(expired, aged);
      },
      write: (operations) => this.#host.write(operations),
      settled: () => new Promise((resolve) => this.#host.whenSettled(resolve)),
    };
    try {
      if (this.#droppedInStore >= MOST_DROPPED_IN_STORE) {
        this.#droppedInStore = 0;
        await sweepDropped(host, this.#queue, this.#dropped);
      }
      if (this.#expiry.isDue(now) && !interrupted()) await this.#expiry.sweep(host, this.#queue, now);
    } finally {
      // A client that came back meanwhile could not be read to.
      this.pump();
    }
  }

  /** PUBACK. Returns false if the packet identifier is not in use. */
  puback(packetId: number): boolean {
    const sequence = this.#sequenceOf(packetId);
    if (sequence === 0 || this.#state(sequence) !== Delivery.AwaitsPuback) return false;
    this.#finish(sequence);
    return true;
  }

  /**
   * PUBREC. A reason code of 0x80 or more ends the delivery [MQTT-4.3.3-4].
   * Returns false if the packet identifier is not in use.
   */
  pubrec(packetId: number, reasonCode: number): boolean {
    const sequence = this.#sequenceOf(packetId);
    if (sequence === 0) return false;
    const state = this.#state(sequence);
    if (state === Delivery.AwaitsPubcomp) {
      this.link?.sendPubrel(packetId);
      return true;
    }
    if (state === Delivery.Releasing) return true;
    if (state !== Delivery.AwaitsPubrec) return false;
    if (reasonCode >= 0x80) {
      this.#finish(sequence);
      return true;
    }
    if (this.#host.store === null) {
      this.#setState(sequence, Delivery.AwaitsPubcomp);
      this.link?.sendPubrel(packetId);
      return true;
    }
    // Were PUBREL to leave before this is durable, a crash would send the message again to a client that forgot it.
    this.#setState(sequence, Delivery.Releasing);
    this.#releasing.push(sequence);
    this.#flowChanged = true;
    this.#host.enlist();
    return true;
  }

  /** PUBCOMP. Returns false if the packet identifier is not in use. */
  pubcomp(packetId: number): boolean {
    const sequence = this.#sequenceOf(packetId);
    if (sequence === 0 || this.#state(sequence) !== Delivery.AwaitsPubcomp) return false;
    this.#finish(sequence);
    return true;
  }

  #sequenceOf(packetId: number): number {
    const distance = (packetId - packetIdOf(this.#base) + PACKET_IDS) % PACKET_IDS;
    const sequence = this.#base + distance;
    return sequence < this.#sent ? sequence : 0;
  }

  #finish(sequence: number): void {
    this.#setState(sequence, Delivery.Done);
    this.#shared?.delete(sequence);
    if (sequence < this.#next) this.#inFlight--;
    else this.#again--;
    if (this.#host.store !== null) {
      this.#queue.finish(sequence);
      this.#flowChanged = true;
      this.#host.enlistLazily();
    }
    if (sequence === this.#base) this.#advance();
  }

  #advance(): void {
    while (this.#base < this.#sent) {
      if (this.#dropped.holds(this.#base)) this.#base = this.#dropped.end;
      else if (this.#state(this.#base) === Delivery.Done) this.#base++;
      else break;
    }
    if (this.#next < this.#base) this.#next = this.#base;
  }

  #isDone(sequence: number): boolean {
    if (sequence < this.#base || this.#dropped.holds(sequence)) return true;
    return sequence < this.#sent && this.#state(sequence) === Delivery.Done;
  }

  #state(sequence: number): number {
    return this.#states.get(sequence);
  }

  #setState(sequence: number, state: number): void {
    this.#states.set(sequence, state, this.#base, this.#sent);
  }

  /** The record of flow state has to be written. */
  touchFlow(): void {
    this.#flowChanged = true;
  }

  /** Adds what the store has to learn. */
  collect(operations: Operation[]): void {
    this.#queue.collect(operations);
    this.#collected = this.#releasing;
    this.#releasing = [];
    if (!this.#flowChanged) return;
    this.#flowChanged = false;
    this.#reserving = this.#tail + RESERVED;
    operations.push({ type: 'put', key: flowKey(this.#host.number), value: encodeFlow(this.#flow()) });
  }

  #flow(): FlowRecord {
    const exceptions: { sequence: number; state: number }[] = [];
    for (let sequence = this.#base; sequence < this.#sent; sequence++) {
      if (this.#dropped.holds(sequence)) {
        sequence = this.#dropped.end - 1;
        continue;
      }
      const state = this.#state(sequence);
      if (state === Delivery.AwaitsPuback || state === Delivery.AwaitsPubrec) continue;
      if (this.#gap.holds(sequence)) continue;
      // Nothing is sent beyond that distance: only gaps of former restarts can lie there.
      if (sequence - this.#base > PACKET_IDS) break;
      exceptions.push({ sequence, state });
    }
    const sent = Math.max(this.#sent, this.#dupBelow);
    return {
      base: this.#base,
      sent,
      tail: this.#tail,
      reserved: this.#reserving,
      droppedStart: this.#dropped.start,
      droppedEnd: this.#dropped.end,
      assumedGone: this.#assumedGone,
      exceptions,
      inbound: [...this.inbound],
    };
  }

  /** What was collected is durable: releases what waited for it. */
  committed(): void {
    this.#reserved = this.#reserving;
    if (this.#queue.committed(this.#next, this.#sent, this.link !== null)) this.#host.enlistLazily();
    for (const sequence of this.#collected) {
      if (this.#state(sequence) !== Delivery.Releasing) continue;
      this.#setState(sequence, Delivery.AwaitsPubcomp);
      // Also for a message that a new connection has not come to again: it will be passed over there.
      this.link?.sendPubrel(packetIdOf(sequence));
    }
    this.#collected = [];
    this.pump();
  }

  dispose(): void {
    this.link = null;
    this.#queue.dispose();
  }
}

/** Packet identifier of a message. Unique in flight because fewer than 65,535 numbers are in use at a time. */
export function packetIdOf(sequence: number): number {
  return ((sequence - 1) % PACKET_IDS) + 1;
}
