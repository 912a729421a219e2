/** Whom something is about: a client, as the log, and whoever decides on rights, know it. */
export interface Party {
  /** Client identifier, empty before it is known. */
  readonly id: string;
  /** `address:port`, or what stands for it. */
  readonly remote: string;
  readonly username: string | null;
  /** How it came: `mqtt`, `websocket`, `internal`, or the listener type of CoAP: `coap`, `coaps` and so on. */
  readonly transport: string;
  /** MQTT protocol version 3, 4, 5; 0 for others. */
  readonly version: number;
  /** What it does stands in the configuration: access control lists are not asked about it. */
  readonly trusted?: boolean;
}
