/** Who listens in on the messages of an endpoint, while somebody does. */
import type { Message } from './message.js';
import type { DatagramAddress } from './transport.js';

export interface MessageTap {
  /** A message has come that is one by its form. Valid until this returns. */
  received(message: Message, source: DatagramAddress): void;
  /** A message is about to leave, `bytes[offset, offset + length)`; valid until this returns. */
  sent(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void;
}

/** Where an endpoint looks with each message. */
export interface TapSource {
  /** Null while nobody listens. */
  readonly tap: MessageTap | null;
}

export const NO_TAPS: TapSource = { tap: null };
