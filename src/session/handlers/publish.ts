/** PUBLISH from a client: MQTT 3.3, 4.3. */
import { isUtf8 } from 'node:buffer';
import type { Acl } from '../../access/acl/acl.js';
import { words } from '../../access/acl/rule.js';
import { Publication } from '../../bus/publication.js';
import { Route } from '../../bus/router.js';
import { PacketType } from '../../wire/protocol.js';
import { forwardableProperties, type PublishView } from '../../wire/publish-view.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import { messageOf, packetOf } from '../aedes-packets.js';
import type { Connection } from '../connection.js';
import { UNWRITABLE } from '../reasons.js';
import { rightsOf } from '../rights.js';
import { isTooDeep, topicTooLong } from '../topic-limits.js';

/** Publications of QoS 2 that a client has not released, between two looks at the memory that they take. */
const WEIGHED = 1024;
const NO_PROPERTIES = Buffer.alloc(0);

export function handlePublish(connection: Connection, view: PublishView): void {
  const { environment } = connection;
  const { counters, hooks } = environment;
  const payload = view.payloadEnd - view.payloadStart;
  counters.packetsReceived++;
  counters.publishReceived++;
  counters.publishBytesReceived += payload;

  const last = connection.lastRoute;
  const known = view.topicAlias === 0 && last !== null && last.is(view.buffer, view.topicStart, view.topicEnd);
  const route = known ? last : findRoute(connection, view);
  if (route === null) return;
  const { options } = connection;
  if (view.qos > connection.maxQos || (view.retain && !options.retainAvailable)) {
    rejectUnavailable(connection, view);
    return;
  }
  if (view.qos > 0) {
    if (environment.commit.load.strained && hasToWait(connection, view, route)) {
      counters.packetsReceived--;
      counters.publishReceived--;
      counters.publishBytesReceived -= payload;
      connection.intake.putBack();
      return;
    }
    if (!mayAcknowledgeLater(connection, view)) return;
  }

  const { publication } = connection;
  publication.route = route;
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
    publication.propertiesStart = view.propertiesStart;
    publication.properties = null;
    const expiry = view.messageExpiryInterval;
    publication.expiresAt = expiry < 0 ? 0 : connection.lastPacketAt + expiry * 1000;
    if (view.topicAlias > 0) {
      publication.properties = forwardableProperties(view.buffer, view.propertiesStart, view.propertiesEnd);
      publication.propertiesStart = -1;
      publication.bodyStart = -1;
    }
  } else {
    publication.propertiesStart = connection.version === 5 ? view.propertiesStart : -1;
    publication.properties = NO_PROPERTIES;
    publication.expiresAt = 0;
  }
  publication.renew();

  if (route.reserved) {
    refuse(connection, view.qos, view.packetId, route.topic, ReasonCode.NotAuthorized, '$SYS is the broker’s own');
  } else if (payload > environment.options.maxPayload) refusePayload(connection, view.qos, view.packetId);
  else if (environment.options.validatePayloadFormat && !isWhatItSays(view)) refuseFormat(connection, view, route);
  else if (connection.access.acl !== null && isDenied(connection, view, route, connection.access.acl)) return;
  else if (hooks.authorizePublish !== null) askHook(connection, view.qos, view.packetId, publication);
  else publish(connection, view.qos, view.packetId, publication);
}

/** The route of a PUBLISH, by its topic or Topic Alias; null if it has none, and the connection has ended for it. */
function findRoute(connection: Connection, view: PublishView): Route | null {
  const { environment } = connection;
  const { router, counters, journal } = environment;
  let reason: number = ReasonCode.TopicAliasInvalid;
  // [MQTT-3.3.2-9]
  if (view.topicAlias <= connection.options.topicAliasMaximum) {
    const aliased = view.topicStart === view.topicEnd;
    const found = aliased
      ? aliasedRoute(connection, view.topicAlias)
      : router.resolve(view.buffer, view.topicStart, view.topicEnd);
    if (found instanceof Route) {
      if (view.topicAlias === 0) connection.lastRoute = found;
      else connection.learn(view.topicAlias, found);
      return found;
    }
    reason = found;
    if (reason === ReasonCode.TopicNameInvalid) {
      isTooDeep(connection, view.buffer.utf8Slice(view.topicStart, view.topicEnd), environment);
    }
  } else {
    counters.excessAliases++;
    journal.limit(connection, 'mqtt.topic_alias_maximum', `Topic Alias ${view.topicAlias} is refused`);
  }
  counters.protocolErrors++;
  if (view.topicEnd - view.topicStart > environment.options.maxTopicLength) {
    topicTooLong(connection, connection.environment);
    connection.terminate(reason, 'a topic name longer than mqtt.max_topic_length');
  } else connection.terminate(reason, topicFault(reason));
  return null;
}

