/** SUBSCRIBE: MQTT 3.8, 3.9. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FilterDecision } from '../../access/acl/rule.js';
import { words } from '../../access/acl/rule.js';
import { hasWildcard, isShared, isValidFilter, isValidShared, levelCount, sharedPartsOf } from '../../bus/topics.js';
import type { Subscription } from '../../bus/tree.js';
import type { SubscribePacket } from '../../wire/packets.js';
import { ReasonCode, reasonText } from '../../wire/reason-codes.js';
import { writeSuback } from '../../wire/writers.js';
import { type AedesSubscription, subscriptionOf } from '../aedes-packets.js';
import type { Connection } from '../connection.js';
import type { SessionOptions } from '../environment.js';
import { problem, UNWRITABLE } from '../reasons.js';
import { RetainedDelivery } from '../retained-delivery.js';
import { rightsOf } from '../rights.js';
import type { Session } from '../session.js';
import { isTooDeep, isTooLong } from '../topic-limits.js';
import { hasRoomForCodes } from './room.js';
import { endsTurn, FILTERS_PER_TURN } from './turns.js';

/** Levels that the filters of a client may have on average where `limits.subscriptions_per_client` is reached. */
const LEVELS_PER_SUBSCRIPTION = 10;

type Requested = SubscribePacket['subscriptions'][number];

/** A subscription that may be owed retained messages. */
interface Owed {
  readonly subscription: Subscription;
  readonly isNew: boolean;
}

export async function handleSubscribe(connection: Connection, packet: SubscribePacket): Promise<void> {
  const long = packet.subscriptions.length > FILTERS_PER_TURN;
  if (connection.environment.hooks.authorizeSubscribe === null && !long) return await subscribe(connection, packet);
  // What waits behind this packet finds it done, however late the hook answers and however long it is.
  connection.hold();
  try {
    await subscribe(connection, packet);
  } finally {
    connection.unhold();
  }
}

async function subscribe(connection: Connection, packet: SubscribePacket): Promise<void> {
  const { environment, session } = connection;
  if (session === null) return;
  for (let from = 0; from < packet.subscriptions.length; from += FILTERS_PER_TURN) {
    if (from > 0) await nextTurn();
    if (connection.closed || !isInOrder(connection, packet, from)) return;
  }
  if (!hasRoomForCodes(connection, packet.subscriptions.length)) return;
  const { maxQos } = connection;
  const identifier = packet.properties?.subscriptionIdentifier;
  const number = Array.isArray(identifier) ? identifier[0] : (identifier ?? 0);
  const codes: number[] = [];
  const reasons = new Set<string>();
  const granted: Subscription[] = [];
  const owed: Owed[] = [];
  const allowed =
    environment.hooks.authorizeSubscribe === null ? null : await askHook(connection, packet.subscriptions);
  if (connection.closed) return;
  for (const [index, requested] of packet.subscriptions.entries()) {
    if (endsTurn(index)) {
      await nextTurn();
      if (connection.closed) return;
    }
    if (session.durable && environment.commit.load.ailing) {
      environment.counters.refusedSubscribe++;
      environment.journal.limit(
        null,
        environment.commit.load.cause,
        `a subscription of client ${JSON.stringify(session.id)} was refused`,
      );
      reasons.add(UNWRITABLE);
      codes.push(connection.version === 5 ? ReasonCode.QuotaExceeded : ReasonCode.UnspecifiedError);
      continue;
    }
    const asked = allowed === null ? requested : allowed[index];
    const share = asked === null ? null : decideFilter(connection, asked.topic);
    const denied = asked === null || share?.share === 'none';
    const refusal = denied ? ReasonCode.NotAuthorized : refusalOf(connection, asked);
    if (asked === null || refusal !== 0) {
      environment.counters.deniedSubscribe++;
      const why = share?.share === 'none' ? words(share.denying) : refusalWords(refusal);
      environment.journal.denied(connection, 'subscribe', requested.topic, why);
      reasons.add(refusalWords(refusal));
      // Before MQTT 5.0 there is one code for failure [MQTT-3.9.3-2].
      codes.push(connection.version === 5 ? refusal : ReasonCode.UnspecifiedError);
      continue;
    }
    if (share?.share === 'partly') {
      const why = `a part of it is not delivered; ${words(share.denying)}`;
      environment.journal.denied(connection, 'receive', asked.topic, why);
    }
    const shared = isShared(asked.topic);
    const subscription: Subscription = {
      subscriber: session,
      filter: asked.topic,
      qos: Math.min(asked.qos, maxQos) as 0 | 1 | 2,
      // A bridge asks for No Local with every subscription; a shared one cannot have it.
      noLocal: (asked.nl ?? false) && !shared,
      retainAsPublished: asked.rap ?? false,
      retainHandling: asked.rh ?? 0,
      identifier: number,
    };
    const isNew = session.subscribe(subscription) === undefined;
    // A shared subscription gets no retained messages (MQTT 5.0 4.8.2).
    if (!shared) owed.push({ subscription, isNew });
    granted.push(subscription);
    codes.push(subscription.qos);
    environment.journal.subscribed(connection, subscription.filter, subscription.qos);
  }
  if (session.durable && granted.length > 0) await connection.durable();
  if (connection.closed) return;
  if (packet.messageId > 0) {
    environment.counters.packetsSent++;
    const properties = problem(connection, [...reasons].join('; '), 5 + codes.length);
    writeSuback(connection.output, connection.version as 3 | 4 | 5, packet.messageId, codes, properties);
    connection.touch();
  }
  for (let from = 0; from < owed.length; from += FILTERS_PER_TURN) {
    if (from > 0) await nextTurn();
    deliverRetained(connection, session, owed.slice(from, from + FILTERS_PER_TURN));
  }
  if (granted.length > 0 && environment.hooks.wants('subscribe')) {
    environment.hooks.emit('subscribe', granted.map(subscriptionOf), connection);
  }
}

