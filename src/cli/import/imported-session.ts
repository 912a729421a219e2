/**
 * A session on its way into the store, and the numbers of its messages. A packet identifier follows from a message's
 * number (`session/flow-state.ts`), so a message that is in flight gets a number that gives it the identifier under which
 * its client knows it; the numbers that are skipped for that are done.
 */
import { Delivery } from '../../session/delivery-states.js';
import { packetIdOf } from '../../session/flow-state.js';
import type { FlowRecord, SessionRecord } from '../../store/records.js';

/** Packet identifiers are 1 to 65,535 [MQTT-2.2.1-4]. */
const PACKET_IDS = 65535;

export class ImportedSession {
  readonly clientId: string;
  readonly number: number;
  /** Session Expiry Interval in seconds. */
  expiryInterval: number;
  /** Milliseconds since the epoch. */
  disconnectedAt: number;
  /** 4 or 5; which one an older client spoke nobody has written down. */
  version: 4 | 5 = 4;
  sharing = false;
  /** Packet identifiers of QoS 2 publications of its client that await PUBREL. */
  readonly inbound = new Set<number>();
  #base = 1;
  #sent = 1;
  #tail = 1;
  /** What those in flight await. */
  readonly #states = new Map<number, number>();

  constructor(clientId: string, number: number, expiryInterval: number, disconnectedAt: number) {
    this.clientId = clientId;
    this.number = number;
    this.expiryInterval = expiryInterval;
    this.disconnectedAt = disconnectedAt;
  }

  /**
   * Number of a message that its client may have under a packet identifier; 0 if it cannot have one: it stands behind one
   * that waits, or the identifier is in use.
   * @param released the client has confirmed it with PUBREC
   */
  inFlight(packetId: number, released: boolean): number {
    if (packetId < 1 || packetId > PACKET_IDS || this.#tail > this.#sent) return 0;
    if (this.#states.size === 0) this.#base = packetId;
    const from = Math.max(this.#base, this.#tail);
    const sequence = from + ((packetId - packetIdOf(from) + PACKET_IDS) % PACKET_IDS);
    if (sequence - this.#base >= PACKET_IDS) return 0;
    this.#states.set(sequence, released ? Delivery.AwaitsPubcomp : Delivery.AwaitsPuback);
    this.#sent = sequence + 1;
    this.#tail = sequence + 1;
    return sequence;
  }

  /** Number of a message that waits. */
  waiting(): number {
    return this.#tail++;
  }

  record(): SessionRecord {
    const { number, expiryInterval, disconnectedAt, version, sharing } = this;
    return { number, expiryInterval, connected: false, disconnectedAt, version, sharing };
  }

  flow(): FlowRecord {
    const exceptions: { sequence: number; state: number }[] = [];
    for (let sequence = this.#base; sequence < this.#sent; sequence++) {
      const state = this.#states.get(sequence) ?? Delivery.Done;
      if (state !== Delivery.AwaitsPuback) exceptions.push({ sequence, state });
    }
    return {
      base: this.#base,
      sent: this.#sent,
      tail: this.#tail,
      reserved: this.#tail,
      droppedStart: 0,
      droppedEnd: 0,
      assumedGone: 0,
      exceptions,
      inbound: [...this.inbound],
    };
  }
}
