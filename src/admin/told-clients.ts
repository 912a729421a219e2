/** Clients as the control socket tells them: the documented form of `portico clients --json` (docs/clients.md). */
import { TLSSocket } from 'node:tls';
import type { Subscription } from '../bus/tree.js';
import type { Connection } from '../session/connection.js';
import type { Held, InProcessClient } from '../session/in-process-client.js';
import { USUAL_TERMS } from '../session/listener-terms.js';
import { NEVER, type Session } from '../session/session.js';
import type { WillRecord } from '../store/records.js';
import { VERSION_NAMES } from '../wire/protocol.js';

/** One client, or the session of one that is away. Times are ISO 8601, in UTC. */
export interface ToldClient {
  readonly client: string;
  /** Null for none; also of a session whose client is away. */
  readonly username: string | null;
  readonly connected: boolean;
  /** `address:port`, or `local` for a Unix socket; null while it is away, as the next four. */
  readonly address: string | null;
  /** `mqtt`, `mqtts`, `websocket`, `wss`, `unix`, `coap`, `coaps`, `coap+tcp`, `coaps+tcp`, or another word for a plugin. */
  readonly transport: string | null;
  /** `listeners.0`; also null for CoAP. */
  readonly listener: string | null;
  readonly since: string | null;
  /** Seconds; 0 for none. */
  readonly keepalive: number | null;
  /** `3.1`, `3.1.1`, `5.0`, `coap`; null for anything else. */
  readonly protocol: string | null;
  /** What CONNECT said: Clean Session, Clean Start. Null if there was no CONNECT. */
  readonly clean: boolean | null;
  /** Whether its session outlives the connection. */
  readonly kept: boolean;
  /** Seconds for which it does; null for ever. */
  readonly expiry: number | null;
  /** Subscriptions of MQTT, observations of CoAP. */
  readonly subscriptions: number;
  /** Messages that have not been sent, bytes that they take, and messages that are sent and not acknowledged. */
  readonly waiting: number;
  readonly waiting_bytes: number;
  readonly in_flight: number;
  /** Publications of QoS 1 and 2 of the client that are not acknowledged to the end. */
  readonly receiving: number;
  /** Messages for it that a limit has taken. */
  readonly dropped: number;
  /** Of this connection; null where nobody counts them. */
  readonly bytes_received: number | null;
  readonly bytes_sent: number | null;
  /** Topic of its last publication over this connection; null if there is none. */
  readonly last_topic: string | null;
  /** When and why its last connection ended, and when its session will: of one that is away. */
  readonly left?: string;
  readonly left_because?: string | null;
  /** Null for never. */
  readonly expires?: string | null;
}

const AWAY = { username: null, address: null, transport: null, listener: null, since: null, keepalive: null } as const;

export function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** A client that is connected over MQTT. */
export function toldConnection(connection: Connection, session: Session): ToldClient {
  const { transportLayer, terms, lastRoute } = connection;
  const { bytesRead, pending } = transportLayer;
  return {
    client: connection.id,
    username: connection.username,
    connected: true,
    address: connection.remote,
    transport: connection.transport,
    listener: terms === USUAL_TERMS ? null : terms.options.name,
    since: timeOf(connection.connectedAt),
    keepalive: connection.keepalive,
    protocol: VERSION_NAMES[connection.version] ?? null,
    clean: connection.clean,
    ...queueOf(session),
    receiving: connection.receiving,
    bytes_received: bytesRead,
    bytes_sent: Math.max(0, connection.bytesSent - pending),
    last_topic: lastRoute?.topic ?? null,
  };
}

/** A session whose client is away. */
export function toldSession(session: Session): ToldClient {
  const { id, version, disconnectedAt, expiryInterval, leftBecause } = session;
  return {
    client: id,
    connected: false,
    ...AWAY,
    protocol: VERSION_NAMES[version] ?? null,
    clean: null,
    ...queueOf(session),
    receiving: session.outbound.inbound.size,
    bytes_received: null,
    bytes_sent: null,
    last_topic: null,
    left: timeOf(disconnectedAt),
    left_because: leftBecause === '' ? null : leftBecause,
    expires: expiryInterval === NEVER ? null : timeOf(disconnectedAt + expiryInterval * 1000),
  };
}