/** Why a topic name has no route, in words; empty where its reason code says enough. */
function topicFault(reason: number): string {
  if (reason === ReasonCode.TopicNameInvalid) return 'a topic name with more levels than mqtt.max_topic_levels';
  return reason === ReasonCode.MalformedPacket ? 'a malformed topic name' : '';
}

/** The route that a client has given an alias, or the reason code why there is none (MQTT 5.0 3.3.2.3.4). */
function aliasedRoute(connection: Connection, alias: number): Route | number {
  const known = connection.topicOf(alias);
  if (known === undefined) return ReasonCode.ProtocolError;
  return known.evicted ? connection.environment.router.resolve(known.topicBytes, 0, known.topicBytes.length) : known;
}

/** Ends a connection that does what CONNACK has said the broker does not do. */
function rejectUnavailable(connection: Connection, view: PublishView): void {
  connection.environment.counters.protocolErrors++;
  // [MQTT-3.2.2-11, MQTT-3.2.2-14]
  connection.terminate(view.qos > connection.maxQos ? ReasonCode.QoSNotSupported : ReasonCode.RetainNotSupported, '');
}

/** Whether the payload is UTF-8 if Payload Format Indicator says so (MQTT 5.0 3.3.2.3.2). */
function isWhatItSays(view: PublishView): boolean {
  return view.payloadFormatIndicator === 0 || isUtf8(view.buffer.subarray(view.payloadStart, view.payloadEnd));
}

function refuseFormat(connection: Connection, view: PublishView, route: Route): void {
  const words = 'a payload that is not UTF-8, as its Payload Format Indicator says';
  if (view.qos > 0) {
    refuse(connection, view.qos, view.packetId, route.topic, ReasonCode.PayloadFormatInvalid, words);
    return;
  }
  connection.environment.counters.protocolErrors++;
  connection.terminate(ReasonCode.PayloadFormatInvalid, words);
}

/**
 * Whether a publication is not taken yet because too much waits for the store. An MQTT 5.0 client is told so, if the
 * store ails; others, and all while the store is only slow, are not read further.
 */
function hasToWait(connection: Connection, view: PublishView, route: Route): boolean {
  const { environment, session } = connection;
  const { load } = environment.commit;
  if (!load.crowded || (load.ailing && connection.version === 5)) return false;
  // Of what has been taken already, the client is only told so again.
  if (view.qos === 2 && session?.outbound.inbound.has(view.packetId)) return false;
  if (!needsStore(connection, route, view.qos, view.retain)) return false;
  const words = 'so much waits for the store that publishers wait, too';
  environment.counters.heldPublish++;
  environment.journal.limit(null, 'store.unwritten_bytes', words);
  return true;
}

function needsStore(connection: Connection, route: Route, qos: number, retain: boolean): boolean {
  const { session, environment } = connection;
  if (qos === 2 && session?.durable) return true;
  return environment.router.needsStore(route, qos, retain, session);
}

/** Flow control of QoS 1 and 2, and QoS 2 duplicates. Returns whether the message is to be published. */
function mayAcknowledgeLater(connection: Connection, view: PublishView): boolean {
  const { environment, session } = connection;
  if (session === null) return false;
  const { inbound } = session.outbound;
  if (view.qos === 2 && inbound.has(view.packetId)) {
    // Sent again because PUBREC was lost: not published again [MQTT-4.3.3-10].
    acknowledge(
      connection,
      PacketType.PUBREC,
      view.packetId,
      ReasonCode.Success,
      session.durable && environment.commit.busy,
    );
    return false;
  }
  if (connection.version === 5 && connection.receiving >= connection.options.receiveMaximum) {
    environment.counters.protocolErrors++;
    environment.counters.excessPublications++;
    environment.journal.limit(connection, 'mqtt.receive_maximum', 'one more publication in flight is refused');
    connection.terminate(ReasonCode.ReceiveMaximumExceeded, 'more publications in flight than the broker allows');
    return false;
  }
  connection.receiving++;
  return true;
}

