/** UNSUBSCRIBE: MQTT 3.10, 3.11. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isValidFilter } from '../../bus/topics.js';
import type { UnsubscribePacket } from '../../wire/packets.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import { writeUnsuback } from '../../wire/writers.js';
import type { Connection } from '../connection.js';
import { problem, UNWRITABLE } from '../reasons.js';
import { hasRoomForCodes } from './room.js';
import { endsTurn, FILTERS_PER_TURN } from './turns.js';

/** A packet that is not long has been carried out when this returns. */
export async function handleUnsubscribe(connection: Connection, packet: UnsubscribePacket): Promise<void> {
  if (packet.unsubscriptions.length <= FILTERS_PER_TURN) return unsubscribe(connection, packet);
  // What waits behind this packet finds it done, however long it is.
  connection.hold();
  try {
    await unsubscribe(connection, packet);
  } finally {
    connection.unhold();
  }
}

async function unsubscribe(connection: Connection, packet: UnsubscribePacket): Promise<void> {
  const { environment, session } = connection;
  const { commit, counters, journal } = environment;
  if (session === null || !hasRoomForCodes(connection, packet.unsubscriptions.length)) return;
  const codes: number[] = [];
  let words = '';
  for (const [index, filter] of packet.unsubscriptions.entries()) {
    if (!isValidFilter(filter)) {
      counters.protocolErrors++;
      connection.terminate(ReasonCode.MalformedPacket, 'a malformed topic filter');
      return;
    }
    // Before MQTT 5.0, UNSUBACK cannot say no: it waits for the store.
    if (session.durable && commit.load.ailing && connection.version === 5 && session.subscriptions.has(filter)) {
      counters.refusedSubscribe++;
      journal.limit(null, commit.load.cause, `an UNSUBSCRIBE of client ${JSON.stringify(session.id)} was refused`);
      words = UNWRITABLE;
      codes.push(ReasonCode.ImplementationSpecificError);
      continue;
    }
    const existed = session.unsubscribe(filter);
    connection.retainedDelivery?.remove(filter);
    codes.push(existed ? 0 : ReasonCode.NoSubscriptionExisted);
    if (existed) journal.unsubscribed(connection, filter);
    if (!endsTurn(index)) continue;
    await nextTurn();
    if (connection.closed) return;
  }
  const answer = (): void => {
    if (connection.closed || packet.messageId === 0) return;
    counters.packetsSent++;
    const properties = problem(connection, words, 5 + codes.length);
    writeUnsuback(connection.output, connection.version as 3 | 4 | 5, packet.messageId, codes, properties);
    connection.touch();
  };
  // What was refused, or is nobody's to keep, has nothing to wait for.
  if (session.durable && words === '') connection.whenDurable(answer);
  else answer();
  if (environment.hooks.wants('unsubscribe')) environment.hooks.emit('unsubscribe', packet.unsubscriptions, connection);
}
