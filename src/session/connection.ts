/**
 * One network connection. It speaks MQTT over a Transport, and has the shape of Aedes' Client outside: hooks and events
 * get it as `client`.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Grant } from '../bus/party.js';
import { Publication } from '../bus/publication.js';
import type { Route } from '../bus/router.js';
import type { Waiting } from '../store/load.js';
import type {
  AuthPacket,
  ConnectPacket,
  DisconnectPacket,
  SubscribePacket,
  UnsubscribePacket,
} from '../wire/packets.js';
import { PacketParser } from '../wire/parser.js';
import type { PublishView } from '../wire/publish-view.js';
import type { PublishSource } from '../wire/publish-writer.js';
import { ReasonCode, reasonText } from '../wire/reason-codes.js';
import type { WireError } from '../wire/wire-error.js';
import { writeConnack, writeDisconnect, writePingresp } from '../wire/writers.js';
import type { Environment, SessionOptions } from './environment.js';
import type { Entry } from './gate.js';
import { handleAcknowledgement } from './handlers/acknowledgement.js';
import { type Authentication, handleAuth } from './handlers/auth.js';
import { handleConnect } from './handlers/connect.js';
import { handleDisconnect } from './handlers/disconnect.js';
import { handleProtocolError } from './handlers/protocol-error.js';
import { handlePublish } from './handlers/publish.js';
import { handleSubscribe } from './handlers/subscribe.js';
import { handleUnsubscribe } from './handlers/unsubscribe.js';
import { Intake } from './intake.js';
import { leaveBehind } from './leaving.js';
import type { Link } from './link.js';
import { describe, farewell } from './reasons.js';
import type { RetainedDelivery } from './retained-delivery.js';
import type { ClientRights } from './rights.js';
import { Sender } from './sender.js';
import { dropQos0, sendPublication, sendPublish } from './sending.js';
import type { ShownKey } from './shown.js';
import { InboundAliases, type OutboundAliases } from './topic-aliases.js';
import type { Transport } from './transport.js';

/** Bytes of a CONNACK without properties. A client that takes fewer is closed without one [MQTT-3.1.2-24]. */
const SMALLEST_CONNACK = 5;
/** What a filter to subscribe or unsubscribe counts for, besides its place in the tree. */
const FILTER_WORK = 20;
/** Filters that one packet may have in any case. */
const LEAST_FILTERS = 1000;

export class Connection extends Sender implements Link, Waiting {
  readonly req: IncomingMessage | undefined;
  /** Whether a client without user name may connect this way. */
  anonymousAllowed: boolean;
  readonly parser: PacketParser;
  readonly intake = new Intake(this);
  /** Its place at the gate; null only where the gate has none for it. */
  entry: Entry | null = null;
  readonly publication = new Publication();
  username: string | null = null;
  /** The user name that the transport has proved, in the place of that of CONNECT; null if it has proved none. */
  proved: string | null = null;
  /** The pre-shared key of its transport; null if it has shown none. */
  psk: ShownKey | null = null;
  /** What it may do; null until that is asked for. */
  rights: ClientRights | null = null;
  /** What a back-end has said of it; null if none has let it in. */
  grant: Grant | null = null;
  /** It came with a user name and, if there are any to compare with, its password. */
  byPassword = false;
  /** Null if CONNECT named no Authentication Method. */
  authentication: Authentication | null = null;
  /** Seconds; 0 for none. */
  keepalive = 0;
  /** Milliseconds since the epoch. */
  readonly connectedAt: number;
  lastPacketAt: number;
  /** Unacknowledged deliveries that the client takes. */
  window = 0;
  /** The route of the last PUBLISH: the next one often has the same topic. */
  lastRoute: Route | null = null;
  /** Topic Aliases that this client has told; null if there are none. */
  #inboundAliases: InboundAliases | null = null;
  /** Topic Aliases towards this client; null if it takes none. */
  aliases: OutboundAliases | null = null;
  /** Retained messages that are being sent to new subscriptions. */
  retainedDelivery: RetainedDelivery | null = null;
  #closeReason = '';

  /** Those that it was told in CONNACK, which hold until it ends. */
  readonly options: SessionOptions;

  constructor(environment: Environment, transport: Transport, req: IncomingMessage | undefined, anonymous: boolean) {
    super(environment, transport);
    this.anonymousAllowed = anonymous;
    this.req = req;
    this.connectedAt = environment.clock.now();
    this.lastPacketAt = this.connectedAt;
    this.options = environment.options;
    const { maxPacketSize, maxConnectSize, subscriptionsPerClient } = this.options;
    this.parser = new PacketParser(this, maxPacketSize, maxConnectSize);
    this.parser.maximumFilters = Math.max(subscriptionsPerClient, LEAST_FILTERS);
    environment.counters.connections++;
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
    this.intake.take(chunk);
  }

  onDrain(): void {
    if (this.state !== 'connected') return;
    this.holding.set(this.transportLayer.pending);
    this.session?.outbound.pump();
    this.retainedDelivery?.pump();
    this.intake.regulate();
  }

  onClose(error: Error | null): void {
    if (this.state !== 'closed' && !(error === null && this.intake.finish())) this.gone(error);
  }

