/** What a TCP transport counts, since its start. */
export class TcpCounters {
  connectionsAccepted = 0;
  connectionsClosed = 0;
  /** Connections refused for their number (`limits.connections`). */
  refusedConnections = 0;
  /** Connections ended as the client did not say in time what it can (`limits.openTime`). */
  openTimeouts = 0;
  /** Connections ended as nothing came, no Pong either (`limits.idleTime`). */
  idleTimeouts = 0;
  /** Connections ended for a message that is too large (`limits.messageBytes`). */
  messagesTooLarge = 0;
  /** Connections ended for what they had begun to say, as that of all took too much (`limits.unfinishedBytes`). */
  unfinishedEvictions = 0;
  /** Notifications dropped as the client did not read (`limits.outputBytes`). */
  droppedMessages = 0;
  /** Connections ended for another fault of the client. */
  abortedConnections = 0;
  /** TLS handshakes that failed. */
  handshakesFailed = 0;
}
