/** A listener of MQTT over TLS, or of WebSocket over TLS, with what it asks of the broker. */
import type { IncomingMessage } from 'node:http';
import type { Broker } from '../broker.js';
import type { TlsListener as TlsListenerConfig } from '../config/listeners-tls.js';
import type { Listener } from '../listeners/listener.js';
import type { ProxyDoor } from '../listeners/proxy-door.js';
import { type TlsCredentials, TlsListener, type TlsListenerOptions } from '../listeners/tls.js';
import type { TrustedProxies } from '../listeners/trusted-proxies.js';
import type { WebSocketOptions } from '../listeners/websocket.js';
import { SecureWebSocketListener } from '../listeners/wss.js';
import { banned, loginFailed } from '../session/failed-login.js';
import type { Entry } from '../session/gate.js';
import type { Party } from '../session/journal.js';
import type { ListenerTerms } from '../session/listener-terms.js';
import type { Shown } from '../session/shown.js';
import { StreamTransport, type Transport } from '../session/transport.js';

/** What a listener of WebSockets asks of the pages whose scripts connect; a reload may change it. */
export type Pages = Pick<WebSocketOptions, 'path' | 'origins'>;

/** What it needs besides its options and its address. */
export interface TlsSurroundings {
  readonly broker: Broker;
  readonly credentials: TlsCredentials;
  /** Where the PROXY header of each connection is read; null for none. */
  readonly door: ProxyDoor | null;
  /** Proxies whose X-Forwarded-For counts, as of now. */
  trusted(): TrustedProxies | null;
  /** What the listener asks of its clients, and gives them. */
  readonly terms: ListenerTerms;
  readonly page: Pages;
  /** Takes a client whose handshake is done. */
  accept(transport: Transport, request: IncomingMessage | undefined, entry: Entry | null, shown: Shown): void;
  /** See `WebSocketOptions`. */
  readonly refused: WebSocketOptions['refused'];
}

export function tlsListener(config: TlsListenerConfig, host: string, surroundings: TlsSurroundings): Listener {
  const { broker, terms, page, accept, refused } = surroundings;
  const { environment } = broker;
  const ipv6Only = config.ipv6_only ?? false;
  const handshakes = handshakesOf(surroundings);
  if (config.type === 'mqtts') {
    return new TlsListener(host, config.port, {
      type: 'mqtts',
      ...handshakes,
      ipv6Only,
      accept: (socket, entry, shown) => accept(new StreamTransport(socket, 'mqtts', terms), undefined, entry, shown),
    });
  }
  return new SecureWebSocketListener(host, config.port, {
    tls: {
      ...handshakes,
      ipv6Only,
      get trusted() {
        return surroundings.trusted();
      },
    },
    webSocket: {
      get path() {
        return page.path;
      },
      get origins() {
        return page.origins ?? null;
      },
      terms,
      get maxConnectSize() {
        return environment.options.maxConnectSize;
      },
      get connectTimeout() {
        return environment.options.connectTimeout;
      },
      refused,
    },
    accept,
  });
}

/** Who it is, without what a handshake has besides. */
function strangerOf({ id, remote, username, transport, version }: Party): Party {
  return { id, remote, username, transport, version };
}

/** Handshakes have their place at the broker's gate, and are counted and told. */
function handshakesOf({ broker, credentials, door }: TlsSurroundings): Omit<TlsListenerOptions, 'type' | 'accept'> {
  const { counters, environment } = broker;
  const { gate, journal } = environment;
  return {
    credentials,
    door,
    timeout: () => environment.options.connectTimeout,
    enter: (party) => gate.enter(party),
    leave: (entry) => gate.leave(entry),
    arrive: (arrival) => broker.arrive(arrival),
    done: () => counters.tlsHandshakes++,
    banned: (party, identity) => banned(environment, party, identity) !== null,
    failed: (party, cause, reason, guessed) => {
      if (cause === 'timeout') counters.connectTimeouts++;
      else counters.tlsHandshakesFailed++;
      journal.refused(party, cause === 'timeout' ? reason : `TLS handshake: ${reason}`);
      if (guessed !== null)
        loginFailed(environment, { ...strangerOf(party), username: guessed }, { username: guessed, method: 'psk' });
    },
  };
}
