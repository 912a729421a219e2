/** Options of the section `coap` that concern the protocol, as the endpoint takes them. */
import type { CoreOptions } from '../../coap/core.js';
import { type CoapLimits, DEFAULT_TRANSMISSION, type TransmissionParameters } from '../../coap/limits.js';
import { type ProfileName, transmissionOf } from '../../coap/profiles.js';

/** Documented in `config/schema.ts`. Whatever is left out has the endpoint's default. */
export interface EndpointOptions {
  readonly profile?: ProfileName | undefined;
  /** Seconds. */
  readonly ack_timeout?: number | undefined;
  readonly ack_random_factor?: number | undefined;
  readonly max_retransmit?: number | undefined;
  /** Seconds. */
  readonly max_latency?: number | undefined;
  readonly acknowledge_after?: number | undefined;
  readonly notification_interval?: number | undefined;
  readonly observer_check?: number | undefined;
  readonly echo?: 'auto' | 'off' | undefined;
  /** Bytes. */
  readonly max_payload?: number | undefined;
  readonly block_size?: number | undefined;
  readonly deduplication_bytes?: number | undefined;
  readonly observers?: number | undefined;
  readonly observers_per_client?: number | undefined;
  readonly clients?: number | undefined;
  readonly exchanges?: number | undefined;
  readonly exchanges_per_client?: number | undefined;
  readonly separate_responses?: number | undefined;
  readonly separate_responses_per_client?: number | undefined;
  readonly request_bodies?: number | undefined;
  /** Bytes. */
  readonly request_bytes?: number | undefined;
  readonly response_bodies?: number | undefined;
  /** Bytes. */
  readonly response_bytes?: number | undefined;
}

/** The option that sets each limit of the endpoint. */
const LIMITS = {
  remotes: 'clients',
  deduplicationBytes: 'deduplication_bytes',
  pendingExchanges: 'exchanges',
  pendingExchangesPerRemote: 'exchanges_per_client',
  separateResponses: 'separate_responses',
  separateResponsesPerRemote: 'separate_responses_per_client',
  observers: 'observers',
  observersPerRemote: 'observers_per_client',
  blockSize: 'block_size',
  bodyBytes: 'max_payload',
  block1Bodies: 'request_bodies',
  block1Bytes: 'request_bytes',
  block2Bodies: 'response_bodies',
  block2Bytes: 'response_bytes',
} as const satisfies Record<keyof CoapLimits, keyof EndpointOptions>;

/** The name of the option that an event of the endpoint speaks of, for the log. */
export function optionOf(limit: string): string {
  return `coap.${limit in LIMITS ? LIMITS[limit as keyof CoapLimits] : limit}`;
}

export function endpointOptions(options: EndpointOptions): Pick<CoreOptions, 'limits' | 'transmission' | 'echo'> {
  const limits: Partial<Record<keyof CoapLimits, number>> = {};
  for (const limit of Object.keys(LIMITS) as (keyof CoapLimits)[]) {
    const value = options[LIMITS[limit]];
    if (value !== undefined) limits[limit] = value;
  }
  const transmission = transmissionFrom(options);
  const check = milliseconds(options.observer_check);
  return {
    limits,
    transmission: check === undefined ? transmission : { ...transmission, confirmableInterval: check },
    echo: options.echo === 'auto',
  };
}

/** Milliseconds of EXCHANGE_LIFETIME (RFC 7252 4.8.2). */
export function exchangeLifetimeOf(options: EndpointOptions): number {
  return transmissionFrom(options).exchangeLifetime ?? DEFAULT_TRANSMISSION.exchangeLifetime;
}

function transmissionFrom(options: EndpointOptions): Partial<TransmissionParameters> {
  return transmissionOf(options.profile ?? 'default', {
    ackTimeout: milliseconds(options.ack_timeout),
    ackRandomFactor: options.ack_random_factor,
    maxRetransmit: options.max_retransmit,
    maxLatency: milliseconds(options.max_latency),
    acknowledgeAfter: milliseconds(options.acknowledge_after),
    notificationInterval: milliseconds(options.notification_interval),
  });
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}
