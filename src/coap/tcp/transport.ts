/** CoAP over TCP and TLS (RFC 8323) below the endpoint for datagrams: one remote endpoint for each connection. */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { ErrorKinds, PorticoError } from '../../errors.js';
import type { DatagramAddress, DatagramTransport } from '../transport.js';
import { Connection, type ConnectionHost } from './connection.js';

/** Where and how a TCP transport listens. */
export interface TcpOptions {
  readonly address: string;
  /** 0 to 65535; 0 chooses one. */
  readonly port: number;
  /** `coaps+tcp` with these certificates; `coap+tcp` without. */
  readonly tls?: TlsOptions;
  /** Connections at a time. Default 10,000. */
  readonly connections?: number;
  /** Milliseconds until a client must have said what it can. Default 10,000. */
  readonly openTimeout?: number;
  /** Bytes of the largest message; its peers must not send more than 1152 of their own (RFC 8323 5.3.1). Default 65,536. */
  readonly frameBytes?: number;
  /** Bytes that may wait for a client that does not read. Default 256 KiB. */
  readonly outputBytes?: number;
}

export class TcpTransport implements DatagramTransport, ConnectionHost {
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  /** Told of a connection that is refused or ended. */
  onEvent: ((event: 'limit' | 'aborted', address: string, detail: string) => void) | undefined;
  readonly frameBytes: number;
  readonly outputBytes: number;
  /** Connections that were refused for their number, and ended for a fault of the client. */
  refusedConnections = 0;
  abortedConnections = 0;
  /** Notifications that were dropped because the client did not read. */
  droppedMessages = 0;
  readonly #server: Server;
  readonly #most: number;
  readonly #openTimeout: number;
  readonly #connections = new Map<string, Connection>();
  readonly #sockets = new Set<Socket>();
  #last = 0;

  private constructor(options: TcpOptions) {
    this.#most = options.connections ?? 10_000;
    this.#openTimeout = options.openTimeout ?? 10_000;
    this.frameBytes = options.frameBytes ?? 65_536;
    this.outputBytes = options.outputBytes ?? 256 * 1024;
    this.#server =
      options.tls === undefined
        ? createServer((socket) => this.#accept(socket))
        : createTlsServer({ ALPNProtocols: ['coap'], ...options.tls }, (socket) => this.#accept(socket));
    // A handshake that fails is the client's own loss.
    this.#server.on('tlsClientError', (error: Error, socket: Socket) => {
      this.abortedConnections++;
      this.onEvent?.('aborted', `${socket.remoteAddress}:${socket.remotePort}`, error.message);
    });
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** @throws PorticoError if nobody can listen there */
  static async bind(options: TcpOptions): Promise<TcpTransport> {
    const transport = new TcpTransport(options);
    await transport.#listen(options.address, options.port);
    return transport;
  }

  #listen(address: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        const message = `cannot listen for CoAP over TCP on ${address}:${port}: ${error.message}`;
        reject(new PorticoError(ErrorKinds.Listen, message, { cause: error }));
      };
      this.#server.once('error', failed);
      this.#server.listen({ host: address, port }, () => {
        this.#server.off('error', failed);
        this.#server.on('error', () => {});
        resolve();
      });
    });
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Number of connections. */
  get size(): number {
    return this.#connections.size;
  }

  #accept(socket: Socket): void {
    const { remoteAddress: address, remotePort: port } = socket;
    if (address === undefined || port === undefined || this.#connections.size >= this.#most) {
      this.refusedConnections++;
      this.onEvent?.('limit', `${address}:${port}`, 'connections');
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const key = `tcp-${++this.#last}`;
    const family = socket.remoteFamily === 'IPv6' ? 'IPv6' : 'IPv4';
    const connection = new Connection(socket, { address, port, family, key, reliable: true }, this);
    this.#connections.set(key, connection);
    const timer = setTimeout(() => {
      if (!connection.open) connection.abort('no Capabilities and Settings Message');
    }, this.#openTimeout);
    timer.unref();
    socket.on('close', () => clearTimeout(timer));
  }

  deliver(datagram: Buffer, source: DatagramAddress): void {
    this.onDatagram?.(datagram, source);
  }

  dropped(): void {
    this.droppedMessages++;
  }

  aborted(source: DatagramAddress, reason: string): void {
    this.abortedConnections++;
    this.onEvent?.('aborted', `${source.address}:${source.port}`, reason);
  }

  closed(connection: Connection): void {
    const { address } = connection;
    this.#connections.delete(address.key as string);
    this.onGone?.(address);
  }

  /** Set by the endpoint: told of a remote endpoint that will never send or take anything again. */
  onGone: ((remote: DatagramAddress) => void) | undefined;

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    this.#connections.get(remote.key ?? '')?.send(bytes, offset, length);
  }

  /** Releases all connections. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections.values()) connection.release();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, CLOSE_GRACE);
    await closed;
    clearTimeout(timer);
  }
}

/** Milliseconds that clients have to take what was sent to them at the end. */
const CLOSE_GRACE = 1000;
