/**
 * One network connection. It speaks MQTT over a Transport, and has the shape of Aedes' Client outside: hooks and events
 * get it as `client`.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Holding } from '../bus/memory-budget.js';
import { Publication } from '../bus/publication.js';
import type { Route } from '../bus/router.js';
import type { Waiting } from '../store/load.js';
import { Output } from '../wire/output.js';
import type {
  AuthPacket,
  ConnectPacket,
  DisconnectPacket,
  SubscribePacket,
  UnsubscribePacket,
} from '../wire/packets.js';
import { PacketParser } from '../wire/parser.js';
import { PacketType } from '../wire/protocol.js';
import type { PublishView } from '../wire/publish-view.js';
import type { PublishSource } from '../wire/publish-writer.js';
import { ReasonCode, reasonText } from '../wire/reason-codes.js';
import type { WireError } from '../wire/wire-error.js';
import { writeAcknowledgement, writeConnack, writeDisconnect, writePingresp } from '../wire/writers.js';
import { AedesClient } from './aedes-client.js';
import type { Environment } from './environment.js';
import { handleAcknowledgement } from './handlers/acknowledgement.js';
import { type Authentication, handleAuth } from './handlers/auth.js';
import { handleConnect } from './handlers/connect.js';
import { handleDisconnect } from './handlers/disconnect.js';
import { handlePublish } from './handlers/publish.js';
import { handleSubscribe } from './handlers/subscribe.js';
import { handleUnsubscribe } from './handlers/unsubscribe.js';
import type { Link } from './link.js';
import { Progress } from './progress.js';
import { farewell, problem } from './reasons.js';
import type { RetainedDelivery } from './retained-delivery.js';
import { EAGER_FLUSH, sendPublication, sendPublish } from './sending.js';
import type { OutboundAliases } from './topic-aliases.js';
import type { Transport } from './transport.js';

/** Bytes of a CONNACK without properties. A client that takes fewer is closed without one [MQTT-3.1.2-24]. */
const SMALLEST_CONNACK = 5;
/**
 * Work of the bus that one connection may cause before others have their turn: 10 to 50 ms. More packets wait, however
 * many of them are in the chunk.
 */
const MOST_WORK = 50_000;
/** What a filter to subscribe or unsubscribe counts for, besides its place in the tree. */
const FILTER_WORK = 20;
/** Stands for the type of an acknowledgement that is not sent. */
const NOTHING = 0;

export class Connection extends AedesClient implements Link, Waiting {
  readonly req: IncomingMessage | undefined;
  /** Whether a client without user name may connect this way. */
  readonly anonymousAllowed: boolean;
  readonly transportLayer: Transport;
  readonly parser: PacketParser;
  readonly output = new Output();
  readonly publication = new Publication();
  username: string | null = null;
  /** Null if CONNECT named no Authentication Method. */
  authentication: Authentication | null = null;
  version: 0 | 3 | 4 | 5 = 0;
  /** Seconds; 0 for none. */
  keepalive = 0;
  /** Milliseconds since the epoch. */
  readonly connectedAt: number;
  lastPacketAt: number;
  /** Unacknowledged deliveries that the client takes. */
  window = 0;
  /** Bytes of the largest packet that the client takes. */
  maximumPacketSize = Number.POSITIVE_INFINITY;
  /** Request Problem Information: whether reason strings may go with acknowledgements [MQTT-3.1.2-29]. */
  problemInformation = true;
  /** The route of the last PUBLISH: the next one often has the same topic. */
  lastRoute: Route | null = null;
  /** By Topic Alias: what this client has told. */
  #topics: Map<number, Route> | null = null;
  /** Aliases towards this client; null if it takes none. */
  aliases: OutboundAliases | null = null;
  /** Acknowledgements that wait for a commit. While there are any, others wait behind them [MQTT-4.6.0-2]. */
  pendingAcknowledgements = 0;
  /** Bytes that wait to be written because of packets that are not acknowledged yet. */
  pendingBytes = 0;
  /** QoS 1 and 2 publications of this connection that are not acknowledged to the end [MQTT-3.3.4-7]. */
  receiving = 0;
  /** Retained messages that are being sent to new subscriptions. */
  retainedDelivery: RetainedDelivery | null = null;
  dirty = false;
  #reading = true;
  #hooksPending = 0;
  /** A PUBLISH has been put back until the store has room. */
  #putBack = false;
  /** Reading of the bus's work when this connection had its turn. */
  #workBefore = 0;
  #closeReason = '';
  readonly #progress = new Progress();
  /** What the transport has not taken. */
  readonly #holding: Holding;

