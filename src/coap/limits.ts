/** Limits and transmission parameters of a CoAP endpoint, with their defaults. */

/** Every table of the endpoint has its bound here; reaching one is counted under a name in `CoapCounters`. */
export interface CoapLimits {
  /** Remote endpoints remembered; idle ones leave in the order of their last use. Default 65,536. */
  readonly remotes: number;
  /** Bytes of the memory of past requests and their answers; rounded down to a power of two, at least 256 KiB. Default 16 MiB. */
  readonly deduplicationBytes: number;
  /** Requests that wait for their handler's answer. Beyond it 5.03. Default 16,384. */
  readonly pendingExchanges: number;
  /** The same for one remote. Default 1,024. */
  readonly pendingExchangesPerRemote: number;
  /** Confirmable messages that are unacknowledged or wait for their turn (RFC 7252 4.7), without notifications. Default 16,384. */
  readonly separateResponses: number;
  /** The same for one remote. Default 64. */
  readonly separateResponsesPerRemote: number;
  /** Observations in all. Default 16,384. */
  readonly observers: number;
  /** Observations of one remote. Default 256. */
  readonly observersPerRemote: number;
  /** Largest block and largest payload sent without Block2, in bytes: a power of two from 16 to 1,024. Default 1,024. */
  readonly blockSize: number;
  /** Largest request body in bytes; beyond it 4.13 with Size1 (RFC 7959 2.9.3). Default 1 MiB. */
  readonly bodyBytes: number;
  /** Request bodies under assembly, and their bytes in all; the oldest goes. Defaults 1,024 and 16 MiB. */
  readonly block1Bodies: number;
  readonly block1Bytes: number;
  /** Response bodies kept for their next blocks, and their bytes in all; the oldest goes. Defaults 1,024 and 16 MiB. */
  readonly block2Bodies: number;
  readonly block2Bytes: number;
}

export const DEFAULT_LIMITS: CoapLimits = {
  remotes: 65_536,
  deduplicationBytes: 16 * 1024 * 1024,
  pendingExchanges: 16_384,
  pendingExchangesPerRemote: 1_024,
  separateResponses: 16_384,
  separateResponsesPerRemote: 64,
  observers: 16_384,
  observersPerRemote: 256,
  blockSize: 1_024,
  bodyBytes: 1024 * 1024,
  block1Bodies: 1_024,
  block1Bytes: 16 * 1024 * 1024,
  block2Bodies: 1_024,
  block2Bytes: 16 * 1024 * 1024,
};

/** Times in milliseconds unless said otherwise (RFC 7252 4.8). NSTART is 1 and PROBING_RATE does not apply to a server. */
export interface TransmissionParameters {
  /** ACK_TIMEOUT. Default 2,000. */
  readonly ackTimeout: number;
  /** ACK_RANDOM_FACTOR, at least 1. Default 1.5. */
  readonly ackRandomFactor: number;
  /** MAX_RETRANSMIT, a count. Default 4. */
  readonly maxRetransmit: number;
  /** EXCHANGE_LIFETIME: how long a Confirmable request is known as a duplicate, and a partial body is kept. Default 247,000. */
  readonly exchangeLifetime: number;
  /** NON_LIFETIME: how long a Non-confirmable request is known as a duplicate. Default 145,000. */
  readonly nonLifetime: number;
  /** An unanswered Confirmable request gets its empty Acknowledgement after this (RFC 7252 5.2.2). Default 50. */
  readonly acknowledgeAfter: number;
  /** A request without an answer for this long is answered 5.03 by the endpoint. Default 93,000 (MAX_TRANSMIT_WAIT). */
  readonly handlerTimeout: number;
  /**
   * Non-confirmable notifications to a remote whose round-trip time is not known are on average so far apart; those beyond
   * that go out as Confirmable messages (RFC 7641 4.5.1). 0 sends all as they come. Default 3,000.
   */
  readonly notificationInterval: number;
  /** Every so many notifications to a Non-confirmable registration one is Confirmable. Default 32. */
  readonly confirmableEvery: number;
  /** At the latest after this a notification is Confirmable, if need be a repetition (RFC 7641 4.5). Default 86,400,000. */
  readonly confirmableInterval: number;
}

export const DEFAULT_TRANSMISSION: TransmissionParameters = {
  ackTimeout: 2_000,
  ackRandomFactor: 1.5,
  maxRetransmit: 4,
  exchangeLifetime: 247_000,
  nonLifetime: 145_000,
  acknowledgeAfter: 50,
  handlerTimeout: 93_000,
  notificationInterval: 3_000,
  confirmableEvery: 32,
  confirmableInterval: 86_400_000,
};
