/** MQTT over WebSocket: MQTT 6. */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import { createServer as createTcpServer, Socket, type Server as TcpServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import type { Entry } from '../session/gate.js';
import type { ListenerTerms } from '../session/listener-terms.js';
import { remoteOf, setRemote } from '../session/remote.js';
import { type Transport, type TransportHandler, writingOf } from '../session/transport.js';
import type { Output } from '../wire/output.js';
import type { Listener } from './listener.js';
import { type Origins, shown } from './origins.js';
import { behind, type ProxyDoor } from './proxy-door.js';
import { addressOf, listen } from './tcp.js';
import type { TrustedProxies } from './trusted-proxies.js';

/** Sub-protocols that clients ask for [MQTT-6.0.0-3]; `mqttv3.1` is what MQTT 3.1 clients say. */
const PROTOCOLS = ['mqtt', 'mqttv3.1'];
/** RFC 6455 7.4.1: a type of data that cannot be accepted. */
const UNSUPPORTED_DATA = 1003;
/** What `ws` says of a frame beyond `maxPayload`. */
const TOO_LARGE = 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH';
/** Fragments of a message. Each takes up a hundred times its smallest size. */
const MOST_FRAGMENTS = 1024;
/** Answers to pings that a client may leave untaken. */
const MOST_PONGS = 1000;
const CLOSE_GRACE = 2000;
const BINARY = { binary: true, compress: false, fin: true } as const;

/**
 * Why a connection was closed: too slow, broken, a frame too large, or too large before the client was accepted, a page
 * that may not connect.
 */
export type Refusal = 'timeout' | 'protocol' | 'size' | 'connect size' | 'origin';

/** A connection that is no WebSocket yet. */
interface Upgrading {
  readonly timer: NodeJS.Timeout;
  entry: Entry;
}

/** What a listener of WebSockets needs besides its address. */
export interface WebSocketOptions {
  /** The only path served; null for any. */
  readonly path: string | null;
  /** For the log. */
  readonly transport?: 'websocket' | 'wss';
  /** Pages whose scripts may connect; absent for all of them. What is no browser says none, and is taken. */
  readonly origins?: Origins | null;
  /** Proxies whose X-Forwarded-For counts. */
  readonly trusted?: TrustedProxies | null;
  /** Where the PROXY header of each connection is read. */
  readonly door?: ProxyDoor | null;
  /** Whether `::` is IPv6 alone. */
  readonly ipv6Only?: boolean;
  /** What the listener asks of its clients, and gives them. */
  readonly terms?: ListenerTerms;
  /** Bytes of the largest frame until the client is accepted (`mqtt.max_connect_size`). */
  readonly maxConnectSize: number;
  /** Seconds that a connection has to become a WebSocket (`mqtt.connect_timeout`). */
  readonly connectTimeout: number;
  /** Gives a new connection its place at the gate; null if it has to be closed at once. */
  enter(remote: string, socket: Socket): Entry | null;
  /** A connection has ended before it became a WebSocket. */
  leave(entry: Entry): void;
  /** Takes a WebSocket. */
  accept(transport: Transport, request: IncomingMessage, entry: Entry | null): void;
  /** A connection was closed before it carried MQTT, or for what is no MQTT. */
  refused(cause: Refusal, remote: string, reason: string): void;
}

export class WebSocketListener implements Listener {
  readonly type = 'websocket';
  readonly #http: Server;
  readonly #server: WebSocketServer;
  /** What listens: the server of HTTP, or one that hands it connections. */
  readonly #front: TcpServer;
  readonly #door: ProxyDoor | null;
  readonly #host: string;
  readonly #port: number;
  readonly #ipv6Only: boolean;
  /** Connections that are no WebSockets yet. */
  readonly #upgrading = new Map<Duplex, Upgrading>();

  constructor(host: string, port: number, options: WebSocketOptions) {
    const { door = null, terms } = options;
    const { transport: name = 'websocket' } = options;
    this.#host = host;
    this.#port = port;
    this.#ipv6Only = options.ipv6Only ?? false;
    this.#http = createServer((_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket', connection: 'close, upgrade' });
      response.end(`${STATUS_CODES[426]}: this port speaks MQTT over WebSocket.\n`);
    });
    // One answer tells all that there is: nobody can ask for a thousand at once.
    this.#http.maxRequestsPerSocket = 1;
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload: options.maxConnectSize,
      perMessageDeflate: false,
      maxFragments: MOST_FRAGMENTS,
      autoPong: false,
      handleProtocols: (offered) => PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
    });
    this.#door = door;
    this.#front =
      door === null
        ? this.#http
        : createTcpServer(
            { noDelay: true },
            behind(door, (socket) => this.#http.emit('connection', socket)),
          );
    const upgrading = this.#upgrading;
    const settle = (socket: Duplex): Entry | null => {
      const { timer, entry = null } = upgrading.get(socket) ?? {};
      clearTimeout(timer);
      upgrading.delete(socket);
      return entry;
    };
    const leave = (socket: Socket): void => {
      const left = settle(socket);
      if (left !== null) options.leave(left);
    };
    this.#http.on('connection', (socket: Socket) => {
      const remote = remoteOf(socket);
      // A proxy does not count as one client: whose connection it is comes with the request.
      const entry = options.enter(options.trusted?.sent(socket) ? `proxy ${remote}` : remote, socket);
      if (entry === null) {
        socket.destroy();
        return;
      }
      const timer = setTimeout(() => {
        options.refused('timeout', remoteOf(socket), 'no WebSocket within mqtt.connect_timeout');
        leave(socket);
        socket.destroy();
      }, options.connectTimeout * 1000);
      upgrading.set(socket, { timer, entry });
      socket.once('close', () => leave(socket));
    });
    this.#http.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      const { path, origins = null, trusted = null } = options;
      if (trusted?.sent(socket)) {
        const client = trusted.clientOf(request);
        if (client !== null) setRemote(socket, client);
        if (!this.#reenter(socket, options)) return;
      }
      const remote = remoteOf(socket);
      if (path !== null && request.url?.split('?')[0] !== path) {
        options.refused('protocol', remote, 'a WebSocket for another path than that of the listener');
        return refuse(socket, 404);
      }
      if (origins !== null && !origins.allow(request)) {
        options.refused('origin', remote, `the origin ${shown(request.headers.origin)} is not one of origins`);
        return refuse(socket, 403);
      }
      if (!offersMqtt(request)) {
        options.refused('protocol', remote, 'a WebSocket that offers no sub-protocol of MQTT');
        return refuse(socket, 400);
      }
      // It may have changed since the listener was made.
      this.#server.options.maxPayload = options.maxConnectSize;
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        const broken = (cause: Refusal, reason: string): void => options.refused(cause, remote, reason);
        options.accept(
          new WebSocketTransport(webSocket, socket, { name, remote, terms, broken }),
          request,
          settle(socket),
        );
      });
    });
    this.#server.on('wsClientError', (error: Error, socket: Duplex) => {
      options.refused('protocol', remoteOf(socket), error.message);
      refuse(socket, 400);
    });
    this.#http.on('clientError', (error: Error, socket: Duplex) => {
      if (socket instanceof Socket && !socket.destroyed) options.refused('protocol', remoteOf(socket), error.message);
      socket.destroy();
    });
  }

  get address(): string {
    return addressOf(this.#front);
  }

  listen(): Promise<void> {
    return listen(this.#front, this.#host, this.#port, 'WebSocket', this.#ipv6Only);
  }

  /** Takes a connection that has come another way, as over TLS. */
  serve(socket: Socket): void {
    this.#http.emit('connection', socket);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#front.listening) this.#front.close(() => resolve());
      else resolve();
      this.#door?.close();
      for (const socket of [...this.#upgrading.keys()]) socket.destroy();
      this.#http.closeAllConnections();
    });
  }

  /** A proxy has said whose connection it is: it counts for that client from here on. False if there is no room for it. */
  #reenter(socket: Socket, options: WebSocketOptions): boolean {
    const upgrading = this.#upgrading.get(socket);
    if (upgrading === undefined) return false;
    options.leave(upgrading.entry);
    const entry = options.enter(remoteOf(socket), socket);
    if (entry === null) {
      refuse(socket, 503);
      return false;
    }
    upgrading.entry = entry;
    return true;
  }
}

