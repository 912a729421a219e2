/**
 * Which of a session's QoS 1 and 2 messages have been sent, and what each of them awaits. What a crash must not take of
 * it is the flow record.
 *
 * Every message gets a sequence number when it is queued, and its packet identifier follows from it. So the identifier
 * needs no storage of its own, and after a crash a message is sent again under the identifier that it had before
 * [MQTT-4.4.0-1], which QoS 2 depends on.
 *
 * Invariants: `base <= next <= sent <= tail`. All below `base` are done. Those in `[base, sent)` have been sent on this
 * connection or an earlier one and have a state, or have been dropped. `[next, sent)` awaits being sent again.
 * `[sent, tail)` waits. `inFlight` counts those in `[base, next)` that are not done; it never exceeds the window.
 */
import type { FlowRecord } from '../store/records.js';
import { Delivery, DeliveryStates } from './delivery-states.js';
import { SequenceRange } from './sequence-range.js';

/** Packet identifiers are 1 to 65,535 [MQTT-2.2.1-4]. */
const PACKET_IDS = 65535;
/**
 * Numbers that a session may use before its flow record is written again. After a crash the session goes on behind them:
 * a client may still acknowledge a message that was sent and then lost with its record, and that acknowledgement must not
 * meet a new message under the same identifier.
 */
const RESERVED = 16384;

export class FlowState {
  base = 1;
  next = 1;
  sent = 1;
  tail = 1;
  inFlight = 0;
  /** Messages in `[next, sent)` that are not done. */
  again = 0;
  /** Messages in `[sent, tail)` that never will be sent: they expired while their client was away. */
  gone = 0;
  /** Of those that were dropped: how many were taken for such that had expired. */
  assumedGone = 0;
  /** Messages that were passed over: they were dropped for newer ones, or are not there. `end <= sent`. */
  readonly dropped = new SequenceRange();
  /** Numbers skipped by a restart: there are no such messages. */
  readonly gap = new SequenceRange();
  /** Packet identifiers of inbound QoS 2 publications that await PUBREL; kept here because they share the record. */
  readonly inbound = new Set<number>();
  /** The record has to be written. */
  changed = true;
  /** Over `[base, sent)`. */
  readonly #states = new DeliveryStates();
  /** Sent before a restart, perhaps: DUP is set below it. */
  #dupBelow = 0;
  /** Sent before a restart, for certain. */
  #sentBefore = 0;
  /** Numbers below are reserved by a record that is durable; and by the one that is being written. */
  #reserved = 1;
  #reserving = 1;

  /** Messages that have not been sent yet, on no connection: those that the limits count. */
  get unsent(): number {
    return this.tail - this.sent - this.gap.countFrom(this.sent) - this.gone;
  }

  /** Messages that have not been sent yet, or not on this connection. */
  get waiting(): number {
    return this.again + this.unsent;
  }

  /** Whether the message at `next` can have a packet identifier: those of all that are in use differ. */
  get hasPacketId(): boolean {
    return this.next - this.base < PACKET_IDS;
  }

  /**
   * Takes back what a record says.
   * @param end number after the last message that the store has
   * @param online whether its client was connected when the broker ended: then more may have been sent
   */
  restore(record: FlowRecord | null, end: number, online: boolean): void {
    this.base = record?.base ?? 1;
    this.dropped.set(record?.droppedStart ?? 0, record?.droppedEnd ?? 0);
    const gapStart = Math.max(this.base, end, this.dropped.end);
    this.gap.set(gapStart, Math.max(gapStart, (online ? record?.reserved : record?.tail) ?? 1));
    this.tail = this.gap.end;
    this.sent = this.base;
    if (this.dropped.end > this.base) this.#sendingBegunBelow(this.dropped.end);
    for (const { sequence, state } of record?.exceptions ?? []) {
      this.#sendingBegunBelow(sequence + 1);
      // What was about to be released was recorded as released: PUBREL is what it awaits.
      this.setState(sequence, state === Delivery.Releasing ? Delivery.AwaitsPubcomp : state);
    }
    this.#sendingBegunBelow(Math.min(record?.sent ?? 1, gapStart));
    this.#advance();
    this.next = this.base;
    for (let sequence = this.base; sequence < this.sent; sequence++) if (!this.isDone(sequence)) this.again++;
    this.#sentBefore = record?.sent ?? 1;
    this.#dupBelow = online ? this.gap.start : this.#sentBefore;
    for (const packetId of record?.inbound ?? []) this.inbound.add(packetId);
  }

