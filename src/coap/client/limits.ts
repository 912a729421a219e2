/** Limits and times of a CoAP client, with their defaults. */

/** Every table of the client has its bound here; reaching one is counted, and fails the request with `limit`. */
export interface ClientLimits {
  /** Requests in flight or waiting, in all. Default 4,096. */
  readonly requests: number;
  /** The same for one peer: one is in flight (NSTART, RFC 7252 4.7) or awaits its separate response. Default 64. */
  readonly requestsPerPeer: number;
  /** Largest response body in bytes. Default 1 MiB. */
  readonly bodyBytes: number;
  /** Bytes of all bodies, those of requests and those under assembly. Default 16 MiB. */
  readonly bodiesBytes: number;
  /** Observations in all, and of one peer. Defaults 1,024 and 64. */
  readonly observations: number;
  readonly observationsPerPeer: number;
  /** Peers remembered for their Message IDs; idle ones leave, the longest idle first. Default 4,096. */
  readonly peers: number;
  /** Confirmable responses remembered, so that a repetition is acknowledged again. Default 4,096. */
  readonly acknowledged: number;
}

export const DEFAULT_CLIENT_LIMITS: ClientLimits = {
  requests: 4_096,
  requestsPerPeer: 64,
  bodyBytes: 1024 * 1024,
  bodiesBytes: 16 * 1024 * 1024,
  observations: 1_024,
  observationsPerPeer: 64,
  peers: 4_096,
  acknowledged: 4_096,
};

/** How one request is sent; times in milliseconds (RFC 7252 4.8). */
export interface RequestTransmission {
  /** ACK_TIMEOUT. A Non-confirmable request holds its peer's place in flight for as long. Default 2,000. */
  readonly ackTimeout: number;
  /** ACK_RANDOM_FACTOR, at least 1. Default 1.5. */
  readonly ackRandomFactor: number;
  /** MAX_RETRANSMIT, a count. Default 4. */
  readonly maxRetransmit: number;
  /** From the call to the outcome, however many messages it takes. Default 5,000. */
  readonly timeout: number;
  /** Largest block sent and asked for, in bytes: a power of two from 16 to 1,024. Default 1,024. */
  readonly blockSize: number;
}

export const DEFAULT_REQUEST_TRANSMISSION: RequestTransmission = {
  ackTimeout: 2_000,
  ackRandomFactor: 1.5,
  maxRetransmit: 4,
  timeout: 5_000,
  blockSize: 1_024,
};

/** EXCHANGE_LIFETIME in milliseconds: how long a Message ID may not be used again (RFC 7252 4.4, 4.8.2). */
export const EXCHANGE_LIFETIME = 247_000;
