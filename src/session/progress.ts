/** Whether a client takes what it is sent, however slowly. */
import type { Transport } from './transport.js';

export class Progress {
  /** Bytes handed to the transport. */
  handedOver = 0;
  /** Of them the client had taken so many when it last took any; -1 while nobody looks. */
  #taken = -1;
  #writing = 0;
  /** Milliseconds since the epoch. */
  #takenAt = 0;

  /** More than enough waits for the client: returns for how many milliseconds it has taken nothing. */
  standstill(transport: Transport, now: number): number {
    const { pending, writing } = transport;
    const taken = this.handedOver - pending;
    if (taken !== this.#taken || writing !== this.#writing) {
      this.#taken = taken;
      this.#writing = writing;
      this.#takenAt = now;
    }
    return now - this.#takenAt;
  }

  /** Nothing to worry about waits for the client. */
  clear(): void {
    this.#taken = -1;
  }
}
