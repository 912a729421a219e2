/**
 * What is measured: the single home of every `$SYS` topic and every metric. The `$SYS` tree, `/metrics` and docs/sys.md
 * are derived from this table. The topics that Mosquitto has too bear its names.
 */
import { COAP_DEVICES_METRICS } from './coap-devices-measures.js';
import { COAP_METRICS } from './coap-measures.js';
import { COAP_TOPICS_METRICS } from './coap-topics-measures.js';
import { COAP_TRANSPORT_METRICS } from './coap-transport-measures.js';
import { LISTENER_METRICS } from './listener-measures.js';
import { counter, counters, gauge, type Metric } from './measure.js';
import { PROCESS_METRICS } from './process-measures.js';
import { RELOAD_METRICS } from './reload-measures.js';
import { TLS_METRICS } from './tls-measures.js';

const CLIENTS: readonly Metric[] = [
  gauge(
    'portico_connections',
    'Network connections, also those that have not sent CONNECT.',
    'connections/open',
    (r) => r.connections,
  ),
  counter(
    'portico_connections_accepted_total',
    'Network connections accepted.',
    'connections/socket/count',
    'connections',
  ),
  counter('portico_connects_total', 'CONNECT packets received.', 'mqtt/connect/received', 'connects'),
  counter(
    null,
    'Connections refused for want of room, for a ban, or because the broker is being drained.',
    'connections/refused',
    (r) => r.counters.refusedConnections,
  ),
  counters(
    'portico_connections_refused_total',
    'Connections refused, by cause: a limit, a ban, a back-end that could not tell who they are, or draining.',
    'cause',
    {
      connections: ['connections/refused/connections', 'refusedAtConnections'],
      sessions: ['connections/refused/sessions', 'refusedAtSessions'],
      memory: ['connections/refused/memory', 'refusedAtMemory'],
      address: ['connections/refused/address', 'refusedAddress'],
      pending: ['connections/refused/pending', 'refusedPending'],
      banned: ['connections/refused/banned', 'refusedBanned'],
      password_queue: ['connections/refused/password_queue', 'refusedAtPasswordQueue'],
      http_queue: ['connections/refused/http_queue', 'refusedAtHttpQueue'],
      unidentified: ['connections/refused/unidentified', 'refusedUnidentified'],
      draining: ['connections/refused/draining', 'refusedDraining'],
    },
  ),
  counters('portico_connections_timed_out_total', 'Connections closed because nothing went on, by cause.', 'cause', {
    connect: ['errors/connect_timeout', 'connectTimeouts'],
    keepalive: ['errors/keepalive_timeout', 'keepAliveTimeouts'],
    stalled: ['errors/stalled', 'stalledConnections'],
    reauthentication: ['errors/reauthentication_timeout', 'reauthenticationTimeouts'],
  }),
  counter(
    'portico_takeovers_total',
    'Connections whose session another connection took over.',
    'clients/takeovers',
    'takeovers',
  ),
  gauge('portico_sessions', 'Sessions, with and without a connection.', 'clients/total', (r) => r.sessions.all),
  gauge('portico_sessions_maximum', 'Most sessions so far.', 'clients/maximum', (r) => r.sessions.most),
  gauge(
    'portico_sessions_connected',
    'Sessions with a connection.',
    ['clients/connected', 'clients/active'],
    (r) => r.sessions.connected,
  ),
  gauge(
    'portico_clients_in_process',
    'Clients among them that are no MQTT clients: CoAP devices that are connected, or anonymous and heard of lately.',
    'clients/in_process',
    (r) => r.inProcess,
  ),
  gauge(
    'portico_sessions_disconnected',
    'Sessions whose client is away.',
    ['clients/disconnected', 'clients/inactive'],
    (r) => r.sessions.all - r.sessions.connected,
  ),
  counter(
    'portico_sessions_expired_total',
    'Sessions removed because their time was over.',
    'clients/expired',
    'sessionsExpired',
  ),
  gauge('portico_subscriptions', 'Subscriptions, shared ones among them.', 'subscriptions/count', 'subscriptions'),
  gauge('portico_shared_subscriptions', 'Shared subscriptions.', 'shared_subscriptions/count', 'sharedSubscriptions'),
];

