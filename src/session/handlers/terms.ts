/** What the listener of a connection asks of its CONNECT. */
import { randomUUID } from 'node:crypto';
import type { ConnectPacket } from '../../wire/packets.js';
import { VERSION_NAMES } from '../../wire/protocol.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { Connection } from '../connection.js';

/** `protocol_versions`. */
export function speaksAllowedVersion(connection: Connection): boolean {
  const { terms, version, environment } = connection;
  const { versions, name } = terms.options;
  if (versions === null || versions.has(version)) return true;
  environment.counters.refusedVersions++;
  // [MQTT-3.1.2-2]
  const words = `MQTT ${VERSION_NAMES[version]} is not spoken here`;
  connection.reject(ReasonCode.UnsupportedProtocolVersion, `${words} (${name}.protocol_versions)`, words);
  return false;
}

/**
 * Takes the client identifier of CONNECT, or makes one for a client without (MQTT 5.0 3.1.3.1); false if there may be none, or
 * none that begins so.
 */
export function takeClientId(connection: Connection, { clientId, clean }: ConnectPacket): boolean {
  const { terms, version, environment } = connection;
  const { autoIdPrefix, emptyClientIds, clientIdPrefix, name } = terms.options;
  connection.id = clientId;
  if (clientId === '') {
    // Only a session that ends with its connection may go without a name [MQTT-3.1.3-8]; MQTT 3.1 requires one.
    if (version === 3 || (version === 4 && !clean)) {
      const words = 'an empty client identifier for a session that is to be kept';
      connection.reject(ReasonCode.ClientIdentifierNotValid, words);
      return false;
    }
    if (!emptyClientIds) {
      environment.counters.refusedEmptyIds++;
      const words = 'no client identifier';
      connection.reject(ReasonCode.ClientIdentifierNotValid, `${words} (${name}.allow_empty_client_id)`, words);
      return false;
    }
    connection.id = autoIdPrefix + randomUUID();
  }
  if (connection.id.startsWith(clientIdPrefix)) return true;
  environment.counters.refusedIdPrefixes++;
  const words = 'a client identifier that does not begin as it has to';
  connection.reject(ReasonCode.NotAuthorized, `${words} (${name}.client_id_prefix)`, words);
  return false;
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
