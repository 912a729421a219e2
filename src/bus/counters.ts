/** What the bus, the sessions and the store count. Plain numbers, written on the hot path, read by monitor/. */
export class Counters {
  /** Connections accepted, since start. */
  connections = 0;
  /** CONNECT packets received, since start. */
  connects = 0;
  /** Bytes and MQTT packets of any type on the wire, since start. */
  bytesReceived = 0;
  bytesSent = 0;
  packetsReceived = 0;
  packetsSent = 0;
  /** PUBLISH packets and their payload bytes. */
  publishReceived = 0;
  publishSent = 0;
  publishBytesReceived = 0;
  publishBytesSent = 0;
  /** Messages not delivered to somebody who had asked for them; each has one of the causes below. */
  publishDropped = 0;
  /** QoS 0 messages dropped because a client does not read (`limits.output_buffer`). */
  droppedOutputBuffer = 0;
  /** QoS 1/2 messages dropped because a queue is full, by the limit that says so. */
  droppedQueuedMessages = 0;
  droppedQueuedBytes = 0;
  /** Messages dropped because the memory for what waits is used up (`limits.memory`). */
  droppedMemory = 0;
  /** QoS 1/2 messages that have waited too long (`limits.queue_age`). */
  droppedAged = 0;
  /** Messages larger than the receiver's Maximum Packet Size [MQTT-3.1.2-25]. */
  droppedPacketTooLarge = 0;
  /** Messages whose Message Expiry Interval ran out in a queue. */
  droppedExpired = 0;
  /** Publications refused by a rule or a hook. */
  deniedPublish = 0;
  deniedSubscribe = 0;
  /** Messages that a client was not sent although it has a subscription: it may not receive them. */
  deniedReceive = 0;
  deniedConnect = 0;
  /** Retained messages not given to a client because their publisher may not publish them any more; told each time. */
  withheldRetained = 0;
  /** Clients that have not proved who they are, those of them that had to wait for their refusal, and connections of banned ones. */
  failedLogins = 0;
  delayedRefusals = 0;
  refusedBanned = 0;
  /** Bans since start, and those in force. */
  bansImposed = 0;
  bans = 0;
  /** Failures and bans that made room for others (`limits.lockout_entries`). */
  forgottenFailures = 0;
  /** Retained messages not kept, by the limit that says so; they were delivered to whoever was there. */
  droppedRetainedMessages = 0;
  droppedRetainedBytes = 0;
  droppedRetainedPayload = 0;
  droppedRetainedMemory = 0;
  /** Retained messages whose Message Expiry Interval ran out. */
  retainedExpired = 0;
  /** Connections refused at `limits.connections`, `limits.sessions` and `limits.memory`, and because of draining. */
  refusedAtConnections = 0;
  refusedAtSessions = 0;
  refusedAtMemory = 0;
  refusedDraining = 0;
  /** Traces that were refused, as too many run (`limits.traces`). */
  refusedTraces = 0;
  /** Connections refused because too many passwords wait to be checked (`limits.password_queue`). */
  refusedAtPasswordQueue = 0;
  /** Connections refused because a back-end could not say who they are, and at `access.http_queue`. */
  refusedUnidentified = 0;
  refusedAtHttpQueue = 0;
  /** Clients disconnected because what let them in has expired (`access.jwt_disconnect_after_expiry`, `access.http_url`). */
  expiredGrants = 0;
  /** Fetches of the keys of tokens, and those that failed (`access.jwt_jwks_url`). */
  jwksFetches = 0;
  jwksFailures = 0;
  /** Questions to the server of logins, those of them without a usable answer, and answers that were known (`access.http_url`). */
  httpLogins = 0;
  httpLoginFailures = 0;
  httpLoginsRemembered = 0;
  /** Subscriptions, and packets with more filters, refused at `limits.subscriptions_per_client`; denied, or errors, too. */
  refusedSubscriptions = 0;
  /** Packets larger than `mqtt.max_packet_size`; protocol errors too. */
  oversizedPackets = 0;
  /** Subscriptions refused, and clients disconnected, for want of memory (`limits.memory`). */
  overMemory = 0;
  /** Connections refused for a client identifier longer than `mqtt.max_client_id_length`. */
  longClientIds = 0;
  /** Topic names and filters with more levels than `mqtt.max_topic_levels`; protocol errors or denied too. */
  deepTopics = 0;
  /** Publications beyond `mqtt.receive_maximum`; protocol errors too. */
  excessPublications = 0;
  /** Topic Aliases beyond `mqtt.topic_alias_maximum`; protocol errors too. */
  excessAliases = 0;
  /** Connections refused at `limits.connections_per_address`, and at `limits.pending_connections`. */
  refusedAddress = 0;
  refusedPending = 0;
  /** Connections that had to wait to be read from (`limits.connects_per_second`). */
  delayedConnections = 0;
  /** Times that a client was read more slowly (`limits.messages_per_second`, `limits.bytes_per_second`). */
  throttledMessages = 0;
  throttledBytes = 0;
  /** Addresses whose rates were forgotten, as there were too many. */
  forgottenRates = 0;
  /** Topic names and filters longer than `mqtt.max_topic_length`; protocol errors or denied too. */
  topicsTooLong = 0;
  /** Packets larger than `mqtt.max_connect_size` of connections not yet accepted; protocol errors too. */
  connectsTooLarge = 0;
  /** Re-authentications that were not over in time (`mqtt.connect_timeout`). */
  reauthenticationTimeouts = 0;
  /** Packets that broke the protocol, by what became of their sender. */
  protocolErrors = 0;
  /** Connections that sent no CONNECT in time, or whose CONNECT was not decided in time (`mqtt.connect_timeout`). */
  connectTimeouts = 0;
  keepAliveTimeouts = 0;
  /** Connections that took nothing for too long (`limits.stalled_timeout`). */
  stalledConnections = 0;
  /** Sessions that took over a live connection [MQTT-3.1.4-3]. */
  takeovers = 0;
  /** Acknowledgements for packet identifiers that are not in use. */
  unknownPacketIds = 0;
  /** Durable sessions removed by their expiry. */
  sessionsExpired = 0;
  /** Subscriptions now, and those of them that are shared. */
  subscriptions = 0;
  sharedSubscriptions = 0;
  /** Handshakes of TLS for MQTT that were done, and that failed, but for want of time. */
  tlsHandshakes = 0;
  tlsHandshakesFailed = 0;
  /** Times that new certificates of a listener went into force, and that they could not. */
  certificatesRenewed = 0;
  certificatesRefused = 0;
  /** Connections to listeners with `proxy_protocol`: from no trusted proxy, without a header, whose client does not speak TLS. */
  refusedUntrustedProxies = 0;
  refusedProxyHeaders = 0;
  refusedProxiesWithoutTls = 0;
  refusedProxiesWithoutCertificate = 0;
  /** Publications and wills with a payload larger than `limits.payload`. */
  largePayloads = 0;
  /** Connections refused by `allow_empty_client_id` and by `client_id_prefix` of their listener. */
  refusedEmptyIds = 0;
  refusedIdPrefixes = 0;
  /** Connections refused at `max_connections` of their listener, by its `protocol_versions`, and for want of a user name. */
  refusedAtListener = 0;
  refusedVersions = 0;
  refusedNameless = 0;
  /** WebSockets of pages that are not one of `origins`. */
  refusedOrigins = 0;
  /** Requests of HTTP, and connections closed before theirs was complete. */
  httpRequests = 0;
  httpRefused = 0;
  /** What a wildcard observation of CoAP never told: dropped (`coap.waiting_notifications`), or no more a topic's state. */
  droppedCoapNotifications = 0;
  replacedCoapNotifications = 0;
  /** Lists of CoAP that were cut (`coap.listed`, `coap.max_payload`). */
  cutCoapLists = 0;
  /** Payloads that were no JSON or CBOR although a mapping of CoAP converts them (`coap.mappings`). */
  coapConversionFailures = 0;
  /** Connections of CoAP devices refused (`coap.connections`), and ended for their silence (`coap.heartbeat`). */
  refusedCoapConnections = 0;
  coapTimeouts = 0;
  /** Commit groups written and failed, and operations in them. */
  commits = 0;
  commitFailures = 0;
  commitOperations = 0;
  /** Faults of the broker that were met in commit groups. */
  commitFaults = 0;
  /** Timed syncs that failed (`store.sync: interval`). */
  syncFailures = 0;
  /** Publications, filters of SUBSCRIBE or UNSUBSCRIBE, and CONNECTs refused because the store cannot be written. */
  refusedPublish = 0;
  refusedSubscribe = 0;
  refusedConnect = 0;
  /** Times that a publication had to wait because too much waits for the store (`store.unwritten_bytes`). */
  heldPublish = 0;
  /** QoS 0 messages that did not wait for a client that is away: too much waits for the store (`store.unwritten_bytes`). */
  droppedUnqueued = 0;
  /** QoS 0 messages that were delivered and not retained: too much waits for the store (`store.unwritten_bytes`). */
  droppedUnwritten = 0;
  /** Times that the configuration was read again, by what came of it. */
  reloads = 0;
  reloadFailures = 0;
  /** When that was last, in seconds since the epoch, and whether it failed then, 1 or 0; 0 before the first time. */
  reloadedAt = 0;
  reloadFailed = 0;
  /** Damaged records of the store, and damaged parts of its files, found since start. */
  damaged = 0;

  // --- sums ---------------------------------------------------------------------------------------------------------

  get droppedQueueFull(): number {
    return this.droppedQueuedMessages + this.droppedQueuedBytes;
  }

  get droppedRetained(): number {
    const { droppedRetainedMessages, droppedRetainedBytes, droppedRetainedPayload, droppedRetainedMemory } = this;
    return (
      droppedRetainedMessages +
      droppedRetainedBytes +
      droppedRetainedPayload +
      droppedRetainedMemory +
      this.droppedUnwritten
    );
  }

  get refusedConnections(): number {
    const { refusedAtConnections, refusedAtSessions, refusedAtMemory, refusedDraining } = this;
    const atLimits = refusedAtConnections + refusedAtSessions + refusedAtMemory;
    return (
      atLimits +
      this.refusedAddress +
      this.refusedPending +
      this.refusedAtPasswordQueue +
      this.refusedAtHttpQueue +
      this.refusedUnidentified +
      this.refusedBanned +
      refusedDraining
    );
  }
}
