/**
 * What a session still owes its client: QoS 1 and 2 messages in order. `FlowState` numbers them and knows what each
 * awaits, `SegmentQueue` has their records, `QueueLimits` says how many may wait; here they are sent and acknowledged.
 */
import { Holding } from '../bus/memory-budget.js';
import type { Message } from '../bus/message.js';
import type { Publication } from '../bus/publication.js';
import { flowKey } from '../store/keys.js';
import { encodeFlow, type FlowRecord } from '../store/records.js';
import type { Operation } from '../store/store.js';
import { Delivery } from './delivery-states.js';
import { FlowState, packetIdOf } from './flow-state.js';
import type { SharedMessage } from './inheritance.js';
import type { Link, OutboundHost, QueueExtent } from './link.js';
import { QueueCursor } from './queue-cursor.js';
import { QueueLimits } from './queue-limits.js';
import { SegmentQueue } from './segment-queue.js';

/** Bytes that a segment takes up besides its records: its buffer is at least as large. */
const SEGMENT_COST = 4096;

/** Stands for a list without any: most sessions never need one. */
const NONE: number[] = [];

/** Milliseconds until a queue that the store did not give is asked for again. */
const RETRY_DELAY = 250;

export class Outbound {
  readonly #host: OutboundHost;
  readonly #flow = new FlowState();
  readonly #queue: SegmentQueue;
  readonly #limits: QueueLimits;
  /** Made when the first message is read back from the queue. */
  #cursor: QueueCursor | null = null;
  /** Messages whose PUBREC has come: since the last commit group closed, and in the one that is being written. */
  #releasing = NONE;
  #collected = NONE;
  /** Packet identifiers of inbound QoS 2 publications that await PUBREL. */
  readonly inbound = this.#flow.inbound;
  /** QoS 1 messages of shared subscriptions that are sent, by sequence number, of a session without store. */
  #shared: Map<number, SharedMessage> | null = null;
  /** Number of the last QoS 0 message that has been queued (`limits.queue_qos0`), as far as is known. */
  #lastQos0 = 0;
  /** The connection that takes deliveries now. */
  link: Link | null = null;

  constructor(host: OutboundHost) {
    this.#host = host;
    const holding = new Holding(host.budget);
    this.#queue = new SegmentQueue(host, this.#flow, holding);
    this.#limits = new QueueLimits(host, this.#flow, this.#queue, holding);
  }

  /** Messages that have not been sent yet, or not on this connection. */
  get waiting(): number {
    return this.#flow.waiting;
  }

  /** Messages that are sent or being sent and not acknowledged. */
  get inFlight(): number {
    return this.#flow.inFlight;
  }

  get waitingBytes(): number {
    return this.#limits.waitingBytes;
  }

  /** Whether a message that can wait elsewhere may join: it would be among the next to be sent, and within all limits. */
  get hasPlace(): boolean {
    const { waiting, inFlight } = this.#flow;
    if (this.link === null || inFlight + waiting >= this.link.window) return false;
    const { queuedMessages, queuedBytes } = this.#host.options;
    return waiting === 0 || (waiting < queuedMessages && this.waitingBytes < queuedBytes);
  }

  /** Whether a QoS 0 message waits, or may: one that comes now has to wait behind it [MQTT-4.6.0-6]. */
  get holdsQos0(): boolean {
    return this.#lastQos0 >= this.#flow.next;
  }

  /** Whether the next message would be dropped. */
  get isFull(): boolean {
    return this.#limits.reached() !== null && (this.link === null || !this.#mayGoLive(this.link));
  }

