/** What a connection writes: its output, when that leaves, and acknowledgements. */
import { Holding } from '../bus/memory-budget.js';
import { Output } from '../wire/output.js';
import { PacketType } from '../wire/protocol.js';
import { reasonText } from '../wire/reason-codes.js';
import { writeAcknowledgement } from '../wire/writers.js';
import type { AccessControl } from './access-control.js';
import { AedesClient } from './aedes-client.js';
import type { Environment } from './environment.js';
import type { Intake } from './intake.js';
import { type ListenerTerms, USUAL_TERMS } from './listener-terms.js';
import { Progress } from './progress.js';
import { problem } from './reasons.js';
import { EAGER_FLUSH } from './sending.js';
import type { Transport } from './transport.js';

/** Stands for the type of an acknowledgement that is not sent. */
const NOTHING = 0;

export abstract class Sender extends AedesClient {
  /** Another one takes its place while somebody traces it. */
  transportLayer: Transport;
  /** Those of the listener that it came by. */
  readonly terms: ListenerTerms;
  /** What decides on its client. */
  readonly access: AccessControl;
  /** `mqtt.max_qos`, or that of the listener if it is less. */
  readonly maxQos: 0 | 1 | 2;
  /** It counts among the clients of its listener. */
  #counted = false;
  readonly output = new Output();
  /** MQTT protocol version; 0 before CONNECT. */
  version: 0 | 3 | 4 | 5 = 0;
  /** Bytes of the largest packet that the client takes. */
  maximumPacketSize = Number.POSITIVE_INFINITY;
  /** Request Problem Information: whether reason strings may go with acknowledgements [MQTT-3.1.2-29]. */
  problemInformation = true;
  /** Acknowledgements that wait for a commit. While there are any, others wait behind them [MQTT-4.6.0-2]. */
  pendingAcknowledgements = 0;
  /** Bytes that wait to be written because of packets that are not acknowledged yet. */
  pendingBytes = 0;
  /** QoS 1 and 2 publications of this connection that are not acknowledged to the end [MQTT-3.3.4-7]. */
  receiving = 0;
  dirty = false;
  readonly #progress = new Progress();
  /** What the transport has not taken. */
  protected readonly holding: Holding;

  constructor(environment: Environment, transport: Transport) {
    super(environment);
    this.transportLayer = transport;
    this.holding = new Holding(environment.budget);
    this.terms = transport.terms ?? USUAL_TERMS;
    this.access = this.terms.access ?? environment.access;
    this.maxQos = Math.min(environment.options.maxQos, this.terms.options.maxQos) as 0 | 1 | 2;
  }

  /** The listener that it came by, if that has its own access control; otherwise empty. */
  get listener(): string {
    return this.access.listener;
  }

  /** A topic as the client says it: its listener may have a mount point. */
  said(topic: string): string {
    return topic;
  }

  /** From here on it is one of the clients of its listener. */
  joinListener(): void {
    this.#counted = true;
    this.terms.connected++;
  }

  protected leaveListener(): void {
    if (this.#counted) this.terms.connected--;
    this.#counted = false;
  }

  abstract readonly intake: Intake;
  /** There is room for more output. */
  abstract onDrain(): void;

  /** Bytes that the transport has been given. */
  get bytesSent(): number {
    return this.#progress.handedOver;
  }

  get congested(): boolean {
    const { outputBuffer } = this.environment.options;
    return this.output.length + this.transportLayer.pending > outputBuffer || this.holding.isOver;
  }

  /** Whether the client has taken nothing for `limits.stalled_timeout` although more than the output buffer waits. */
  isStalled(now: number): boolean {
    const { stalledTimeout } = this.environment.options;
    if (stalledTimeout > 0 && this.congested) {
      return this.#progress.standstill(this.transportLayer, now) > stalledTimeout * 1000;
    }
    this.#progress.clear();
    return false;
  }

  /** Marks the output to be flushed at the end of this turn. */
  touch(): void {
    if (this.output.length >= EAGER_FLUSH) this.flush();
    else if (!this.dirty) this.environment.flusher.add(this);
  }

  flush(): void {
    const { output } = this;
    if (output.length === 0) return;
    this.environment.counters.bytesSent += output.length;
    this.#progress.handedOver += output.length;
    const { congested } = this;
    this.transportLayer.write(output);
    const { pending } = this.transportLayer;
    if (pending > 0) this.holding.set(pending);
    // What the transport took at once was never pending there, so it will not tell that there is room again.
    if (congested && !this.congested) setImmediate(this.#roomAgain);
  }

  readonly #roomAgain = (): void => this.onDrain();

  sendPubrel(packetId: number): void {
    if (this.state === 'closed') return;
    this.sendAcknowledgement(PacketType.PUBREL, packetId, 0);
  }

  /** @param words why not, for an MQTT 5.0 client; the reason code in words unless given */
  sendAcknowledgement(type: number, packetId: number, reasonCode: number, words?: string): void {
    const ends =
      type === PacketType.PUBACK ||
      (type === PacketType.PUBREC && reasonCode >= 0x80) ||
      // What answers a PUBREL of nothing ends nothing.
      (type === PacketType.PUBCOMP && reasonCode === 0);
    if (ends && this.receiving > 0) this.receiving--;
    this.environment.counters.packetsSent++;
    const properties = reasonCode < 0x80 ? undefined : problem(this, words ?? reasonText(reasonCode), 8);
    writeAcknowledgement(this.output, this.version as 3 | 4 | 5, type, packetId, reasonCode, properties);
    this.touch();
  }

  /** An acknowledgement whose commit is durable. */
  acknowledge(type: number, packetId: number, reasonCode: number, bytes: number): void {
    this.pendingAcknowledgements--;
    this.pendingBytes -= bytes;
    if (this.state === 'closed') return;
    if (type !== NOTHING) this.sendAcknowledgement(type, packetId, reasonCode);
    if (!this.intake.reading) this.intake.regulate();
  }

  /**
   * Acknowledges once everything that the packet changed is durable, and not before the packets before it.
   * @param bytes that wait to be written because of the packet
   */
  acknowledgeDurably(type: number, packetId: number, reasonCode: number, bytes = 0): void {
    const { commit } = this.environment;
    this.pendingAcknowledgements++;
    this.pendingBytes += bytes;
    commit.acknowledge(this, type, packetId, reasonCode, bytes);
    if (this.pendingBytes < commit.load.share || !this.intake.reading) return;
    // Not at the end of the chunk, which may cause many times its own size.
    if (!this.intake.waitsForStore()) return;
    this.intake.stopParsing();
  }

  /** A packet without acknowledgement has changed the store: as many as may be acknowledged late may be written late. */
  waitForCommit(bytes = 0): void {
    this.acknowledgeDurably(NOTHING, 0, 0, bytes);
  }

  /** Resolves once everything that has joined until now is durable; counts as an acknowledgement. */
  async durable(): Promise<void> {
    this.pendingAcknowledgements++;
    try {
      await this.environment.commit.settled();
    } finally {
      this.pendingAcknowledgements--;
      if (!this.intake.reading) this.intake.regulate();
    }
  }

  /** The same as `durable`, with a callback, which is called at once if there is nothing to wait for. */
  whenDurable(callback: () => void): void {
    this.pendingAcknowledgements++;
    this.environment.commit.whenSettled(() => {
      this.pendingAcknowledgements--;
      callback();
      if (!this.intake.reading) this.intake.regulate();
    });
  }
}
