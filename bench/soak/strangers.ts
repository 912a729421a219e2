/** Who does not play by the rules: garbage on every port, connections that say nothing, subscribers that stop reading. */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectPacket, subscribePacket } from '../scale/client.js';
import { type Actors, Routine, type Stage } from './stage.js';

const GARBAGE_MS = 500;
const SLOW_MS = 3000;
const LONGEST_WAIT_MS = 8000;
const LARGEST_GARBAGE = 2000;

export class Strangers implements Actors {
  readonly #stage: Stage;
  #routines: Routine[] = [];
  #stopping = false;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async start(): Promise<void> {
    this.#stopping = false;
    const failed = (error: Error): void => this.#stage.trouble(`stranger: ${error.stack}`);
    this.#routines = [
      new Routine(GARBAGE_MS, () => this.#garbage(), failed),
      new Routine(SLOW_MS, () => this.#slow(), failed),
    ];
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#routines.map((one) => one.stop()));
  }

  async leave(): Promise<void> {}

  #bytes(): Buffer {
    const { random } = this.#stage;
    return Buffer.from(Array.from({ length: 1 + random.below(LARGEST_GARBAGE) }, () => random.below(256)));
  }

  async #garbage(): Promise<void> {
    const { random, target, done } = this.#stage;
    done.add('connections with garbage');
    const kind = random.below(7);
    if (kind === 0) this.#datagram();
    else if (kind === 1)
      await this.#say(target.mqtt, []); // nothing at all
    else if (kind === 2) await this.#say(target.mqtt, [this.#bytes()]);
    else if (kind === 3) await this.#say(target.mqtt, [connectPacket('stranger', true), this.#bytes()]);
    else if (kind === 4) await this.#say(target.mqtt, [connectPacket('stranger', true).subarray(0, 9)]);
    else if (kind === 5) await this.#say(target.http, [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n')]);
    else
      await this.#say(target.websocket, [Buffer.from('GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n'), this.#bytes()]);
  }

  #datagram(): void {
    const socket = createSocket('udp4');
    socket.send(this.#bytes(), this.#stage.target.coap, '127.0.0.1', () => socket.close());
  }

  /** Writes and waits for a while; the broker may end it before. */
  async #say(port: number, words: readonly Buffer[]): Promise<void> {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('data', () => {});
    for (const word of words) socket.write(word);
    await this.#wait(() => socket.closed);
    socket.destroy();
  }

  /** Subscribes to everything and does not read. */
  async #slow(): Promise<void> {
    const { random, target, done } = this.#stage;
    done.add('subscribers that stop reading');
    const socket = connect(target.mqtt, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(connectPacket(`slow-${random.below(5)}`, random.one(2)));
    socket.write(subscribePacket(1, ['soak/#', 'bench/#'], random.below(2)));
    socket.pause();
    await this.#wait(() => socket.closed);
    socket.destroy();
  }

  async #wait(done: () => boolean): Promise<void> {
    const end = performance.now() + this.#stage.random.below(LONGEST_WAIT_MS);
    while (performance.now() < end && !this.#stopping && !done()) await sleep(50);
  }
}