const TRAFFIC: readonly Metric[] = [
  counter('portico_received_bytes_total', 'Bytes received on MQTT connections.', 'bytes/received', 'bytesReceived'),
  counter('portico_sent_bytes_total', 'Bytes sent on MQTT connections.', 'bytes/sent', 'bytesSent'),
  counter(
    'portico_packets_received_total',
    'MQTT packets of any type received.',
    'messages/received',
    'packetsReceived',
  ),
  counter('portico_packets_sent_total', 'MQTT packets of any type sent.', 'messages/sent', 'packetsSent'),
  counter(
    'portico_publish_received_total',
    'Messages published: PUBLISH packets, and those of CoAP.',
    'publish/messages/received',
    'publishReceived',
  ),
  counter('portico_publish_sent_total', 'PUBLISH packets sent.', 'publish/messages/sent', 'publishSent'),
  counter(
    'portico_publish_received_bytes_total',
    'Payload bytes of messages published.',
    'publish/bytes/received',
    'publishBytesReceived',
  ),
  counter(
    'portico_publish_sent_bytes_total',
    'Payload bytes of PUBLISH packets sent.',
    'publish/bytes/sent',
    'publishBytesSent',
  ),
  counter(
    null,
    'Messages not delivered to somebody who had asked for them.',
    'publish/messages/dropped',
    'publishDropped',
  ),
  counters(
    'portico_publish_dropped_total',
    'Messages not delivered to somebody who had asked for them, by cause.',
    'cause',
    {
      output_buffer: ['publish/dropped/output_buffer', 'droppedOutputBuffer'],
      queued_messages: ['publish/dropped/queued_messages', 'droppedQueuedMessages'],
      queued_bytes: ['publish/dropped/queued_bytes', 'droppedQueuedBytes'],
      queue_age: ['publish/dropped/queue_age', 'droppedAged'],
      memory: ['publish/dropped/memory', 'droppedMemory'],
      unwritten: ['publish/dropped/unwritten', 'droppedUnqueued'],
      packet_too_large: ['publish/dropped/packet_too_large', 'droppedPacketTooLarge'],
      expired: ['publish/dropped/expired', 'droppedExpired'],
    },
  ),
  counter(
    null,
    'Messages dropped because a queue is full: `queued_messages` and `queued_bytes` together.',
    'publish/dropped/queue_full',
    (r) => r.counters.droppedQueueFull,
  ),
  gauge(
    'portico_output_bytes',
    'Bytes that wait to be written to connections.',
    'packet/out/bytes',
    (r) => r.queues.output,
  ),
];

