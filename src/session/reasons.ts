/** What the broker says besides a reason code, to MQTT 5.0 clients and only as far as they can take it. */
import type { Properties } from '../wire/packets.js';
import { ReasonCode, reasonText } from '../wire/reason-codes.js';
import type { Sender } from './sender.js';

/** Why something is refused that would have to be written. */
export const UNWRITABLE = 'the store cannot be written now';

/** Bytes of a CONNACK or DISCONNECT without properties. */
const SMALLEST_FAREWELL = 8;
/** Bytes that two properties with a string take besides the strings, and a longer Remaining Length and Property Length. */
const OVERHEAD = 14;

/**
 * The properties of a last packet, CONNACK or DISCONNECT: why, and where to go instead (MQTT 5.0 4.11).
 * @param told empty for the reason code in words
 */
export function farewell(connection: Sender, reasonCode: number, told: string): Properties | undefined {
  const { serverReference } = connection.environment.options;
  const moves = reasonCode === ReasonCode.UseAnotherServer || reasonCode === ReasonCode.ServerMoved;
  const properties: Properties = { reasonString: told === '' ? reasonText(reasonCode) : told };
  if (moves && serverReference !== null) properties.serverReference = serverReference;
  if (fits(connection, properties, SMALLEST_FAREWELL)) return properties;
  delete properties.reasonString;
  const leads = properties.serverReference !== undefined;
  return leads && fits(connection, properties, SMALLEST_FAREWELL) ? properties : undefined;
}

/**
 * Properties that say in words what went wrong; none for a client that does not want them or could not take the packet
 * [MQTT-3.1.2-29, MQTT-3.4.2-2].
 * @param words empty if nothing went wrong
 * @param size bytes of the packet without them
 */
export function problem(connection: Sender, words: string, size: number): Properties | undefined {
  if (words === '' || connection.version !== 5 || !connection.problemInformation) return undefined;
  const properties: Properties = { reasonString: words };
  return fits(connection, properties, size) ? properties : undefined;
}

function fits(connection: Sender, properties: Properties, size: number): boolean {
  const { maximumPacketSize } = connection;
  if (maximumPacketSize === Number.POSITIVE_INFINITY) return true;
  const { reasonString = '', serverReference = '' } = properties;
  return size + OVERHEAD + Buffer.byteLength(reasonString) + Buffer.byteLength(serverReference) <= maximumPacketSize;
}

/** Why a connection broke, in words. */
export function describe(error: Error): string {
  const code = 'code' in error ? String(error.code) : '';
  if (code === 'ECONNRESET') return 'the client reset the connection';
  if (code === 'EPIPE') return 'the client closed the connection';
  if (code === 'ETIMEDOUT') return 'the network timed out';
  return error.message;
}