  /** Takes back that the messages below a number, which have no state yet, await PUBACK unless they were dropped. */
  #sendingBegunBelow(end: number): void {
    while (this.sent < end) {
      if (this.dropped.holds(this.sent)) this.sent = this.dropped.end;
      else this.setState(this.sent++, Delivery.AwaitsPuback);
    }
  }

  state(sequence: number): number {
    return this.#states.get(sequence);
  }

  setState(sequence: number, state: number): void {
    this.#states.set(sequence, state, this.base, this.sent);
  }

  isDone(sequence: number): boolean {
    if (sequence < this.base || this.dropped.holds(sequence)) return true;
    return sequence < this.sent && this.state(sequence) === Delivery.Done;
  }

  /** Whether a message has been sent, as far as is known: then it does not expire any more [MQTT-4.3.3-7]. */
  hasBegun(sequence: number, qos: number): boolean {
    return sequence < this.sent || sequence < (qos === 2 ? this.#dupBelow : this.#sentBefore);
  }

  /** Whether a message may have been sent before. */
  isDup(sequence: number): boolean {
    return sequence < this.sent || sequence < this.#dupBelow;
  }

  /** Whether a number is reserved durably: until it is, its message may not leave. */
  isReserved(sequence: number): boolean {
    return sequence < this.#reserved;
  }

  /** A message has been queued under a number. */
  queued(sequence: number): void {
    // Half of the reservation is used up: the next record extends it.
    if (this.#reserved - sequence < RESERVED / 2) this.changed = true;
  }

  /** The message at `next` is being sent. */
  begin(qos: number): void {
    const sequence = this.next++;
    if (sequence >= this.sent) {
      this.setState(sequence, qos === 2 ? Delivery.AwaitsPubrec : Delivery.AwaitsPuback);
      this.sent = this.next;
    } else {
      this.again--;
      // The flow record does not tell the two apart.
      if (qos === 2 && this.state(sequence) === Delivery.AwaitsPuback) this.setState(sequence, Delivery.AwaitsPubrec);
    }
    this.inFlight++;
  }

  /** Passes over the message at `next` if it needs no PUBLISH again. Only below `sent`. */
  skip(): boolean {
    if (this.dropped.holds(this.next)) {
      this.next = this.dropped.end;
      return true;
    }
    const state = this.state(this.next);
    if (state === Delivery.AwaitsPuback || state === Delivery.AwaitsPubrec) return false;
    if (state !== Delivery.Done) {
      this.inFlight++;
      this.again--;
    }
    this.next++;
    return true;
  }

  /** The delivery of a message is complete. */
  finish(sequence: number): void {
    this.setState(sequence, Delivery.Done);
    if (sequence < this.next) this.inFlight--;
    else this.again--;
    if (sequence === this.base) this.#advance();
  }

  /** Messages below `end` that have been sent, but not on this connection, have no records any more. */
  lose(end: number): void {
    while (this.next < end && this.next < this.sent) {
      if (this.skip()) continue;
      this.setState(this.next++, Delivery.Done);
      this.again--;
      this.#advance();
    }
  }

  /** The messages from `sent` to `end` are done, and have not been sent. However many they are, they are one range. */
  passOver(end: number): void {
    const { dropped } = this;
    if (dropped.end !== this.sent) {
      // Something has been sent behind those that were passed over before, so they are not too many to have states.
      const { start, end: formerEnd } = dropped;
      dropped.set(this.sent, this.sent);
      for (let sequence = Math.max(start, this.base); sequence < formerEnd; sequence++) {
        this.setState(sequence, Delivery.Done);
      }
    }
    dropped.end = end;
    this.sent = end;
    if (this.next >= dropped.start) this.next = end;
    this.changed = true;
    this.#advance();
  }

  /**
   * Another connection: everything that is not acknowledged is to be sent again, in order [MQTT-4.4.0-1].
   * @param release told the packet identifiers whose PUBREL is to be sent again
   */
  rewind(release: (packetId: number) => void): void {
    this.next = this.base;
    this.inFlight = 0;
    this.again = 0;
    for (let sequence = this.base; sequence < this.sent; sequence++) {
      if (this.dropped.holds(sequence)) {
        sequence = this.dropped.end - 1;
        continue;
      }
      const state = this.state(sequence);
      if (state !== Delivery.Done) this.again++;
      if (state === Delivery.AwaitsPubcomp) release(packetIdOf(sequence));
    }
  }

  #advance(): void {
    while (this.base < this.sent) {
      if (this.dropped.holds(this.base)) this.base = this.dropped.end;
      else if (this.state(this.base) === Delivery.Done) this.base++;
      else break;
    }
    if (this.next < this.base) this.next = this.base;
  }

  /** Number of the message that has been sent under a packet identifier; 0 if there is none. */
  sequenceOf(packetId: number): number {
    const distance = (packetId - packetIdOf(this.base) + PACKET_IDS) % PACKET_IDS;
    const sequence = this.base + distance;
    return sequence < this.sent ? sequence : 0;
  }

  /** What the store has to learn; it reserves further numbers, once it is `recorded`. */
  record(): FlowRecord {
    const exceptions: { sequence: number; state: number }[] = [];
    for (let sequence = this.base; sequence < this.sent; sequence++) {
      if (this.dropped.holds(sequence)) {
        sequence = this.dropped.end - 1;
        continue;
      }
      const state = this.state(sequence);
      if (state === Delivery.AwaitsPuback || state === Delivery.AwaitsPubrec) continue;
      if (this.gap.holds(sequence)) continue;
      // Nothing is sent beyond that distance: only gaps of former restarts can lie there.
      if (sequence - this.base > PACKET_IDS) break;
      exceptions.push({ sequence, state });
    }
    return {
      base: this.base,
      sent: Math.max(this.sent, this.#dupBelow),
      tail: this.tail,
      reserved: this.tail + RESERVED,
      droppedStart: this.dropped.start,
      droppedEnd: this.dropped.end,
      assumedGone: this.assumedGone,
      exceptions,
      inbound: [...this.inbound],
    };
  }

  /** The record, if there is one to be written, is on its way to the store. */
  collected(): void {
    if (!this.changed) return;
    this.changed = false;
    this.#reserving = this.tail + RESERVED;
  }

  /** The record that was made last is durable. */
  recorded(): void {
    this.#reserved = this.#reserving;
  }
}

/** Packet identifier of a message. Unique in flight because fewer than 65,535 numbers are in use at a time. */
export function packetIdOf(sequence: number): number {
  return ((sequence - 1) % PACKET_IDS) + 1;
}
