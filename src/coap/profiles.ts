/** Transmission parameters for kinds of networks (RFC 7252 4.8), and the times that follow from them (RFC 7252 4.8.2). */
import { DEFAULT_TRANSMISSION, type TransmissionParameters } from './limits.js';

/**
 * `default`: what RFC 7252 says. `lossy`: long links that lose datagrams, with round-trip times of 50 to 200 ms. `nb-iot`:
 * narrow-band cellular links, with round-trip times of many seconds.
 */
export type ProfileName = 'default' | 'lossy' | 'nb-iot';

/** What a profile chooses, and what may be set by itself. Times in milliseconds. */
export interface Profile {
  readonly ackTimeout: number;
  readonly ackRandomFactor: number;
  readonly maxRetransmit: number;
  /** MAX_LATENCY: how long a datagram may take at most (RFC 7252 4.8.2). */
  readonly maxLatency: number;
  readonly acknowledgeAfter: number;
  readonly notificationInterval: number;
}

const { ackTimeout, ackRandomFactor, maxRetransmit, acknowledgeAfter, notificationInterval } = DEFAULT_TRANSMISSION;
const DEFAULT: Profile = {
  ackTimeout,
  ackRandomFactor,
  maxRetransmit,
  maxLatency: 100_000,
  acknowledgeAfter,
  notificationInterval,
};

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  default: DEFAULT,
  // 1 s is the least without an estimate of the round-trip time (RFC 7252 4.8.1). With one datagram in four lost each way,
  // seven transmissions fail once in 300 times, five once in 60. A later empty Acknowledgement is one datagram less to lose.
  lossy: { ...DEFAULT, ackTimeout: 1_000, maxRetransmit: 6, acknowledgeAfter: 250 },
  // A retransmission before the answer can be there costs a device energy and the cell its few bits.
  'nb-iot': { ...DEFAULT, ackTimeout: 10_000, acknowledgeAfter: 1_000, notificationInterval: 10_000 },
};

/** Lifetimes end at a day, however large the parameters are. */
const LONGEST = 86_400_000;

/**
 * The parameters of a profile, but for those that are given. Devices may use other ones than the endpoint: lifetimes are never
 * shorter than those of the default parameters.
 */
export function transmissionOf(
  name: ProfileName,
  given: { readonly [K in keyof Profile]?: Profile[K] | undefined },
): Partial<TransmissionParameters> {
  const profile: Record<keyof Profile, number> = { ...PROFILES[name] };
  for (const key of Object.keys(profile) as (keyof Profile)[]) profile[key] = given[key] ?? profile[key];
  const { maxLatency, ...parameters } = profile;
  // MAX_TRANSMIT_SPAN; PROCESSING_DELAY is ACK_TIMEOUT.
  const span = parameters.ackTimeout * (2 ** parameters.maxRetransmit - 1) * parameters.ackRandomFactor;
  return {
    ...parameters,
    exchangeLifetime: lifetime(span + 2 * maxLatency + parameters.ackTimeout, DEFAULT_TRANSMISSION.exchangeLifetime),
    nonLifetime: lifetime(span + maxLatency, DEFAULT_TRANSMISSION.nonLifetime),
  };
}

function lifetime(milliseconds: number, least: number): number {
  return Math.min(LONGEST, Math.max(least, milliseconds));
}
