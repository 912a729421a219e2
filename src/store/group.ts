/** What is written together: a group of changes, and whoever takes part in one. */
import type { Operation } from './store.js';

/** Something with state to write. It is asked for its operations when the group closes, so late changes cancel. */
export interface Participant {
  /** The group that it has joined; owned by `GroupCommit`. */
  group: Group | null;
  /** Adds the operations that make its state durable. Changes nothing: should a participant fail, all are asked again. */
  collect(operations: Operation[]): void;
  /** Called in the same turn, once all of the group have said what they have to write: it is on its way. */
  collected(): void;
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

/** Numbers of an acknowledgement: packet type, packet identifier, reason code, bytes. */
const NUMBERS = 4;
const LEAST_NUMBERS = 64 * NUMBERS;
/** Beyond it an array is not kept for another group. */
const MOST_NUMBERS = 65_536 * NUMBERS;

/** The changes of one turn. */
export class Group {
  readonly participants: Participant[] = [];
  readonly operations: Operation[] = [];
  readonly waiters: (() => void)[] = [];
  /** What it takes up in memory, about. */
  bytes = 0;
  readonly #acknowledgers: Acknowledger[] = [];
  #numbers: Int32Array;

  /** @param numbers of a group that is over: a list that grows from nothing in each group is garbage many times over */
  constructor(numbers: Int32Array | null = null) {
    this.#numbers = numbers ?? new Int32Array(LEAST_NUMBERS);
  }

  /** What the next group may use, once this one is over; null if it is too large to be kept. */
  get numbers(): Int32Array | null {
    return this.#numbers.length > MOST_NUMBERS ? null : this.#numbers;
  }

  /** Number of acknowledgements that wait for it. */
  get acknowledgements(): number {
    return this.#acknowledgers.length;
  }

  /** An acknowledgement waits for it, as `Acknowledger.acknowledge` is told. */
  await(who: Acknowledger, type: number, packetId: number, reasonCode: number, bytes: number): void {
    const at = this.#acknowledgers.length * NUMBERS;
    if (at === this.#numbers.length) {
      const numbers = new Int32Array(2 * at);
      numbers.set(this.#numbers);
      this.#numbers = numbers;
    }
    this.#acknowledgers.push(who);
    const numbers = this.#numbers;
    numbers[at] = type;
    numbers[at + 1] = packetId;
    numbers[at + 2] = reasonCode;
    numbers[at + 3] = bytes;
  }

  /** Parts with those who take part: what they have to write is on its way. One that fails must not stop the others. */
  collected(failed: (error: unknown) => void): void {
    for (const participant of this.participants) {
      participant.group = null;
      try {
        participant.collected();
      } catch (error) {
        failed(error);
      }
    }
  }

  /** Is durable: tells those who took part, lets the acknowledgements leave, then tells those who wait. */
  committed(failed: (error: unknown) => void): void {
    for (const participant of this.participants) {
      try {
        participant.committed();
      } catch (error) {
        failed(error);
      }
    }
    this.#acknowledge(failed);
    for (const waiter of this.waiters) {
      try {
        waiter();
      } catch (error) {
        failed(error);
      }
    }
  }

  #acknowledge(failed: (error: unknown) => void): void {
    const numbers = this.#numbers;
    for (let i = 0, at = 0; i < this.#acknowledgers.length; i++, at += NUMBERS) {
      try {
        this.#acknowledgers[i].acknowledge(numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]);
      } catch (error) {
        failed(error);
      }
    }
  }
}
