/** A client in memory and a device that a test plays by hand, message by message. */
import assert from 'node:assert/strict';
import { CoapClient, type PendingRequest } from '../../../src/coap/client/client.js';
import type { ClientOptions } from '../../../src/coap/client/core.js';
import type { ClientObservation, ObservationOver } from '../../../src/coap/client/observation.js';
import type { Outcome } from '../../../src/coap/client/outcome.js';
import type { ClientRequest } from '../../../src/coap/client/request.js';
import type { ClientResponse } from '../../../src/coap/client/response.js';
import type { DatagramAddress } from '../../../src/coap/transport.js';
import { ACK, type Decoded, decode, encode, FakeClock, MemoryTransport, RST, type Wire } from '../harness.js';

/** Random bytes from a seed: the same in each run, and no two tokens alike. */
export function seededFill(seed: number): (bytes: Buffer) => void {
  const random = seededRandom(seed);
  return (bytes) => {
    for (let index = 0; index < bytes.length; index++) bytes[index] = Math.floor(random() * 256);
  };
}

/** Numbers from 0 to less than 1 (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** What became of a request. */
export class Asked {
  readonly outcomes: Outcome[] = [];
  pending: PendingRequest | undefined;

  /** The response; the test fails without one. */
  get response(): ClientResponse {
    assert.equal(this.outcomes.length, 1, 'one outcome');
    const [{ response, failure }] = this.outcomes;
    assert.ok(response !== null, `a response, not ${failure?.reason} ${failure?.detail}`);
    return response;
  }

  /** The reason of the failure; the test fails without one. */
  get failure(): string {
    assert.equal(this.outcomes.length, 1, 'one outcome');
    const [{ failure }] = this.outcomes;
    assert.ok(failure !== null, 'a failure');
    return failure.reason === 'limit' ? `limit ${failure.detail}` : failure.reason;
  }
}

/** What an observation brought. */
export class Watched {
  readonly states: string[] = [];
  readonly ends: ObservationOver[] = [];
  observation: ClientObservation | undefined;
}

/** A client, and everything that it sends. */
export class ClientBench {
  readonly clock = new FakeClock();
  readonly transport = new MemoryTransport();
  readonly client: CoapClient;

  constructor(options: ClientOptions = {}) {
    this.client = new CoapClient(this.transport, {
      clock: this.clock,
      random: () => 0,
      fillRandom: seededFill(1),
      ...options,
    });
  }

  device(port = 5683, address = '192.0.2.1'): Device {
    return new Device(this, port, address);
  }
}

/** One device: takes what the client sends to it, and sends what the test wants. */
export class Device {
  readonly bench: ClientBench;
  readonly address: DatagramAddress;
  #mid = 100;

  constructor(bench: ClientBench, port: number, address: string) {
    this.bench = bench;
    this.address = { address, port, family: 'IPv4' };
  }

  /** Has the client ask this device. */
  ask(request: ClientRequest): Asked {
    const asked = new Asked();
    asked.pending = this.bench.client.request(this.address, request, (outcome) => asked.outcomes.push(outcome));
    return asked;
  }

  /** Has the client observe a resource of this device. */
  watch(request: ClientRequest): Watched {
    const watched = new Watched();
    watched.observation = this.bench.client.observe(this.address, request, {
      onState: (response) => watched.states.push(response.payload.toString()),
      onEnd: (end) => watched.ends.push(end),
    });
    return watched;
  }

  /** Everything that the client sent to this device since the last call. */
  take(): Decoded[] {
    const { sent } = this.bench.transport;
    const mine = sent.filter((datagram) => this.#isMine(datagram));
    for (let index = sent.length - 1; index >= 0; index--) if (this.#isMine(sent[index])) sent.splice(index, 1);
    return mine.map((datagram) => decode(datagram.bytes));
  }

  #isMine(datagram: { readonly port: number; readonly address: string }): boolean {
    return datagram.port === this.address.port && datagram.address === this.address.address;
  }

  /** The one message sent since the last call. */
  one(): Decoded {
    const messages = this.take();
    assert.equal(messages.length, 1, `one message, not ${messages.map((message) => message.code).join(', ')}`);
    return messages[0];
  }

  none(): void {
    assert.deepEqual(this.take(), []);
  }

  raw(bytes: Buffer): void {
    this.bench.transport.receive(bytes, this.address.port, this.address.address);
  }

  /** Sends a message of its own, with the next Message ID unless it names one; returns the id. */
  send(wire: Wire): number {
    const mid = wire.mid ?? ++this.#mid;
    this.raw(encode({ ...wire, mid }));
    return mid;
  }

  /** The response to a request, piggybacked on its Acknowledgement. */
  answer(request: Decoded, wire: Wire): void {
    this.send({ type: ACK, mid: request.mid, token: request.token, ...wire });
  }

  acknowledge(request: Decoded): void {
    this.send({ type: ACK, code: '0.00', mid: request.mid });
  }

  reset(request: Decoded): void {
    this.send({ type: RST, code: '0.00', mid: request.mid });
  }
}
