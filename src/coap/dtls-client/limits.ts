/** Limits and times of a DTLS client, with their defaults. */
import { DEFAULT_DTLS_LIMITS, type DtlsLimits } from '../dtls/limits.js';

/**
 * As those of the server, with the differences of the other end: beyond `handshakes` a further one is refused, and its time
 * begins with the first ClientHello; beyond `associations` the one idle longest ends.
 */
export interface DtlsClientLimits
  extends Omit<DtlsLimits, 'identityBytes' | 'handshakesPerSecond' | 'hostHandshakesPerSecond'> {
  /** Datagrams that wait for the end of one handshake; a further one is lost. Default 16. */
  readonly waitingDatagrams: number;
  /** Bytes of all datagrams that wait; one that would exceed it is lost. Default 1 MiB. */
  readonly waitingBytes: number;
}

const { identityBytes: _, handshakesPerSecond: __, hostHandshakesPerSecond: ___, ...SHARED } = DEFAULT_DTLS_LIMITS;

export const DEFAULT_DTLS_CLIENT_LIMITS: DtlsClientLimits = {
  ...SHARED,
  waitingDatagrams: 16,
  waitingBytes: 1024 * 1024,
};

/** HelloVerifyRequests taken in one handshake; a server has no reason for more than two. */
export const COOKIES = 4;
/** Milliseconds without an authentic record, since one was due, before an association counts as lost. */
export const SILENCE = 2_000;
