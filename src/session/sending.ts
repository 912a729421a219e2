/** PUBLISH packets to a client: in the form that it can take, within its limits, counted. */
import { Publication } from '../bus/publication.js';
import type { Route } from '../bus/router.js';
import { MOST_ALIAS_BYTES, type PublishSource, publishSize, writeLive, writePublish } from '../wire/publish-writer.js';
import { messageOf, packetOf } from './aedes-packets.js';
import type { Connection } from './connection.js';
import { frameKind, frameOf } from './frame.js';
import type { Mount } from './mount.js';
import { mayReceive } from './rights.js';

/** Output bytes at which a connection is flushed before the turn ends, so that buffers stay small. */
export const EAGER_FLUSH: number = 64 * 1024;

/** Bytes of the longest topic that gets an alias: each connection remembers its own. */
const MOST_ALIASED = 256;

/** Sends a message as `Link.sendPublication` says. */
export function sendPublication(
  connection: Connection,
  publication: Publication,
  qos: number,
  retain: boolean,
  packetId: number,
  identifiers: readonly number[] | null,
): boolean {
  const version5 = connection.version === 5;
  const { hooks } = connection.environment;
  const { acl } = connection.access;
  if (acl !== null && !mayReceive(connection, acl, publication.route, publication.topicBytes)) {
    connection.environment.counters.deniedReceive++;
    connection.environment.tracing.withheld(connection, publication.topicBytes);
    return false;
  }
  if (hooks.authorizeForward !== null) {
    return send(connection, publication, qos, retain, false, packetId, publication.expiresAt, identifiers, null);
  }
  // Topic Aliases and Subscription Identifiers are this connection's own: it has no frame to share.
  const own = version5 && (connection.aliases !== null || identifiers !== null);
  // No time has passed since the message came, so its properties may go on as they are.
  const live = publication.propertiesStart >= 0;
  if (!own && (publication.route?.receivers.length ?? 0) > 1 && (live || !version5 || publication.expiresAt === 0)) {
    return sendFrame(connection, publication, qos, retain, packetId);
  }
  if (!version5 || !live || connection.aliases !== null || connection.maximumPacketSize !== Number.POSITIVE_INFINITY) {
    return send(connection, publication, qos, retain, false, packetId, publication.expiresAt, identifiers, null);
  }
  writeLive(connection.output, publication, (qos << 1) | (retain ? 1 : 0), packetId, identifiers);
  sent(connection, publication);
  return true;
}

/** Copies a packet that is the same for many receivers but for its packet identifier. */
function sendFrame(
  connection: Connection,
  publication: Publication,
  qos: number,
  retain: boolean,
  packetId: number,
): boolean {
  const frame = frameOf(publication, frameKind(connection.version === 5, qos, retain));
  const length = frame.bytes.length;
  if (length > connection.maximumPacketSize) return tooLarge(connection);
  const { output } = connection;
  output.reserve(length);
  const at = output.length;
  output.writeWords(frame.bytes, frame.words);
  if (qos > 0) {
    const { buffer } = output;
    buffer[at] = 0x30 | (qos << 1) | (retain ? 1 : 0);
    buffer[at + frame.packetIdAt] = packetId >>> 8;
    buffer[at + frame.packetIdAt + 1] = packetId & 0xff;
  }
  sent(connection, publication);
  return true;
}

/**
 * Sends a message as `Link.sendPublish` says.
 * @param mount of a listener whose clients see shorter topics; null for others
 * @param route null if it is not known
 */
export function sendPublish(
  connection: Connection,
  mount: Mount | null,
  route: Route | null,
  source: PublishSource,
  qos: number,
  retain: boolean,
  dup: boolean,
  packetId: number,
  expiresAt: number,
  identifiers: readonly number[] | null,
): boolean {
  const { acl } = connection.access;
  if (acl !== null && !mayReceive(connection, acl, route, source.topicBytes)) {
    connection.environment.counters.deniedReceive++;
    connection.environment.tracing.withheld(connection, source.topicBytes);
    return false;
  }
  return send(connection, source, qos, retain, dup, packetId, expiresAt, identifiers, mount);
}

