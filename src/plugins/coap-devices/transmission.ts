/** How requests to devices are sent, from the section `coap`. */
import type { RequestTransmission } from '../../coap/client/limits.js';
import { PROFILES, type ProfileName } from '../../coap/profiles.js';

/** What all requests to devices share; documented in the section `coap`. */
export interface SharedOptions {
  readonly profile: ProfileName;
  /** Seconds. */
  readonly ack_timeout?: number | undefined;
  readonly ack_random_factor?: number | undefined;
  readonly max_retransmit?: number | undefined;
  /** Bytes. */
  readonly block_size: number;
}

/** @param timeout seconds from a message to the failure `timeout` */
export function requestTransmission(shared: SharedOptions, timeout: number, retries?: number): RequestTransmission {
  const profile = PROFILES[shared.profile];
  const { ack_timeout: wait, ack_random_factor: ackRandomFactor = profile.ackRandomFactor } = shared;
  return {
    ackTimeout: wait === undefined ? profile.ackTimeout : wait * 1000,
    ackRandomFactor,
    maxRetransmit: retries ?? shared.max_retransmit ?? profile.maxRetransmit,
    timeout: timeout * 1000,
    blockSize: shared.block_size,
  };
}
