/**
 * Pages over HTTP/1.1 for programs that look after the broker. It serves what it is handed and knows nothing of it: each
 * path has a function that makes the page. There is nothing to send here: no bodies, no parameters, one request for each
 * connection, and every connection is short.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { remoteOf } from '../session/remote.js';
import type { Listener } from './listener.js';
import { addressOf, listen } from './tcp.js';
import type { TrustedProxies } from './trusted-proxies.js';

export interface Answer {
  /** Of HTTP. */
  readonly status: number;
  /** Media type. */
  readonly type: string;
  readonly body: string;
}

/** Makes a page. `accept` is that field of the request, empty if there is none. */
export type Page = (accept: string) => Promise<Answer>;

/** What a listener of HTTP needs besides its address. */
export interface HttpOptions {
  /** By path. */
  readonly pages: ReadonlyMap<string, Page>;
  /** Proxies whose X-Forwarded-For counts. */
  readonly trusted?: TrustedProxies | null;
  /** Told of each request. @param path the beginning of it */
  requested(remote: string, path: string): void;
  /** A connection was closed before its request was complete: there are too many, it is too slow, or it speaks no HTTP. */
  refused(remote: string, reason: string): void;
  /** A page could not be made. */
  failed(path: string, error: unknown): void;
}

/** Connections at once; further ones are closed. */
const MOST_CONNECTIONS = 64;
/** Bytes of the header of a request. */
const MOST_HEADER = 8192;
/** Milliseconds that a request has to arrive. */
const PATIENCE = 5000;
/** Milliseconds that a connection may stand still, with an answer that nobody takes. */
const STANDSTILL = 2 * PATIENCE;

/** Characters of a path that the log shows. */
const SHOWN = 100;

export class HttpListener implements Listener {
  readonly type = 'http';
  readonly #server: Server;
  readonly #host: string;
  readonly #port: number;
  readonly #options: HttpOptions;

  /** @param port 0 for any free one */
  constructor(host: string, port: number, options: HttpOptions) {
    this.#host = host;
    this.#port = port;
    this.#options = options;
    this.#server = createServer(
      {
        maxHeaderSize: MOST_HEADER,
        headersTimeout: PATIENCE,
        requestTimeout: PATIENCE,
        connectionsCheckingInterval: 1000,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.timeout = STANDSTILL;
    // What comes behind the first request of a connection is not looked at, so nobody can ask for a thousand at once.
    this.#server.maxRequestsPerSocket = 1;
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.on('drop', (from) => {
      options.refused(`${from?.remoteAddress}:${from?.remotePort}`, `more than ${MOST_CONNECTIONS} connections`);
    });
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => this.#refuse(error, socket));
  }

  get address(): string {
    return addressOf(this.#server);
  }

  listen(): Promise<void> {
    return listen(this.#server, this.#host, this.#port, 'HTTP');
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#server.listening) return resolve();
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { trusted = null } = this.#options;
    const client = trusted?.sent(request.socket) ? trusted.clientOf(request) : null;
    this.#options.requested(client ?? remoteOf(request.socket), (request.url ?? '').slice(0, SHOWN));
    // A client that leaves early is no error of anybody.
    request.on('error', () => {});
    response.on('error', () => {});
    const answer = await this.#make(request);
    response.writeHead(answer.status, {
      'content-type': answer.type,
      'content-length': Buffer.byteLength(answer.body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      connection: 'close',
      ...(answer.status === 405 ? { allow: 'GET, HEAD' } : null),
    });
    // Node leaves the body of an answer to HEAD out.
    response.end(answer.body);
  }

  async #make(request: IncomingMessage): Promise<Answer> {
    const path = request.url?.split('?')[0] ?? '';
    const page = this.#options.pages.get(path);
    if (page === undefined) return failure(404);
    if (request.method !== 'GET' && request.method !== 'HEAD') return failure(405);
    try {
      return await page(request.headers.accept ?? '');
    } catch (error) {
      this.#options.failed(path, error);
      return failure(500);
    }
  }

  /** What came was no request, or not in time. */
  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (error.code === 'ECONNRESET' || socket.destroyed) {
      socket.destroy();
      return;
    }
    this.#options.refused(remoteOf(socket as Socket), error.message);
    const status = STATUSES[error.code ?? ''] ?? 400;
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
    if (socket.writable) socket.end(head, () => socket.destroy());
    else socket.destroy();
  }
}

/** What Node's own server answers. */
const STATUSES: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };

function failure(status: number): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${STATUS_CODES[status]}\n` };
}
