/** How a request ends. */
import type { ClientResponse } from './response.js';

/**
 * Why there is no response: none came in time; nothing was acknowledged (MAX_RETRANSMIT); the peer answered with a Reset;
 * a limit of the client was reached, before or during the request; the response breaks the protocol; a body changed
 * again and again while it was fetched; no message can say the request; the caller withdrew it; the
 * connection or association of the peer is gone; no association with the peer came about; the client was closed.
 */
export type FailureReason =
  | 'timeout'
  | 'unacknowledged'
  | 'reset'
  | 'limit'
  | 'bad-response'
  | 'body-changed'
  | 'unsendable'
  | 'cancelled'
  | 'gone'
  | 'handshake'
  | 'closed';

/** A failure of a request. */
export interface Failure {
  readonly reason: FailureReason;
  /** For `limit`, the name of the limit in `ClientLimits`; else words for a log, which may be empty. */
  readonly detail: string;
}

/** The response, whatever its code, or the reason why there is none. */
export type Outcome =
  | { readonly response: ClientResponse; readonly failure: null }
  | { readonly response: null; readonly failure: Failure };
