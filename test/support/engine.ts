/** A broker in memory with a clock that tests turn, and clients on in-memory streams. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { generate, type IConnackPacket, type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { Broker, type BrokerOptions } from '../../src/broker.js';
import type { ListenerTerms } from '../../src/session/listener-terms.js';
import { StreamTransport } from '../../src/session/transport.js';

export class FakeClock {
  #now = 1_700_000_000_000;

  now(): number {
    return this.#now;
  }

  /** Lets `seconds` pass. */
  advance(seconds: number): void {
    this.#now += seconds * 1000;
  }
}

/** A client that speaks raw MQTT: what it sends and receives are packets of mqtt-packet, or bytes. */
export class RawClient {
  readonly #stream: Duplex;
  readonly #version: number;
  readonly #received: Packet[] = [];
  #waiting: (() => void) | null = null;
  /** Bytes received, in order. */
  readonly bytes: Buffer[] = [];
  closed = false;

  constructor(stream: Duplex, version = 4) {
    this.#stream = stream;
    this.#version = version;
    const reader = parser({ protocolVersion: version });
    reader.on('packet', (packet) => {
      this.#received.push(packet);
      this.#wake();
    });
    stream.on('data', (chunk: Buffer) => {
      this.bytes.push(chunk);
      reader.parse(chunk);
    });
    stream.on('error', () => {});
    stream.on('end', () => this.#ended());
    stream.on('close', () => this.#ended());
  }

  #ended(): void {
    this.closed = true;
    this.#stream.end();
    this.#wake();
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = null;
  }

  send(packet: Packet): void {
    this.#stream.write(generate(packet, { protocolVersion: this.#version }));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  /** The next packet; rejects if the connection closes first. */
  async next(): Promise<Packet> {
    for (;;) {
      const packet = this.#received.shift();
      if (packet !== undefined) return packet;
      if (this.closed) throw new Error('the connection is closed');
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** The next packet, which must be of this kind. */
  async expect<Kind extends Packet['cmd']>(cmd: Kind): Promise<Extract<Packet, { cmd: Kind }>> {
    const packet = await this.next();
    assert.equal(packet.cmd, cmd, `expected ${cmd}, got ${JSON.stringify(packet)}`);
    return packet as Extract<Packet, { cmd: Kind }>;
  }

  /** Resolves when the broker has closed the connection; packets before that are dropped. */
  async end(): Promise<void> {
    while (!this.closed) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  /** Everything that has arrived when the broker has answered a PINGREQ: proof that nothing else was on its way. */
  async drain(): Promise<Packet[]> {
    this.send({ cmd: 'pingreq' });
    const before: Packet[] = [];
    for (;;) {
      const packet = await this.next();
      if (packet.cmd === 'pingresp') return before;
      before.push(packet);
    }
  }

  /** The same for what comes in several turns of the event loop, as many retained messages do. */
  async drainTurns(): Promise<Packet[]> {
    const all: Packet[] = [];
    for (let some = await this.drain(); some.length > 0; some = await this.drain()) all.push(...some);
    return all;
  }

  /** Stops reading. */
  stall(): void {
    this.#stream.removeAllListeners('data');
    this.#stream.pause();
  }

  /** Cuts the connection; `Engine.cut` also waits until the broker has seen it. */
  destroy(): void {
    this.#stream.end();
  }

  async subscribe(filter: string, qos: 0 | 1 | 2, messageId = 1): Promise<void> {
    this.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos }] });
    const { granted } = await this.expect('suback');
    assert.deepEqual(granted, [qos]);
  }

  publish(
    topic: string,
    payload: string | Buffer,
    options: { qos?: 0 | 1 | 2; retain?: boolean; messageId?: number } = {},
  ): void {
    const { qos = 0, retain = false, messageId } = options;
    this.send({ cmd: 'publish', topic, payload, qos, retain, dup: false, ...(messageId ? { messageId } : {}) });
  }
}

export class Engine {
  readonly broker: Broker;
  readonly clock: FakeClock;

  private constructor(broker: Broker, clock: FakeClock) {
    this.broker = broker;
    this.clock = clock;
  }

  /** @param options `clock` goes on from where a former broker's stood; the default starts anew */
  static async create(options: BrokerOptions = {}): Promise<Engine> {
    const clock = options.clock instanceof FakeClock ? options.clock : new FakeClock();
    return new Engine(await Broker.createBroker({ ...options, clock }), clock);
  }

  /**
   * A connection that has said nothing yet.
   * @param remote `address:port` that it seems to come from; by default it has none
   * @param terms of the listener that it comes by; by default it comes by none
   */
  open(version = 4, remote?: string, terms?: ListenerTerms): RawClient {
    const [near, far] = duplexPair();
    // A pair knows no reset: destroying one end, as the broker does to cut a client off, and as a client that writes
    // behind its own end does, has to be passed on.
    far.once('close', () => {
      if (!far.writableFinished) near.destroy();
    });
    near.once('close', () => {
      if (!near.writableFinished) far.destroy();
    });
    const transport = new StreamTransport(far, undefined, terms);
    this.broker.accept(remote === undefined ? transport : Object.assign(transport, { remote }));
    return new RawClient(near, version);
  }

  /** Connects; returns the client and the CONNACK. @param remote and terms as for `open` */
  async connect(
    options: Partial<IConnectPacket> = {},
    remote?: string,
    terms?: ListenerTerms,
  ): Promise<RawClient & { connack: IConnackPacket }> {
    const version = options.protocolVersion ?? 4;
    const client = this.open(version, remote, terms);
    client.send({
      cmd: 'connect',
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: version,
      clientId: 'client',
      clean: true,
      keepalive: 0,
      ...options,
    });
    const connack = await client.expect('connack');
    return Object.assign(client, { connack });
  }

  /** Cuts a client's connection without DISCONNECT; resolves when the broker has seen it. */
  async cut(client: RawClient): Promise<void> {
    const seen = once(this.broker, 'clientDisconnect');
    client.destroy();
    await seen;
  }

  /** Lets time pass and the broker look at it. */
  pass(seconds: number): void {
    this.clock.advance(seconds);
    this.broker.tick();
  }

  async stop(): Promise<void> {
    await this.broker.stop();
  }
}
