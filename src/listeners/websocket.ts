/** MQTT over WebSocket: MQTT 6. */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import type { Transport, TransportHandler } from '../session/transport.js';
import type { Listener } from './listener.js';
import { addressOf, listen } from './tcp.js';

/** Sub-protocols that clients ask for [MQTT-6.0.0-3]; `mqttv3.1` is what MQTT 3.1 clients say. */
const PROTOCOLS = ['mqtt', 'mqttv3.1'];
/** RFC 6455 7.4.1: a type of data that cannot be accepted. */
const UNSUPPORTED_DATA = 1003;
const CLOSE_GRACE = 2000;

export class WebSocketListener implements Listener {
  readonly type = 'websocket';
  readonly #http: Server;
  readonly #server: WebSocketServer;
  readonly #host: string;
  readonly #port: number;

  /**
   * @param path the only path served; null for any
   * @param maxPayload bytes of the largest frame
   */
  constructor(
    host: string,
    port: number,
    path: string | null,
    maxPayload: number,
    accept: (transport: Transport, request: IncomingMessage) => void,
  ) {
    this.#host = host;
    this.#port = port;
    this.#http = createServer((_request, response) => {
      response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' });
      response.end(`${STATUS_CODES[426]}: this port speaks MQTT over WebSocket.\n`);
    });
    this.#http.headersTimeout = 10_000;
    this.#server = new WebSocketServer({
      noServer: true,
      maxPayload,
      perMessageDeflate: false,
      handleProtocols: (offered) => PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
    });
    this.#http.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      if (path !== null && request.url?.split('?')[0] !== path) return refuse(socket, 404);
      if (!offersMqtt(request)) return refuse(socket, 400);
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        accept(new WebSocketTransport(webSocket, request), request);
      });
    });
    this.#http.on('clientError', (_error, socket) => socket.destroy());
  }

  get address(): string {
    return addressOf(this.#http);
  }

  listen(): Promise<void> {
    return listen(this.#http, this.#host, this.#port, 'WebSocket');
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#http.listening) return resolve();
      this.#http.close(() => resolve());
      this.#http.closeAllConnections();
    });
  }
}

/** A client must offer a sub-protocol of MQTT [MQTT-6.0.0-3]; one that offers none at all is taken as it is. */
function offersMqtt(request: IncomingMessage): boolean {
  const offered = request.headers['sec-websocket-protocol'];
  return offered === undefined || offered.split(',').some((protocol) => PROTOCOLS.includes(protocol.trim()));
}

function refuse(socket: Socket, status: number): void {
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

class WebSocketTransport implements Transport {
  readonly name = 'websocket';
  readonly stream = null;
  readonly remote: string;
  readonly #webSocket: WebSocket;
  handler: TransportHandler | null = null;
  #closed = false;

  constructor(webSocket: WebSocket, request: IncomingMessage) {
    this.#webSocket = webSocket;
    const { remoteAddress = 'unknown', remotePort } = request.socket;
    const address = remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress;
    this.remote = address.includes(':') ? `[${address}]:${remotePort}` : `${address}:${remotePort}`;
    webSocket.binaryType = 'nodebuffer';
    webSocket.on('message', (data: RawData, isBinary: boolean) => {
      // MQTT packets travel in binary frames only [MQTT-6.0.0-1].
      if (!isBinary) webSocket.close(UNSUPPORTED_DATA, 'MQTT needs binary frames');
      else if (Buffer.isBuffer(data)) this.handler?.onData(data);
    });
    webSocket.on('error', (error) => this.#close(error));
    webSocket.on('close', () => this.#close(null));
    request.socket.on('drain', () => this.#drained());
  }

  #drained(): void {
    this.handler?.onDrain();
  }

  #close(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.handler?.onClose(error);
    this.#webSocket.terminate();
  }

  get pending(): number {
    return this.#webSocket.bufferedAmount;
  }

  write(bytes: Buffer): boolean {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return false;
    this.#webSocket.send(bytes, { binary: true, compress: false, fin: true });
    return false;
  }

  pause(): void {
    this.#webSocket.pause();
  }

  resume(): void {
    this.#webSocket.resume();
  }

  end(): void {
    if (this.#closed) return;
    this.#webSocket.close(1000);
    setTimeout(() => this.#webSocket.terminate(), CLOSE_GRACE).unref();
  }

  destroy(): void {
    this.#webSocket.terminate();
  }
}
