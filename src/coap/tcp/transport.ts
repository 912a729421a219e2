/** CoAP over TCP and TLS (RFC 8323) below the endpoint for datagrams: one remote endpoint for each connection. */
import { createServer, type DropArgument, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket, type Server as TlsServer } from 'node:tls';
import { ErrorKinds, PorticoError } from '../../errors.js';
import { type Clock, SYSTEM_CLOCK } from '../timers.js';
import type { DatagramAddress, DatagramTransport } from '../transport.js';
import { type AbortCause, Connection, type ConnectionHost } from './connection.js';
import { TcpCounters } from './counters.js';
import type { TcpDoor, TcpEntrance } from './entrance.js';
import { DEFAULT_TCP_LIMITS, type TcpLimits } from './limits.js';
import { abort, csm } from './signaling.js';
import { sessionOf, type TlsCertificates, type TlsSession, tlsOptions } from './tls-session.js';

/** Where and how a TCP transport listens. */
export interface TcpOptions {
  readonly address: string;
  /** 0 to 65535; 0 chooses one. */
  readonly port: number;
  /** `coaps+tcp` with these certificates; `coap+tcp` without. */
  readonly tls?: TlsCertificates;
  readonly limits?: Partial<TcpLimits>;
  /** Who counts its connections together with others; nobody if it is left out. */
  readonly door?: TcpDoor;
  readonly clock?: Clock;
  readonly onEvent?: (name: TcpEvent, remote: TcpPeer, detail: string) => void;
}

/**
 * What an operator may want to see: a limit that was reached (the detail is its name), a connection that was ended for a fault of
 * its client, a TLS handshake that failed (the detail says why). A remote can cause any number.
 */
export type TcpEvent = 'limit' | 'aborted' | 'handshake-failed';

/** Where a connection comes from; without an address it is gone already. */
export type TcpPeer = Pick<DatagramAddress, 'address' | 'port' | 'family'>;

export class TcpTransport implements DatagramTransport, ConnectionHost {
  onDatagram: ((bytes: Buffer, source: DatagramAddress) => void) | undefined;
  readonly counters = new TcpCounters();
  readonly limits: { -readonly [Name in keyof TcpLimits]: number };
  readonly #onEvent: TcpOptions['onEvent'];
  #tls: TlsCertificates | undefined;
  readonly #server: Server;
  /** Does the handshakes of TLS; it listens nowhere itself. */
  #handshaker: TlsServer | undefined;
  readonly #door: TcpDoor | undefined;
  readonly #clock: Clock;
  readonly #connections = new Map<string, Connection>();
  readonly #sockets = new Set<Socket>();
  /** Connections whose handshake is under way, by where they come from. */
  readonly #shaking = new Map<string, TcpEntrance | undefined>();
  #last = 0;
  /** Bytes that connections keep of messages that have not come in full. */
  #unfinished = 0;
  #closing = false;
  /** Looks after silent connections, while there are any. */
  #timer: unknown = null;

  private constructor(options: TcpOptions) {
    this.limits = { ...DEFAULT_TCP_LIMITS, ...options.limits };
    this.#onEvent = options.onEvent;
    this.#tls = options.tls;
    this.#door = options.door;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    // Nothing is read of a connection before the door has let it in.
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#arrive(socket));
    // Before the handshake of TLS: it costs more than anything that follows.
    this.#server.maxConnections = this.limits.connections;
    this.#server.on('drop', (dropped) => this.#refused(dropped));
    if (options.tls !== undefined) this.#handshaker = this.#handshakerOf(options.tls);
  }

  #handshakerOf(tls: TlsCertificates): TlsServer {
    const handshakeTimeout = this.limits.openTime;
    const handshaker = createTlsServer({ ...tlsOptions(tls), handshakeTimeout }, (socket) => {
      const place = placeOf(peerOf(socket));
      const entrance = this.#shaking.get(place);
      this.#shaking.delete(place);
      this.#accept(socket, entrance, tls);
    });
    handshaker.on('tlsClientError', (error: TlsError, socket: TLSSocket) => {
      this.#handshakeFailed(error, socket);
    });
    return handshaker;
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

  get address(): string {
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null ? bound.address : '';
  }

  get port(): number {
    const bound = this.#server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : 0;
  }

