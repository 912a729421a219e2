/**
 * Listens in on one connection that is traced: it stands between the parser and the connection, and before the transport.
 * Connections that nobody traces do not know of it.
 */
import type { Connection } from '../../session/connection.js';
import type { Transport, TransportHandler } from '../../session/transport.js';
import { ClientPacketParser } from '../../wire/client-parser.js';
import type { Output } from '../../wire/output.js';
import type {
  AuthPacket,
  ConnackPacket,
  ConnectPacket,
  DisconnectPacket,
  SubackPacket,
  SubscribePacket,
  UnsubackPacket,
  UnsubscribePacket,
} from '../../wire/packets.js';
import type { PacketHandler } from '../../wire/parser.js';
import type { PublishView } from '../../wire/publish-view.js';
import type { WireError } from '../../wire/wire-error.js';
import {
  acknowledgementFields,
  connackFields,
  connectFields,
  listFields,
  publishFields,
  reasonedFields,
  subscribeFields,
} from './packet-fields.js';

/** Takes what a tap hears. @param fields asked for only if somebody has room for them */
export type Heard = (event: string, fields: () => object, payload?: Buffer) => void;

export class ConnectionTap implements PacketHandler {
  readonly #connection: Connection;
  readonly #heard: Heard;
  readonly #before: PacketHandler;
  readonly #transport: Transport;
  /** The PUBLISH that comes next has come before, and was put back until the store has room. */
  #again = false;

