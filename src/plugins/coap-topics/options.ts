/** What one CoAP listener is told. */
import type { EndpointOptions } from './endpoint-options.js';
import type { Below, TransportOptions } from './transports.js';

/** One entry of `coap.mappings`. */
export interface MappingOptions {
  /** Begins with "/"; a level such as `{device}` is any one. */
  readonly path: string;
  /** Has the same names. */
  readonly topic: string;
  readonly methods: readonly ('GET' | 'PUT' | 'POST' | 'DELETE')[];
  readonly qos?: number | undefined;
  readonly retain?: boolean | undefined;
  readonly content_format?: number | undefined;
  /** What becomes of a payload from a device; on its way to a device the reverse. */
  readonly convert: 'none' | 'json-to-cbor' | 'cbor-to-json';
}

/** What a CoAP listener has of its own; the rest is the section `coap`. */
export type Place = 'below' | 'host' | 'port' | 'anonymous';

/** Options of one CoAP listener; those with a name in `coap.` are documented there. */
export interface CoapTopicsOptions extends EndpointOptions, TransportOptions {
  /** What stands below the endpoint. Default: UDP. */
  readonly below?: Below;
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** Whether devices without credentials are served. */
  readonly anonymous: boolean;
  readonly path: string;
  /** Bytes. */
  readonly max_payload: number;
  readonly block_size: number;
  readonly notification: 'auto' | 'con' | 'non';
  readonly mappings: readonly MappingOptions[];
  readonly listed: number;
  readonly waiting_notifications: number;
  /** Whether envelopes say who has published. */
  readonly tell_publisher: boolean;
  readonly connections: number;
  /** Seconds. */
  readonly heartbeat: number;
  /** Seconds. */
  readonly session_expiry: number;
  readonly insecure_password: boolean;
}
