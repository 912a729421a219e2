/** The options of the broker that a configuration says. */
import { totalmem } from 'node:os';
import type { RetainedLimits } from '../bus/retained.js';
import type { Config } from '../config/schema.js';
import type { SessionOptions } from '../session/environment.js';

const NEVER = 0xffffffff;
const UNBOUNDED = Number.POSITIVE_INFINITY;

/** Half of the memory of the machine, or of the container if that has less. */
function defaultMemory(): number {
  const machine = totalmem();
  const container = process.constrainedMemory();
  return Math.floor((container > 0 && container < machine ? container : machine) / 2);
}

export function retainedLimits({ limits }: Config): RetainedLimits {
  const { retained_messages: messages, retained_bytes: bytes, retained_payload: payload } = limits;
  return { messages, bytes, ...(payload === undefined ? {} : { payload }) };
}

export function sessionOptions({ mqtt, limits, access }: Config): SessionOptions {
  return {
    maxPacketSize: mqtt.max_packet_size,
    keepaliveMax: mqtt.keepalive_max,
    connectTimeout: mqtt.connect_timeout,
    maxClientIdLength: mqtt.max_client_id_length,
    maxTopicLevels: mqtt.max_topic_levels,
    maxTopicLength: mqtt.max_topic_length,
    maxConnectSize: mqtt.max_connect_size,
    sessionExpiryMax: mqtt.session_expiry_max ?? NEVER,
    sessionExpiryDefault: mqtt.session_expiry_default ?? NEVER,
    receiveMaximum: mqtt.receive_maximum,
    maxInflight: mqtt.max_inflight,
    queuedMessages: limits.queued_messages,
    queuedBytes: limits.queued_bytes,
    queueMemory: limits.queue_memory,
    queueAge: limits.queue_age,
    queueFull: limits.queue_full,
    queueQos0: limits.queue_qos0,
    maxPayload: limits.payload ?? UNBOUNDED,
    memory: limits.memory ?? defaultMemory(),
    outputBuffer: limits.output_buffer,
    stalledTimeout: limits.stalled_timeout,
    connections: limits.connections,
    connectionsPerAddress: limits.connections_per_address ?? UNBOUNDED,
    connectsPerSecond: limits.connects_per_second ?? UNBOUNDED,
    pendingConnections: limits.pending_connections,
    messagesPerSecond: limits.messages_per_second ?? UNBOUNDED,
    bytesPerSecond: limits.bytes_per_second ?? UNBOUNDED,
    sessions: limits.sessions,
    subscriptionsPerClient: limits.subscriptions_per_client,
    maxQos: mqtt.max_qos as 0 | 1 | 2,
    retainAvailable: mqtt.retain_available,
    checkRetainSource: access.check_retain_source,
    wildcardSubscriptions: mqtt.wildcard_subscriptions,
    subscriptionIdentifiers: mqtt.subscription_identifiers,
    sharedSubscriptions: mqtt.shared_subscriptions,
    sharedStrategy: mqtt.shared_strategy,
    topicAliasMaximum: mqtt.topic_alias_maximum,
    topicAliasMaximumOut: mqtt.topic_alias_maximum_out,
    validatePayloadFormat: mqtt.validate_payload_format,
    responseInformation: mqtt.response_information ?? null,
    serverReference: mqtt.server_reference ?? null,
    draining: mqtt.draining,
    lockoutWindow: access.lockout_window,
    lockoutFailures: access.lockout_failures,
    lockoutAddressFailures: access.lockout_address_failures,
    lockoutTime: access.lockout_time,
    lockoutLoopback: access.lockout_loopback,
    lockoutEntries: limits.lockout_entries,
  };
}
