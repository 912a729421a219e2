/** The parser of what clients send: the server's side of a connection. */
import {
  decodeAcknowledgement,
  decodeAuth,
  decodeConnect,
  decodeDisconnect,
  decodeProtocol,
  decodePublish,
  decodeSubscribe,
  decodeUnsubscribe,
} from './decoders.js';
import { PacketFramer } from './framer.js';
import type { AuthPacket, ConnectPacket, DisconnectPacket, SubscribePacket, UnsubscribePacket } from './packets.js';
import { PacketType } from './protocol.js';
import { PublishView } from './publish-view.js';
import { Reader } from './reader.js';
import { ReasonCode } from './reason-codes.js';
import { malformed, protocolError, WireError } from './wire-error.js';

/** Takes packets. A view is valid until the callback returns; objects are the callback's own. */
export interface PacketHandler {
  onConnect(packet: ConnectPacket): void;
  onPublish(view: PublishView): void;
  /** PUBACK 4, PUBREC 5, PUBREL 6, PUBCOMP 7. */
  onAcknowledgement(type: number, packetId: number, reasonCode: number): void;
  onSubscribe(packet: SubscribePacket): void;
  onUnsubscribe(packet: UnsubscribePacket): void;
  onPingreq(): void;
  onDisconnect(packet: DisconnectPacket): void;
  onAuth(packet: AuthPacket): void;
  /** The stream is broken; nothing is handed on after it. Called at most once. */
  onProtocolError(error: WireError): void;
}

/** The low four bits of the first byte, by packet type [MQTT-2.1.3-1]; PUBLISH has its own. */
const FLAGS = [0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0];

/**
 * Parses what one client sends. `version` is 0 until CONNECT has said it. It is also set by a CONNECT that is refused
 * and may be answered: to 5 by a broken CONNECT of MQTT 5.0 [MQTT-3.1.4-1] and by a version after it, which CONNACK 0x84
 * tells [MQTT-3.1.2-2]; to 4 by an older version that there is not (MQTT 3.1.1: [MQTT-3.1.2-2] asks for CONNACK 0x01).
 * After any other failure of CONNECT it stays 0: close in silence.
 */
export class PacketParser extends PacketFramer {
  /** Whether an exchange of AUTH goes on before CONNACK: only AUTH and DISCONNECT may come then [MQTT-3.1.2-30]. */
  authenticating = false;
  /** Whoever takes the packets; another one may take its place between two of them. */
  handler: PacketHandler;
  readonly #view = new PublishView();
  /** Filters of the largest SUBSCRIBE or UNSUBSCRIBE that is taken: they are decoded in one turn of the event loop. */
  maximumFilters = Number.POSITIVE_INFINITY;
  #connected = false;
  #bridgeMode = false;
  readonly #most: number;

  /**
   * @param maximumPacketSize bytes of the largest packet that is taken, fixed header included
   * @param maximumConnectSize the same before `accept`: nobody knows yet who sends it, and it is kept until its last byte
   */
  constructor(handler: PacketHandler, maximumPacketSize: number, maximumConnectSize = maximumPacketSize) {
    super(Math.min(maximumPacketSize, maximumConnectSize));
    this.#most = maximumPacketSize;
    this.handler = handler;
  }

  /** The client has been accepted: it may send packets as large as any. */
  accept(): void {
    this.maximumPacketSize = this.#most;
  }

  /** Whether the largest packet of all is what bounds packets now. */
  get accepted(): boolean {
    return this.maximumPacketSize === this.#most;
  }

  protected override checkFirst(first: number): void {
    const type = first >>> 4;
    if (!this.#connected && type !== PacketType.CONNECT) {
      protocolError('the first packet is not CONNECT [MQTT-3.1.0-1]');
    }
    if (this.authenticating && type !== PacketType.AUTH && type !== PacketType.DISCONNECT) {
      protocolError('neither AUTH nor DISCONNECT before CONNACK [MQTT-3.1.2-30]');
    }
    if (type === PacketType.PUBLISH) return;
    if (type === 0) protocolError('packet type 0');
    // MQTT 3.1 has DUP in PUBREL, SUBSCRIBE and UNSUBSCRIBE, and says of RETAIN that it is not used (MQTT 3.1 2.1).
    const flags = this.version === 3 && FLAGS[type] === 2 ? first & 6 : first & 15;
    if (flags !== FLAGS[type]) {
      malformed('reserved flags of a fixed header [MQTT-2.1.3-1]');
    }
  }

  protected override takePacket(buffer: Buffer, start: number, body: number, end: number): void {
    const handler = this.handler;
    const version = this.version;
    const first = buffer[start];
    const type = first >>> 4;
    if (type === PacketType.PUBLISH && version !== 0 && !this.authenticating) {
      decodePublish(this.#view, buffer, start, body, end, version, false);
      handler.onPublish(this.#view);
      return;
    }
    this.checkFirst(first);
    if (version === 0) {
      this.#connect(buffer, start, body, end);
      return;
    }
    switch (type) {
      case PacketType.PUBACK:
      case PacketType.PUBREC:
      case PacketType.PUBREL:
      case PacketType.PUBCOMP: {
        const reasonCode = decodeAcknowledgement(type, buffer, body, end, version);
        handler.onAcknowledgement(type, (buffer[body] << 8) | buffer[body + 1], reasonCode);
        return;
      }
      case PacketType.SUBSCRIBE:
        handler.onSubscribe(decodeSubscribe(buffer, body, end, version, this.#bridgeMode, this.maximumFilters));
        return;
      case PacketType.UNSUBSCRIBE:
        handler.onUnsubscribe(decodeUnsubscribe(buffer, body, end, version, this.maximumFilters));
        return;
      case PacketType.PINGREQ:
        if (body !== end) malformed('PINGREQ with content');
        handler.onPingreq();
        return;
      case PacketType.DISCONNECT:
        handler.onDisconnect(decodeDisconnect(buffer, body, end, version, false));
        return;
      case PacketType.AUTH:
        if (version !== 5) protocolError('AUTH before MQTT 5.0');
        handler.onAuth(decodeAuth(buffer, body, end, false));
        return;
      default:
        protocolError(type === PacketType.CONNECT ? 'a second CONNECT [MQTT-3.1.0-2]' : 'a packet that servers send');
    }
  }

  protected override takeError(error: WireError): void {
    this.handler.onProtocolError(error);
  }

  #connect(buffer: Buffer, start: number, body: number, end: number): void {
    const reader = new Reader(buffer, body, end);
    const protocol = decodeProtocol(reader);
    if (protocol.version === 0) {
      this.version = protocol.id === 'MQTT' && protocol.level > 4 ? 5 : 4;
      throw new WireError(ReasonCode.UnsupportedProtocolVersion, `${protocol.id} with a level that there is not`);
    }
    if (protocol.version === 5) {
      this.version = 5;
      // The framer could not know yet that the shortest form was asked for [MQTT-1.5.5-1].
      if (body - start > 2 && buffer[body - 1] === 0) {
        malformed('a Remaining Length that is longer than it need be');
      }
    }
    const packet = decodeConnect(reader, protocol.id, protocol.version, protocol.bridgeMode);
    this.version = protocol.version;
    this.#bridgeMode = protocol.bridgeMode;
    this.#connected = true;
    this.handler.onConnect(packet);
  }
}
