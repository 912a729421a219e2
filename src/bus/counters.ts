/** What the bus, the sessions and the store count. Plain numbers, written on the hot path, read by monitor/. */
export class Counters {
  /** Connections accepted, since start. */
  connections = 0;
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
  /** QoS 1/2 messages dropped because a queue is full (`limits.queued_messages`, `limits.queued_bytes`). */
  droppedQueueFull = 0;
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
  deniedConnect = 0;
  /** Retained messages not kept (`limits.retained_messages`, `limits.retained_bytes`). */
  droppedRetained = 0;
  /** Retained messages whose Message Expiry Interval ran out. */
  retainedExpired = 0;
  /** Connections refused at `limits.connections` or `limits.sessions`, or because the broker is being drained. */
  refusedConnections = 0;
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
  /** Commit groups written and failed, and operations in them. */
  commits = 0;
  commitFailures = 0;
  commitOperations = 0;
}
