/** MQTT over WebSocket over TLS: a listener of TLS, with one of WebSockets behind it that has no address of its own. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Entry } from '../session/gate.js';
import type { Shown } from '../session/shown.js';
import type { Transport } from '../session/transport.js';
import type { Listener } from './listener.js';
import { TlsListener, type TlsListenerOptions } from './tls.js';
import { WebSocketListener, type WebSocketOptions } from './websocket.js';

/** What the two of them need. */
export interface SecureWebSocketOptions {
  readonly tls: Omit<TlsListenerOptions, 'type' | 'accept'>;
  readonly webSocket: Omit<WebSocketOptions, 'transport' | 'trusted' | 'enter' | 'leave' | 'accept'>;
  /** Takes a WebSocket. */
  accept(transport: Transport, request: IncomingMessage, entry: Entry | null, shown: Shown): void;
}

const NOTHING: Shown = { username: null };
const NOBODY = { id: '', username: null, transport: 'wss', version: 0 } as const;

export class SecureWebSocketListener implements Listener {
  readonly type = 'wss';
  readonly #tls: TlsListener;
  readonly #http: WebSocketListener;

  /** @param port 0 for any free one */
  constructor(host: string, port: number, { tls, webSocket, accept }: SecureWebSocketOptions) {
    const guests = new WeakMap<Socket, { readonly entry: Entry; readonly shown: Shown }>();
    const arrived = new WeakSet<Socket>();
    this.#http = new WebSocketListener(host, port, {
      ...webSocket,
      // What a reload may change.
      get path() {
        return webSocket.path;
      },
      get origins() {
        return webSocket.origins ?? null;
      },
      get maxConnectSize() {
        return webSocket.maxConnectSize;
      },
      get connectTimeout() {
        return webSocket.connectTimeout;
      },
      transport: 'wss',
      get trusted() {
        return tls.trusted ?? null;
      },
      enter: (remote, socket) => {
        // It has its place from before its handshake, until its proxy says whose connection it is.
        if (arrived.has(socket)) return tls.enter({ ...NOBODY, remote });
        arrived.add(socket);
        return guests.get(socket)?.entry ?? null;
      },
      leave: (entry) => tls.leave(entry),
      accept: (transport, request, entry) =>
        accept(transport, request, entry, guests.get(request.socket)?.shown ?? NOTHING),
    });
    this.#tls = new TlsListener(host, port, {
      ...tls,
      get trusted() {
        return tls.trusted ?? null;
      },
      type: 'wss',
      accept: (socket, entry, shown) => {
        guests.set(socket, { entry, shown });
        this.#http.serve(socket);
      },
    });
  }

  get address(): string {
    return this.#tls.address;
  }

  listen(): Promise<void> {
    return this.#tls.listen();
  }

  async close(): Promise<void> {
    const closed = this.#tls.close();
    await this.#http.close();
    await closed;
  }
}