const KEPT: readonly Metric[] = [
  gauge(
    'portico_queued_messages',
    'QoS 1 and 2 messages that wait to be sent, in all queues.',
    'queues/messages',
    (r) => r.queues.messages,
  ),
  gauge('portico_queued_bytes', 'Bytes of the messages that wait to be sent.', 'queues/bytes', (r) => r.queues.bytes),
  gauge(
    'portico_inflight_messages',
    'QoS 1 and 2 messages sent and not acknowledged.',
    'queues/inflight',
    (r) => r.queues.inFlight,
  ),
  gauge('portico_retained_messages', 'Retained messages.', 'retained messages/count', (r) => r.retained.count),
  gauge(
    'portico_retained_bytes',
    'Topic and payload bytes of retained messages.',
    'retained messages/bytes',
    (r) => r.retained.bytes,
  ),
  gauge(
    'portico_retained_memory_bytes',
    'Memory that retained messages take, all told.',
    'retained messages/memory',
    (r) => r.retained.memory,
  ),
  counter(
    'portico_retained_expired_total',
    'Retained messages that expired.',
    'retained messages/expired',
    'retainedExpired',
  ),
  counter(null, 'Messages delivered, but not retained.', 'publish/dropped/retained', (r) => r.counters.droppedRetained),
  counters(
    'portico_retained_refused_total',
    'Messages delivered, but not retained, by the limit that said so.',
    'cause',
    {
      messages: ['retained messages/refused/messages', 'droppedRetainedMessages'],
      bytes: ['retained messages/refused/bytes', 'droppedRetainedBytes'],
      payload: ['retained messages/refused/payload', 'droppedRetainedPayload'],
      memory: ['retained messages/refused/memory', 'droppedRetainedMemory'],
      unwritten: ['retained messages/refused/unwritten', 'droppedUnwritten'],
    },
  ),
  gauge(
    null,
    'Messages held: retained and queued ones.',
    ['store/messages/count', 'messages/stored'],
    (r) => r.retained.count + r.queues.messages,
  ),
  gauge(null, 'Their bytes.', 'store/messages/bytes', (r) => r.retained.bytes + r.queues.bytes),
  counter('portico_store_commits_total', 'Commit groups written.', 'store/commits', 'commits'),
  counter(
    'portico_store_operations_total',
    'Changes in the commit groups that were written.',
    'store/operations',
    'commitOperations',
  ),
  counter(
    'portico_store_failures_total',
    'Commit groups that could not be written; each is tried again.',
    'store/commit_failures',
    'commitFailures',
  ),
  counter(
    'portico_store_faults_total',
    'Internal faults of the broker that were met when changes were written or acknowledged; each is logged with its stack.',
    'store/faults',
    'commitFaults',
  ),
  counter(
    'portico_store_sync_failures_total',
    'Timed syncs that failed (`store.sync: interval`): until one succeeds, a power cut loses more than `store.sync_interval`.',
    'store/sync_failures',
    'syncFailures',
  ),
  counter(
    'portico_store_damaged_total',
    'Damaged records of the store, and damaged parts of its files, that were set aside.',
    'store/damaged',
    'damaged',
  ),
  gauge(
    'portico_store_failing',
    '1 while the store cannot be written or does not answer, or an internal fault holds it up, and acknowledgements wait; else 0.',
    'store/failing',
    (r) => Number(r.storeFailing),
  ),
  gauge(
    'portico_store_unwritten_bytes',
    'Bytes that wait to be written to the store.',
    'store/unwritten_bytes',
    (r) => r.unwritten,
  ),
  counter(
    'portico_store_held_total',
    'Times that a publication had to wait because too much waits to be written.',
    'store/held',
    'heldPublish',
  ),
  counters('portico_store_refused_total', 'What was refused because it could not be written, by packet.', 'packet', {
    publish: ['store/refused/publish', 'refusedPublish'],
    subscribe: ['store/refused/subscribe', 'refusedSubscribe'],
    connect: ['store/refused/connect', 'refusedConnect'],
  }),
];

