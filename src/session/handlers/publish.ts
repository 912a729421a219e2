/** PUBLISH from a client: MQTT 3.3, 4.3. */
import { Publication } from '../../bus/publication.js';
import { Route } from '../../bus/router.js';
import { PacketType } from '../../wire/protocol.js';
import { forwardableProperties, type PublishView } from '../../wire/publish-view.js';
import { messageOf, packetOf } from '../aedes-packets.js';
import type { Connection } from '../connection.js';

const NO_PROPERTIES = Buffer.alloc(0);
const SUCCESS = 0;
const NOT_AUTHORIZED = 0x87;
const RECEIVE_MAXIMUM_EXCEEDED = 0x93;
const TOPIC_ALIAS_INVALID = 0x94;

export function handlePublish(connection: Connection, view: PublishView): void {
  const { environment } = connection;
  const { counters, router, hooks } = environment;
  const payload = view.payloadEnd - view.payloadStart;
  counters.packetsReceived++;
  counters.publishReceived++;
  counters.publishBytesReceived += payload;

  if (view.topicAlias > 0) {
    // The broker grants no Topic Alias in CONNACK [MQTT-3.2.2-18].
    counters.protocolErrors++;
    connection.terminate(TOPIC_ALIAS_INVALID, 'a Topic Alias, which the broker has not allowed');
    return;
  }
  let route = connection.lastRoute;
  if (route === null || !route.is(view.buffer, view.topicStart, view.topicEnd)) {
    const resolved = router.resolve(view.buffer, view.topicStart, view.topicEnd);
    if (!(resolved instanceof Route)) {
      counters.protocolErrors++;
      connection.terminate(resolved, 'a topic name that is not allowed');
      return;
    }
    route = resolved;
    connection.lastRoute = route;
  }

  if (view.qos > 0 && !mayAcknowledgeLater(connection, view)) return;

  const { publication } = connection;
  publication.route = route;
  publication.topicBytes = route.topicBytes;
  publication.buffer = view.buffer;
  publication.payloadStart = view.payloadStart;
  publication.payloadEnd = view.payloadEnd;
  publication.qos = view.qos;
  publication.retain = view.retain;
  publication.publisher = connection.session;
  publication.publisherId = connection.id;
  publication.bodyStart = view.topicStart - 2;
  publication.bodyHasPacketId = view.qos > 0;
  publication.bodyHasProperties = connection.version === 5;
  if (view.propertiesEnd > view.propertiesStart) {
    publication.properties = forwardableProperties(view);
    const expiry = view.messageExpiryInterval;
    publication.expiresAt = expiry < 0 ? 0 : environment.clock.now() + expiry * 1000;
    if (expiry >= 0) publication.bodyStart = -1;
  } else {
    publication.properties = NO_PROPERTIES;
    publication.expiresAt = 0;
  }
  publication.renew();

  if (route.reserved) refuse(connection, view.qos, view.packetId, route.topic, '$SYS is the broker’s own');
  else if (hooks.authorizePublish !== null) askHook(connection, view.qos, view.packetId, publication);
  else publish(connection, view.qos, view.packetId, publication);
}

/** Flow control of QoS 1 and 2, and QoS 2 duplicates. Returns whether the message is to be published. */
function mayAcknowledgeLater(connection: Connection, view: PublishView): boolean {
  const { environment, session } = connection;
  if (session === null) return false;
  const { inbound } = session.outbound;
  if (view.qos === 2 && inbound.has(view.packetId)) {
    // Sent again because PUBREC was lost: not published again [MQTT-4.3.3-10].
    acknowledge(connection, PacketType.PUBREC, view.packetId, SUCCESS, session.durable && environment.commit.busy);
    return false;
  }
  if (connection.version === 5 && connection.receiving >= environment.options.receiveMaximum) {
    environment.counters.protocolErrors++;
    connection.terminate(RECEIVE_MAXIMUM_EXCEEDED, 'more publications in flight than the broker allows');
    return false;
  }
  connection.receiving++;
  return true;
}

function publish(connection: Connection, qos: number, packetId: number, publication: Publication): void {
  const { environment, session } = connection;
  const { commit, router, hooks } = environment;
  const before = commit.revision;
  if (qos === 2 && session !== null) {
    session.outbound.inbound.add(packetId);
    if (session.durable) {
      session.outbound.touchFlow();
      session.enlist();
    }
  }
  router.publish(publication);
  if (hooks.published !== null || hooks.wants('publish')) announce(connection, publication);
  if (qos === 0) return;
  const type = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
  acknowledge(connection, type, packetId, SUCCESS, commit.revision !== before);
}

function acknowledge(connection: Connection, type: number, packetId: number, reason: number, durably: boolean): void {
  if (durably || connection.pendingAcknowledgements > 0) connection.acknowledgeDurably(type, packetId, reason);
  else connection.sendAcknowledgement(type, packetId, reason);
}

/**
 * A publication that is not allowed. MQTT 5.0 says so in the acknowledgement; before that, the only answers are silence
 * and closing, and a client that is cut off would publish it again [MQTT-3.3.5-2].
 */
function refuse(connection: Connection, qos: number, packetId: number, topic: string, reason: string): void {
  connection.environment.counters.deniedPublish++;
  connection.environment.journal.denied(connection, 'publish', topic, reason);
  if (qos === 0) return;
  const type = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
  acknowledge(connection, type, packetId, connection.version === 5 ? NOT_AUTHORIZED : SUCCESS, false);
}

/** Asks Aedes' `authorizePublish`, which may answer later and may change the packet. */
function askHook(connection: Connection, qos: number, packetId: number, publication: Publication): void {
  const { environment } = connection;
  const { hooks, clock, router } = environment;
  const packet = packetOf(publication.message(), hooks.brokerId, hooks.nextCounter());
  if (packetId > 0) packet.messageId = packetId;
  let answered = false;
  let held = false;
  hooks.authorizePublish?.(connection, packet, (error) => {
    if (answered) return;
    answered = true;
    if (!connection.closed) {
      if (!error) {
        const message = messageOf(packet, connection.id, clock.now());
        const allowed = new Publication().of(message, router.routeOf(message.topic));
        allowed.publisher = connection.session;
        publish(connection, qos, packetId, allowed);
      } else if (connection.version !== 5 || qos === 0) connection.fail(error);
      else refuse(connection, qos, packetId, packet.topic, error.message);
    }
    // Only now: what waits behind this publication must not overtake it [MQTT-4.6.0-6].
    if (held) connection.unhold();
  });
  if (answered) return;
  held = true;
  connection.hold();
}

/** Tells Aedes' `published` hook and `publish` event. */
function announce(connection: Connection, publication: Publication): void {
  const { hooks } = connection.environment;
  const packet = packetOf(publication.message(), hooks.brokerId, hooks.nextCounter());
  hooks.published?.(packet, connection, (error) => {
    if (error) connection.fail(error);
  });
  hooks.emit('publish', packet, connection);
}
