/** What a publication of a client inside the process says of itself, and who is told what became of it. */
import type { Acknowledger } from '../store/group.js';

export interface PublishOptions {
  readonly qos?: 0 | 1 | 2;
  readonly retain?: boolean;
  /** Raw MQTT 5.0 properties to forward, without Message Expiry Interval. */
  readonly properties?: Buffer;
  /** Message Expiry Interval in seconds; absent for never. */
  readonly expiry?: number | undefined;
}

/**
 * Takes the outcome of a publication: `acknowledge(0, 0, reasonCode)` with an MQTT 5.0 reason code, once everything that
 * it changed is durable.
 */
export interface PublishOutcome extends Acknowledger {
  /**
   * Asked right before the message is delivered, if `authorizePublish` was asked first: whatever the publication depends on
   * may have changed until that has answered. False withdraws it: it is not delivered, and `acknowledge` not called.
   */
  proceeds?(): boolean;
}
