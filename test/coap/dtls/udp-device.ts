/** A device over DTLS on loopback: the client that shares no code with the server, on a socket that it can change. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { Inbox } from '../../interop/inbox.js';
import { type Decoded, decode, encode, type Wire } from '../harness.js';
import { ALERT, type ClientOptions, DATA, DtlsClient, HANDSHAKE } from './client.js';

const RECORD_HEADER = 13;

export class UdpDevice {
  readonly client: DtlsClient;
  /** The port that it sends from. */
  port = 0;
  readonly #server: number;
  #socket: Socket | undefined;
  #former: Socket[] = [];
  #told = 0;
  #alerts = 0;
  readonly #messages = new Inbox<Decoded>('the device');
  readonly #states = new Inbox<string>('the device');

  /** @param server port of 127.0.0.1 */
  constructor(server: number, options: ClientOptions = {}) {
    this.#server = server;
    const network = {
      fromClient: (_client: DtlsClient, bytes: Buffer): void => void this.#socket?.send(bytes),
      deliver: (): void => {},
    };
    this.client = new DtlsClient(network, 0, options, '127.0.0.1');
  }

  /** Answers nothing from the message on that has this type. */
  #until: number | undefined;

  /** A handshake, to its end. */
  static async connect(server: number, options: ClientOptions = {}): Promise<UdpDevice> {
    const device = new UdpDevice(server, options);
    await device.start();
    await device.#states.take((state) => state === 'connected', 'the end of the handshake');
    return device;
  }

  /** Begins a handshake. */
  async start(): Promise<void> {
    await this.move();
    this.client.start();
  }

  /** Begins a handshake and leaves the ServerHello unanswered. */
  async startOnly(): Promise<void> {
    this.#until = 2;
    await this.start();
    await this.#states.take((state) => state === 'halted', 'ServerHello');
  }

  /** Goes on from another port. */
  async move(): Promise<void> {
    const socket = createSocket('udp4');
    if (this.#socket !== undefined) this.#former.push(this.#socket);
    this.#socket = socket;
    socket.on('message', (bytes) => this.#receive(bytes));
    socket.on('error', () => {});
    socket.connect(this.#server, '127.0.0.1');
    await once(socket, 'connect');
    this.port = socket.address().port;
  }

  #receive(bytes: Buffer): void {
    // The type of a handshake message stands behind the header of its record.
    if (this.#until !== undefined && bytes[0] === HANDSHAKE && bytes[RECORD_HEADER] === this.#until) {
      this.#states.put('halted');
      return;
    }
    const before = this.client.connected;
    this.client.receive(bytes);
    if (this.client.connected && !before) this.#states.put('connected');
    for (; this.#told < this.client.datagrams.length; this.#told++) {
      this.#messages.put(decode(this.client.datagrams[this.#told]));
    }
    for (; this.#alerts < this.client.alerts.length; this.#alerts++) {
      this.#states.put(`alert ${this.client.alerts[this.#alerts][2]}`);
    }
  }

  send(wire: Wire): void {
    this.client.raw(this.client.seal(DATA, encode(wire)));
  }

  /** The next message with a code. */
  next(code: string): Promise<Decoded> {
    return this.#messages.take((message) => message.code === code, `a ${code}`);
  }

  /** Sends a request; the next message that answers it. */
  async ask(wire: Wire): Promise<Decoded> {
    this.send(wire);
    return this.#messages.take(({ code, mid }) => mid === wire.mid || !code.startsWith('0.'), 'an answer');
  }

  /** Waits for an alert of the server: 0 is close_notify, 51 decrypt_error. */
  async alert(description: number): Promise<void> {
    await this.#states.take((state) => state === `alert ${description}`, `alert ${description}`);
  }

  /** Says close_notify. */
  sayGoodbye(): void {
    this.client.raw(this.client.seal(ALERT, Buffer.from([1, 0])));
  }

  close(): void {
    for (const socket of [...this.#former.splice(0), this.#socket]) socket?.close();
    this.#socket = undefined;
  }
}