  /** Takes back what the store holds of this session. */
  restore(record: FlowRecord | null, extent: QueueExtent, online: boolean): void {
    const flow = this.#flow;
    flow.assumedGone = Math.min(record?.assumedGone ?? 0, extent.gone);
    flow.gone = extent.gone - flow.assumedGone;
    flow.restore(record, extent.end, online);
    this.#limits.expiry.expect(extent.expiresAt);
    this.#limits.waitingBytes = extent.bytes;
    this.#queue.restore(extent.first, extent.count);
    if (this.#host.options.queueQos0) this.#lastQos0 = flow.tail - 1;
  }

  /**
   * A message for this client: sent now if nothing stands before it, queued if not. One of QoS 0 is queued, of a session with
   * a store.
   * @param share the shared subscription that it comes by, empty for none
   */
  deliver(
    publication: Publication,
    qos: 0 | 1 | 2,
    retain: boolean,
    identifiers: readonly number[] | null,
    share: string,
  ): void {
    const link = this.link;
    const live = qos > 0 && link !== null && this.#mayGoLive(link);
    const flow = this.#flow;
    const limits = this.#limits;
    if (this.#host.store === null) {
      if (link === null || !limits.hasRoom(publication.payloadEnd - publication.payloadStart, live)) return;
      const sequence = flow.tail++;
      if (live) {
        if (share !== '' && qos === 1) this.#keepShared(sequence, share, { ...publication.message(), qos });
        this.#sendLive(link, publication, sequence, qos, retain, identifiers);
        return;
      }
      const deadline = limits.deadline();
      limits.waitingBytes += this.#queue.append(sequence, publication, qos, retain, identifiers, share, deadline);
      return;
    }
    if (!live && !limits.hasRoom()) return;
    const deadline = limits.deadline();
    limits.expiry.expect(publication.expiresAt);
    limits.expiry.expect(deadline);
    const sequence = flow.tail++;
    if (qos === 0) this.#lastQos0 = sequence;
    const opens = this.#queue.opensSegment;
    const bytes = this.#queue.append(sequence, publication, qos, retain, identifiers, share, deadline);
    this.#host.enlist(opens ? SEGMENT_COST + bytes : bytes);
    // A QoS 2 message leaves after the commit: what has once been on the wire must be sent again under its identifier.
    if (live && qos === 1) this.#sendLive(link, publication, sequence, qos, retain, identifiers);
    else limits.waitingBytes += bytes;
    flow.queued(sequence);
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
    for (const record of this.#queue.records(this.#flow.next)) {
      if (record.share.length > 0) yield { share: record.share.utf8Slice(), message: record.message() };
    }
  }

  #mayGoLive(link: Link): boolean {
    const flow = this.#flow;
    return (
      flow.next === flow.tail &&
      (this.#host.store === null || flow.isReserved(flow.tail)) &&
      flow.inFlight < link.window &&
      flow.hasPacketId &&
      !link.congested
    );
  }

  #sendLive(
    link: Link,
    publication: Publication,
    sequence: number,
    qos: 0 | 1 | 2,
    retain: boolean,
    identifiers: readonly number[] | null,
  ): void {
    this.#flow.begin(qos);
    if (link.sendPublication(publication, qos, retain, packetIdOf(sequence), identifiers)) return;
    this.#finish(sequence);
  }

  /** A connection takes over: everything that is not acknowledged is sent again, in order [MQTT-4.4.0-1]. */
  resume(link: Link): void {
    this.link = link;
    this.#cursor = null;
    // PUBREL waits neither for Receive Maximum nor for the store [MQTT-3.3.4-10].
    this.#flow.rewind((packetId) => link.sendPubrel(packetId));
    this.pump();
  }

  /** The connection is gone. */
  suspend(): void {
    this.link = null;
    this.#flow.changed = true;
    this.#queue.release(this.#flow.sent);
  }

