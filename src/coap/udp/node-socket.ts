/** A UDP socket of Node's: one call for each datagram. */
import { createSocket, type Socket } from 'node:dgram';
import { copyBytes } from '../message.js';
import type { UdpEvents, UdpPlace, UdpSocket } from './socket.js';

const SLAB = 64 * 1024;

export class NodeSocket implements UdpSocket {
  readonly address: string;
  readonly port: number;
  readonly #socket: Socket;
  #closing: Promise<void> | undefined;
  // The kernel may take a datagram later, so a slab is never written twice; it lives as long as a send refers to it.
  #slab = Buffer.allocUnsafeSlow(SLAB);
  #used = 0;

  private constructor(socket: Socket, events: UdpEvents) {
    this.#socket = socket;
    const bound = socket.address();
    this.address = bound.address;
    this.port = bound.port;
    // `send` without a callback reports here, as do ICMP errors: one remote's failure is nobody else's.
    socket.on('error', () => events.error());
    socket.on('message', (bytes, source) => events.datagram(bytes, source));
  }

  /** Rejects with the system's error. */
  static async bind({ address, port, receiveBuffer }: UdpPlace, events: UdpEvents): Promise<NodeSocket> {
    const ipv6 = address.includes(':');
    const socket = createSocket({
      type: ipv6 ? 'udp6' : 'udp4',
      ipv6Only: ipv6,
      // Remotes are addresses already; the default would defer every datagram by a turn.
      lookup: (hostname, _options, callback) => callback(null, hostname, ipv6 ? 6 : 4),
    });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind({ address, port, exclusive: true }, () => {
          socket.off('error', reject);
          resolve();
        });
      });
    } catch (error) {
      socket.close();
      throw error;
    }
    try {
      socket.setRecvBufferSize(receiveBuffer);
    } catch {
      // The kernel's own size then; fewer datagrams survive a burst.
    }
    return new NodeSocket(socket, events);
  }

  get receiveBuffer(): number {
    return this.#socket.getRecvBufferSize();
  }

  send(bytes: Buffer, offset: number, length: number, port: number, address: string): boolean {
    if (this.#used + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB, length));
      this.#used = 0;
    }
    const at = this.#used;
    this.#used = at + length;
    copyBytes(bytes, offset, this.#slab, at, length);
    try {
      this.#socket.send(this.#slab, at, length, port, address);
      return false;
    } catch {
      return true;
    }
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => this.#socket.close(() => resolve()));
    return this.#closing;
  }
}