  /** Listens from now on. @param joins CONNACK has left already */
  constructor(connection: Connection, heard: Heard, joins: boolean) {
    this.#connection = connection;
    this.#heard = heard;
    this.#before = connection.parser.handler;
    this.#transport = connection.transportLayer;
    connection.parser.handler = this;
    connection.transportLayer = new TappedTransport(this.#transport, connection, heard, joins);
  }

  /** Listens no more. */
  remove(): void {
    this.#connection.parser.handler = this.#before;
    this.#connection.transportLayer = this.#transport;
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  get #version(): number {
    return this.#connection.version;
  }

  onConnect(packet: ConnectPacket): void {
    this.connected(packet);
    this.#before.onConnect(packet);
  }

  connected(packet: ConnectPacket): void {
    const { will } = packet;
    this.#heard('received', () => connectFields(packet, will && this.#connection.said(will.topic)));
  }

  onPublish(view: PublishView): void {
    if (!this.#again) {
      const { topicAlias, topicStart, topicEnd, buffer, payloadStart, payloadEnd } = view;
      const known = topicEnd === topicStart ? this.#connection.topicOf(topicAlias)?.topic : undefined;
      const said = known === undefined ? null : this.#connection.said(known);
      const fields = () => publishFields(view, this.#version, said);
      this.#heard('received', fields, buffer.subarray(payloadStart, payloadEnd));
    }
    this.#before.onPublish(view);
    this.#again = this.#connection.intake.hasPutBack;
  }

  onAcknowledgement(type: number, packetId: number, reasonCode: number): void {
    this.#heard('received', () => acknowledgementFields(type, packetId, reasonCode, this.#version));
    this.#before.onAcknowledgement(type, packetId, reasonCode);
  }

  onSubscribe(packet: SubscribePacket): void {
    this.#heard('received', () => subscribeFields(packet, this.#version));
    this.#before.onSubscribe(packet);
  }

  onUnsubscribe(packet: UnsubscribePacket): void {
    const { messageId, unsubscriptions, properties } = packet;
    this.#heard('received', () => listFields('unsubscribe', messageId, 'filters', unsubscriptions, properties));
    this.#before.onUnsubscribe(packet);
  }

  onPingreq(): void {
    this.#heard('received', () => ({ packet: 'pingreq' }));
    this.#before.onPingreq();
  }

  onDisconnect(packet: DisconnectPacket): void {
    this.#heard('received', () => reasonedFields('disconnect', packet.reasonCode, packet.properties, this.#version));
    this.#before.onDisconnect(packet);
  }

  onAuth(packet: AuthPacket): void {
    this.#heard('received', () => reasonedFields('auth', packet.reasonCode, packet.properties, this.#version));
    this.#before.onAuth(packet);
  }

  onProtocolError(error: WireError): void {
    this.#heard('protocol error', () => ({ reason: error.message }));
    this.#before.onProtocolError(error);
  }
}

/** A transport that reads what it is given before it hands it on. */
class TappedTransport implements Transport {
  readonly #below: Transport;
  readonly #connection: Connection;
  readonly #heard: Heard;
  readonly #joins: boolean;
  /** Null until there is something to read. */
  #parser: ClientPacketParser | null = null;
  /** Topics by their aliases, as far as they were heard. */
  readonly #aliases = new Map<number, string>();

  constructor(below: Transport, connection: Connection, heard: Heard, joins: boolean) {
    this.#below = below;
    this.#connection = connection;
    this.#heard = heard;
    this.#joins = joins;
  }

  get name(): string {
    return this.#below.name;
  }

  get terms(): Transport['terms'] {
    return this.#below.terms;
  }

  get remote(): string {
    return this.#below.remote;
  }

  get pending(): number {
    return this.#below.pending;
  }

  get writing(): number {
    return this.#below.writing;
  }

  get bytesRead(): number {
    return this.#below.bytesRead;
  }

  get handler(): TransportHandler | null {
    return this.#below.handler;
  }

  set handler(handler: TransportHandler | null) {
    this.#below.handler = handler;
  }

  get stream(): Transport['stream'] {
    return this.#below.stream;
  }

  accept(maximumPacketSize: number): void {
    this.#below.accept(maximumPacketSize);
  }

  /** What is written are whole packets. */
  write(output: Output): void {
    this.#parser ??= this.#reader();
    this.#parser.push(Buffer.from(output.bytes()));
    this.#below.write(output);
  }

  pause(): void {
    this.#below.pause();
  }

  resume(): void {
    this.#below.resume();
  }

  end(): void {
    this.#below.end();
  }

  destroy(): void {
    this.#below.destroy();
  }

  #reader(): ClientPacketParser {
    const heard = this.#heard;
    // What is refused may not have said its version: it is answered as one of these.
    const version = this.#connection.version || 4;
    const sent = (fields: () => object, payload?: Buffer): void => heard('sent', fields, payload);
    const parser = new ClientPacketParser(
      {
        onConnack: (packet: ConnackPacket) => sent(() => connackFields(packet, version)),
        onPublish: (view) => {
          const { buffer, payloadStart, payloadEnd } = view;
          const topic = this.#topicOf(view);
          sent(() => publishFields(view, version, topic), buffer.subarray(payloadStart, payloadEnd));
        },
        onAcknowledgement: (type, id, reasonCode) => sent(() => acknowledgementFields(type, id, reasonCode, version)),
        onSuback: ({ messageId, granted, properties }: SubackPacket) =>
          sent(() => listFields('suback', messageId, 'reason_codes', granted, properties)),
        onUnsuback: ({ messageId, granted, properties }: UnsubackPacket) =>
          sent(() => listFields('unsuback', messageId, 'reason_codes', granted, properties)),
        onPingresp: () => sent(() => ({ packet: 'pingresp' })),
        onDisconnect: ({ reasonCode, properties }) =>
          sent(() => reasonedFields('disconnect', reasonCode, properties, version)),
        onAuth: ({ reasonCode, properties }) => sent(() => reasonedFields('auth', reasonCode, properties, version)),
        onProtocolError: (error) => heard('trace failed', () => ({ reason: error.message })),
      },
      version,
    );
    if (this.#joins) parser.join();
    return parser;
  }

  /** The topic of a PUBLISH that has an alias instead; null if that was said before anybody listened. */
  #topicOf({ topicAlias, buffer, topicStart, topicEnd }: PublishView): string | null {
    if (topicAlias === 0) return null;
    if (topicEnd > topicStart) this.#aliases.set(topicAlias, buffer.utf8Slice(topicStart, topicEnd));
    return this.#aliases.get(topicAlias) ?? null;
  }
}
