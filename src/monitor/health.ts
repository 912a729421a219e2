/** Whether the broker does its work, in a few words for machines. */
import type { Reading } from './reading.js';

export interface Health {
  /** `failing`: the store cannot be written or does not answer, or a fault holds it up, so acknowledgements wait. */
  readonly status: 'ok' | 'failing';
  readonly version: string;
  /** Seconds since the start. */
  readonly uptime: number;
  /** Sessions with a connection. */
  readonly clients: number;
  readonly store: 'ok' | 'failing';
}

export function healthOf(reading: Reading): Health {
  const store = reading.storeFailing ? 'failing' : 'ok';
  const { version, uptime, sessions } = reading;
  return { status: store, version, uptime: Math.floor(uptime), clients: sessions.connected, store };
}
