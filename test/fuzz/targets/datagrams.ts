/** The datagrams that have come last, for inputs that repeat or change one. */
import type { MemoryTransport } from '../../coap/harness.js';

const MOST = 64;

export class PastDatagrams {
  readonly #past: Buffer[] = [];

  /** Listens to what `transport` is given. */
  constructor(transport: MemoryTransport) {
    const receive = transport.receive.bind(transport);
    transport.receive = (bytes, port, address) => {
      this.#past.push(bytes);
      if (this.#past.length > MOST) this.#past.shift();
      receive(bytes, port, address);
    };
  }

  /** A copy of one of them; empty if there is none. */
  copy(choice: number): Buffer {
    return Buffer.from(this.#past[choice % Math.max(1, this.#past.length)] ?? []);
  }
}
