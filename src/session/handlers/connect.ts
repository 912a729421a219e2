/** CONNECT: MQTT 3.1, and what becomes of it. */
import { isUtf8 } from 'node:buffer';
import type { Message } from '../../bus/message.js';
import { isReserved } from '../../bus/topics.js';
import type { WillRecord } from '../../store/records.js';
import type { ConnectPacket, Properties, WillPacket } from '../../wire/packets.js';
import { ReasonCode, reasonText } from '../../wire/reason-codes.js';
import { writeConnack } from '../../wire/writers.js';
import { messageOf } from '../aedes-packets.js';
import { askAuthenticate, checkPassword, type Refusal } from '../authentication.js';
import type { Connection } from '../connection.js';
import type { SessionOptions } from '../environment.js';
import { UNWRITABLE } from '../reasons.js';
import { heapBytesOf } from '../session.js';
import { OutboundAliases } from '../topic-aliases.js';
import { exceedsLimits } from '../topic-limits.js';
import { placed } from '../will.js';
import { authenticateByMethod } from './auth.js';
import { hasRoomForConnack } from './room.js';
import { hasRoomAtListener, speaksAllowedVersion, takeClientId, takeUsernameAsId } from './terms.js';

export async function handleConnect(connection: Connection, packet: ConnectPacket): Promise<void> {
  const { environment } = connection;
  const { hooks } = environment;
  if (hooks.preConnect !== null && !(await askPreConnect(connection, packet))) return;
  if (!speaksAllowedVersion(connection)) return;
  if (!identify(connection, packet) || !isAdmitted(connection)) return;
  if (!(await authenticate(connection, packet)) || !takeUsernameAsId(connection, packet)) return;
  if (connection.closed || hooks.closed || isSentAway(connection)) return;
  if (!hasRoomAtListener(connection) || !hasRoom(connection)) return;
  const expiry = expiryOf(packet, connection.options);
  const kept = expiry > 0 || environment.sessions.get(connection.id)?.durable === true;
  if (environment.commit.load.strained && !mayBeWritten(connection, packet, kept)) return;
  const properties = connection.version === 5 ? connackProperties(connection, packet, expiry) : undefined;
  if (!hasRoomForConnack(connection, properties)) return;

  if (expiry > 0 && !hasRoomForSession(connection)) return;
  const will = packet.will === undefined ? null : willOf(packet.will, connection, expiry);
  if (will !== null && !hasRoomForWill(connection, will)) return;

  const before = environment.commit.revision;
  const former = environment.sessions.get(connection.id)?.connection;
  if (former) {
    environment.counters.takeovers++;
    former.terminate(
      ReasonCode.SessionTakenOver,
      `another connection took over its client identifier: ${connection.remote}`,
      reasonText(ReasonCode.SessionTakenOver),
    );
  }
  const { session, present } = environment.sessions.open(connection.id, packet.clean, expiry);
  connection.session = session;
  session.attach(connection);
  connection.joinListener();
  if (will === null) environment.wills.disarm(connection.id);
  else environment.wills.arm(connection.id, will);
  hooks.register(connection);

  // Session, will and the end of a former session are durable before the client hears of them.
  if (kept || (environment.commit.revision !== before && !environment.commit.load.ailing)) {
    await environment.commit.settled();
  }
  if (connection.closed || session.connection !== connection) return;
  accept(connection, present, properties);
}

/** `limits.connections_per_address`, before anybody looks at a password. */
function isAdmitted(connection: Connection): boolean {
  const { entry, environment, id } = connection;
  if (entry === null) return true;
  if (environment.gate.admits(connection, entry, environment.sessions.get(id)?.connection?.entry ?? null)) return true;
  connection.reject(ReasonCode.QuotaExceeded, 'limits.connections_per_address is reached');
  return false;
}

/** Whether the broker is being drained, and the client has been told so (MQTT 5.0 4.11). */
function isSentAway(connection: Connection): boolean {
  const { draining } = connection.environment.hooks;
  if (draining === 'no') return false;
  connection.environment.counters.refusedDraining++;
  const reasonCode = draining === 'permanent' ? ReasonCode.ServerMoved : ReasonCode.UseAnotherServer;
  connection.reject(reasonCode, 'the broker is being drained');
  return true;
}

/** `limits.connections` and `limits.sessions`, once nothing stands between the question and the answer. */
function hasRoom(connection: Connection): boolean {
  const { sessions, options, counters, journal } = connection.environment;
  const session = sessions.get(connection.id);
  const crowded = sessions.connected >= options.connections && session?.connection == null;
  if (!crowded && (sessions.size < options.sessions || session !== undefined)) return true;
  const option = crowded ? 'limits.connections' : 'limits.sessions';
  if (crowded) counters.refusedAtConnections++;
  else counters.refusedAtSessions++;
  journal.limit(connection, option, 'a connection was refused');
  connection.reject(crowded ? ReasonCode.ServerBusy : ReasonCode.QuotaExceeded, `${option} is reached`);
  return false;
}

