/** What a connection may not take too long for: CONNECT, a word within its keep alive, taking what it is sent, AUTH. */
import type { Grant, Party } from '../bus/party.js';
import { ReasonCode } from '../wire/reason-codes.js';
import type { Connection } from './connection.js';
import type { Environment } from './environment.js';
import { excusedTime } from './gate.js';

/** Ends a connection that has taken too long for something. Call about once a second. */
export function checkTimeouts(connection: Connection, now: number): void {
  const { counters, hooks, journal, options } = connection.environment;
  const connectTimeout = options.connectTimeout * 1000;
  if (!connection.connected && isOverdue(connection, now - connectTimeout, now)) {
    counters.connectTimeouts++;
    connection.drop('no CONNECT, or no decision on it, within mqtt.connect_timeout');
  } else if (
    connection.intake.reading &&
    connection.keepalive > 0 &&
    now - connection.lastPacketAt > connection.keepalive * 1500
  ) {
    // One and a half times the keep alive has passed [MQTT-3.1.2-22].
    counters.keepAliveTimeouts++;
    hooks.emit('keepaliveTimeout', connection);
    const words = `nothing for one and a half times its keep alive of ${connection.keepalive} s`;
    // Before CONNACK there is no DISCONNECT.
    if (connection.connected) connection.terminate(ReasonCode.KeepAliveTimeout, words);
    else connection.drop(words);
  } else if (connection.grant !== null && connection.connected && connection.grant.expiresAt <= now) {
    connection.terminate(ReasonCode.NotAuthorized, tellExpiry(connection.environment, connection, connection.grant));
  } else if (connection.isStalled(now)) {
    counters.stalledConnections++;
    const words = 'it takes nothing of what it is sent';
    journal.limit(connection, 'limits.stalled_timeout', words);
    connection.terminate(ReasonCode.QuotaExceeded, words);
  } else if (connection.intake.isStuck(now, connectTimeout)) {
    // A hook that does not answer must not keep it for ever.
    connection.gone(null);
  } else if (
    connection.connected &&
    connection.intake.reading &&
    connection.authentication?.exchanging &&
    now - connection.authentication.begunAt > connectTimeout
  ) {
    counters.reauthenticationTimeouts++;
    journal.limit(connection, 'mqtt.connect_timeout', 'a re-authentication was not over in time');
    connection.terminate(ReasonCode.NotAuthorized, 're-authentication took longer than mqtt.connect_timeout');
  }
}

/** Ends clients inside the process of whom nobody says any more that they may be here. Call about once a second. */
export function endExpiredGrants(environment: Environment, now: number): void {
  for (const client of [...environment.sessions.inProcess.values()]) {
    const { grant } = client;
    if (grant !== null && grant.expiresAt <= now) client.close(tellExpiry(environment, client, grant));
  }
}

/** Counts and logs a client whose time is over; returns why it has to go. */
function tellExpiry({ counters, journal }: Environment, client: Party, { by }: Grant): string {
  counters.expiredGrants++;
  const words = by === 'jwt' ? 'its token has expired' : 'it was let in until now (expire_at)';
  journal.limit(client, by === 'jwt' ? 'access.jwt_disconnect_after_expiry' : 'access.http_url', words);
  return words;
}

/** Whether a connection that began before `since` should be accepted by now. */
function isOverdue({ connectedAt, entry }: Connection, since: number, now: number): boolean {
  return connectedAt < since && (entry === null || connectedAt + excusedTime(entry, now) < since);
}
