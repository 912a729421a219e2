/** PUBACK, PUBREC, PUBREL and PUBCOMP from a client: MQTT 3.4 to 3.7, 4.3. */
import { PacketType } from '../../wire/protocol.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { Connection } from '../connection.js';

/** Work that an acknowledgement of what nobody knows counts for: many of them are answered, with a reason. */
const UNKNOWN_WORK = 4;

export function handleAcknowledgement(connection: Connection, type: number, packetId: number, reason: number): void {
  const { session, environment } = connection;
  environment.counters.packetsReceived++;
  if (session === null) return;
  const { outbound } = session;
  switch (type) {
    case PacketType.PUBACK:
      settled(connection, outbound.puback(packetId), packetId);
      break;
    case PacketType.PUBREC:
      if (outbound.pubrec(packetId, reason)) {
        if (reason >= 0x80) settled(connection, true, packetId);
        break;
      }
      unknown(connection);
      // PUBREL lets the client forget a delivery that the broker does not know [MQTT-4.3.3-4].
      if (reason < 0x80) connection.sendAcknowledgement(PacketType.PUBREL, packetId, notFound(connection));
      break;
    case PacketType.PUBREL:
      release(connection, packetId);
      break;
    case PacketType.PUBCOMP:
      settled(connection, outbound.pubcomp(packetId), packetId);
      break;
  }
}

/** Nobody waits for this acknowledgement. */
function unknown({ environment, intake }: Connection): void {
  environment.counters.unknownPacketIds++;
  environment.router.work.done += UNKNOWN_WORK;
  intake.rest();
}

/** A delivery is done: there is room for the next ones. */
function settled(connection: Connection, known: boolean, packetId: number): void {
  const { environment, session } = connection;
  if (!known) {
    unknown(connection);
    return;
  }
  if (environment.hooks.wants('ack')) environment.hooks.emit('ack', { cmd: 'puback', messageId: packetId }, connection);
  if (session !== null && session.outbound.waiting > 0) session.outbound.pump();
  connection.retainedDelivery?.pump();
}

/** PUBREL: the publisher will not send this publication again. PUBCOMP leaves once that is durable. */
function release(connection: Connection, packetId: number): void {
  const { session, environment } = connection;
  if (session === null) return;
  const known = session.outbound.inbound.delete(packetId);
  if (!known) unknown(connection);
  const reason = known ? ReasonCode.Success : notFound(connection);
  if (known && session.durable) {
    // Were PUBCOMP to leave before, a crash would make a new message under this identifier look like the old one.
    session.outbound.touchFlow();
    session.enlist();
  }
  // The same holds for a PUBREL that comes again before that is durable.
  const durably = session.durable && (known || environment.commit.busy);
  if (durably || (connection.pendingAcknowledgements > 0 && !environment.commit.load.ailing)) {
    connection.acknowledgeDurably(PacketType.PUBCOMP, packetId, reason);
  } else {
    connection.sendAcknowledgement(PacketType.PUBCOMP, packetId, reason);
  }
}

/** Before MQTT 5.0 an acknowledgement has no reason code: the packet alone must do. */
function notFound(connection: Connection): number {
  return connection.version === 5 ? ReasonCode.PacketIdentifierNotFound : ReasonCode.Success;
}