  constructor(environment: Environment, transport: Transport, req: IncomingMessage | undefined, anonymous: boolean) {
    super(environment);
    this.anonymousAllowed = anonymous;
    this.transportLayer = transport;
    this.req = req;
    this.connectedAt = environment.clock.now();
    this.lastPacketAt = this.connectedAt;
    this.parser = new PacketParser(this, environment.options.maxPacketSize);
    environment.counters.connections++;
    this.#holding = new Holding(environment.budget);
    transport.handler = this;
  }

  // --- who it is ----------------------------------------------------------------------------------------------------

  get remote(): string {
    return this.transportLayer.remote;
  }

  /** The stream of the connection, for code written for Aedes; null for a WebSocket. */
  get conn(): Duplex | null {
    return this.transportLayer.stream;
  }

  get transport(): string {
    return this.transportLayer.name;
  }

  // --- bytes in -----------------------------------------------------------------------------------------------------

  onData(chunk: Buffer): void {
    if (this.state === 'closed') return;
    this.environment.counters.bytesReceived += chunk.length;
    this.lastPacketAt = this.environment.clock.now();
    this.#workBefore = this.environment.router.work.done;
    this.parser.push(chunk);
    this.#regulate();
  }

  onDrain(): void {
    if (this.state !== 'connected') return;
    this.#holding.set(this.transportLayer.pending);
    this.session?.outbound.pump();
    this.retainedDelivery?.pump();
    this.#regulate();
  }

  onClose(error: Error | null): void {
    if (this.state === 'closed') return;
    const reason = error === null ? 'the client closed the connection' : describe(error);
    if (error !== null) this.environment.hooks.emit(this.id === '' ? 'connectionError' : 'clientError', this, error);
    this.#closed(reason, true);
  }

  /**
   * Reads on only while the client takes its own acknowledgements and has not more of them pending than it may. So a
   * client that floods without reading holds up itself alone.
   */
  #regulate(): void {
    const mayRead =
      this.state !== 'connecting' &&
      this.#hooksPending === 0 &&
      !this.#putBack &&
      !this.#waitsForStore() &&
      !(this.congested && this.connected);
    if (mayRead === this.#reading || this.state === 'closed') return;
    this.#reading = mayRead;
    if (mayRead) {
      // While the broker does not read, it cannot know whether the client is silent.
      this.lastPacketAt = this.environment.clock.now();
      this.#workBefore = this.environment.router.work.done;
      this.transportLayer.resume();
      this.parser.resume();
    } else {
      this.transportLayer.pause();
    }
  }