const REFUSED: readonly Metric[] = [
  counters('portico_denied_total', 'What clients were refused, by action.', 'action', {
    connect: ['denied/connect', 'deniedConnect'],
    publish: ['denied/publish', 'deniedPublish'],
    subscribe: ['denied/subscribe', 'deniedSubscribe'],
    receive: ['denied/receive', 'deniedReceive'],
  }),
  counter(
    'portico_withheld_retained_total',
    'Retained messages not given to a client, since their publisher may not publish them any more.',
    'denied/retained',
    'withheldRetained',
  ),
  counter('portico_failed_logins_total', 'Clients that have not proved who they are.', 'logins/failed', 'failedLogins'),
  counter(
    'portico_delayed_refusals_total',
    'Refusals of such clients that had to wait, because of earlier ones.',
    'logins/delayed',
    'delayedRefusals',
  ),
  counter('portico_bans_imposed_total', 'Bans for failed logins.', 'logins/bans/imposed', 'bansImposed'),
  gauge('portico_bans', 'Bans for failed logins that are in force.', 'logins/bans/count', 'bans'),
  counter(
    'portico_forgotten_failures_total',
    'Failed logins, and bans, that were forgotten to make room for others.',
    'logins/forgotten',
    'forgottenFailures',
  ),
  counter(
    'portico_expired_grants_total',
    'Clients disconnected because their token, or what the server of logins said, has expired.',
    'logins/expired',
    'expiredGrants',
  ),
  counter('portico_jwks_fetches_total', 'Fetches of the keys of tokens.', 'logins/jwks/fetches', 'jwksFetches'),
  counter('portico_jwks_failures_total', 'Fetches of them that failed.', 'logins/jwks/failures', 'jwksFailures'),
  counter('portico_http_logins_total', 'Questions to the server of logins.', 'logins/http/questions', 'httpLogins'),
  counter(
    'portico_http_login_failures_total',
    'Questions to it that brought no answer that could be used.',
    'logins/http/failures',
    'httpLoginFailures',
  ),
  counter(
    'portico_http_logins_remembered_total',
    'Questions to it whose answer was known.',
    'logins/http/remembered',
    'httpLoginsRemembered',
  ),
  counter(
    'portico_traces_refused_total',
    'Traces that were refused, as too many run.',
    'traces/refused',
    'refusedTraces',
  ),
  counter(
    'portico_protocol_errors_total',
    'Packets that broke the protocol; each ended its connection.',
    'errors/protocol',
    'protocolErrors',
  ),
  counter(
    'portico_unknown_packet_ids_total',
    'Acknowledgements for packet identifiers that are not in use.',
    'errors/unknown_packet_id',
    'unknownPacketIds',
  ),
  counters(
    'portico_limit_violations_total',
    'What clients sent beyond what they may, by option; most of it is denied, or a protocol error, too.',
    'option',
    {
      'limits.subscriptions_per_client': ['limits/subscriptions_per_client', 'refusedSubscriptions'],
      'limits.payload': ['limits/payload', 'largePayloads'],
      'mqtt.max_packet_size': ['limits/max_packet_size', 'oversizedPackets'],
      'mqtt.max_client_id_length': ['limits/max_client_id_length', 'longClientIds'],
      'mqtt.max_topic_levels': ['limits/max_topic_levels', 'deepTopics'],
      'limits.memory': ['limits/memory', 'overMemory'],
      'mqtt.max_topic_length': ['limits/max_topic_length', 'topicsTooLong'],
      'mqtt.max_connect_size': ['limits/max_connect_size', 'connectsTooLarge'],
      'limits.connects_per_second': ['limits/connects_per_second', 'delayedConnections'],
      'limits.messages_per_second': ['limits/messages_per_second', 'throttledMessages'],
      'limits.bytes_per_second': ['limits/bytes_per_second', 'throttledBytes'],
      'mqtt.receive_maximum': ['limits/receive_maximum', 'excessPublications'],
      'mqtt.topic_alias_maximum': ['limits/topic_alias_maximum', 'excessAliases'],
    },
  ),
];

const RATES: readonly Metric[] = [
  counter(
    'portico_address_rates_forgotten_total',
    'Addresses whose rates of messages and bytes were forgotten, as there were too many.',
    'limits/address_rates',
    'forgottenRates',
  ),
];

const HTTP: readonly Metric[] = [
  counter('portico_http_requests_total', 'Requests of HTTP.', 'http/requests', 'httpRequests'),
  counter(
    'portico_http_refused_total',
    'Connections of HTTP closed before their request was complete.',
    'http/refused',
    'httpRefused',
  ),
];

/** Everything, in the order in which it is told. */
export const METRICS: readonly Metric[] = [
  ...CLIENTS,
  ...TRAFFIC,
  ...KEPT,
  ...REFUSED,
  ...TLS_METRICS,
  ...RATES,
  ...LISTENER_METRICS,
  ...HTTP,
  ...RELOAD_METRICS,
  ...PROCESS_METRICS,
  ...COAP_METRICS,
  ...COAP_TRANSPORT_METRICS,
  ...COAP_DEVICES_METRICS,
  ...COAP_TOPICS_METRICS,
];
