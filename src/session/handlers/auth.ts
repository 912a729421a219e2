/** Enhanced authentication: MQTT 5.0 4.12, and AUTH, 3.15. */
import type {
  AuthenticationFailed,
  AuthenticationMethod,
  AuthenticationSucceeded,
} from '../../access/authentication-method.js';
import type { AuthPacket, ConnectPacket, Properties } from '../../wire/packets.js';
import { ReasonCode, reasonText } from '../../wire/reason-codes.js';
import { WireError } from '../../wire/wire-error.js';
import { writeAuth } from '../../wire/writers.js';
import type { Connection } from '../connection.js';
import { banned, loginFailed } from '../failed-login.js';

/** What the client is told: CONNACK's reason codes that can refuse it (MQTT 5.0 table 3-1). */
const CONNACK_CODES: ReadonlySet<number> = new Set([
  0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c,
  0x9d, 0x9f,
]);
/** DISCONNECT's reason codes that a server can send (MQTT 5.0 table 3-10). */
const DISCONNECT_CODES: ReadonlySet<number> = new Set([
  0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
  0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
]);
/** Bytes of the longest Authentication Data (MQTT 5.0 1.5.6). */
const MOST_DATA = 0xffff;

/** How a connection authenticates. There is one only if CONNECT named a method; it lasts as long as the connection. */
export class Authentication {
  readonly method: AuthenticationMethod;
  /** The method's last data, for CONNACK. */
  finalData: Buffer | null = null;
  /** An exchange is under way. */
  exchanging = false;
  /** When the exchange began, in milliseconds since the epoch; time in which the client was not read from is added. */
  begunAt = 0;
  /** Takes the client's next data; null while none is awaited. If the connection ends first, nobody calls it. */
  take: ((data: Buffer | null) => void) | null = null;

  constructor(method: AuthenticationMethod) {
    this.method = method;
  }

  /** Every AUTH and a successful CONNACK name the method that CONNECT named [MQTT-4.12.0-5]. */
  properties(data: Buffer | null): Properties {
    return { authenticationMethod: this.method.name, ...(data === null ? {} : { authenticationData: data }) };
  }
}

/**
 * Authenticates a client that names a method in CONNECT, and takes over its user name. It is under
 * `mqtt.connect_timeout`, like everything before CONNACK.
 * @returns false if the client was refused, or left
 */
export async function authenticateByMethod(
  connection: Connection,
  packet: ConnectPacket,
  name: string,
): Promise<boolean> {
  const { environment, parser } = connection;
  const refuse = (reasonCode: number, reason: string, told?: string): false => {
    environment.counters.deniedConnect++;
    connection.reject(reasonCode, reason, told);
    return false;
  };
  const method = (connection.access.methods ?? environment.authenticationMethods).get(name);
  // [MQTT-4.12.0-1]
  if (method === undefined) {
    return refuse(ReasonCode.BadAuthenticationMethod, 'an authentication method that the broker does not offer');
  }
  const authentication = new Authentication(method);
  connection.authentication = authentication;
  // Until CONNACK nothing but AUTH and DISCONNECT may come [MQTT-3.1.2-30].
  parser.authenticating = true;
  const end = await exchange(connection, authentication, packet.properties?.authenticationData ?? null, false);
  if (end === null) return false;
  if (end.outcome === 'failure') {
    await environment.refusals.wait(connection, methodFailed(connection, name, end));
    const reasonCode = CONNACK_CODES.has(end.reasonCode) ? end.reasonCode : ReasonCode.NotAuthorized;
    // The method's own words are for the log alone.
    return refuse(reasonCode, end.reason, reasonText(reasonCode));
  }
  const ban = banned(environment, connection, end.username);
  if (ban !== null) return refuse(ban.reasonCode, ban.reason, ban.told);
  // What came together with the client's last data was sent too early as well.
  parser.resume();
  if (connection.closed) return false;
  parser.pause();
  parser.authenticating = false;
  if (connection.proved !== null && connection.proved !== end.username) {
    return refuse(
      ReasonCode.NotAuthorized,
      `authenticated as ${end.username}, but its certificate or key is another's`,
    );
  }
  if (connection.proved === null && packet.username !== undefined && packet.username !== end.username) {
    return refuse(ReasonCode.NotAuthorized, `authenticated as ${end.username}, but CONNECT names another user`);
  }
  connection.username = end.username;
  authentication.finalData = end.data;
  return true;
}

/** Counts a client that has not proved who it is; returns milliseconds that its refusal has to wait. */
function methodFailed(connection: Connection, method: string, end: AuthenticationFailed): number {
  const { environment } = connection;
  const guessed = end.reasonCode === ReasonCode.NotAuthorized || end.reasonCode === ReasonCode.BadUserNameOrPassword;
  const username = end.username ?? connection.username;
  // Whoever is banned gets to know nothing, and what it tries does not count.
  if (!guessed || environment.lockout.banOf(connection.remote, connection.transport, username) !== null) return 0;
  return loginFailed(environment, connection, { username, method });
}

