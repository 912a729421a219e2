/** What the listener of a connection asks of its CONNECT. */
import { randomUUID } from 'node:crypto';
import type { ConnectPacket } from '../../wire/packets.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { Connection } from '../connection.js';

/** The names of MQTT's versions by their numbers. */
const VERSIONS: Readonly<Record<number, string>> = { 3: '3.1', 4: '3.1.1', 5: '5.0' };

/** `protocol_versions`. */
export function speaksAllowedVersion(connection: Connection): boolean {
  const { terms, version, environment } = connection;
  const { versions, name } = terms.options;
  if (versions === null || versions.has(version)) return true;
  environment.counters.refusedVersions++;
  // [MQTT-3.1.2-2]
  const words = `MQTT ${VERSIONS[version]} is not spoken here`;
  connection.reject(ReasonCode.UnsupportedProtocolVersion, `${words} (${name}.protocol_versions)`, words);
  return false;
}

/** A client identifier for a client without one. */
export function generatedId(connection: Connection): string {
  return connection.terms.options.autoIdPrefix + randomUUID();
}

/**
 * `use_username_as_clientid`: takes the user name, as far as it is known, for the client identifier; false if the client has
 * none and cannot get one by a method of authentication.
 */
export function takeUsernameAsId(connection: Connection, packet: ConnectPacket): boolean {
  const { terms, username, environment } = connection;
  if (!terms.options.usernameAsClientId) return true;
  if (username !== null && username !== '') {
    connection.id = username;
    return true;
  }
  if (packet.properties?.authenticationMethod !== undefined) return true;
  environment.counters.refusedNameless++;
  connection.reject(
    ReasonCode.NotAuthorized,
    `no user name, which would be its client identifier here (${terms.options.name}.use_username_as_clientid)`,
  );
  return false;
}

/** `max_connections`, once nothing stands between the question and the answer. */
export function hasRoomAtListener(connection: Connection): boolean {
  const { terms, environment, id } = connection;
  const { maxConnections, name } = terms.options;
  if (terms.connected < maxConnections) return true;
  // A client that takes over its own session is not one more.
  const former = environment.sessions.get(id)?.connection;
  if (former?.terms === terms) return true;
  environment.counters.refusedAtListener++;
  environment.journal.limit(connection, `${name}.max_connections`, 'a connection was refused');
  connection.reject(ReasonCode.ServerBusy, `${name}.max_connections is reached`, 'the listener has no room');
  return false;
}