function publish(connection: Connection, qos: number, packetId: number, publication: Publication): void {
  const { environment, session } = connection;
  const { commit, router, hooks } = environment;
  const { load } = commit;
  if (load.ailing && connection.version === 5 && qos > 0 && publication.route !== null) {
    if (needsStore(connection, publication.route, qos, publication.retain)) {
      refuseUnwritable(connection, qos, packetId);
      return;
    }
  }
  const before = commit.revision;
  const caused = load.caused;
  if (qos === 2 && session !== null) {
    const { inbound } = session.outbound;
    inbound.add(packetId);
    if (inbound.size % WEIGHED === 0 && session.weigh())
      connection.endForMemory('publications that it has not released');
    if (session.durable) {
      session.outbound.touchFlow();
      session.enlist();
    }
  }
  router.publish(publication);
  if (hooks.published !== null || hooks.wants('publish')) announce(connection, publication);
  const changes = commit.revision !== before;
  if (qos === 0) {
    // What is retained without acknowledgement does not wait for a store that ails: its client has more to say.
    if (changes && !load.ailing) connection.waitForCommit(load.caused - caused);
    return;
  }
  const type = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
  const nobody = connection.version === 5 && publication.route?.reaches === 0;
  const reasonCode = nobody ? ReasonCode.NoMatchingSubscribers : ReasonCode.Success;
  acknowledge(connection, type, packetId, reasonCode, changes, load.caused - caused);
}

/** Acknowledgements leave in the order of their packets, unless a store that ails would hold up those that need none. */
function acknowledge(
  connection: Connection,
  type: number,
  packetId: number,
  reason: number,
  durably: boolean,
  bytes = 0,
): void {
  const waits = connection.pendingAcknowledgements > 0 && !connection.environment.commit.load.ailing;
  if (durably || waits) connection.acknowledgeDurably(type, packetId, reason, bytes);
  else connection.sendAcknowledgement(type, packetId, reason);
}

/** A publication that would have to be written, while nothing can be. Nobody gets it; its client may send it again. */
function refuseUnwritable(connection: Connection, qos: number, packetId: number): void {
  const { counters, journal, commit } = connection.environment;
  counters.refusedPublish++;
  journal.limit(null, commit.load.cause, `a publication of client ${JSON.stringify(connection.id)} was refused`);
  const type = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
  connection.sendAcknowledgement(type, packetId, ReasonCode.QuotaExceeded, UNWRITABLE);
}

/**
 * A publication that is not allowed. MQTT 5.0 says so in the acknowledgement; before that, the only answers are silence
 * and closing, and a client that is cut off would publish it again [MQTT-3.3.5-2].
 */
function refuse(
  connection: Connection,
  qos: number,
  packetId: number,
  topic: string,
  reasonCode: number,
  reason: string,
): void {
  connection.environment.counters.deniedPublish++;
  connection.environment.journal.denied(connection, 'publish', topic, reason);
  tellRefused(connection, qos, packetId, reasonCode);
}

function tellRefused(connection: Connection, qos: number, packetId: number, reasonCode: number): void {
  if (qos === 0) return;
  const type = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
  acknowledge(connection, type, packetId, connection.version === 5 ? reasonCode : ReasonCode.Success, false);
}

/** `limits.payload`. An acknowledgement cannot say that a packet is too large (MQTT 5.0 3.4.2.1). */
function refusePayload(connection: Connection, qos: number, packetId: number): void {
  connection.environment.counters.largePayloads++;
  connection.environment.journal.limit(connection, 'limits.payload', 'a publication is refused');
  tellRefused(connection, qos, packetId, ReasonCode.QuotaExceeded);
}

/** Refuses a publication that the access control list does not allow. */
function isDenied(connection: Connection, view: PublishView, route: Route, acl: Acl): boolean {
  const decision = rightsOf(connection, acl).publish(route);
  if (decision.allowed) return false;
  refuse(connection, view.qos, view.packetId, route.topic, ReasonCode.NotAuthorized, words(decision.rule));
  return true;
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
      else refuse(connection, qos, packetId, packet.topic, ReasonCode.NotAuthorized, error.message);
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
