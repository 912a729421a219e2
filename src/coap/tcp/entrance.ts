/** The door before a TCP transport: whoever counts connections of all listeners together. */
import type { TcpPeer } from './transport.js';

/** The place of one connection. */
export interface TcpEntrance {
  /** Calls back once it may be read from, at once or later; never after `leave`. */
  whenLetIn(proceed: () => void): void;
  /** Its client has said what it can. False if there is no room for it. */
  admit(): boolean;
  /** It has ended. */
  leave(): void;
}

/** Gives a new connection its place before anything of it is read; null if it has to be closed at once. */
export type TcpDoor = (peer: TcpPeer) => TcpEntrance | null;
