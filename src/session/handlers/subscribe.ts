/** SUBSCRIBE: MQTT 3.8, 3.9. */
import { isShared, isValidFilter, levelCount } from '../../bus/topics.js';
import type { Subscription } from '../../bus/tree.js';
import type { SubscribePacket } from '../../wire/packets.js';
import { writeSuback } from '../../wire/writers.js';
import { type AedesSubscription, subscriptionOf } from '../aedes-packets.js';
import type { Connection } from '../connection.js';
import { RetainedDelivery } from '../retained-delivery.js';

const NOT_AUTHORIZED = 0x87;
const TOPIC_FILTER_INVALID = 0x8f;
const QUOTA_EXCEEDED = 0x97;
const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9e;
const MALFORMED = 0x81;
const PROTOCOL_ERROR = 0x82;

type Requested = SubscribePacket['subscriptions'][number];

export async function handleSubscribe(connection: Connection, packet: SubscribePacket): Promise<void> {
  if (connection.environment.hooks.authorizeSubscribe === null) return await subscribe(connection, packet);
  // What waits behind this packet finds it done, however late the hook answers.
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
  const identifier = packet.properties?.subscriptionIdentifier;
  const number = Array.isArray(identifier) ? identifier[0] : (identifier ?? 0);
  const before = environment.commit.revision;
  const codes: number[] = [];
  const granted: { subscription: Subscription; isNew: boolean }[] = [];
  const allowed =
    environment.hooks.authorizeSubscribe === null ? null : await askHook(connection, packet.subscriptions);
  if (connection.closed) return;
  for (const [index, requested] of packet.subscriptions.entries()) {
    const asked = allowed === null ? requested : allowed[index];
    const refusal = asked === null ? NOT_AUTHORIZED : refusalOf(connection, asked);
    if (refusal === MALFORMED) {
      environment.counters.protocolErrors++;
      connection.terminate(connection.version === 5 ? TOPIC_FILTER_INVALID : MALFORMED, 'a malformed topic filter');
      return;
    }
    if (asked === null || refusal !== 0) {
      environment.counters.deniedSubscribe++;
      environment.journal.denied(connection, 'subscribe', requested.topic, refusalWords(refusal));
      // Before MQTT 5.0 there is one code for failure [MQTT-3.9.3-2].
      codes.push(connection.version === 5 ? refusal : 0x80);
      continue;
    }
    const subscription: Subscription = {
      subscriber: session,
      filter: asked.topic,
      qos: asked.qos,
      noLocal: asked.nl ?? false,
      retainAsPublished: asked.rap ?? false,
      retainHandling: asked.rh ?? 0,
      identifier: number,
    };
    granted.push({ subscription, isNew: session.subscribe(subscription) === undefined });
    codes.push(asked.qos);
    environment.journal.subscribed(connection, asked.topic, asked.qos);
  }
  if (environment.commit.revision !== before) await environment.commit.settled();
  if (connection.closed) return;
  if (packet.messageId > 0) {
    environment.counters.packetsSent++;
    writeSuback(connection.output, connection.version as 3 | 4 | 5, packet.messageId, codes);
    connection.touch();
  }
  deliverRetained(connection, granted);
  if (granted.length > 0 && environment.hooks.wants('subscribe')) {
    const list = granted.map(({ subscription }) => subscriptionOf(subscription));
    environment.hooks.emit('subscribe', list, connection);
  }
}

/** 0, or the reason code why a subscription is refused. */
function refusalOf(connection: Connection, requested: AedesSubscription): number {
  const { options } = connection.environment;
  if (!isValidFilter(requested.topic) || levelCount(requested.topic) > options.maxTopicLevels) return MALFORMED;
  if (isShared(requested.topic)) {
    if (requested.nl === true) return PROTOCOL_ERROR;
    return SHARED_SUBSCRIPTIONS_NOT_SUPPORTED;
  }
  const { subscriptions } = connection.session ?? { subscriptions: new Map<string, Subscription>() };
  if (subscriptions.size >= options.subscriptionsPerClient && !subscriptions.has(requested.topic)) {
    connection.environment.journal.limit(connection, 'limits.subscriptions_per_client', requested.topic);
    return QUOTA_EXCEEDED;
  }
  return 0;
}

function refusalWords(code: number): string {
  if (code === SHARED_SUBSCRIPTIONS_NOT_SUPPORTED) return 'shared subscriptions are not supported';
  if (code === QUOTA_EXCEEDED) return 'limits.subscriptions_per_client is reached';
  return 'not authorized';
}

/** Asks Aedes' `authorizeSubscribe` for each; an answer may change the subscription, null refuses it. */
async function askHook(connection: Connection, list: readonly Requested[]): Promise<(AedesSubscription | null)[]> {
  const { hooks } = connection.environment;
  const answers: (AedesSubscription | null)[] = [];
  for (const requested of list) {
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
function deliverRetained(connection: Connection, granted: { subscription: Subscription; isNew: boolean }[]): void {
  for (const { subscription, isNew } of granted) {
    if (subscription.retainHandling === 2 || (subscription.retainHandling === 1 && !isNew)) continue;
    // An UNSUBSCRIBE may have come while the subscription was being stored [MQTT-3.10.4-2].
    if (connection.session?.subscriptions.has(subscription.filter) !== true) continue;
    connection.retainedDelivery ??= new RetainedDelivery(connection);
    connection.retainedDelivery.add(subscription);
  }
  connection.retainedDelivery?.pump();
}
