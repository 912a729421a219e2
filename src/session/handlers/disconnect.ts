/** DISCONNECT from a client: MQTT 3.14. */
import type { DisconnectPacket } from '../../wire/packets.js';
import { reasonText } from '../../wire/reason-codes.js';
import type { Connection } from '../connection.js';

const DISCONNECT_WITH_WILL = 0x04;
const PROTOCOL_ERROR = 0x82;

export function handleDisconnect(connection: Connection, packet: DisconnectPacket): void {
  const { session, environment } = connection;
  const interval = packet.properties?.sessionExpiryInterval;
  if (session !== null && interval !== undefined) {
    // A session that was to end with its connection cannot be kept now [MQTT-3.14.2-2].
    if (!session.durable && interval > 0) {
      environment.counters.protocolErrors++;
      connection.terminate(PROTOCOL_ERROR, 'a Session Expiry Interval in DISCONNECT after 0 in CONNECT');
      return;
    }
    session.expiryInterval = Math.min(interval, environment.options.sessionExpiryMax);
  }
  const reason =
    packet.reasonCode === 0 ? 'the client said DISCONNECT' : `the client left: ${reasonText(packet.reasonCode)}`;
  connection.leave(packet.reasonCode === DISCONNECT_WITH_WILL || packet.reasonCode >= 0x80, reason);
}
