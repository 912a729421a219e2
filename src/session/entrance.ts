/**
 * A connection of a listener that does not speak MQTT, at the gate of all connections: `limits.pending_connections`,
 * `limits.connections_per_address` and `limits.connects_per_second` hold for it as for those of MQTT.
 */
import type { Arrival } from './arrivals.js';
import type { Entry, Gate } from './gate.js';
import type { Party } from './journal.js';

export class Entrance implements Arrival, Party {
  readonly id = '';
  readonly username = null;
  readonly version = 0;
  readonly remote: string;
  readonly transport: string;
  readonly #gate: Gate;
  readonly #entry: Entry;
  #held = false;
  #proceed: (() => void) | null = null;

  /** Null if there is no room; that is counted and logged then. */
  static at(gate: Gate, remote: string, transport: string): Entrance | null {
    const entry = gate.enter({ id: '', remote, username: null, transport, version: 0 });
    return entry === null ? null : new Entrance(gate, entry, remote, transport);
  }

  private constructor(gate: Gate, entry: Entry, remote: string, transport: string) {
    this.#gate = gate;
    this.#entry = entry;
    this.remote = remote;
    this.transport = transport;
  }

  get closed(): boolean {
    return this.#entry.gone;
  }

  hold(): void {
    this.#held = true;
  }

  unhold(): void {
    this.#held = false;
    this.#proceed?.();
    this.#proceed = null;
  }

  /** Calls back once it may be read from, at once or when its turn comes; never if it has left before. */
  whenLetIn(proceed: () => void): void {
    if (this.#held) this.#proceed = proceed;
    else proceed();
  }

  /** Its client has opened it. False if there are too many clients of its address; that is counted and logged then. */
  admit(): boolean {
    if (!this.#gate.admits(this, this.#entry, null)) return false;
    this.#gate.accepted(this.#entry);
    return true;
  }

  /** It has ended. */
  leave(): void {
    this.#proceed = null;
    this.#gate.leave(this.#entry);
  }
}
