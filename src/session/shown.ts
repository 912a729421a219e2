/** Who a client is by what stands below MQTT: TLS, or the word of its proxy. */

/** A pre-shared key, with the identity that has it. */
export interface ShownKey {
  readonly identity: string;
  readonly key: Buffer;
}

/** What a client has shown of itself before it sends CONNECT. */
export interface Shown {
  /** The user that it is by its certificate or key; null if CONNECT has to say it. */
  readonly username: string | null;
  /** It has shown it to a proxy: its own turn is still to come. */
  readonly elsewhere?: true;
  /** The key that let it in, whoever it says it is. */
  readonly psk?: ShownKey | null;
}
