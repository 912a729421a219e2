/** Whether a client takes packets as large as the answers that it asks for: MQTT 5.0 3.1.2.11.4 [MQTT-3.1.2-24]. */
import { variableByteIntegerSize } from '../../wire/output.js';
import type { Properties } from '../../wire/packets.js';
import { propertiesSize } from '../../wire/properties.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { Connection } from '../connection.js';

function fits(connection: Connection, remaining: number): boolean {
  return 1 + variableByteIntegerSize(remaining) + remaining <= connection.maximumPacketSize;
}

/** Whether there is room for CONNACK; if not, the client has been refused: it could not know what was agreed. */
export function hasRoomForConnack(connection: Connection, properties: Properties | undefined): boolean {
  const size = propertiesSize(properties, 'connack');
  if (fits(connection, 2 + variableByteIntegerSize(size) + size)) return true;
  connection.reject(ReasonCode.PacketTooLarge, 'a Maximum Packet Size with no room for CONNACK');
  return false;
}

/** Whether there is room for SUBACK or UNSUBACK with this many codes; if not, the connection has ended. */
export function hasRoomForCodes(connection: Connection, count: number): boolean {
  if (fits(connection, 3 + count)) return true;
  connection.terminate(ReasonCode.PacketTooLarge, 'more filters than the client takes codes for');
  return false;
}
