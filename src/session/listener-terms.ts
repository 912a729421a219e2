/** What one listener asks of its clients, and what it gives them. All its connections share one. */
import type { AccessControl } from './access-control.js';
import type { Mount } from './mount.js';

/** Each is an option of the listener with the same name. */
export interface ListenerOptions {
  /** The listener in log lines: `listeners.0`. */
  readonly name: string;
  /** `max_connections`; infinite if unset. */
  readonly maxConnections: number;
  /** `max_qos`; 2 if unset. */
  readonly maxQos: number;
  /** `protocol_versions`: 3, 4 and 5; null for all of them. */
  readonly versions: ReadonlySet<number> | null;
  /** `mount_point`; null for none. */
  readonly mount: Mount | null;
  /** `use_username_as_clientid`. */
  readonly usernameAsClientId: boolean;
  /** `auto_id_prefix`. */
  readonly autoIdPrefix: string;
  /** `allow_empty_client_id`. */
  readonly emptyClientIds: boolean;
  /** `client_id_prefix`; empty for any. */
  readonly clientIdPrefix: string;
}

/** What generated client identifiers begin with, as those of Mosquitto. */
export const USUAL_PREFIX = 'auto-';

export class ListenerTerms {
  /** A reload puts others in their place, for connections that come from then on. */
  options: ListenerOptions;
  /** Clients that are connected through it. */
  connected = 0;
  /** What decides on them; null for what does on those of the whole broker. */
  readonly access: AccessControl | null;

  constructor(options: Partial<ListenerOptions> = {}, access: AccessControl | null = null) {
    this.access = access;
    this.options = {
      name: 'the listener',
      maxConnections: Number.POSITIVE_INFINITY,
      maxQos: 2,
      versions: null,
      mount: null,
      usernameAsClientId: false,
      autoIdPrefix: USUAL_PREFIX,
      emptyClientIds: true,
      clientIdPrefix: '',
      ...options,
    };
  }
}

/** Of connections that come by no listener of the configuration, and of listeners without options of their own. */
export const USUAL_TERMS = new ListenerTerms();