  /** Sends what may be sent now. */
  pump(): void {
    const link = this.link;
    const flow = this.#flow;
    if (link === null) {
      // What was read for a client that has gone meanwhile.
      this.#queue.release(flow.sent);
      return;
    }
    while (flow.next < flow.tail && !link.congested && flow.inFlight < link.window) {
      if (flow.next < flow.sent && flow.skip()) continue;
      if (!flow.hasPacketId) break;
      if (!this.#sendNext(link)) break;
    }
    this.#queue.sentUpTo(flow.next);
    if (flow.next === flow.tail) this.#limits.empty();
  }

  /** Sends the message at `next`. Returns false if it has to wait for the store. */
  #sendNext(link: Link): boolean {
    const flow = this.#flow;
    const sequence = flow.next;
    this.#cursor ??= new QueueCursor(this.#queue);
    const cursor = this.#cursor;
    const segment = cursor.seek(sequence);
    if (segment === null) {
      if (this.#queue.needsLoad(sequence)) this.#load();
      // The counters of a damaged store promised more than there is.
      else this.#lose(flow.tail);
      return false;
    }
    this.#lose(segment.first);
    // What comes behind a gap may have been sent before, and need no PUBLISH again.
    if (flow.next !== sequence) return true;
    const { record } = cursor;
    const size = cursor.read(segment, sequence);
    const uncommitted = this.#host.store !== null && !segment.stored;
    if (uncommitted && (record.qos === 2 || !flow.isReserved(sequence))) return false;
    if (sequence >= flow.sent) this.#limits.waitingBytes = Math.max(0, this.#limits.waitingBytes - size);
    const begun = flow.hasBegun(sequence, record.qos);
    const dup = flow.isDup(sequence);
    cursor.pass();
    flow.begin(record.qos);
    if (!begun && record.mayExpire && this.#limits.isOver(record)) {
      this.#finish(sequence);
      return true;
    }
    if (this.#host.store === null && record.share.length > 0 && record.qos === 1) {
      this.#keepShared(sequence, record.share.utf8Slice(), record.message());
    }
    const { qos, retain, expiresAt, identifiers } = record;
    // QoS 0 comes at most once: what may have been sent before is not sent again.
    const sent =
      qos === 0
        ? !dup && link.sendPublish(record, qos, retain, false, 0, expiresAt, identifiers)
        : link.sendPublish(record, qos, retain, dup, packetIdOf(sequence), expiresAt, identifiers);
    if (!sent || qos === 0) this.#finish(sequence);
    return true;
  }

  #load(): void {
    this.#queue.load(
      this.#flow.next,
      () => this.pump(),
      (error) => {
        this.#host.onStoreFailure(error);
        setTimeout(() => this.pump(), RETRY_DELAY).unref();
      },
    );
  }

  /** Passes over messages below `end` that have no records: they were done before their segments were deleted. */
  #lose(end: number): void {
    const flow = this.#flow;
    if (flow.next >= end) return;
    flow.lose(end);
    if (flow.next >= end) return;
    this.#limits.missing(end - flow.next - flow.gap.countIn(flow.next, end));
    flow.passOver(end);
  }

  /** Whether it is time for `sweep`. */
  needsSweep(now: number): boolean {
    return this.#limits.needsSweep(now, this.link !== null);
  }

  /**
   * Takes messages that have been dropped out of the store; and those that have expired, while no client is connected:
   * otherwise they are dropped when their turn comes. Resolves when that is durable.
   * @param now milliseconds since the epoch
   */
  async sweep(now: number): Promise<void> {
    if (this.#host.store === null) return;
    try {
      await this.#limits.sweep(now, () => this.link !== null || this.#host.leaving);
    } finally {
      // A client that came back meanwhile could not be read to.
      this.pump();
    }
  }

  /** PUBACK. Returns false if the packet identifier is not in use. */
  puback(packetId: number): boolean {
    const sequence = this.#flow.sequenceOf(packetId);
    if (sequence === 0 || this.#flow.state(sequence) !== Delivery.AwaitsPuback) return false;
    this.#finish(sequence);
    return true;
  }

  /**
   * PUBREC. A reason code of 0x80 or more ends the delivery [MQTT-4.3.3-4].
   * Returns false if the packet identifier is not in use.
   */
  pubrec(packetId: number, reasonCode: number): boolean {
    const flow = this.#flow;
    const sequence = flow.sequenceOf(packetId);
    if (sequence === 0) return false;
    const state = flow.state(sequence);
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
      flow.setState(sequence, Delivery.AwaitsPubcomp);
      this.link?.sendPubrel(packetId);
      return true;
    }
    // Were PUBREL to leave before this is durable, a crash would send the message again to a client that forgot it.
    flow.setState(sequence, Delivery.Releasing);
    if (this.#releasing === NONE) this.#releasing = [];
    this.#releasing.push(sequence);
    flow.changed = true;
    this.#host.enlist();
    return true;
  }

  /** PUBCOMP. Returns false if the packet identifier is not in use. */
  pubcomp(packetId: number): boolean {
    const sequence = this.#flow.sequenceOf(packetId);
    if (sequence === 0 || this.#flow.state(sequence) !== Delivery.AwaitsPubcomp) return false;
    this.#finish(sequence);
    return true;
  }

  #finish(sequence: number): void {
    this.#flow.finish(sequence);
    this.#shared?.delete(sequence);
    if (this.#host.store === null) return;
    this.#queue.finish(sequence);
    this.#flow.changed = true;
    this.#host.enlistLazily();
  }

  /** The record of flow state has to be written. */
  touchFlow(): void {
    this.#flow.changed = true;
  }

  /** Adds what the store has to learn. */
  collect(operations: Operation[]): void {
    this.#queue.collect(operations);
    if (!this.#flow.changed) return;
    operations.push({ type: 'put', key: flowKey(this.#host.number), value: encodeFlow(this.#flow.record()) });
  }

  /** What was collected is on its way to the store. */
  collected(): void {
    this.#queue.collected();
    this.#flow.collected();
    this.#collected = this.#releasing;
    this.#releasing = NONE;
  }

  /** What was collected is durable: releases what waited for it. */
  committed(): void {
    const flow = this.#flow;
    flow.recorded();
    if (this.#queue.committed(flow.next, flow.sent, this.link !== null)) this.#host.enlistLazily();
    for (const sequence of this.#collected) {
      if (flow.state(sequence) !== Delivery.Releasing) continue;
      flow.setState(sequence, Delivery.AwaitsPubcomp);
      // Also for a message that a new connection has not come to again: it will be passed over there.
      this.link?.sendPubrel(packetIdOf(sequence));
    }
    this.#collected = NONE;
    this.pump();
  }

  dispose(): void {
    this.link = null;
    this.#queue.dispose();
  }
}
