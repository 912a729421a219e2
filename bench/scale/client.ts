/** A small MQTT 3.1.1 client for the scenarios of scale: it writes many packets at once and looks at little of what comes. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { BenchError } from '../processes.js';

export const PacketType = { Connack: 2, Publish: 3, Puback: 4, Suback: 9, Unsuback: 11, Pingresp: 13 } as const;

/** Bytes of a packet: first byte, remaining length, and the parts. */
function packet(first: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const head = [first];
  for (let left = body.length; ; ) {
    const seven = left & 127;
    left >>>= 7;
    head.push(left > 0 ? seven | 128 : seven);
    if (left === 0) return Buffer.concat([Buffer.from(head), body]);
  }
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u16(bytes.length), bytes]);
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

export function connectPacket(clientId: string, clean: boolean): Buffer {
  return packet(0x10, text('MQTT'), Buffer.from([4, clean ? 2 : 0, 0, 0]), text(clientId));
}

export function subscribePacket(id: number, filters: readonly string[], qos: number): Buffer {
  return packet(0x82, u16(id), ...filters.flatMap((filter) => [text(filter), Buffer.from([qos])]));
}

/** @param id 0 for QoS 0, else QoS 1 */
export function publishPacket(topic: string, payload: Buffer, id: number, retain: boolean): Buffer {
  const identifier = id === 0 ? [] : [u16(id)];
  return packet(0x30 | (id === 0 ? 0 : 2) | (retain ? 1 : 0), text(topic), ...identifier, payload);
}

export function pubackPacket(id: number): Buffer {
  return Buffer.from([0x40, 2, id >> 8, id & 255]);
}

/** Told of a packet: its first byte and where its body stands. */
export type OnPacket = (first: number, buffer: Buffer, start: number, end: number) => void;

/** One connection; it begins to speak with {@link ScaleClient.connect}. */
export class ScaleClient {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #failed: Error | null = null;
  #waiting: { done: () => boolean; resolve: () => void; reject: (error: Error) => void } | null = null;
  /** Called for each packet that arrives. */
  onPacket: OnPacket = () => {};
  /** Bytes of PUBLISH packets that have been looked at. */
  #unread = 0;
  /** Packets that have arrived, by type. */
  readonly received: number[] = new Array<number>(16).fill(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new BenchError('the broker closed a connection')));
  }

  /**
   * Connects and waits for CONNACK.
   * @param onPacket told of what comes behind it
   */
  static async connect(
    port: number,
    clientId: string,
    clean = true,
    onPacket: (...packet: [...Parameters<OnPacket>, ScaleClient]) => void = () => {},
  ): Promise<ScaleClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const client = new ScaleClient(socket);
    client.onPacket = (first, buffer, start) => {
      if (first >> 4 === PacketType.Connack && buffer[start + 1] !== 0) client.#fail(new BenchError('CONNECT refused'));
      client.onPacket = (...packet) => onPacket(...packet, client);
    };
    client.write(connectPacket(clientId, clean));
    await client.until(() => client.received[PacketType.Connack]! > 0);
    return client;
  }

  /** Returns false while the socket has more than it takes. */
  write(bytes: Buffer): boolean {
    return this.#socket.write(bytes);
  }

  /** Reads no more. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads again. */
  resume(): void {
    this.#socket.resume();
  }

  async drained(): Promise<void> {
    if (this.#socket.writableNeedDrain) await once(this.#socket, 'drain');
  }

  /** Resolves when `done` holds; it is asked after each chunk that arrives. */
  async until(done: () => boolean): Promise<void> {
    if (this.#failed !== null) throw this.#failed;
    if (done()) return;
    await new Promise<void>((resolve, reject) => {
      this.#waiting = { done, resolve, reject };
    });
  }

  /** Takes what comes as mere bytes, which costs next to nothing; resolves when so many have arrived. */
  async bytes(expected: number): Promise<void> {
    let arrived = this.#rest.length + this.#unread;
    this.#unread = 0;
    this.#socket.removeAllListeners('data');
    await new Promise<void>((resolve, reject) => {
      this.#waiting = { done: () => arrived >= expected, resolve, reject };
      const count = (more: number): void => {
        arrived += more;
        if (arrived >= expected) resolve();
      };
      count(0);
      this.#socket.on('data', (chunk: Buffer) => count(chunk.length));
    });
  }

  end(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.on('error', () => {});
    this.#socket.end(Buffer.from([0xe0, 0]));
    this.#socket.destroySoon();
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(this.#failed);
  }

  #take(chunk: Buffer): void {
    const buffer = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      let length = 0;
      let head = at + 1;
      let complete = false;
      for (let shift = 0; head < buffer.length && !complete; shift += 7) {
        const byte = buffer[head++]!;
        length |= (byte & 127) << shift;
        complete = byte < 128;
      }
      if (!complete || head + length > buffer.length) break;
      const first = buffer[at]!;
      this.received[first >> 4]!++;
      if (first >> 4 === PacketType.Publish) this.#unread += head + length - at;
      this.onPacket(first, buffer, head, head + length);
      at = head + length;
    }
    this.#rest = at === buffer.length ? Buffer.alloc(0) : Buffer.from(buffer.subarray(at));
    const waiting = this.#waiting;
    if (waiting === null || !waiting.done()) return;
    this.#waiting = null;
    waiting.resolve();
  }
}
