/** Any packet but PUBLISH through its writer. */
import { Output } from '../../src/wire/output.js';
import type { ProtocolVersion } from '../../src/wire/protocol.js';
import * as writers from '../../src/wire/writers.js';
import type { AnyPacket } from '../packets.js';

const TYPES = { puback: 4, pubrec: 5, pubrel: 6, pubcomp: 7 } as const;

/** Appends a packet. */
export function write(out: Output, version: ProtocolVersion, packet: AnyPacket): void {
  switch (packet.cmd) {
    case 'connect':
      writers.writeConnect(out, packet);
      break;
    case 'connack':
      writers.writeConnack(out, version, packet.sessionPresent, packet.reasonCode, packet.properties);
      break;
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      writers.writeAcknowledgement(out, version, TYPES[packet.cmd], packet.messageId, packet.reasonCode);
      break;
    case 'subscribe':
      writers.writeSubscribe(out, version, packet);
      break;
    case 'suback':
      writers.writeSuback(out, version, packet.messageId, packet.granted, packet.properties);
      break;
    case 'unsubscribe':
      writers.writeUnsubscribe(out, version, packet);
      break;
    case 'unsuback':
      writers.writeUnsuback(out, version, packet.messageId, packet.granted, packet.properties);
      break;
    case 'pingreq':
      writers.writePingreq(out);
      break;
    case 'pingresp':
      writers.writePingresp(out);
      break;
    case 'disconnect':
      writers.writeDisconnect(out, version, packet.reasonCode, packet.properties);
      break;
    case 'auth':
      writers.writeAuth(out, packet.reasonCode, packet.properties);
      break;
    case 'publish':
      throw new Error('PUBLISH has its own writer');
  }
}

/** The bytes of a packet. */
export function bytesOf(version: ProtocolVersion, packet: AnyPacket): Buffer {
  const out = new Output();
  write(out, version, packet);
  return Buffer.from(out.bytes());
}
