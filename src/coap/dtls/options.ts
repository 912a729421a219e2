/** What a DTLS transport is given, and what it tells. */
import type { Clock } from '../timers.js';
import type { DatagramAddress } from '../transport.js';
import type { DtlsSession } from './association.js';
import type { DtlsCredentials } from './credentials.js';
import type { DtlsLimits } from './limits.js';

/**
 * What an operator may want to see: a limit that was reached (the detail is its name), an association that began, a
 * handshake that failed (the detail says why), a fault of the transport itself. A remote can cause any number.
 */
export type DtlsEvent = 'limit' | 'established' | 'handshake-failed' | 'internal-error';

export interface DtlsOptions extends DtlsCredentials {
  readonly limits?: Partial<DtlsLimits>;
  readonly clock?: Clock;
  /**
   * Whether a handshake is refused for the address it comes from, which is asked once a cookie has shown that it does come from
   * there. Default: none is.
   */
  readonly isBanned?: (remote: DatagramAddress) => boolean;
  /**
   * Asked about a device that has shown who it is, when its handshake is done: since it was asked for its key, others may have
   * failed. False: it fails as with a wrong key. Default: true.
   */
  readonly isWelcome?: (session: DtlsSession, remote: DatagramAddress) => boolean;
  /** @param identity that a failed handshake was for, if it failed for the identity or its key */
  readonly onEvent?: (name: DtlsEvent, remote: DatagramAddress | undefined, detail: string, identity?: string) => void;
}
