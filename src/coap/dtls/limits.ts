/** Limits and times of a DTLS transport, with their defaults. */

export interface DtlsLimits {
  /** Security associations; beyond it the one idle longest goes: of those without identity, or else of the identity that has the most. Default 16,384. */
  readonly associations: number;
  /** Handshakes in progress, after the cookie; beyond it the oldest of the host that has the most goes. Default 1,024. */
  readonly handshakes: number;
  /** Handshakes that begin in a second, after the cookie; a further ClientHello is dropped, and its client repeats it. Default 1,000. */
  readonly handshakesPerSecond: number;
  /** The same of one host, which is an IPv4 address or an IPv6 /64. Default 250. */
  readonly hostHandshakesPerSecond: number;
  /** Milliseconds from the ClientHello with its cookie to Finished. Default 30,000. */
  readonly handshakeTime: number;
  /** Milliseconds without an authentic record after which an association is forgotten. Default 86,400,000, a day. */
  readonly idleTime: number;
  /** Records that an association may send before it ends, at most 2^48 - 2. Default 2^32, far below what AES-128 in CCM or GCM bears. */
  readonly records: number;
  /** Bytes of the longest PSK identity; a longer one is as good as unknown. RFC 4279 5.3 asks for 128, the default. */
  readonly identityBytes: number;
  /** Bytes of the longest datagram of a handshake; longer messages go in fragments. Default 1,232, what IPv6 always carries. */
  readonly handshakeDatagram: number;
}

export const DEFAULT_DTLS_LIMITS: DtlsLimits = {
  associations: 16_384,
  handshakes: 1_024,
  handshakesPerSecond: 1_000,
  hostHandshakesPerSecond: 250,
  handshakeTime: 30_000,
  idleTime: 86_400_000,
  records: 2 ** 32,
  identityBytes: 128,
  handshakeDatagram: 1_232,
};

/** Milliseconds before a flight is repeated for the first time; each time doubles it (RFC 6347 4.2.4.1). */
export const RETRANSMISSION_TIME = 1_000;
/** Milliseconds of the longest wait before a flight is repeated (RFC 6347 4.2.4.1). */
export const LONGEST_RETRANSMISSION_TIME = 60_000;
/** Repetitions of one flight, whoever causes them. */
export const RETRANSMISSIONS = 16;
/** Bytes of the longest identity hint: RFC 4279 5.3 asks for 128. */
export const HINT_BYTES = 128;
/** Sequence numbers kept for the records of a handshake. */
export const HANDSHAKE_RECORDS = 4096;