/**
 * Whether a SUBSCRIBE asks for nothing that is malformed, or that CONNACK has said there is not, in one turn's filters. If
 * it does, its connection has ended, and nothing of the packet has been carried out.
 */
function isInOrder(connection: Connection, packet: SubscribePacket, from: number): boolean {
  const { options } = connection;
  const { counters } = connection.environment;
  let fault = 0;
  if (packet.properties?.subscriptionIdentifier !== undefined && !options.subscriptionIdentifiers) {
    fault = ReasonCode.SubscriptionIdentifiersNotSupported;
  }
  for (const { topic, nl } of packet.subscriptions.slice(from, from + FILTERS_PER_TURN)) {
    if (isTooLong(connection, topic, connection.environment)) {
      counters.protocolErrors++;
      connection.terminate(ReasonCode.TopicFilterInvalid, 'a topic filter longer than mqtt.max_topic_length');
      return false;
    }
    const wrong = filterFault(connection, topic);
    if (wrong !== 0) fault = wrong;
    else if (connection.version !== 5) continue;
    // [MQTT-3.8.3-4]
    else if (nl && isShared(topic)) fault = ReasonCode.ProtocolError;
    else if (fault === 0) fault = unavailable(topic, options);
  }
  if (fault === 0) return true;
  counters.protocolErrors++;
  connection.terminate(fault, faultWords(fault));
  return false;
}

/** 0, or the reason code why a filter cannot be: it is malformed, or well-formed and not accepted. */
function filterFault(connection: Connection, filter: string): number {
  const shared = isShared(filter);
  if (!(shared ? isValidShared(filter) : isValidFilter(filter))) return ReasonCode.MalformedPacket;
  const levels = shared ? sharedPartsOf(filter)[1] : filter;
  return isTooDeep(connection, levels, connection.environment) ? ReasonCode.TopicFilterInvalid : 0;
}

/** The reason code why a kind of subscription is not to be had, 0 if it is. */
function unavailable(filter: string, options: SessionOptions): number {
  if (!options.sharedSubscriptions && isShared(filter)) return ReasonCode.SharedSubscriptionsNotSupported;
  if (!options.wildcardSubscriptions && hasWildcard(filter)) return ReasonCode.WildcardSubscriptionsNotSupported;
  return 0;
}

