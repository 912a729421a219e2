/** Limits and times of a TCP transport, with their defaults. */

export interface TcpLimits {
  /** Connections at a time, also those whose TLS handshake is not done; a further one is closed at once. Default 10,000. */
  readonly connections: number;
  /** Milliseconds until a client must have said what it can; over TLS, also for its handshake. Default 10,000. */
  readonly openTime: number;
  /** Milliseconds of silence after which a client is asked with a Ping; after half as long again it is gone. Default 600,000. */
  readonly idleTime: number;
  /** Bytes of the largest message; its peers must not send more than 1152 of their own (RFC 8323 5.3.1). Default 65,536. */
  readonly messageBytes: number;
  /** Bytes of messages of all connections that have not come in full; beyond them the one with the most ends. Default 32 MiB. */
  readonly unfinishedBytes: number;
  /** Bytes that may wait for a client that does not read. Default 256 KiB. */
  readonly outputBytes: number;
}

export const DEFAULT_TCP_LIMITS: TcpLimits = {
  connections: 10_000,
  openTime: 10_000,
  idleTime: 600_000,
  messageBytes: 65_536,
  unfinishedBytes: 32 * 1024 * 1024,
  outputBytes: 256 * 1024,
};
