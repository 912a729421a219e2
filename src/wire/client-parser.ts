/** The parser of what servers send: the client's side of a connection. */
import { decodeAcknowledgement, decodeAuth, decodeDisconnect, decodePublish } from './decoders.js';
import { PacketFramer } from './framer.js';
import type { AuthPacket, ConnackPacket, DisconnectPacket, SubackPacket, UnsubackPacket } from './packets.js';
import { PacketType, type ProtocolVersion } from './protocol.js';
import { PublishView } from './publish-view.js';
import { decodeConnack, decodeSuback, decodeUnsuback } from './server-decoders.js';
import { malformed, protocolError, type WireError } from './wire-error.js';

/** Takes packets. A view is valid until the callback returns; objects are the callback's own. */
export interface ClientPacketHandler {
  onConnack(packet: ConnackPacket): void;
  onPublish(view: PublishView): void;
  /** PUBACK 4, PUBREC 5, PUBREL 6, PUBCOMP 7. */
  onAcknowledgement(type: number, packetId: number, reasonCode: number): void;
  onSuback(packet: SubackPacket): void;
  onUnsuback(packet: UnsubackPacket): void;
  onPingresp(): void;
  onDisconnect(packet: DisconnectPacket): void;
  onAuth(packet: AuthPacket): void;
  /** The stream is broken; nothing is handed on after it. Called at most once. */
  onProtocolError(error: WireError): void;
}

/** Largest packet that MQTT can express: a Remaining Length of 268,435,455 and its fixed header. */
const LARGEST_PACKET = 268_435_460;

/** Parses what a server sends to a client that has sent CONNECT for `version`. */
export class ClientPacketParser extends PacketFramer {
  readonly #handler: ClientPacketHandler;
  readonly #view = new PublishView();
  readonly #version: ProtocolVersion;
  #accepted = false;
  #joined = false;

  constructor(handler: ClientPacketHandler, version: ProtocolVersion, maximumPacketSize: number = LARGEST_PACKET) {
    super(maximumPacketSize);
    this.#handler = handler;
    this.#version = version;
    this.version = version;
  }

  /** It listens in on a connection that there was before: CONNACK may have come, or not. */
  join(): void {
    this.#joined = true;
    this.#accepted = true;
  }

  protected override checkFirst(first: number): void {
    const type = first >>> 4;
    // Only an exchange of AUTH may come before CONNACK [MQTT-3.2.0-1].
    if (!this.#accepted && type !== PacketType.CONNACK && !(type === PacketType.AUTH && this.#version === 5)) {
      protocolError('the first packet is not CONNACK [MQTT-3.2.0-1]');
    }
    if (type === PacketType.PUBLISH) return;
    if (type === 0) protocolError('packet type 0');
    const isPubrel = type === PacketType.PUBREL;
    const flags = this.#version === 3 && isPubrel ? first & 6 : first & 15;
    if (flags !== (isPubrel ? 2 : 0)) {
      malformed('reserved flags of a fixed header [MQTT-2.1.3-1]');
    }
  }

  protected override takePacket(buffer: Buffer, start: number, body: number, end: number): void {
    const handler = this.#handler;
    const version = this.#version;
    const first = buffer[start];
    const type = first >>> 4;
    this.checkFirst(first);
    switch (type) {
      case PacketType.PUBLISH:
        decodePublish(this.#view, buffer, start, body, end, version, true);
        handler.onPublish(this.#view);
        return;
      case PacketType.PUBACK:
      case PacketType.PUBREC:
      case PacketType.PUBREL:
      case PacketType.PUBCOMP: {
        const reasonCode = decodeAcknowledgement(type, buffer, body, end, version);
        handler.onAcknowledgement(type, (buffer[body] << 8) | buffer[body + 1], reasonCode);
        return;
      }
      case PacketType.CONNACK:
        if (this.#accepted && !this.#joined) protocolError('a second CONNACK [MQTT-3.2.0-2]');
        this.#accepted = true;
        this.#joined = false;
        handler.onConnack(decodeConnack(buffer, body, end, version));
        return;
      case PacketType.SUBACK:
        handler.onSuback(decodeSuback(buffer, body, end, version));
        return;
      case PacketType.UNSUBACK:
        handler.onUnsuback(decodeUnsuback(buffer, body, end, version));
        return;
      case PacketType.PINGRESP:
        if (body !== end) malformed('PINGRESP with content');
        handler.onPingresp();
        return;
      case PacketType.DISCONNECT:
        if (version !== 5) protocolError('DISCONNECT from a server before MQTT 5.0');
        handler.onDisconnect(decodeDisconnect(buffer, body, end, version, true));
        return;
      case PacketType.AUTH:
        if (version !== 5) protocolError('AUTH before MQTT 5.0');
        handler.onAuth(decodeAuth(buffer, body, end, true));
        return;
      default:
        protocolError('a packet that clients send');
    }
  }

  protected override takeError(error: WireError): void {
    this.#handler.onProtocolError(error);
  }
}
