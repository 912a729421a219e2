/** A client that has published. */
export interface Source {
  /** Client identifier. */
  readonly id: string;
  readonly username: string | null;
  /** The listener that it came by, if that has its own access control; otherwise empty or absent. */
  readonly listener?: string;
}

/** A message that outlives the turn it arrived in: retained, queued, a will, or handed to a hook. */
export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Raw MQTT 5.0 properties to forward; see `PublishSource.properties`. */
  readonly properties: Buffer;
  /** Milliseconds since the epoch at which the message expires, 0 for never. */
  readonly expiresAt: number;
  /** Client identifier of the publisher, empty for the broker itself. */
  readonly publisherId: string;
  /** Milliseconds since the epoch at which the broker received it. */
  readonly receivedAt: number;
  /**
   * Whose right to publish a retained message stands on. Null or absent if nobody's is asked for: it is the broker's own, or
   * what the configuration says, or who it was is not known.
   */
  readonly source?: Source | null;
}

export const NO_PROPERTIES: Buffer = Buffer.alloc(0);
