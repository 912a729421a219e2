/**
 * The parser of what clients send. It works in place: a packet that lies whole in a chunk is handed on as offsets into
 * it, and only the bytes of a packet that is not complete yet are copied.
 */

import {
  decodeAcknowledgement,
  decodeAuth,
  decodeConnect,
  decodeDisconnect,
  decodePublish,
  decodeSubscribe,
  decodeUnsubscribe,
} from './decoders.js';
import type { AuthPacket, ConnectPacket, DisconnectPacket, SubscribePacket, UnsubscribePacket } from './packets.js';
import { PacketType } from './protocol.js';
import { PublishView } from './publish-view.js';
import { ReasonCode } from './reason-codes.js';
import { WireError } from './wire-error.js';

/** Takes packets. What a callback is given is valid until it returns, except objects, which are the callback's. */
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
const SMALLEST_HELD = 256;
const NOTHING = Buffer.alloc(0);

export class PacketParser {
  /** 0 until CONNECT has said it. */
  version: 0 | 3 | 4 | 5 = 0;
  /** Bytes of the largest packet that is taken; a larger one is an error as soon as its length is known. */
  maximumPacketSize: number;
  readonly #handler: PacketHandler;
  readonly #view = new PublishView();
  /** Bytes of packets that are not complete, or that wait for `resume`. */
  #held: Buffer = NOTHING;
  #heldLength = 0;
  #paused = false;
  #stopped = false;
  #parsing = false;

  constructor(handler: PacketHandler, maximumPacketSize: number) {
    this.#handler = handler;
    this.maximumPacketSize = maximumPacketSize;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Bytes that are held. */
  get buffered(): number {
    return this.#heldLength;
  }

  /** Takes the next bytes of the stream. Never throws. */
  push(chunk: Buffer): void {
    if (this.#stopped) return;
    if (this.#heldLength === 0 && !this.#paused && !this.#parsing) {
      const at = this.#parse(chunk, chunk.length);
      if (at < chunk.length && !this.#stopped) this.#hold(chunk, at);
      return;
    }
    this.#hold(chunk, 0);
    this.#parseHeld();
  }

  /** Hands on nothing until `resume`. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#parseHeld();
  }

  /** Drops everything; no callback comes after it. */
  stop(): void {
    this.#stopped = true;
    this.#held = NOTHING;
    this.#heldLength = 0;
  }

  /** Keeps bytes. The buffer grows with what really arrives, whatever length a packet claims. */
  #hold(chunk: Buffer, from: number): void {
    const needed = this.#heldLength + chunk.length - from;
    if (needed > this.#held.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#held.length * 2, SMALLEST_HELD));
      this.#held.copy(grown, 0, 0, this.#heldLength);
      this.#held = grown;
    }
    chunk.copy(this.#held, this.#heldLength, from);
    this.#heldLength = needed;
  }

  #parseHeld(): void {
    if (this.#parsing || this.#paused || this.#stopped || this.#heldLength === 0) return;
    const at = this.#parse(this.#held, this.#heldLength);
    if (this.#stopped) return;
    // What arrived while parsing was appended behind `heldLength`, so the length is read again here.
    if (at === this.#heldLength) {
      this.#held = NOTHING;
      this.#heldLength = 0;
    } else if (at > 0) {
      this.#held.copyWithin(0, at, this.#heldLength);
      this.#heldLength -= at;
    }
  }

  /** Hands on all complete packets of `buffer[0, length)`; returns where the first incomplete one begins. */
  #parse(buffer: Buffer, length: number): number {
    let at = 0;
    this.#parsing = true;
    try {
      while (!this.#paused && !this.#stopped && length - at >= 2) {
        let remaining = buffer[at + 1];
        let body = at + 2;
        if (remaining > 127) {
          remaining &= 0x7f;
          let shift = 7;
          let more = true;
          while (more && body < length) {
            const byte = buffer[body++];
            if (byte === 0 || (shift === 21 && byte > 127)) {
              throw new WireError(ReasonCode.MalformedPacket, 'a malformed remaining length');
            }
            remaining |= (byte & 0x7f) << shift;
            shift += 7;
            more = byte > 127;
          }
          if (more) {
            this.#checkFirst(buffer[at]);
            break;
          }
        }
        const end = body + remaining;
        if (end - at > this.maximumPacketSize) {
          throw new WireError(ReasonCode.PacketTooLarge, `a packet of ${end - at} bytes`);
        }
        if (end > length) {
          this.#checkFirst(buffer[at]);
          break;
        }
        this.#packet(buffer, at, body, end);
        at = end;
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#parsing = false;
    return at;
  }

  /** A packet that must not come is refused before its bytes have all arrived. */
  #checkFirst(first: number): void {
    const type = first >>> 4;
    if (this.version === 0 && type !== PacketType.CONNECT) {
      throw new WireError(ReasonCode.ProtocolError, 'the first packet is not CONNECT [MQTT-3.1.0-1]');
    }
    if (type !== PacketType.PUBLISH && (first & 15) !== FLAGS[type]) {
      throw new WireError(ReasonCode.MalformedPacket, 'reserved flags of a fixed header [MQTT-2.1.3-1]');
    }
  }

  #packet(buffer: Buffer, start: number, body: number, end: number): void {
    const first = buffer[start];
    const handler = this.#handler;
    if (first >>> 4 === PacketType.PUBLISH && this.version !== 0) {
      decodePublish(this.#view, buffer, start, body, end, this.version);
      handler.onPublish(this.#view);
      return;
    }
    this.#checkFirst(first);
    const type = first >>> 4;
    const version = this.version;
    if (version === 0) {
      const packet = decodeConnect(buffer, body, end);
      this.version = packet.protocolVersion;
      handler.onConnect(packet);
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
        handler.onSubscribe(decodeSubscribe(buffer, body, end, version));
        return;
      case PacketType.UNSUBSCRIBE:
        handler.onUnsubscribe(decodeUnsubscribe(buffer, body, end, version));
        return;
      case PacketType.PINGREQ:
        if (body !== end) throw new WireError(ReasonCode.MalformedPacket, 'PINGREQ with content');
        handler.onPingreq();
        return;
      case PacketType.DISCONNECT:
        handler.onDisconnect(decodeDisconnect(buffer, body, end, version));
        return;
      case PacketType.AUTH:
        if (version !== 5) throw new WireError(ReasonCode.ProtocolError, 'AUTH before MQTT 5.0');
        handler.onAuth(decodeAuth(buffer, body, end));
        return;
      case PacketType.CONNECT:
        throw new WireError(ReasonCode.ProtocolError, 'a second CONNECT [MQTT-3.1.0-2]');
      default:
        throw new WireError(ReasonCode.ProtocolError, 'a packet that only a server sends');
    }
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.stop();
    if (error instanceof WireError) {
      this.#handler.onProtocolError(error);
      return;
    }
    // A handler's own failure must not reach the socket's event loop: it ends this connection alone.
    const message = error instanceof Error ? error.message : String(error);
    this.#handler.onProtocolError(new WireError(ReasonCode.ImplementationSpecificError, message));
  }
}
