/** Connections that come through a proxy: each has to begin with a PROXY header, in time, from a proxy that is trusted. */
import type { Socket } from 'node:net';
import type { Entry } from '../session/gate.js';
import { remoteOf, setRemote } from '../session/remote.js';
import { ProxyError, type ProxyHeader, type ProxyVersions, readProxyHeader } from './proxy-protocol.js';
import type { TrustedProxies } from './trusted-proxies.js';

/** Why a connection was closed before it carried anything of its client. */
export type ProxyRefusal = 'untrusted' | 'header' | 'timeout' | 'no TLS' | 'no certificate';

/** What a door needs. */
export interface ProxyDoorOptions {
  readonly versions: ProxyVersions;
  /** Null if whoever can connect is trusted, as on a Unix socket. */
  readonly trusted: TrustedProxies | null;
  /** Whether the header has to say that the client speaks TLS. */
  readonly requireTls: boolean;
  /** Whether the header has to say that the client has shown the proxy a certificate that is good. */
  readonly requireCertificate: boolean;
  /** Whether the common name of that certificate is the user name. */
  readonly namesUsers: boolean;
  /** Seconds that a header may take that is awaited from now on (`mqtt.connect_timeout`). */
  timeout(): number;
  /** Gives a new connection its place at the gate; null if it has to be closed at once. */
  enter(remote: string): Entry | null;
  /** The header is there, or the connection has ended before. */
  leave(entry: Entry): void;
  refused(cause: ProxyRefusal, remote: string, reason: string): void;
}

export class ProxyDoor {
  readonly #options: ProxyDoorOptions;
  /** Connections whose header has not come, with what ends the wait for it. */
  readonly #waiting = new Map<Socket, () => void>();
  readonly #usernames = new WeakMap<Socket, string>();

  constructor(options: ProxyDoorOptions) {
    this.#options = options;
  }

  /** The user whose certificate the proxy has verified; null if users are not named so, or there was none. */
  usernameOf(socket: Socket): string | null {
    return this.#usernames.get(socket) ?? null;
  }

  /**
   * Takes a connection, and hands it on with the address of its client, as if nothing had stood before its own bytes.
   * @param accept reads from the connection, or pauses it, before it returns
   */
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
    const settle = (): void => {
      clearTimeout(timer);
      socket.off('close', gone);
      this.#waiting.delete(socket);
      leave(entry);
    };
    const refuse = (cause: ProxyRefusal, reason: string): void => {
      settle();
      this.#options.refused(cause, remote, reason);
      socket.destroy();
    };
    const timer = setTimeout(() => refuse('timeout', 'no PROXY header within mqtt.connect_timeout'), timeout() * 1000);
    this.#waiting.set(socket, settle);
    let bytes: Buffer = Buffer.alloc(0);
    const gone = (): void => {
      // Who says nothing at all has only looked whether the port is open.
      if (bytes.length > 0) refuse('header', 'a PROXY header that ends too early');
      else settle();
    };
    socket.once('close', gone);
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
      const refusal = header.local ? null : this.#refusalOf(header);
      if (refusal !== null) {
        refuse(...refusal);
        return;
      }
      socket.off('data', onData);
      settle();
      if (header.source !== null) setRemote(socket, header.source);
      const username = this.#options.namesUsers ? (header.tls?.commonName ?? null) : null;
      if (username !== null) this.#usernames.set(socket, username);
      accept(socket);
      if (bytes.length > header.length && !socket.destroyed) socket.unshift(bytes.subarray(header.length));
    };
    socket.on('data', onData);
  }

  /** Why the client of a header is not let in; null if it is. */
  #refusalOf({ tls }: ProxyHeader): [ProxyRefusal, string] | null {
    const { requireTls, requireCertificate, namesUsers } = this.#options;
    if (requireTls && tls === null) return ['no TLS', 'its proxy does not say that it speaks TLS (proxy_require_tls)'];
    const certificate = tls?.certificate === true;
    if (requireCertificate && !certificate) {
      return ['no certificate', 'its proxy does not say that it has a good certificate (proxy_require_certificate)'];
    }
    // As over TLS: whoever shows a certificate is who it says.
    if (namesUsers && certificate && tls.commonName === null) {
      return ['no certificate', 'its proxy says no common name that could be a user name (proxy_username_from)'];
    }
    return null;
  }

  /** Ends the connections whose header has not come. */
  close(): void {
    for (const [socket, settle] of this.#waiting) {
      settle();
      socket.destroy();
    }
  }
}

/** What a server calls for each connection. @param door null for none */
export function behind(door: ProxyDoor | null, accept: (socket: Socket) => void): (socket: Socket) => void {
  return door === null ? accept : (socket) => door.admit(socket, accept);
}