/** AUTH from a client. */
export function handleAuth(connection: Connection, packet: AuthPacket): void {
  const { authentication } = connection;
  connection.environment.counters.packetsReceived++;
  const fault = faultOf(connection, packet);
  if (authentication === null || fault !== null) {
    connection.onProtocolError(new WireError(ReasonCode.ProtocolError, fault ?? ''));
    return;
  }
  const data = packet.properties?.authenticationData ?? null;
  if (packet.reasonCode === ReasonCode.ReAuthenticate) {
    reauthenticate(connection, authentication, data).catch((error: Error) => connection.fail(error));
    return;
  }
  const { take } = authentication;
  authentication.take = null;
  take?.(data);
}

/** Why this AUTH must not come now, or null. */
function faultOf({ authentication, connected }: Connection, packet: AuthPacket): string | null {
  if (authentication === null) return 'AUTH, but no Authentication Method in CONNECT [MQTT-4.12.0-7]';
  if (packet.properties?.authenticationMethod !== authentication.method.name) {
    return 'AUTH with another Authentication Method than CONNECT [MQTT-4.12.0-5]';
  }
  if (packet.reasonCode === ReasonCode.ReAuthenticate) {
    if (!connected) return 'a re-authentication before CONNACK [MQTT-4.12.1-1]';
    return authentication.exchanging ? 'a re-authentication during another one' : null;
  }
  return authentication.take === null ? 'AUTH that the broker did not ask for [MQTT-4.12.0-3]' : null;
}

/** The client authenticates again; meanwhile everything goes on for the user that it was [MQTT-4.12.1-1]. */
async function reauthenticate(
  connection: Connection,
  authentication: Authentication,
  data: Buffer | null,
): Promise<void> {
  const end = await exchange(connection, authentication, data, true);
  if (end === null || connection.closed) return;
  // [MQTT-4.12.1-2]
  const refuse = (reasonCode: number, reason: string): void => {
    const sent = DISCONNECT_CODES.has(reasonCode) ? reasonCode : ReasonCode.NotAuthorized;
    connection.terminate(sent, `re-authentication failed: ${reason}`, reasonText(sent));
  };
  if (end.outcome === 'failure') {
    methodFailed(connection, authentication.method.name, end);
    refuse(end.reasonCode, end.reason);
  }
  // Session, subscriptions and what is in flight are the first user's.
  else if (end.username !== connection.username) refuse(ReasonCode.NotAuthorized, 'another user than before');
  else if (!sendAuth(connection, authentication, ReasonCode.Success, end.data)) {
    refuse(ReasonCode.PacketTooLarge, 'AUTH exceeds the Maximum Packet Size of the client');
  }
}

/** Asks the method, and the client, until it is decided. Null if the connection ended before. */
async function exchange(
  connection: Connection,
  authentication: Authentication,
  data: Buffer | null,
  reauthentication: boolean,
): Promise<AuthenticationSucceeded | AuthenticationFailed | null> {
  const { id, username, remote } = connection;
  const { method } = authentication;
  authentication.exchanging = true;
  authentication.begunAt = connection.environment.clock.now();
  try {
    const steps = method.begin({ clientId: id, username, remote, reauthentication });
    let answer = data;
    for (;;) {
      const step = await steps.step(answer);
      if (connection.closed) return null;
      if (step.outcome === 'failure') return step;
      if (step.data !== null && step.data.length > MOST_DATA) throw new Error('more data than fits into a packet');
      if (step.outcome === 'success') return step;
      // [MQTT-4.12.0-2]
      if (!sendAuth(connection, authentication, ReasonCode.ContinueAuthentication, step.data)) {
        const reason = 'AUTH exceeds the Maximum Packet Size of the client';
        return { outcome: 'failure', reasonCode: ReasonCode.PacketTooLarge, reason };
      }
      answer = await answerOf(connection, authentication);
    }
  } catch (error) {
    if (connection.closed) return null;
    const cause = error instanceof Error ? error : new Error(String(error));
    connection.environment.hooks.emit('clientError', connection, cause);
    const reason = `the authentication method ${method.name} failed: ${cause.message}`;
    return { outcome: 'failure', reasonCode: ReasonCode.ImplementationSpecificError, reason };
  } finally {
    authentication.exchanging = false;
  }
}

/** The client's next data. Before CONNACK the broker reads only for it; after, it reads on in any case. */
function answerOf(connection: Connection, authentication: Authentication): Promise<Buffer | null> {
  const answered = new Promise<Buffer | null>((resolve) => {
    authentication.take = (data) => {
      if (!connection.connected) connection.decide();
      resolve(data);
    };
  });
  if (!connection.connected) {
    connection.state = 'authenticating';
    connection.proceed();
  }
  return answered;
}

/** Returns false, and sends nothing, if the packet exceeds the client's Maximum Packet Size [MQTT-3.1.2-24]. */
function sendAuth(
  connection: Connection,
  authentication: Authentication,
  reasonCode: number,
  data: Buffer | null,
): boolean {
  const { output } = connection;
  const before = output.length;
  writeAuth(output, reasonCode, authentication.properties(data));
  if (output.length - before > connection.maximumPacketSize) {
    output.length = before;
    return false;
  }
  connection.environment.counters.packetsSent++;
  connection.touch();
  return true;
}