function faultWords(fault: number): string {
  if (fault === ReasonCode.MalformedPacket) return 'a malformed topic filter';
  if (fault === ReasonCode.TopicFilterInvalid) return 'a topic filter with more levels than mqtt.max_topic_levels';
  if (fault === ReasonCode.ProtocolError) return 'No Local on a shared subscription';
  return reasonText(fault);
}

/** How much of a filter the access control list allows; null if there is none. */
function decideFilter(connection: Connection, filter: string): FilterDecision | null {
  const { acl } = connection.access;
  if (acl === null) return null;
  const decision = rightsOf(connection, acl).subscribe(filter);
  connection.environment.router.work.done += decision.steps;
  return decision;
}

/** 0, or the reason code why a subscription is refused. */
function refusalOf(connection: Connection, requested: AedesSubscription): number {
  const { options } = connection;
  // A hook may have put another filter in the place of the client's.
  const { topic } = requested;
  if (isTooLong(connection, topic, connection.environment) || filterFault(connection, topic) !== 0) {
    return ReasonCode.TopicFilterInvalid;
  }
  const unsupported = unavailable(requested.topic, options);
  if (unsupported !== 0) return unsupported;
  const { session } = connection;
  if (session === null || session.subscriptions.has(requested.topic)) return 0;
  const levels = session.levels + levelCount(requested.topic);
  const most = connection.environment.options.subscriptionsPerClient;
  if (session.subscriptions.size >= most || levels > LEVELS_PER_SUBSCRIPTION * most) {
    connection.environment.counters.refusedSubscriptions++;
    connection.environment.journal.limit(connection, 'limits.subscriptions_per_client', requested.topic);
    return ReasonCode.QuotaExceeded;
  }
  if (session.heap.isOver) {
    connection.environment.counters.overMemory++;
    connection.environment.journal.limit(connection, 'limits.memory', 'a subscription was refused');
    return ReasonCode.QuotaExceeded;
  }
  return 0;
}

function refusalWords(code: number): string {
  return code === ReasonCode.QuotaExceeded
    ? 'limits.subscriptions_per_client or limits.memory is reached'
    : reasonText(code);
}

/** Asks Aedes' `authorizeSubscribe` for each; an answer may change the subscription, null refuses it. */
async function askHook(connection: Connection, list: readonly Requested[]): Promise<(AedesSubscription | null)[]> {
  const { hooks } = connection.environment;
  const answers: (AedesSubscription | null)[] = [];
  for (const [index, requested] of list.entries()) {
    // A hook may well answer at once.
    if (endsTurn(index)) await nextTurn();
    answers.push(
      await new Promise<AedesSubscription | null>((resolve, reject) => {
        hooks.authorizeSubscribe?.(connection, { ...requested }, (error, subscription) => {
          if (error) reject(error);
          else resolve(subscription ?? null);
        });
      }),
    );
  }
  return answers;
}

/** Retained messages go out after SUBACK, unless Retain Handling says otherwise [MQTT-3.3.1-9 to 11]. */
function deliverRetained(connection: Connection, session: Session, owed: readonly Owed[]): void {
  let delivery = connection.retainedDelivery;
  for (const { subscription, isNew } of owed) {
    if (subscription.retainHandling === 2 || (subscription.retainHandling === 1 && !isNew)) continue;
    // An UNSUBSCRIBE may have come while the subscription was being stored [MQTT-3.10.4-2].
    if (!session.subscriptions.has(subscription.filter)) continue;
    delivery ??= new RetainedDelivery(connection);
    delivery.add(subscription);
  }
  if (connection.closed) {
    // It has ended while others had their turn. A session that is kept is owed the rest [MQTT-3.3.1-9].
    if (session.expiryInterval > 0) delivery?.handOver(session);
    return;
  }
  connection.retainedDelivery = delivery;
  delivery?.pump();
}
