/** Where datagrams come from and go to: a small interface, so that DTLS can slip below, and its UDP implementation. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { ErrorKinds, PorticoError } from '../errors.js';
import { BatchSocket } from './udp/batch-socket.js';
import { BATCHES, type Batches } from './udp/batches.js';
import { NodeSocket } from './udp/node-socket.js';
import type { UdpEvents, UdpSocket } from './udp/socket.js';

/** Whom a datagram comes from or goes to. */
export interface DatagramAddress {
  /** IP address in text form, with the zone of a link-local one. */
  readonly address: string;
  /** UDP port, 1 to 65535; 0 never leaves the endpoint. */
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
  /**
   * What identifies the remote endpoint if address and port do not: a security association (RFC 7252 9.1). The endpoint
   * follows such a remote to a new address.
   */
  readonly key?: string;
  /** What the transport knows about the remote, such as its identity; opaque to the protocol. */
  readonly session?: object;
  /** It has moved there: nothing shows yet that datagrams reach it. */
  readonly unproven?: boolean;
  /** Messages arrive once and in order: nothing has to be remembered of them. */
  readonly reliable?: boolean;
}

/** Sends and receives datagrams; one per bound local address, since a datagram's destination cannot be told otherwise. */
export interface DatagramTransport {
  /** Set by the endpoint. The transport hands `bytes` over: it does not write to them again. */
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  /** Set by the endpoint: a remote endpoint will never send or take anything again; why, in words. */
  onGone?: ((remote: DatagramAddress, reason: string) => void) | undefined;
  /** Set by the endpoint: a remote endpoint with a key is at another address from now on. */
  onMoved?: ((remote: DatagramAddress) => void) | undefined;
  /** Set by a client: nothing can be sent to a remote endpoint, and what waited for it is dropped; why, in words. */
  onUnreachable?: ((remote: DatagramAddress, reason: string) => void) | undefined;
  /**
   * Told by a client: a request to `remote` has had no answer. Returns what is waited for, in words, if `remote` cannot be
   * sent anything as yet.
   */
  unanswered?(remote: DatagramAddress): string | undefined;
  /** Datagrams to `remote` leave from another local port from now on, and those to the former one are dropped. */
  renew?(remote: DatagramAddress): void;
  /**
   * Sends `bytes[offset, offset + length)`, at the end of the turn at the latest. Never throws; a datagram that cannot be
   * sent is lost and counted. The bytes are the caller's again when this returns.
   */
  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void;
  close(): Promise<void>;
}

/** Where a UDP transport binds. */
export interface UdpOptions {
  /** A local IP address; `::` takes IPv6 only, so that both families can be bound side by side. */
  readonly address: string;
  /** 0 to 65535; 0 chooses one. */
  readonly port: number;
  /** Size asked for the kernel's receive buffer, in bytes; the kernel may grant less. Default 4 MiB. */
  readonly receiveBuffer?: number;
  /** What sends and receives many datagrams in one call; null for Node's own sockets. Default: what was built. */
  readonly batches?: Batches | null;
}

const RECEIVE_BUFFER = 4 * 1024 * 1024;

/** CoAP over UDP (RFC 7252 3). */
export class UdpTransport implements DatagramTransport {
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  /** Datagrams that could not be sent, and errors that the socket reported. */
  sendFailures = 0;
  socketErrors = 0;
  #socket!: UdpSocket;

  private constructor() {}

  /** Binds a socket. Rejects with `PORTICO_LISTEN`. */
  static async bind(options: UdpOptions): Promise<UdpTransport> {
    const transport = new UdpTransport();
    const events: UdpEvents = {
      datagram: (bytes, source) => transport.onDatagram?.(bytes, source),
      lost: (count) => {
        transport.sendFailures += count;
      },
      error: () => {
        transport.socketErrors++;
      },
    };
    const { port, receiveBuffer = RECEIVE_BUFFER, batches = BATCHES } = options;
    const place = { address: await addressOf(options.address), port, receiveBuffer };
    try {
      transport.#socket =
        batches === null ? await NodeSocket.bind(place, events) : new BatchSocket(batches, place, events);
    } catch (cause) {
      throw new PorticoError(ErrorKinds.Listen, `cannot bind UDP ${options.address} port ${port}: ${cause}`, { cause });
    }
    return transport;
  }

  get address(): string {
    return this.#socket.address;
  }

  get port(): number {
    return this.#socket.port;
  }

  /** The size of the kernel's receive buffer in bytes. */
  get receiveBuffer(): number {
    return this.#socket.receiveBuffer;
  }

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    if (this.#socket.send(bytes, offset, length, remote.port, remote.address)) this.sendFailures++;
  }

  close(): Promise<void> {
    this.onDatagram = undefined;
    return this.#socket.close();
  }
}

/** The first address of a host name. Rejects with `PORTICO_LISTEN`. */
async function addressOf(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new PorticoError(ErrorKinds.Listen, `cannot bind UDP ${host}: ${cause}`, { cause });
  }
}
