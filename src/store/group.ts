/** What is written together: a group of changes, and whoever takes part in one. */
import type { Operation } from './store.js';

/** Something with state to write. It is asked for its operations when the group closes, so late changes cancel. */
export interface Participant {
  /** The group that it has joined; owned by `GroupCommit`. */
  group: Group | null;
  /** Adds the operations that make its state durable. */
  collect(operations: Operation[]): void;
  /** Called after a group that it had joined is durable. */
  committed(): void;
}

/** Who waits for an acknowledgement to leave. */
export interface Acknowledger {
  /**
   * @param type MQTT packet type 4 to 7
   * @param bytes as they were told to `GroupCommit.acknowledge`
   */
  acknowledge(type: number, packetId: number, reasonCode: number, bytes: number): void;
}

/** The changes of one turn. */
export class Group {
  readonly participants: Participant[] = [];
  readonly operations: Operation[] = [];
  readonly acknowledgers: Acknowledger[] = [];
  /** Packet type, packet identifier, reason code and bytes of each acknowledgement. */
  readonly acknowledgements: number[] = [];
  readonly waiters: (() => void)[] = [];
  /** What it takes up in memory, about. */
  bytes = 0;
}
