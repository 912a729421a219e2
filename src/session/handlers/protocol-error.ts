/** A packet that breaks the protocol, or a limit of the parser: it is counted, logged, and ends its connection. */
import { ReasonCode, reasonText } from '../../wire/reason-codes.js';
import type { WireError } from '../../wire/wire-error.js';
import type { Connection } from '../connection.js';

export function handleProtocolError(connection: Connection, error: WireError): void {
  count(connection, error);
  connection.tell(error);
  const { reasonCode, message } = error;
  // What failed inside the broker is for the log alone.
  const internal = reasonCode === ReasonCode.ImplementationSpecificError;
  connection.reject(reasonCode, message, internal ? reasonText(reasonCode) : message);
}

/** What exceeds a limit of its own is counted and logged as such, besides. */
function count(connection: Connection, { reasonCode, message }: WireError): void {
  const { counters, journal } = connection.environment;
  counters.protocolErrors++;
  if (reasonCode === ReasonCode.PacketTooLarge && connection.parser.accepted) {
    counters.oversizedPackets++;
    journal.limit(connection, 'mqtt.max_packet_size', `${message} is refused`);
  } else if (reasonCode === ReasonCode.PacketTooLarge) {
    counters.connectsTooLarge++;
    journal.limit(connection, 'mqtt.max_connect_size', `${message} is refused: the client is not accepted yet`);
  } else if (reasonCode === ReasonCode.QuotaExceeded) {
    counters.refusedSubscriptions++;
    journal.limit(connection, 'limits.subscriptions_per_client', 'one packet has more filters');
  }
}
