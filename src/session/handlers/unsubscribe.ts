/** UNSUBSCRIBE: MQTT 3.10, 3.11. */
import { isValidFilter } from '../../bus/topics.js';
import type { UnsubscribePacket } from '../../wire/packets.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import { writeUnsuback } from '../../wire/writers.js';
import type { Connection } from '../connection.js';
import { hasRoomForCodes } from './room.js';

export function handleUnsubscribe(connection: Connection, packet: UnsubscribePacket): void {
  const { environment, session } = connection;
  if (session === null || !hasRoomForCodes(connection, packet.unsubscriptions.length)) return;
  const codes: number[] = [];
  for (const filter of packet.unsubscriptions) {
    if (!isValidFilter(filter)) {
      environment.counters.protocolErrors++;
      connection.terminate(ReasonCode.TopicFilterInvalid, 'a malformed topic filter');
      return;
    }
    const existed = session.unsubscribe(filter);
    connection.retainedDelivery?.remove(filter);
    codes.push(existed ? 0 : ReasonCode.NoSubscriptionExisted);
    if (existed) environment.journal.unsubscribed(connection, filter);
  }
  environment.commit.whenSettled(() => {
    if (connection.closed || packet.messageId === 0) return;
    environment.counters.packetsSent++;
    writeUnsuback(connection.output, connection.version as 3 | 4 | 5, packet.messageId, codes);
    connection.touch();
  });
  if (environment.hooks.wants('unsubscribe')) environment.hooks.emit('unsubscribe', packet.unsubscriptions, connection);
}