  /** Number of connections. */
  get size(): number {
    return this.#connections.size;
  }

  #refused(dropped: DropArgument | undefined): void {
    this.counters.refusedConnections++;
    this.#onEvent?.('limit', peerOf(dropped ?? {}), 'connections');
  }

  #arrive(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const peer = peerOf(socket);
    // It was gone before anyone could ask where it came from.
    if (peer.port === 0) {
      socket.destroy();
      if (this.#tls !== undefined) this.#brokenOff(peer);
      return;
    }
    const entrance = this.#door?.(peer);
    if (entrance === null) {
      socket.destroy();
      return;
    }
    const begin = (): void => {
      if (this.#tls === undefined) this.#accept(socket.resume(), entrance);
      else this.#shake(socket, peer, entrance);
    };
    if (entrance === undefined) {
      begin();
      return;
    }
    const patience = setTimeout(() => {
      this.#late(peer);
      socket.destroy();
    }, this.limits.openTime).unref();
    socket.on('close', () => {
      clearTimeout(patience);
      entrance.leave();
    });
    entrance.whenLetIn(() => {
      clearTimeout(patience);
      begin();
    });
  }

  /** A handshake begins. When it fails for the end of the connection, only the socket below TLS knows whose it was. */
  #shake(socket: Socket, peer: TcpPeer, entrance: TcpEntrance | undefined): void {
    const place = placeOf(peer);
    this.#shaking.set(place, entrance);
    socket.on('close', () => {
      if (this.#shaking.delete(place) && !this.#closing) this.#brokenOff(peer);
    });
    this.#handshaker?.emit('connection', socket);
  }

  #brokenOff(peer: TcpPeer): void {
    this.counters.handshakesFailed++;
    this.#onEvent?.('handshake-failed', peer, 'the client closed the connection');
  }

  /** A connection that does not open. */
  #late(peer: TcpPeer): void {
    this.counters.openTimeouts++;
    this.#onEvent?.('limit', peer, 'openTime');
  }

  /** A handshake that fails is the client's own loss. */
  #handshakeFailed(error: TlsError, socket: TLSSocket): void {
    const peer = peerOf(socket);
    // Node.js leaves a connection open whose handshake has taken too long.
    socket.destroy();
    if (!this.#shaking.delete(placeOf(peer))) return;
    if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') {
      this.#late(peer);
      return;
    }
    this.counters.handshakesFailed++;
    this.#onEvent?.('handshake-failed', peer, error.reason ?? error.message);
  }

  /** @param tls what the handshake began with */
  #accept(socket: Socket, entrance: TcpEntrance | undefined, tls?: TlsCertificates): void {
    const peer = peerOf(socket);
    if (peer.port === 0) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    let session: TlsSession | undefined;
    if (tls !== undefined && socket instanceof TLSSocket) {
      const shown = sessionOf(socket, tls);
      if (typeof shown === 'string') {
        this.#refuse(socket, peer, shown);
        return;
      }
      session = shown;
    }
    this.counters.connectionsAccepted++;
    const key = `tcp-${++this.#last}`;
    const source = { ...peer, key, reliable: true, ...(session === undefined ? null : { session }) };
    const connection = new Connection(socket, source, this, entrance);
    this.#connections.set(key, connection);
    this.#timer ??= this.#clock.setTimer(() => this.#check(), CHECK_INTERVAL);
    const timer = setTimeout(() => {
      if (!connection.open) connection.abort('no Capabilities and Settings Message', -1, 'openTime');
    }, this.limits.openTime);
    timer.unref();
    socket.on('close', () => clearTimeout(timer));
  }

  /** Its certificate is not good, or it has none. TLS 1.3 has no alert for what the server finds after the handshake. */
  #refuse(socket: TLSSocket, peer: TcpPeer, reason: string): void {
    this.counters.handshakesFailed++;
    this.#onEvent?.('handshake-failed', peer, reason);
    socket.on('error', () => {});
    socket.end(Buffer.concat([csm(), abort(reason)]));
    socket.destroySoon();
  }

  now(): number {
    return this.#clock.now();
  }

  #check(): void {
    const now = this.#clock.now();
    for (const connection of this.#connections.values()) connection.check(now);
    this.#timer = this.#connections.size === 0 ? null : this.#clock.setTimer(() => this.#check(), CHECK_INTERVAL);
  }

  deliver(datagram: Buffer, source: DatagramAddress): void {
    this.onDatagram?.(datagram, source);
  }

  holds(more: number): void {
    this.#unfinished += more;
    while (more > 0 && this.#unfinished > this.limits.unfinishedBytes) {
      let most: Connection | undefined;
      for (const one of this.#connections.values()) if (one.unfinished > (most?.unfinished ?? 0)) most = one;
      if (most === undefined) return;
      most.abort('unfinished messages take too much', -1, 'unfinishedBytes');
    }
  }

  dropped(source: DatagramAddress): void {
    this.counters.droppedMessages++;
    this.#onEvent?.('limit', source, 'outputBytes');
  }

  aborted(source: DatagramAddress, cause: AbortCause, reason: string): void {
    if (cause === 'fault') {
      this.counters.abortedConnections++;
      this.#onEvent?.('aborted', source, reason);
      return;
    }
    // Whoever has no room for it has counted that.
    if (cause === 'no room') return;
    if (cause === 'openTime') this.counters.openTimeouts++;
    else if (cause === 'idleTime') this.counters.idleTimeouts++;
    else if (cause === 'unfinishedBytes') this.counters.unfinishedEvictions++;
    else this.counters.messagesTooLarge++;
    this.#onEvent?.('limit', source, cause);
  }

  closed(connection: Connection): void {
    const { address } = connection;
    this.counters.connectionsClosed++;
    this.#connections.delete(address.key as string);
    this.onGone?.(address, 'its TCP connection was closed');
  }

  /** Set by the endpoint: told of a remote endpoint that will never send or take anything again. */
  onGone: ((remote: DatagramAddress, reason: string) => void) | undefined;

  send(bytes: Buffer, offset: number, length: number, remote: DatagramAddress): void {
    this.#connections.get(remote.key ?? '')?.send(bytes, offset, length);
  }

  /** Puts other certificates in the place of those there are, for connections that come from now on. */
  replaceCertificates(tls: TlsCertificates): void {
    if (this.#tls === undefined || this.#handshaker === undefined) return;
    this.#tls = tls;
    this.#handshaker = this.#handshakerOf(tls);
  }

  /** Puts other limits in the place of those there are. Connections that are too many stay; those that open have their time. */
  replaceLimits(limits: Partial<TcpLimits>): void {
    Object.assign(this.limits, { ...DEFAULT_TCP_LIMITS, ...limits });
    this.#server.maxConnections = this.limits.connections;
    if (this.#tls !== undefined) this.#handshaker = this.#handshakerOf(this.#tls);
  }

  /** Releases the connections that `which` names. */
  endConnections(which: (session: TlsSession) => boolean): void {
    for (const connection of [...this.#connections.values()]) {
      const { session } = connection.address;
      if (session !== undefined && 'proof' in session && which(session as TlsSession)) connection.release();
    }
  }

  /** Releases all connections. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#timer !== null) this.#clock.clearTimer(this.#timer);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections.values()) connection.release();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, CLOSE_GRACE);
    await closed;
    clearTimeout(timer);
  }
}

/** Milliseconds between two looks at who is silent. */
const CHECK_INTERVAL = 1000;
/** Milliseconds that clients have to take what was sent to them at the end. */
const CLOSE_GRACE = 1000;

/** What a socket knows of its other side. */
type Whence = { readonly [Name in 'remoteAddress' | 'remotePort' | 'remoteFamily']?: DropArgument[Name] | undefined };

const MAPPED = '::ffff:';

/** Port 0 if it is gone. An IPv4 address that is mapped to IPv6 is what it is. */
function peerOf({ remoteAddress: address = '', remotePort: port = 0, remoteFamily }: Whence): TcpPeer {
  if (address.startsWith(MAPPED)) return { address: address.slice(MAPPED.length), port, family: 'IPv4' };
  return { address, port, family: remoteFamily === 'IPv6' ? 'IPv6' : 'IPv4' };
}

function placeOf({ address, port }: TcpPeer): string {
  return `${address} ${port}`;
}

/** OpenSSL says its reason in words, without the place in its sources. */
interface TlsError extends NodeJS.ErrnoException {
  readonly reason?: string;
}
