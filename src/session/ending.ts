/** Clients that the broker sends away while it runs: all of them, or those that it would not let in any more. */
import { ReasonCode } from '../wire/reason-codes.js';
import type { Connection } from './connection.js';
import type { InProcessClient } from './in-process-client.js';

/** Ends every client. */
export function sendAway(
  connections: Iterable<Connection>,
  inside: Iterable<InProcessClient>,
  reasonCode: number,
  reason: string,
): void {
  for (const connection of [...connections]) connection.reject(reasonCode, reason);
  for (const client of [...inside]) client.close(reason, reasonCode);
}

/**
 * Ends those that would not be let in any more. Returns how many.
 * @param isOut told of each client that came with a user name and password, or with neither
 */
export function endClients(
  connections: Iterable<Connection>,
  inside: Iterable<InProcessClient>,
  isOut: (client: Connection | InProcessClient) => boolean,
  reason: string,
): number {
  const out = [...connections].filter((one) => rests(one) && isOut(one));
  for (const connection of out) connection.reject(ReasonCode.NotAuthorized, reason);
  const gone = [...inside].filter((one) => (one.byPassword || one.username === null) && isOut(one));
  for (const client of gone) client.close(reason);
  return out.length + gone.length;
}

/** Ends those that what let them in lets in no more, also if they have not got CONNACK. Returns how many. */
export function endConnections(
  connections: Iterable<Connection>,
  isOut: (connection: Connection) => boolean,
  reason: string,
): number {
  const out = [...connections].filter(isOut);
  for (const connection of out) connection.reject(ReasonCode.NotAuthorized, reason);
  return out.length;
}

/**
 * Whether a connection rests on a password or on nothing. Who is still being asked for a password is asked by what there
 * was before; who has no user name is a stranger once it was let in, and has a session.
 */
function rests({ authentication, byPassword, proved, username, session, state }: Connection): boolean {
  if (state === 'closed' || authentication !== null || proved !== null) return false;
  return byPassword || (username === null ? session !== null : state === 'connecting');
}
