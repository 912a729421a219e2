/** MQTT over TCP. */
import { createServer, type Server, type Socket } from 'node:net';
import { ErrorKinds, mayNot, PorticoError } from '../errors.js';
import { placeOf, takeEarly } from './early.js';
import type { Listener } from './listener.js';
import { behind, type ProxyDoor } from './proxy-door.js';

/** Connections that the kernel keeps until we accept them: a reconnect storm should find room. */
const BACKLOG = 4096;

/** What a listener of TCP has besides its address. */
export interface BindOptions {
  /** Where the PROXY header of each connection is read. */
  readonly door?: ProxyDoor | null;
  /** Whether `::` is IPv6 alone. */
  readonly ipv6Only?: boolean;
}

export class TcpListener implements Listener {
  readonly type = 'mqtt';
  readonly #server: Server;
  readonly #host: string;
  readonly #port: number;

  readonly #door: ProxyDoor | null;
  readonly #ipv6Only: boolean;

  /** @param port 0 for any free one */
  constructor(host: string, port: number, accept: (socket: Socket) => void, options: BindOptions = {}) {
    const { door = null, ipv6Only = false } = options;
    this.#host = host;
    this.#port = port;
    this.#door = door;
    this.#ipv6Only = ipv6Only;
    this.#server = createServer({ noDelay: true, allowHalfOpen: false }, behind(door, accept));
  }

  get address(): string {
    return addressOf(this.#server);
  }

  listen(): Promise<void> {
    return listen(this.#server, this.#host, this.#port, 'MQTT', this.#ipv6Only);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#server.listening) this.#server.close(() => resolve());
      else resolve();
      this.#door?.close();
    });
  }
}

/** Makes a server listen, or says in words why it cannot. */
export function listen(server: Server, host: string, port: number, what: string, ipv6Only = false): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const message = `cannot listen for ${what} on ${host}:${port}: ${words(error)}`;
      reject(new PorticoError(ErrorKinds.Listen, message, { cause: error }));
    };
    server.once('error', failed);
    const listening = (): void => {
      server.off('error', failed);
      // A failing accept (too many open files) must not end the process; the connection is lost, not the listener.
      server.on('error', () => {});
      resolve();
    };
    const early = takeEarly(placeOf(host, port));
    if (early === undefined) server.listen({ host, port, ipv6Only, backlog: BACKLOG }, listening);
    else server.listen(early, BACKLOG, listening);
  });
}

/** `address:port` of a server. */
export function addressOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return String(address);
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

function words(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'another program uses this port';
    case 'EACCES':
      return `${mayNot()} open this port`;
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'no resolver knows this name';
    default:
      return error.message;
  }
}
