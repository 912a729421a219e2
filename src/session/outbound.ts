/**
 * What a session still owes its client: QoS 1 and 2 messages in order, with the state of each delivery.
 *
 * Every message gets a sequence number when it is queued, and its packet identifier follows from it. So the identifier
 * needs no storage of its own, and after a crash a message is sent again under the identifier that it had before
 * [MQTT-4.4.0-1], which QoS 2 depends on.
 *
 * Invariants: `base <= next <= sent <= tail`. All below `base` are done. Those in `[base, sent)` have been sent on this
 * connection or an earlier one and have a state. `[next, sent)` awaits being sent again. `[sent, tail)` waits.
 * `inFlight` counts those in `[base, next)` that are not done; it never exceeds the window.
 */
import type { Message } from '../bus/message.js';
import type { Publication } from '../bus/publication.js';
import { flowKey } from '../store/keys.js';
import { encodeFlow, type FlowRecord } from '../store/records.js';
import type { Operation } from '../store/store.js';
import type { Output } from '../wire/output.js';
import { Delivery, DeliveryStates } from './delivery-states.js';
import type { SharedMessage } from './inheritance.js';
import type { Link, OutboundHost, QueueExtent } from './link.js';
import { QueueExpiry, type SweepHost } from './queue-expiry.js';
import { nextRecord, RecordView } from './queue-record.js';
import { type Segment, SegmentQueue } from './segment-queue.js';

/** Packet identifiers are 1 to 65,535 [MQTT-2.2.1-4]. */
const PACKET_IDS = 65535;
/**
 * Numbers that a session may use before its flow record is written again. After a crash the session goes on behind them:
 * a client may still acknowledge a message that was sent and then lost with its record, and that acknowledgement must not
 * meet a new message under the same identifier.
 */
const RESERVED = 16384;

/** Milliseconds until a queue that the store did not give is asked for again. */
const RETRY_DELAY = 250;

export class Outbound {
  readonly #host: OutboundHost;
  readonly #queue: SegmentQueue;
  /** Made when the first message is read back from the queue. */
  #record: RecordView | null = null;
  #base = 1;
  #next = 1;
  #sent = 1;
  #tail = 1;
  /** Over `[base, sent)`. */
  readonly #states = new DeliveryStates();
  #inFlight = 0;
  #waitingBytes = 0;
  /** Sent before a restart, perhaps: DUP is set below it. */
  #dupBelow = 0;
  /** Sent before a restart, for certain. */
  #sentBefore = 0;
  /** Numbers below are reserved by a flow record that is durable; and by the one that is being written. */
  #reserved = 1;
  #reserving = 1;
  /** Numbers skipped by a restart: `[#gapStart, #gapEnd)` has no messages. */
  #gapStart = 0;
  #gapEnd = 0;
  #flowChanged = true;
  #releasing: number[] = [];
  #collected: number[] = [];
  /** Where `next` stands, if known: spares looking for it. */
  #reading: Segment | null = null;
  #offset = 0;
  #readingAt = 0;
  /** Packet identifiers of inbound QoS 2 publications that await PUBREL; kept here because they share the record. */
  readonly inbound = new Set<number>();
  /** QoS 1 messages of shared subscriptions that are sent, by sequence number, of a session without store. */
  #shared: Map<number, SharedMessage> | null = null;
  /** The connection that takes deliveries now. */
  link: Link | null = null;
  /** Messages that have not been sent and never will be: they expired while their client was away. */
  #gone = 0;
  readonly #expiry = new QueueExpiry();

