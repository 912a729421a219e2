/** What a handshake needs of the transport. */
import type { TimerWheel } from '../timers.js';
import type { DatagramAddress } from '../transport.js';
import type { Keys, LastFlight } from './association.js';
import type { ClientCertificates } from './client-certificates.js';
import type { DtlsCounters } from './counters.js';
import type { Handshake } from './handshake.js';
import type { DtlsLimits } from './limits.js';
import type { DtlsOptions } from './options.js';
import type { PskLookup } from './psk.js';
import type { ServerCertificate } from './server-certificate.js';

/** Why a handshake ended without an association. */
export type HandshakeEnd = 'failed' | 'unauthentic' | 'abandoned' | 'timeout' | 'evicted' | 'closed';

/** Keys and certificates, which the transport may replace: a handshake has those of its beginning. */
export interface HandshakeMaterial {
  /** What the server has; at least one of the two. */
  readonly psk: PskLookup | undefined;
  readonly certificate: ServerCertificate | undefined;
  /** Undefined: no client is asked for a certificate. */
  readonly clientCertificates: ClientCertificates | undefined;
  readonly identityHint: Buffer | undefined;
}

export interface HandshakeHost extends HandshakeMaterial {
  readonly limits: DtlsLimits;
  readonly counters: DtlsCounters;
  readonly wheel: TimerWheel;
  now(): number;
  transmit(bytes: Buffer, length: number, to: DatagramAddress): void;
  /** Whether a device that has shown who it is gets an association. */
  readonly isWelcome: NonNullable<DtlsOptions['isWelcome']>;
  finished(handshake: Handshake, keys: Keys, lastFlight: LastFlight): void;
  ended(handshake: Handshake, end: HandshakeEnd, detail: string): void;
}
