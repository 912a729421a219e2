/** A listener: one transport on one address. */
export interface Listener {
  /** `mqtt`, `mqtts`, `websocket`, `wss`. */
  readonly type: string;
  /** Starts listening. Rejects with `PORTICO_LISTEN`. */
  listen(): Promise<void>;
  /** `address:port` that it listens on; after `listen`. */
  readonly address: string;
  /** Takes no more connections; those that are open stay. */
  close(): Promise<void>;
}