/** `limits.memory`: a session that is kept stays in memory, too, with all that belongs to it. */
function hasRoomForSession(connection: Connection): boolean {
  const { heap, sessions, counters, journal } = connection.environment;
  if (sessions.get(connection.id) !== undefined || heap.hasRoom(heapBytesOf(connection.id))) return true;
  counters.refusedAtMemory++;
  journal.limit(connection, 'limits.memory', 'a connection whose session is to be kept was refused');
  connection.reject(ReasonCode.QuotaExceeded, 'limits.memory is reached: no further session can be kept');
  return false;
}

/** `limits.memory`: wills stay in memory until their time comes. */
function hasRoomForWill(connection: Connection, will: WillRecord): boolean {
  const { wills, counters, journal } = connection.environment;
  if (wills.hasRoom(will)) return true;
  counters.refusedAtMemory++;
  journal.limit(connection, 'limits.memory', 'a connection with a will was refused');
  connection.reject(ReasonCode.QuotaExceeded, 'limits.memory is reached: no will can be kept');
  return false;
}

/**
 * Whether what a CONNECT brings can be written, or need not be: a session that is kept, or the end of one, needs a store
 * that works. A will alone does not; but it survives the broker's death only once the store works again.
 */
function mayBeWritten(connection: Connection, packet: ConnectPacket, kept: boolean): boolean {
  const { counters, journal, commit } = connection.environment;
  const { ailing, crowded, cause } = commit.load;
  const client = `client ${JSON.stringify(connection.id)}`;
  if (ailing && (kept || (packet.will !== undefined && crowded))) {
    counters.refusedConnect++;
    journal.limit(null, cause, `${client}, whose ${kept ? 'session' : 'will'} is to be kept, was refused`);
    connection.reject(ReasonCode.QuotaExceeded, UNWRITABLE);
    return false;
  }
  if (ailing && packet.will !== undefined) {
    journal.limit(null, cause, `the will of ${client} is in memory only`);
  }
  return true;
}

function accept(connection: Connection, present: boolean, properties: Properties | undefined): void {
  const { environment, session } = connection;
  connection.accepted();
  environment.counters.packetsSent++;
  writeConnack(connection.output, connection.version as 3 | 4 | 5, present, 0, properties);
  connection.touch();
  environment.journal.connected(connection, session?.durable === true, present, connection.keepalive);
  environment.hooks.emit('connackSent', { cmd: 'connack', returnCode: 0, sessionPresent: present }, connection);
  environment.hooks.emit('clientReady', connection);
  connection.emit('connected');
  // A listener may have closed the connection.
  if (connection.closed) return;
  session?.outbound.resume(connection);
  connection.proceed();
}

async function askPreConnect(connection: Connection, packet: ConnectPacket): Promise<boolean> {
  const { hooks } = connection.environment;
  const outcome = await new Promise<{ error: Error | null; ok: boolean }>((resolve) => {
    hooks.preConnect?.(connection, packet, (error, ok) => resolve({ error: error ?? null, ok: ok === true }));
  });
  if (outcome.error === null && outcome.ok) return true;
  if (outcome.error !== null) hooks.emit('connectionError', connection, outcome.error);
  connection.drop(outcome.error?.message ?? 'preConnect refused the connection');
  return false;
}

/** Checks identifier and keep alive and takes over what CONNECT says. Returns false if it was refused. */
function identify(connection: Connection, packet: ConnectPacket): boolean {
  const { options } = connection;
  const { counters } = connection.environment;
  connection.clean = packet.clean;
  connection.username = connection.proved ?? packet.username ?? null;
  if (!takeClientId(connection, packet) || !takeUsernameAsId(connection, packet)) return false;
  if (Buffer.byteLength(connection.id) > options.maxClientIdLength) {
    counters.longClientIds++;
    connection.reject(ReasonCode.ClientIdentifierNotValid, 'a client identifier longer than mqtt.max_client_id_length');
    return false;
  }
  const fault = packet.will === undefined ? 0 : willFault(connection, packet.will);
  if (fault !== 0) {
    counters.protocolErrors++;
    connection.reject(fault, `a will that is not allowed: ${reasonText(fault)}`);
    return false;
  }
  if (packet.will !== undefined && isReserved(packet.will.topic)) {
    // A will is a publication of its client, and this topic is the broker's own.
    counters.deniedPublish++;
    connection.environment.journal.denied(connection, 'publish', packet.will.topic, 'a will on $SYS');
    connection.reject(ReasonCode.NotAuthorized, 'a will on $SYS, which is the broker’s own');
    return false;
  }
  connection.keepalive = keepaliveOf(packet, options);
  const receiveMaximum = packet.properties?.receiveMaximum ?? 65535;
  connection.window = Math.min(receiveMaximum, options.maxInflight);
  const aliases = Math.min(packet.properties?.topicAliasMaximum ?? 0, options.topicAliasMaximumOut);
  if (aliases > 0) connection.aliases = new OutboundAliases(aliases);
  connection.problemInformation = packet.properties?.requestProblemInformation !== false;
  connection.maximumPacketSize = packet.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY;
  return true;
}

