/** DISCONNECT from a client: MQTT 3.14. */
import type { DisconnectPacket } from '../../wire/packets.js';
import { ReasonCode, reasonText } from '../../wire/reason-codes.js';
import type { Connection } from '../connection.js';

export function handleDisconnect(connection: Connection, packet: DisconnectPacket): void {
  const { session, environment } = connection;
  const interval = packet.properties?.sessionExpiryInterval;
  if (session !== null && interval !== undefined) {
    // A session that was to end with its connection cannot be kept now (MQTT 5.0 3.14.2.2.2).
    if (session.expiryInterval === 0 && interval > 0) {
      environment.counters.protocolErrors++;
      connection.terminate(ReasonCode.ProtocolError, 'a Session Expiry Interval in DISCONNECT after 0 in CONNECT');
      return;
    }
    session.expiryInterval = Math.min(interval, environment.options.sessionExpiryMax);
  }
  const reason =
    packet.reasonCode === 0 ? 'the client said DISCONNECT' : `the client left: ${reasonText(packet.reasonCode)}`;
  connection.leave(packet.reasonCode === ReasonCode.DisconnectWithWill || packet.reasonCode >= 0x80, reason);
}