/** A client must offer a sub-protocol of MQTT [MQTT-6.0.0-3]; one that offers none at all is taken as it is. */
function offersMqtt(request: IncomingMessage): boolean {
  const offered = request.headers['sec-websocket-protocol'];
  return offered === undefined || offered.split(',').some((protocol) => PROTOCOLS.includes(protocol.trim()));
}

function refuse(socket: Duplex, status: number): void {
  // Nobody waits for a client that does not close its side.
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Where a WebSocket comes from. */
interface Origin {
  /** For the log. */
  readonly name: string;
  readonly remote: string;
  readonly terms: ListenerTerms | undefined;
  /** Told what is no MQTT. */
  broken(cause: Refusal, reason: string): void;
}

class WebSocketTransport implements Transport {
  readonly name: string;
  readonly terms: ListenerTerms | undefined;
  readonly stream = null;
  readonly remote: string;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  handler: TransportHandler | null = null;
  #closed = false;
  #ending: NodeJS.Timeout | null = null;
  /** Answers to pings that the system has not taken yet. */
  #pongs = 0;
  /** A text frame has come: nothing after it is taken. */
  #refused = false;

  constructor(webSocket: WebSocket, socket: Socket, { name, remote, terms, broken }: Origin) {
    this.name = name;
    this.terms = terms;
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.remote = remote;
    webSocket.binaryType = 'nodebuffer';
    webSocket.on('message', (data: RawData, isBinary: boolean) => {
      if (this.#refused) return;
      // MQTT packets travel in binary frames only [MQTT-6.0.0-1].
      if (!isBinary) {
        this.#refused = true;
        broken('protocol', 'a text frame');
        webSocket.close(UNSUPPORTED_DATA, 'MQTT needs binary frames');
      } else if (Buffer.isBuffer(data)) this.handler?.onData(data);
    });
    webSocket.on('ping', (data: Buffer) => {
      if (this.#refused || webSocket.readyState !== WebSocket.OPEN) return;
      if (this.#pongs < MOST_PONGS) {
        this.#pongs++;
        webSocket.pong(data, false, () => this.#pongs--);
        return;
      }
      this.#refused = true;
      broken('protocol', 'pings whose answers are not taken');
      webSocket.terminate();
    });
    webSocket.on('error', (error: Error) => {
      // One connection is refused once.
      const code = !this.#refused && 'code' in error ? String(error.code) : '';
      if (code === TOO_LARGE && this.#accepted) broken('size', 'a frame larger than mqtt.max_packet_size');
      else if (code === TOO_LARGE) broken('connect size', 'a frame larger than mqtt.max_connect_size');
      else if (code.startsWith('WS_ERR')) broken('protocol', error.message);
      this.#close(error);
    });
    webSocket.on('close', () => this.#close(null));
  }

  #accepted = false;

  accept(maximumPacketSize: number): void {
    this.#accepted = true;
    // `ws` has no way of its own to take larger messages later on.
    const { _receiver: receiver } = this.#webSocket as unknown as { _receiver?: { _maxPayload: number } };
    if (receiver !== undefined) receiver._maxPayload = maximumPacketSize;
  }

  /** Bytes were pending: their last `written` tells the connection that the client reads. */
  #pending = false;

  readonly #written = (): void => {
    if (!this.#pending || this.#webSocket.bufferedAmount > 0) return;
    this.#pending = false;
    this.handler?.onDrain();
  };

  #close(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#ending !== null) clearTimeout(this.#ending);
    this.handler?.onClose(error);
    this.#webSocket.terminate();
  }

  get pending(): number {
    return this.#webSocket.bufferedAmount;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  get writing(): number {
    return writingOf(this.#socket);
  }

  write(output: Output): void {
    if (this.#webSocket.readyState === WebSocket.OPEN) {
      this.#webSocket.send(output.bytes(), BINARY, this.#written);
      if (this.#webSocket.bufferedAmount > 0) this.#pending = true;
    }
    // Nobody tells when `ws` is done with the buffer.
    output.release();
  }

  pause(): void {
    this.#webSocket.pause();
  }

  resume(): void {
    this.#webSocket.resume();
  }

  end(): void {
    if (this.#closed || this.#ending !== null) return;
    this.#webSocket.close(1000);
    this.#ending = setTimeout(() => this.#webSocket.terminate(), CLOSE_GRACE);
    this.#ending.unref();
  }

  destroy(): void {
    this.#webSocket.terminate();
  }
}