/** 0, or the reason code why a will is not allowed: what CONNACK says the broker does not do, it does for no will. */
function willFault(connection: Connection, will: WillPacket): number {
  const { environment, options } = connection;
  if (exceedsLimits(connection, will.topic, environment)) return ReasonCode.TopicNameInvalid;
  if (will.payload.length > environment.options.maxPayload) {
    environment.counters.largePayloads++;
    environment.journal.limit(connection, 'limits.payload', 'a will is refused');
    return ReasonCode.PacketTooLarge;
  }
  // [MQTT-3.2.2-12]
  if (will.qos > connection.maxQos) return ReasonCode.QoSNotSupported;
  // [MQTT-3.2.2-13]
  if (will.retain && !options.retainAvailable) return ReasonCode.RetainNotSupported;
  const claimsUtf8 = options.validatePayloadFormat && will.properties?.payloadFormatIndicator;
  return claimsUtf8 && !isUtf8(will.payload) ? ReasonCode.PayloadFormatInvalid : 0;
}

async function authenticate(connection: Connection, packet: ConnectPacket): Promise<boolean> {
  const { environment, anonymousAllowed, proved } = connection;
  const method = packet.properties?.authenticationMethod;
  let username = proved ?? packet.username;
  let { password } = packet;
  let refusal: Refusal | null = null;
  if (method === undefined && proved === null) {
    refusal = await checkPassword(environment, connection, username, password, anonymousAllowed);
    if (connection.grant !== null) username = connection.username ?? undefined;
  }
  // A certificate or key takes the place of the password.
  else if (method === undefined) password = undefined;
  // A method takes it too, and that of the rule for clients without user name.
  else if (!(await authenticateByMethod(connection, packet, method))) return false;
  else {
    username = connection.username ?? undefined;
    password = undefined;
  }
  connection.byPassword = method === undefined && proved === null && username !== undefined;
  refusal ??= await askAuthenticate(environment, connection, username, password);
  if (refusal === null) return true;
  connection.reject(refusal.reasonCode, refusal.reason, refusal.told);
  return false;
}

/** Seconds that the session is kept: before MQTT 5.0 a client can only ask that it is. */
function expiryOf(packet: ConnectPacket, options: SessionOptions): number {
  const asked =
    packet.protocolVersion === 5
      ? (packet.properties?.sessionExpiryInterval ?? 0)
      : packet.clean
        ? 0
        : options.sessionExpiryDefault;
  return Math.min(asked, options.sessionExpiryMax);
}

function keepaliveOf(packet: ConnectPacket, options: SessionOptions): number {
  const most = options.keepaliveMax;
  // Only MQTT 5.0 can be told of another keep alive [MQTT-3.2.2-21].
  if (most === 0 || packet.protocolVersion !== 5) return packet.keepalive;
  return packet.keepalive === 0 || packet.keepalive > most ? most : packet.keepalive;
}

function willOf(will: WillPacket, connection: Connection, sessionExpiry: number): WillRecord {
  const { willDelayInterval: delay = 0, ...forwarded } = will.properties ?? {};
  const request = {
    topic: will.topic,
    payload: will.payload,
    qos: will.qos,
    retain: will.retain,
    properties: forwarded,
  };
  const message: Message = messageOf(request, connection.id, connection.environment.clock.now());
  const { username, grant } = connection;
  return { delay, sessionExpiry, message: placed(message, connection), username, grant };
}

function connackProperties(connection: Connection, packet: ConnectPacket, expiry: number): Properties {
  const { options } = connection;
  const properties: Properties = {};
  const { authentication } = connection;
  if (authentication !== null) Object.assign(properties, authentication.properties(authentication.finalData));
  if (packet.clientId === '') properties.assignedClientIdentifier = connection.id;
  if (options.receiveMaximum < 65535) properties.receiveMaximum = options.receiveMaximum;
  if (options.maxPacketSize < 268435460) properties.maximumPacketSize = options.maxPacketSize;
  if (options.topicAliasMaximum > 0) properties.topicAliasMaximum = options.topicAliasMaximum;
  if (connection.maxQos < 2) properties.maximumQoS = connection.maxQos as 0 | 1;
  if (!options.retainAvailable) properties.retainAvailable = false;
  if (!options.wildcardSubscriptions) properties.wildcardSubscriptionAvailable = false;
  if (!options.subscriptionIdentifiers) properties.subscriptionIdentifiersAvailable = false;
  if (!options.sharedSubscriptions) properties.sharedSubscriptionAvailable = false;
  if (connection.keepalive !== packet.keepalive) properties.serverKeepAlive = connection.keepalive;
  if (expiry !== (packet.properties?.sessionExpiryInterval ?? 0)) properties.sessionExpiryInterval = expiry;
  if (options.responseInformation !== null && packet.properties?.requestResponseInformation) {
    // In one go, and by a function: what a client is called is taken as it stands.
    properties.responseInformation = options.responseInformation.replace(/%[cu]/g, (placeholder) =>
      placeholder === '%c' ? connection.id : (connection.username ?? ''),
    );
  }
  return properties;
}
