/** A device over TCP on loopback (RFC 8323): frames that share no code with the server, and messages as over UDP. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Inbox } from '../interop/inbox.js';
import { type Decoded, decode, encode, type Wire } from './harness.js';

/** Lengths that stand for a longer length, and the least that each says (RFC 8323 3.2). */
const EXTENDED = [
  { nibble: 13, bytes: 1, least: 13 },
  { nibble: 14, bytes: 2, least: 269 },
] as const;

export class TcpDevice {
  readonly #socket: Socket;
  readonly #messages = new Inbox<Decoded>('the device');
  #rest = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', () => {});
    socket.on('close', () => this.#messages.end('the connection is closed'));
  }

  /** @param port of 127.0.0.1 */
  static async connect(port: number): Promise<TcpDevice> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const device = new TcpDevice(socket);
    // Capabilities come first (RFC 8323 5.3).
    device.send({ code: '7.01' });
    return device;
  }

  /** Sends a message; type and Message ID are not said over TCP. */
  send(wire: Wire): void {
    const datagram = encode(wire);
    const token = datagram[0] & 15;
    const body = datagram.subarray(4);
    const length = body.length - token;
    const more = EXTENDED.findLast(({ least }) => length >= least);
    const head = Buffer.alloc(2 + (more?.bytes ?? 0));
    head[0] = ((more?.nibble ?? length) << 4) | token;
    if (more !== undefined) head.writeUIntBE(length - more.least, 1, more.bytes);
    head[head.length - 1] = datagram[1];
    this.#socket.write(Buffer.concat([head, body]));
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let frame = this.#frame(); frame !== null; frame = this.#frame()) this.#messages.put(decode(frame));
  }

  /** The next whole frame as a datagram. */
  #frame(): Buffer | null {
    const bytes = this.#rest;
    if (bytes.length === 0) return null;
    const token = bytes[0] & 15;
    const more = EXTENDED.find(({ nibble }) => nibble === bytes[0] >> 4);
    const codeAt = 1 + (more?.bytes ?? 0);
    if (bytes.length <= codeAt) return null;
    const length = more === undefined ? bytes[0] >> 4 : bytes.readUIntBE(1, more.bytes) + more.least;
    const end = codeAt + 1 + token + length;
    if (bytes.length < end) return null;
    this.#rest = bytes.subarray(end);
    return Buffer.concat([Buffer.from([0x50 | token, bytes[codeAt], 0, 0]), bytes.subarray(codeAt + 1, end)]);
  }

  /** The next message with a code. */
  next(code: string): Promise<Decoded> {
    return this.#messages.take((message) => message.code === code, `a ${code}`);
  }

  close(): void {
    this.#socket.destroy();
  }
}