/** @param mount of a listener whose clients see shorter topics; null for others */
function send(
  connection: Connection,
  source: PublishSource,
  qos: number,
  retain: boolean,
  dup: boolean,
  packetId: number,
  expiresAt: number,
  identifiers: readonly number[] | null,
  mount: Mount | null,
): boolean {
  const { environment, aliases, maximumPacketSize } = connection;
  let out = source;
  if (environment.hooks.authorizeForward !== null) {
    const forwarded = forward(connection, source, qos, retain, expiresAt);
    if (forwarded === null) return false;
    out = forwarded;
  }
  if (mount !== null) {
    const unmounted = mount.unmount(out);
    if (unmounted === null) {
      environment.counters.deniedReceive++;
      return false;
    }
    out = unmounted;
  }
  const version5 = connection.version === 5;
  const expiry =
    expiresAt === 0 || !version5 ? -1 : Math.max(0, Math.ceil((expiresAt - environment.clock.now()) / 1000));
  const limited = maximumPacketSize !== Number.POSITIVE_INFINITY;
  const room = limited ? maximumPacketSize - publishSize(out, version5, qos, expiry, identifiers) : 0;
  if (room < 0) return tooLarge(connection);
  const flags = (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
  if (aliases === null) {
    writePublish(connection.output, out, version5, flags, packetId, expiry, version5 ? identifiers : null);
  } else {
    const alias =
      out.topicBytes.length <= MOST_ALIASED && (!limited || room >= MOST_ALIAS_BYTES)
        ? aliases.assign(out.topicBytes.latin1Slice())
        : 0;
    // MQTT.js 5 forgets the topic of a QoS 2 message that comes with its alias alone.
    const known = alias > 0 && !aliases.isNew && qos < 2;
    writePublish(connection.output, out, true, flags, packetId, expiry, identifiers, alias, known);
  }
  sent(connection, source);
  return true;
}

function sent(connection: Connection, source: PublishSource): void {
  const { counters } = connection.environment;
  counters.packetsSent++;
  counters.publishSent++;
  counters.publishBytesSent += source.payloadEnd - source.payloadStart;
  if (!connection.dirty || connection.output.length >= EAGER_FLUSH) connection.touch();
}

/** Asks the hook whether, and in which form, a message may go to this client. */
function forward(
  connection: Connection,
  source: PublishSource,
  qos: number,
  retain: boolean,
  expiresAt: number,
): PublishSource | null {
  const { hooks, router, clock } = connection.environment;
  const message = {
    topic: source.topicBytes.utf8Slice(),
    payload: Buffer.from(source.buffer.subarray(source.payloadStart, source.payloadEnd)),
    qos: qos as 0 | 1 | 2,
    retain,
    properties: Buffer.from(source.properties),
    expiresAt,
    publisherId: '',
    receivedAt: clock.now(),
  };
  const packet = packetOf(message, hooks.brokerId, hooks.nextCounter());
  const result = hooks.authorizeForward?.(connection, packet);
  if (!result) return null;
  const forwarded = messageOf(result, '', clock.now());
  return new Publication().of(forwarded, router.routeOf(forwarded.topic));
}

function tooLarge(connection: Connection): boolean {
  const { counters, journal } = connection.environment;
  if (connection.session !== null) connection.session.dropped++;
  counters.publishDropped++;
  counters.droppedPacketTooLarge++;
  journal.limit(connection, 'Maximum Packet Size of the client', 'a message that exceeds it was not sent');
  return false;
}

/** A QoS 0 publication to a client that does not read. @param lacksMemory it is `limits.memory` that has no room for it */
export function dropQos0(connection: Connection, lacksMemory: boolean): void {
  const { counters, journal } = connection.environment;
  if (connection.session !== null) connection.session.dropped++;
  counters.publishDropped++;
  if (lacksMemory) counters.droppedMemory++;
  else counters.droppedOutputBuffer++;
  const option = lacksMemory ? 'limits.memory' : 'limits.output_buffer';
  journal.limit(connection, option, 'QoS 0 messages are dropped: the client does not read');
}