  /** The connection is gone, and everything that the client sent before it closed it has been carried out. */
  gone(error: Error | null): void {
    const reason = error === null ? 'the client closed the connection' : describe(error);
    if (error !== null) this.tell(error);
    this.#closed(reason, true);
  }

  /** CONNACK leaves: what an accepted client may do counts from here on. */
  accepted(): void {
    const { environment, entry } = this;
    this.state = 'connected';
    if (entry !== null) environment.gate.accepted(entry);
    this.parser.accept();
    this.transportLayer.accept(this.options.maxPacketSize);
    this.intake.limit();
  }

  storeChanged(): void {
    this.intake.storeChanged();
  }

  /** CONNACK has left, or AUTH that the client has to answer: what it has sent meanwhile is taken now. */
  proceed(): void {
    this.intake.regulate();
  }

  /** CONNECT, or the client's share in its authentication, is being decided on: what comes meanwhile waits. */
  decide(): void {
    this.state = 'connecting';
    this.parser.pause();
    this.intake.regulate();
  }

  /** The client has given a topic an alias, for as long as this connection lasts [MQTT-3.3.2-7]. */
  learn(alias: number, route: Route): void {
    this.#inboundAliases ??= new InboundAliases(this.environment.heap);
    if (!this.#inboundAliases.set(alias, route)) this.endForMemory('Topic Aliases');
  }

  /** `limits.memory`: the client makes the broker keep more than its part. */
  endForMemory(what: string): void {
    if (this.state === 'closed') return;
    this.environment.counters.overMemory++;
    this.environment.journal.limit(this, 'limits.memory', `the client is disconnected: ${what} take too much memory`);
    if (this.connected) this.terminate(ReasonCode.QuotaExceeded, 'limits.memory is reached');
    else this.drop('limits.memory is reached');
  }

  topicOf(alias: number): Route | undefined {
    return this.#inboundAliases?.get(alias);
  }

  /** Holds back further packets until a hook has answered. */
  hold(): void {
    this.intake.hold();
  }

  unhold(): void {
    this.intake.unhold();
  }

  // --- packets in ---------------------------------------------------------------------------------------------------

  onConnect(packet: ConnectPacket): void {
    this.environment.counters.packetsReceived++;
    this.environment.counters.connects++;
    this.version = packet.protocolVersion;
    this.environment.tracing.tracer?.arrived(this, packet);
    this.decide();
    handleConnect(this, packet).catch((error: Error) => this.fail(error));
  }

  onPublish(view: PublishView): void {
    handlePublish(this, view);
    this.intake.published();
  }

  onAcknowledgement(type: number, packetId: number, reasonCode: number): void {
    handleAcknowledgement(this, type, packetId, reasonCode);
  }

  onSubscribe(packet: SubscribePacket): void {
    this.#onFilters(packet, packet.subscriptions.length);
  }

  onUnsubscribe(packet: UnsubscribePacket): void {
    this.#onFilters(packet, packet.unsubscriptions.length);
  }

  #onFilters(packet: SubscribePacket | UnsubscribePacket, filters: number): void {
    this.environment.counters.packetsReceived++;
    this.environment.router.work.done += FILTER_WORK * filters;
    this.carryOut(packet).catch((error: Error) => this.fail(error));
    this.intake.rest();
  }

  protected override carryOut(packet: SubscribePacket | UnsubscribePacket): Promise<void> {
    return packet.cmd === 'subscribe' ? handleSubscribe(this, packet) : handleUnsubscribe(this, packet);
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
    handleProtocolError(this, error);
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
    this.discard(reason);
  }

  /** Closes without an answer and without a line in the log: whoever calls this has said it. */
  discard(reason: string): void {
    this.#closed(reason, false);
    this.transportLayer.destroy();
  }

  /** Emits the event of Aedes for an error. */
  tell(error: Error): void {
    this.environment.hooks.emit(this.id === '' ? 'connectionError' : 'clientError', this, error);
  }

  /** Something in the broker or a hook failed: the connection ends, the process does not. */
  fail(error: Error): void {
    this.tell(error);
    const reasonCode = ReasonCode.ImplementationSpecificError;
    this.terminate(reasonCode, error.message, reasonText(reasonCode));
  }

  // --- packets out --------------------------------------------------------------------------------------------------

  /** A QoS 0 publication: sent, or dropped and counted if the client does not read. */
  sendQos0(publication: Publication, retain: boolean, identifiers: readonly number[] | null): void {
    if (this.state !== 'connected') return;
    const lacksMemory = this.holding.lacksRoomFor(publication.payloadEnd - publication.payloadStart);
    if (lacksMemory || this.congested) dropQos0(this, lacksMemory);
    else this.sendPublication(publication, 0, retain, 0, identifiers);
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
    return sendPublish(this, null, null, source, qos, retain, dup, packetId, expiresAt, identifiers);
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
    const { environment } = this;
    this.state = 'closed';
    this.#closeReason = reason;
    this.parser.stop();
    this.intake.stop();
    if (this.entry !== null) environment.gate.leave(this.entry);
    this.output.release();
    this.holding.set(0);
    this.#inboundAliases?.release();
    environment.commit.load.forget(this);
    environment.hooks.unregister(this);
    this.leaveListener();
    leaveBehind(this, publishWill);
    if (wasConnected) environment.journal.disconnected(this, reason);
  }
}
