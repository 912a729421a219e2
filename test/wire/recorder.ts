/** Takes whatever a parser hands on, as plain packets that can be compared. */
import { ClientPacketParser } from '../../src/wire/client-parser.js';
import { PacketParser } from '../../src/wire/parser.js';
import { decodeProperties } from '../../src/wire/properties.js';
import type { ProtocolVersion } from '../../src/wire/protocol.js';
import type { PublishView } from '../../src/wire/publish-view.js';
import type { WireError } from '../../src/wire/wire-error.js';
import { type AnyPacket, OPENINGS, type PacketRow, type PublishPacket } from '../packets.js';

const NO_LIMIT = 268_435_460;
const ACKNOWLEDGEMENTS = { 4: 'puback', 5: 'pubrec', 6: 'pubrel', 7: 'pubcomp' } as const;

/** A copy of what a view shows. The view's own fields must agree with the properties that it points at. */
export function publishOf(view: PublishView, version: ProtocolVersion): PublishPacket {
  const { buffer } = view;
  const packet: PublishPacket = {
    cmd: 'publish',
    topic: buffer.toString('utf8', view.topicStart, view.topicEnd),
    payload: Buffer.from(buffer.subarray(view.payloadStart, view.payloadEnd)),
    qos: view.qos,
    retain: view.retain,
    dup: view.dup,
    messageId: view.packetId,
  };
  if (version === 5) packet.properties = decodeProperties(buffer, view.propertiesStart, view.propertiesEnd, 'publish');
  const { topicAlias = 0, messageExpiryInterval = -1, payloadFormatIndicator = false } = packet.properties ?? {};
  const identified = packet.properties?.subscriptionIdentifier !== undefined;
  if (
    view.topicAlias !== topicAlias ||
    view.messageExpiryInterval !== messageExpiryInterval ||
    view.payloadFormatIndicator !== Number(payloadFormatIndicator) ||
    view.hasSubscriptionIdentifier !== identified ||
    view.packetEnd !== view.payloadEnd ||
    buffer[view.packetStart] >>> 4 !== 3
  ) {
    throw new Error(
      `a view that contradicts its bytes: ${JSON.stringify({ ...view, buffer: buffer.toString('hex') })}`,
    );
  }
  return packet;
}

/** The handler of both sides. */
export class Recorder {
  readonly packets: AnyPacket[] = [];
  readonly errors: WireError[] = [];
  readonly parser: PacketParser | ClientPacketParser;
  readonly #version: ProtocolVersion;
  /** Called after each packet and each error. */
  after: (packet: AnyPacket | null) => void = () => {};

  /** A parser of what `direction` sends. */
  constructor(direction: PacketRow['direction'], version: ProtocolVersion, maximumPacketSize: number = NO_LIMIT) {
    this.#version = version;
    this.parser =
      direction === 'client'
        ? new PacketParser(this, maximumPacketSize)
        : new ClientPacketParser(this, version, maximumPacketSize);
  }

  /** The same after the opening of the connection, which is not recorded. */
  static opened(direction: PacketRow['direction'], version: ProtocolVersion, maximumPacketSize?: number): Recorder {
    const recorder = new Recorder(direction, version, maximumPacketSize);
    recorder.parser.push(OPENINGS[direction][version]);
    if (recorder.packets.length !== 1) throw new Error(`the opening failed: ${recorder.errors[0]}`);
    recorder.packets.length = 0;
    return recorder;
  }

  static for(row: PacketRow): Recorder {
    return row.opens ? new Recorder(row.direction, row.version) : Recorder.opened(row.direction, row.version);
  }

  #add(packet: AnyPacket): void {
    this.packets.push(packet);
    this.after(packet);
  }

  onConnect = (packet: AnyPacket): void => this.#add(packet);
  onConnack = (packet: AnyPacket): void => this.#add(packet);
  onSubscribe = (packet: AnyPacket): void => this.#add(packet);
  onSuback = (packet: AnyPacket): void => this.#add(packet);
  onUnsubscribe = (packet: AnyPacket): void => this.#add(packet);
  onUnsuback = (packet: AnyPacket): void => this.#add(packet);
  onDisconnect = (packet: AnyPacket): void => this.#add(packet);
  onAuth = (packet: AnyPacket): void => this.#add(packet);
  onPingreq = (): void => this.#add({ cmd: 'pingreq' });
  onPingresp = (): void => this.#add({ cmd: 'pingresp' });
  onPublish = (view: PublishView): void => {
    const { version } = this.parser;
    let packet: PublishPacket;
    try {
      packet = publishOf(view, version === 0 ? this.#version : version);
    } catch (error) {
      // The parser should have found it: as an error of another kind it does not pass for the parser's own.
      throw new Error(`a view that cannot be read: ${error}`);
    }
    this.#add(packet);
  };

  onAcknowledgement = (type: number, messageId: number, reasonCode: number): void => {
    this.#add({ cmd: ACKNOWLEDGEMENTS[type as 4 | 5 | 6 | 7], messageId, reasonCode });
  };

  onProtocolError = (error: WireError): void => {
    this.errors.push(error);
    this.after(null);
  };
}
