/** Endpoints in memory with a network between them that loses, repeats and reorders datagrams. */
import type { DatagramAddress, DatagramTransport } from '../../../src/coap/transport.js';
import type { FakeClock } from '../harness.js';

export interface NetworkFaults {
  /** Probabilities, 0 to 1. */
  readonly loss: number;
  readonly duplication: number;
  /** Longest delay in milliseconds; datagrams overtake each other within it. */
  readonly delay: number;
}

export class Network {
  readonly #clock: FakeClock;
  readonly #random: () => number;
  readonly #faults: NetworkFaults;
  readonly #hosts = new Map<string, NetworkTransport>();
  lost = 0;

  constructor(clock: FakeClock, random: () => number, faults: NetworkFaults) {
    this.#clock = clock;
    this.#random = random;
    this.#faults = faults;
  }

  /** A transport at 192.0.2.1 and this port. */
  bind(port: number): NetworkTransport {
    const transport = new NetworkTransport(this, { address: '192.0.2.1', port, family: 'IPv4' });
    this.#hosts.set(`${port}`, transport);
    return transport;
  }

  carry(bytes: Buffer, source: DatagramAddress, target: DatagramAddress): void {
    const { loss, duplication, delay } = this.#faults;
    const copies = this.#random() < duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#random() < loss) {
        this.lost++;
        continue;
      }
      this.#clock.setTimer(
        () => this.#hosts.get(`${target.port}`)?.onDatagram?.(Buffer.from(bytes), source),
        1 + Math.floor(this.#random() * delay),
      );
    }
  }
}

export class NetworkTransport implements DatagramTransport {
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  readonly address: DatagramAddress;
  readonly #network: Network;

  constructor(network: Network, address: DatagramAddress) {
    this.#network = network;
    this.address = address;
  }

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    this.#network.carry(Buffer.from(bytes.subarray(offset, offset + length)), this.address, remote);
  }

  async close(): Promise<void> {
    this.onDatagram = undefined;
  }
}