function queueOf({ durable, expiryInterval, subscriptions, outbound, dropped }: Session) {
  const { waiting, waitingBytes, inFlight } = outbound;
  return {
    kept: durable,
    expiry: expiryInterval === NEVER ? null : expiryInterval,
    subscriptions: subscriptions.size,
    waiting,
    waiting_bytes: waitingBytes,
    in_flight: inFlight,
    dropped,
  };
}

/** A client inside the process: a device of CoAP, or one of a plugin. */
export function toldInside(client: InProcessClient): ToldClient {
  const queue = { waiting: 0, waiting_bytes: 0, in_flight: 0, dropped: 0 };
  for (const { session } of client.held()) {
    if (session === null) continue;
    queue.waiting += session.outbound.waiting;
    queue.waiting_bytes += session.outbound.waitingBytes;
    queue.in_flight += session.outbound.inFlight;
    queue.dropped += session.dropped;
  }
  return {
    client: client.id,
    username: client.username,
    connected: true,
    address: client.remote,
    transport: client.transport,
    listener: null,
    since: timeOf(client.since),
    keepalive: client.keepalive,
    protocol: client.transport.startsWith('coap') ? 'coap' : null,
    clean: null,
    kept: false,
    expiry: 0,
    subscriptions: client.subscriptions,
    ...queue,
    receiving: 0,
    bytes_received: null,
    bytes_sent: null,
    last_topic: client.lastTopic,
  };
}

/** What else there is to say of one client. Whatever is not known is left out. */
export interface ToldDetails {
  readonly details: {
    /** Unacknowledged messages that it takes at once. */
    readonly receive_maximum?: number;
    /** Bytes; null for any. */
    readonly maximum_packet_size?: number | null;
    readonly will?: { readonly topic: string; readonly qos: number; readonly retain: boolean; readonly delay: number };
    /** Its session has been kept from an earlier connection, which ended for this. */
    readonly left_because?: string;
    readonly tls?: { readonly protocol: string | null; readonly cipher: string };
    readonly authentication?: string;
    /** Whatever the plugin says that has let it in. */
    readonly [name: string]: unknown;
  };
}

export function detailsOfConnection(connection: Connection, session: Session, will: WillRecord | null): ToldDetails {
  const { window, maximumPacketSize, conn, authentication } = connection;
  return {
    details: {
      receive_maximum: window,
      maximum_packet_size: Number.isFinite(maximumPacketSize) ? maximumPacketSize : null,
      ...detailsOf(session, will),
      ...(conn instanceof TLSSocket ? { tls: { protocol: conn.getProtocol(), cipher: conn.getCipher().name } } : null),
      ...(authentication === null ? null : { authentication: authentication.method.name }),
    },
  };
}

export function detailsOfSession(session: Session, will: WillRecord | null): ToldDetails {
  return { details: detailsOf(session, will) };
}

export function detailsOfInside(client: InProcessClient): ToldDetails {
  return { details: { ...client.details?.() } };
}

function detailsOf({ leftBecause }: Session, will: WillRecord | null) {
  return {
    ...(will === null ? null : { will: willOf(will) }),
    ...(leftBecause === '' ? null : { left_because: leftBecause }),
  };
}

function willOf({ message, delay }: WillRecord) {
  return { topic: message.topic, qos: message.qos, retain: message.retain, delay };
}

/** One subscription of a client, or observation. */
export interface ToldSubscription {
  readonly subscription: {
    readonly filter: string;
    readonly qos: number;
    readonly no_local?: boolean;
    readonly retain_as_published?: boolean;
    readonly retain_handling?: number;
    /** 0 for none. */
    readonly identifier?: number;
    /** Of an observation. */
    readonly since?: string;
    /** The session that keeps its messages while nobody observes; and how many wait. */
    readonly session?: string;
    readonly waiting?: number;
  };
}

export function toldSubscription(subscription: Subscription): ToldSubscription {
  const { filter, qos, noLocal, retainAsPublished, retainHandling, identifier } = subscription;
  return {
    subscription: {
      filter,
      qos,
      no_local: noLocal,
      retain_as_published: retainAsPublished,
      retain_handling: retainHandling,
      identifier,
    },
  };
}

export function toldHeld({ filter, qos, since, session }: Held): ToldSubscription {
  const kept = session === null ? null : { session: session.id, waiting: session.outbound.waiting };
  return { subscription: { filter, qos, since: timeOf(since), ...kept } };
}