  constructor(host: OutboundHost) {
    this.#host = host;
    this.#queue = new SegmentQueue(
      host.number,
      host.store,
      host.limits.memory,
      (sequence) => this.#isDone(sequence),
      (error) => host.onStoreFailure(error),
    );
  }

  /** Messages that have not been sent yet. */
  get waiting(): number {
    const gap = Math.max(0, this.#gapEnd - Math.max(this.#next, this.#gapStart));
    return this.#tail - this.#next - gap - this.#gone;
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
    const { limits } = this.#host;
    const full = this.waiting >= limits.messages || this.#waitingBytes >= limits.bytes;
    return full && (this.link === null || !this.#mayGoLive(this.link));
  }

  /** Takes back what the store holds of this session. */
  restore(flow: FlowRecord | null, extent: QueueExtent, online: boolean): void {
    const { first, count, end, bytes } = extent;
    this.#gone = extent.gone;
    this.#expiry.expect(extent.expiresAt);
    this.#base = flow?.base ?? 1;
    this.#gapStart = Math.max(this.#base, end);
    this.#gapEnd = Math.max(this.#gapStart, (online ? flow?.reserved : flow?.tail) ?? 1);
    this.#tail = this.#gapEnd;
    this.#sent = this.#base;
    for (const { sequence, state } of flow?.exceptions ?? []) {
      while (this.#sent <= sequence) this.#setState(this.#sent++, Delivery.AwaitsPuback);
      // What was about to be released was recorded as released: PUBREL is what it awaits.
      this.#setState(sequence, state === Delivery.Releasing ? Delivery.AwaitsPubcomp : state);
    }
    this.#advance();
    this.#next = this.#base;
    this.#sentBefore = flow?.sent ?? 1;
    this.#dupBelow = online ? this.#gapStart : this.#sentBefore;
    for (const packetId of flow?.inbound ?? []) this.inbound.add(packetId);
    this.#queue.restore(first, count);
    this.#waitingBytes = bytes;
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
      if (link === null || !(live || this.#hasRoom())) return;
      if (live) {
        const sequence = this.#tail++;
        if (share !== '' && qos === 1) this.#keepShared(sequence, share, { ...publication.message(), qos });
        this.#sendLive(link, publication, sequence, qos, retain, identifiers);
        return;
      }
      this.#waitingBytes += this.#queue.append(this.#tail++, publication, qos, retain, identifiers, share);
      return;
    }
    if (!live && !this.#hasRoom()) return;
    this.#expiry.expect(publication.expiresAt);
    const sequence = this.#tail++;
    const bytes = this.#queue.append(sequence, publication, qos, retain, identifiers, share);
    this.#host.enlist();
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

  #hasRoom(): boolean {
    const { limits, counters } = this.#host;
    const tooMany = this.waiting >= limits.messages;
    if (!tooMany && this.#waitingBytes < limits.bytes) return true;
    counters.publishDropped++;
    counters.droppedQueueFull++;
    this.#host.onLimit(tooMany ? 'limits.queued_messages' : 'limits.queued_bytes');
    return false;
  }

  /** A connection takes over: everything that is not acknowledged is sent again, in order [MQTT-4.4.0-1]. */
  resume(link: Link): void {
    this.link = link;
    this.#next = this.#base;
    this.#inFlight = 0;
    this.#reading = null;
    // PUBREL waits neither for Receive Maximum nor for the store [MQTT-3.3.4-10].
    for (let sequence = this.#base; sequence < this.#sent; sequence++) {
      if (this.#state(sequence) === Delivery.AwaitsPubcomp) link.sendPubrel(packetIdOf(sequence));
    }
    this.pump();
  }

  /** The connection is gone. */
  suspend(): void {
    this.link = null;
    this.#flowChanged = true;
  }

  /** Sends what may be sent now. */
  pump(): void {
    const link = this.link;
    if (link === null) return;
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
    const state = this.#state(this.#next);
    if (state === Delivery.AwaitsPuback || state === Delivery.AwaitsPubrec) return false;
    if (state !== Delivery.Done) this.#inFlight++;
    this.#next++;
    return true;
  }

  /** Sends the message at `next`. Returns false if it has to wait for the store. */
  #sendNext(link: Link): boolean {
    const wanted = this.#next;
    if (!this.#find()) return false;
    // What comes behind a gap may have been sent before, and need no PUBLISH again.
    if (this.#next !== wanted) return true;
    const segment = this.#reading as Segment;
    const buffer = (segment.output as Output).buffer;
    this.#record ??= new RecordView();
    const record = this.#record;
    record.read(buffer, this.#offset);
    const uncommitted = this.#host.store !== null && !segment.stored;
    if (uncommitted && (record.qos === 2 || this.#next >= this.#reserved)) return false;
    const sequence = this.#next;
    const again = sequence < this.#sent;
    const begun = this.#hasBegun(sequence, record.qos);
    const size = record.payloadEnd - this.#offset;
    this.#offset = nextRecord(buffer, this.#offset);
    this.#readingAt = sequence + 1;
    this.#next++;
    if (!again) {
      this.#waitingBytes = Math.max(0, this.#waitingBytes - size);
      this.#setState(sequence, record.qos === 2 ? Delivery.AwaitsPubrec : Delivery.AwaitsPuback);
      this.#sent = this.#next;
    } else if (record.qos === 2 && this.#state(sequence) === Delivery.AwaitsPuback) {
      this.#setState(sequence, Delivery.AwaitsPubrec);
    }
    this.#inFlight++;
    if (!begun && record.expiresAt > 0 && record.expiresAt <= this.#host.now()) {
      this.#expired(1);
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

  /** Makes `#reading` and `#offset` stand at `next`. Returns false while the store is being read. */
  #find(): boolean {
    if (this.#reading?.output != null && this.#readingAt === this.#next && this.#next < this.#reading.end) return true;
    const segment = this.#queue.locate(this.#next);
    if (segment === null || segment.output === null) {
      if (this.#queue.needsLoad(this.#next)) this.#load();
      else this.#skipLost();
      return false;
    }
    while (this.#next < segment.first) this.#lose();
    this.#reading = segment;
    this.#readingAt = this.#next;
    this.#offset = this.#queue.offsetOf(segment, this.#next);
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

  /** The queue has nothing at `next` and behind it: the counters of a damaged store promised more than there is. */
  #skipLost(): void {
    while (this.#next < this.#tail) this.#lose();
  }

  /** Passes over a message that has no record: it was done before its segment was deleted. */
  #lose(): void {
    if (this.#next < this.#sent && this.#skip()) return;
    const sequence = this.#next++;
    if (sequence >= this.#sent) {
      this.#gone = Math.max(0, this.#gone - 1);
      this.#sent = this.#next;
    }
    this.#setState(sequence, Delivery.Done);
    this.#advance();
  }

  #expired(messages: number): void {
    this.#host.counters.publishDropped += messages;
    this.#host.counters.droppedExpired += messages;
  }

  /** Whether a message has been sent, as far as is known: then it does not expire any more [MQTT-4.3.3-7]. */
  #hasBegun(sequence: number, qos: number): boolean {
    return sequence < this.#sent || sequence < (qos === 2 ? this.#dupBelow : this.#sentBefore);
  }

  /** Whether it is time for `expire`. */
  hasExpired(now: number): boolean {
    return this.#expiry.isDue(now);
  }

  /**
   * Takes messages that have expired out of the store while no client is connected. Resolves when that is durable;
   * does nothing while a client is connected, for then they are dropped when their turn comes.
   * @param now milliseconds since the epoch
   */
  async expire(now: number): Promise<void> {
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
      expired: (messages, bytes) => {
        this.#gone += messages;
        this.#waitingBytes = Math.max(0, this.#waitingBytes - bytes);
        this.#expired(messages);
      },
      write: (operations) => this.#host.write(operations),
      settled: () => new Promise((resolve) => this.#host.whenSettled(resolve)),
    };
    try {
      await this.#expiry.sweep(host, this.#queue, now);
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
    if (this.#host.store !== null) {
      this.#queue.finish(sequence);
      this.#flowChanged = true;
      this.#host.enlistLazily();
    }
    if (sequence === this.#base) this.#advance();
  }

  #advance(): void {
    while (this.#base < this.#sent && this.#state(this.#base) === Delivery.Done) this.#base++;
    if (this.#next < this.#base) this.#next = this.#base;
  }

  #isDone(sequence: number): boolean {
    return sequence < this.#base || (sequence < this.#sent && this.#state(sequence) === Delivery.Done);
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
      const state = this.#state(sequence);
      if (state === Delivery.AwaitsPuback || state === Delivery.AwaitsPubrec) continue;
      if (sequence >= this.#gapStart && sequence < this.#gapEnd) continue;
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
      exceptions,
      inbound: [...this.inbound],
    };
  }

  /** What was collected is durable: releases what waited for it. */
  committed(): void {
    this.#reserved = this.#reserving;
    if (this.#queue.committed(this.#next, this.#sent)) this.#host.enlistLazily();
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
