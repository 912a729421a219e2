/** Connections that come through a proxy: each has to begin with a PROXY header, in time, from a proxy that is trusted. */
import type { Socket } from 'node:net';
import type { Entry } from '../session/gate.js';
import { remoteOf, setRemote } from '../session/remote.js';
import { ProxyError, type ProxyHeader, type ProxyVersions, readProxyHeader } from './proxy-protocol.js';
import type { TrustedProxies } from './trusted-proxies.js';

/** Why a connection was closed before it carried anything of its client. */
export type ProxyRefusal = 'untrusted' | 'header' | 'timeout' | 'no TLS';

/** What a door needs. */
export interface ProxyDoorOptions {
  readonly versions: ProxyVersions;
  /** Null if whoever can connect is trusted, as on a Unix socket. */
  readonly trusted: TrustedProxies | null;
  /** Whether the header has to say that the client speaks TLS. */
  readonly requireTls: boolean;
  /** Seconds that the header may take (`mqtt.connect_timeout`). */
  readonly timeout: number;
  /** Gives a new connection its place at the gate; null if it has to be closed at once. */
  enter(remote: string): Entry | null;
  /** The header is there, or the connection has ended before. */
  leave(entry: Entry): void;
  refused(cause: ProxyRefusal, remote: string, reason: string): void;
}

export class ProxyDoor {
  readonly #options: ProxyDoorOptions;
  readonly #waiting = new Set<Socket>();

  constructor(options: ProxyDoorOptions) {
    this.#options = options;
  }

  /** Takes a connection, and hands it on with the address of its client, as if nothing had stood before its own bytes. */
  admit(socket: Socket, accept: (socket: Socket) => void): void {
    const { trusted, timeout, enter, leave } = this.#options;
    const remote = remoteOf(socket);
    socket.on('error', () => socket.destroy());
    if (trusted !== null && !trusted.sent(socket)) {
      this.#options.refused('untrusted', remote, 'a connection that is to come from one of trusted_proxies does not');
      socket.destroy();
      return;
    }
    // The proxy does not count as one client.
    const entry = enter(`proxy ${remote}`);
    if (entry === null) {
      socket.destroy();
      return;
    }
    const refuse = (cause: ProxyRefusal, reason: string): void => {
      settle();
      this.#options.refused(cause, remote, reason);
      socket.destroy();
    };
    const timer = setTimeout(() => refuse('timeout', 'no PROXY header within mqtt.connect_timeout'), timeout * 1000);
    this.#waiting.add(socket);
    const settle = (): void => {
      clearTimeout(timer);
      this.#waiting.delete(socket);
      leave(entry);
    };
    socket.once('close', settle);
    let bytes: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      let header: ProxyHeader | null;
      try {
        header = readProxyHeader(bytes, this.#options.versions);
      } catch (error) {
        if (!(error instanceof ProxyError)) throw error;
        refuse('header', error.message);
        return;
      }
      if (header === null) return;
      if (this.#options.requireTls && header.source !== null && header.tls === null) {
        refuse('no TLS', 'its proxy does not say that it speaks TLS (proxy_require_tls)');
        return;
      }
      socket.off('data', onData);
      socket.off('close', settle);
      settle();
      if (header.source !== null) setRemote(socket, header.source);
      accept(socket);
      if (bytes.length > header.length && !socket.destroyed) socket.unshift(bytes.subarray(header.length));
    };
    socket.on('data', onData);
  }

  /** Ends the connections whose header has not come. */
  close(): void {
    for (const socket of [...this.#waiting]) socket.destroy();
  }
}

/** What a server calls for each connection. @param door null for none */
export function behind(door: ProxyDoor | null, accept: (socket: Socket) => void): (socket: Socket) => void {
  return door === null ? accept : (socket) => door.admit(socket, accept);
}