  /** Whether so much of this client waits to be written that it has to wait, too. */
  #waitsForStore(): boolean {
    const { load } = this.environment.commit;
    if (this.pendingAcknowledgements < this.environment.options.receiveMaximum && this.pendingBytes < load.share) {
      return false;
    }
    if (this.state === 'closed') return true;
    load.wait(this);
    // It is told at once that nothing more can be written, so nothing more of it will wait.
    return !(load.ailing && this.version === 5);
  }

  /** Keeps the PUBLISH that is being handled, and what comes behind it, until the store has room. */
  putBack(): void {
    this.#putBack = true;
    this.parser.putBack();
    this.environment.commit.load.wait(this);
    this.#regulate();
  }

  storeChanged(): void {
    this.#putBack = false;
    this.#regulate();
  }

  /** CONNACK has left, or AUTH that the client has to answer: what it has sent meanwhile is taken now. */
  proceed(): void {
    this.#regulate();
  }

  /** CONNECT, or the client's share in its authentication, is being decided on: what comes meanwhile waits. */
  decide(): void {
    this.state = 'connecting';
    this.parser.pause();
    this.#regulate();
  }

  /** Whether the broker takes what this client sends. */
  get reading(): boolean {
    return this.#reading;
  }

  /** The client has given a topic an alias, for as long as this connection lasts [MQTT-3.3.2-7]. */
  learn(alias: number, route: Route): void {
    this.#topics ??= new Map();
    this.#topics.set(alias, route);
  }

  topicOf(alias: number): Route | undefined {
    return this.#topics?.get(alias);
  }

  /** Holds back further packets until a hook has answered. */
  hold(): void {
    this.#hooksPending++;
    this.parser.pause();
    this.#regulate();
  }

  unhold(): void {
    this.#hooksPending--;
    this.#regulate();
  }

  /** Lets others have their turn if this client's packets have caused much work. */
  #rest(): void {
    if (this.environment.router.work.done - this.#workBefore < MOST_WORK || this.closed) return;
    this.hold();
    setImmediate(() => this.unhold());
  }

  // --- packets in ---------------------------------------------------------------------------------------------------

  onConnect(packet: ConnectPacket): void {
    this.environment.counters.packetsReceived++;
    this.environment.counters.connects++;
    this.version = packet.protocolVersion;
    this.decide();
    handleConnect(this, packet).catch((error: Error) => this.fail(error));
  }

  onPublish(view: PublishView): void {
    handlePublish(this, view);
    this.#rest();
  }

  onAcknowledgement(type: number, packetId: number, reasonCode: number): void {
    handleAcknowledgement(this, type, packetId, reasonCode);
  }

  onSubscribe(packet: SubscribePacket): void {
    this.environment.counters.packetsReceived++;
    this.environment.router.work.done += FILTER_WORK * packet.subscriptions.length;
    this.carryOut(packet).catch((error: Error) => this.fail(error));
    this.#rest();
  }

  protected override carryOut(packet: SubscribePacket): Promise<void> {
    return handleSubscribe(this, packet);
  }

  onUnsubscribe(packet: UnsubscribePacket): void {
    this.environment.counters.packetsReceived++;
    this.environment.router.work.done += FILTER_WORK * packet.unsubscriptions.length;
    handleUnsubscribe(this, packet);
    this.#rest();
  }

  onPingreq(): void {
    this.environment.counters.packetsReceived++;
    this.environment.counters.packetsSent++;
    writePingresp(this.output);
    this.touch();
    if (this.environment.hooks.wants('ping')) this.environment.hooks.emit('ping', { cmd: 'pingreq' }, this);
  }

  onDisconnect(packet: DisconnectPacket): void {
    this.environment.counters.packetsReceived++;
    handleDisconnect(this, packet);
  }

  onAuth(packet: AuthPacket): void {
    handleAuth(this, packet);
  }

  onProtocolError(error: WireError): void {
    this.environment.counters.protocolErrors++;
    if (error.reasonCode === ReasonCode.PacketTooLarge) {
      this.environment.counters.oversizedPackets++;
      this.environment.journal.limit(this, 'mqtt.max_packet_size', `${error.message} is refused`);
    }
    this.environment.hooks.emit(this.id === '' ? 'connectionError' : 'clientError', this, error);
    // What failed inside the broker is for the log alone.
    const internal = error.reasonCode === ReasonCode.ImplementationSpecificError;
    this.reject(error.reasonCode, error.message, internal ? reasonText(error.reasonCode) : error.message);
  }

  /**
   * Ends the connection because of a packet that it sent: CONNACK before it is accepted, DISCONNECT after.
   * @param reason for the log
   * @param told for the client
   */
  reject(reasonCode: number, reason: string, told = reason): void {
    if (this.state === 'connected') {
      this.terminate(reasonCode, reason, told);
      return;
    }
    // The parser knows the version to answer in also when CONNECT broke the protocol; 0 if there was no telling, and
    // then an answer would be noise (MQTT 5.0 4.13.1).
    const { version } = this.parser;
    if (version !== 0 && this.state !== 'closed' && this.maximumPacketSize >= SMALLEST_CONNACK) {
      this.environment.counters.packetsSent++;
      writeConnack(this.output, version, false, reasonCode, farewell(this, reasonCode, told));
      this.flush();
    }
    this.#refused(reason);
  }

  #refused(reason: string): void {
    if (this.state === 'closed') return;
    this.environment.journal.refused(this, reason);
    this.#closed(reason, false);
    this.transportLayer.end();
  }

  /** Closes without an answer, as Aedes does when `preConnect` refuses. */
  drop(reason: string): void {
    if (this.state === 'closed') return;
    this.environment.journal.refused(this, reason);
    this.#closed(reason, false);
    this.transportLayer.destroy();
  }

  /** Something in the broker or a hook failed: the connection ends, the process does not. */
  fail(error: Error): void {
    this.environment.hooks.emit(this.id === '' ? 'connectionError' : 'clientError', this, error);
    const reasonCode = ReasonCode.ImplementationSpecificError;
    this.terminate(reasonCode, error.message, reasonText(reasonCode));
  }

  // --- packets out --------------------------------------------------------------------------------------------------

  get congested(): boolean {
    const { outputBuffer } = this.environment.options;
    return this.output.length + this.transportLayer.pending > outputBuffer || this.#holding.isOver;
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
    if (this.transportLayer.write(output.bytes())) output.recycle();
    else {
      output.release();
      this.#holding.set(this.transportLayer.pending);
    }
    // What the transport took at once was never pending there, so it will not tell that there is room again.
    if (congested && !this.congested) setImmediate(this.#roomAgain);
  }

  readonly #roomAgain = (): void => this.onDrain();

  /** A QoS 0 publication: sent, or dropped and counted if the client does not read. */
  sendQos0(publication: Publication, retain: boolean, identifiers: readonly number[] | null): void {
    if (this.state !== 'connected') return;
    if (this.congested) {
      const { counters, journal } = this.environment;
      counters.publishDropped++;
      const lacksMemory = this.#holding.isOver;
      if (lacksMemory) counters.droppedMemory++;
      else counters.droppedOutputBuffer++;
      const option = lacksMemory ? 'limits.memory' : 'limits.output_buffer';
      journal.limit(this, option, 'QoS 0 messages are dropped: the client does not read');
      return;
    }
    sendPublication(this, publication, 0, retain, 0, identifiers);
  }

  sendPublication(
    publication: Publication,
    qos: number,
    retain: boolean,
    packetId: number,
    identifiers: readonly number[] | null,
  ): boolean {
    return sendPublication(this, publication, qos, retain, packetId, identifiers);
  }

  sendPublish(
    source: PublishSource,
    qos: number,
    retain: boolean,
    dup: boolean,
    packetId: number,
    expiresAt: number,
    identifiers: readonly number[] | null,
  ): boolean {
    return sendPublish(this, source, qos, retain, dup, packetId, expiresAt, identifiers);
  }

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
    if (!this.#reading) this.#regulate();
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
    if (this.pendingBytes < commit.load.share || !this.#reading) return;
    // Not at the end of the chunk, which may cause many times its own size.
    if (!this.#waitsForStore()) return;
    this.parser.pause();
    this.#regulate();
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
      if (!this.#reading) this.#regulate();
    }
  }

  /** The same as `durable`, with a callback, which is called at once if there is nothing to wait for. */
  whenDurable(callback: () => void): void {
    this.pendingAcknowledgements++;
    this.environment.commit.whenSettled(() => {
      this.pendingAcknowledgements--;
      callback();
      if (!this.#reading) this.#regulate();
    });
  }

  // --- the end ------------------------------------------------------------------------------------------------------

  /**
   * Ends the connection from the broker's side; the will is published.
   * @param reason for the log
   * @param told for the client
   */
  terminate(reasonCode: number, reason: string, told = reason): void {
    if (this.state === 'closed') return;
    if (this.version === 5 && this.state === 'connected') {
      this.environment.counters.packetsSent++;
      writeDisconnect(this.output, 5, reasonCode, farewell(this, reasonCode, told));
    }
    this.flush();
    const words = reason === '' ? reasonText(reasonCode) : reason;
    this.#closed(words, true);
    this.transportLayer.end();
  }

  /** The client has said DISCONNECT. */
  leave(publishWill: boolean, reason: string): void {
    this.flush();
    this.#closed(reason, publishWill);
    this.transportLayer.end();
  }

  /** Why the connection ended, in words; empty while it is open. */
  get closeReason(): string {
    return this.#closeReason;
  }

  #closed(reason: string, publishWill: boolean): void {
    const wasConnected = this.state === 'connected';
    const { environment, session } = this;
    this.state = 'closed';
    this.#closeReason = reason;
    this.parser.stop();
    this.output.release();
    this.#holding.set(0);
    environment.commit.load.forget(this);
    environment.hooks.unregister(this);
    if (session !== null && session.connection === this) {
      session.detach();
      if (session.expiryInterval > 0) this.retainedDelivery?.handOver(session);
      // Before the will: a shared subscription must not hand it to a session that ends with this connection.
      if (session.expiryInterval === 0) environment.sessions.end(session);
      if (publishWill) environment.wills.fire(this.id, session.expiryInterval, this);
      else environment.wills.disarm(this.id);
    }
    this.retainedDelivery?.stop();
    this.retainedDelivery = null;
    if (wasConnected) environment.journal.disconnected(this, reason);
  }
}

function describe(error: Error): string {
  const code = 'code' in error ? String(error.code) : '';
  if (code === 'ECONNRESET') return 'the client reset the connection';
  if (code === 'EPIPE') return 'the client closed the connection';
  if (code === 'ETIMEDOUT') return 'the network timed out';
  return error.message;
}
