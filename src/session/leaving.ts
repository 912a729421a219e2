/** What a connection leaves behind when it ends: its session, and its will. */
import type { Connection } from './connection.js';

/** @param publishWill whether the will is published, at once or in its time; otherwise there is none any more */
export function leaveBehind(connection: Connection, publishWill: boolean): void {
  const { environment, session, id } = connection;
  // Another connection may have taken it over.
  if (session !== null && session.connection === connection) {
    session.leftBecause = connection.closeReason;
    session.detach();
    if (session.expiryInterval > 0) connection.retainedDelivery?.handOver(session);
    // Before the will: a shared subscription must not hand it to a session that ends with this connection.
    if (session.expiryInterval === 0) environment.sessions.end(session);
    if (publishWill) environment.wills.fire(id, session.expiryInterval, connection);
    else environment.wills.disarm(id);
  }
  connection.retainedDelivery?.stop();
  connection.retainedDelivery = null;
}
