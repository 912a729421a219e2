/** A listener of MQTT over TLS, or of WebSocket over TLS, with what it asks of the broker. */
import type { Broker } from './broker.js';
import type { TlsListener as TlsListenerConfig } from './config/listeners-tls.js';
import type { Config } from './config/schema.js';
import type { Listener } from './listeners/listener.js';
import { Origins } from './listeners/origins.js';
import { type TlsCredentials, TlsListener, type TlsListenerOptions } from './listeners/tls.js';
import type { WebSocketOptions } from './listeners/websocket.js';
import { SecureWebSocketListener } from './listeners/wss.js';
import type { ListenerTerms } from './session/listener-terms.js';
import { StreamTransport } from './session/transport.js';

/** What it needs besides its options and its address. */
export interface TlsSurroundings {
  readonly broker: Broker;
  readonly credentials: TlsCredentials;
  /** Whether a client without user name may connect there. */
  readonly anonymous: boolean;
  /** What the listener asks of its clients, and gives them. */
  readonly terms: ListenerTerms;
  readonly mqtt: Config['mqtt'];
  /** See `WebSocketOptions`. */
  readonly refused: WebSocketOptions['refused'];
}

export function tlsListener(config: TlsListenerConfig, host: string, surroundings: TlsSurroundings): Listener {
  const { broker, anonymous, mqtt, terms, refused } = surroundings;
  const ipv6Only = config.ipv6_only ?? false;
  const handshakes = handshakesOf(surroundings);
  if (config.type === 'mqtts') {
    return new TlsListener(host, config.port, {
      type: 'mqtts',
      ...handshakes,
      ipv6Only,
      accept: (socket, entry, shown) =>
        broker.accept(new StreamTransport(socket, 'mqtts', terms), undefined, anonymous, entry, shown),
    });
  }
  return new SecureWebSocketListener(host, config.port, {
    tls: { ...handshakes, ipv6Only },
    webSocket: {
      path: config.path ?? null,
      origins: config.origins === undefined ? null : new Origins(config.origins),
      terms,
      maxConnectSize: mqtt.max_connect_size,
      connectTimeout: mqtt.connect_timeout,
      refused,
    },
    accept: (transport, request, entry, shown) => broker.accept(transport, request, anonymous, entry, shown),
  });
}

/** Handshakes have their place at the broker's gate, and are counted and told. */
function handshakesOf({ broker, credentials, mqtt }: TlsSurroundings): Omit<TlsListenerOptions, 'type' | 'accept'> {
  const { counters, environment } = broker;
  const { gate, journal } = environment;
  return {
    credentials,
    timeout: mqtt.connect_timeout,
    enter: (party) => gate.enter(party),
    leave: (entry) => gate.leave(entry),
    arrive: (arrival) => broker.arrive(arrival),
    done: () => counters.tlsHandshakes++,
    failed: (party, cause, reason) => {
      if (cause === 'timeout') counters.connectTimeouts++;
      else counters.tlsHandshakesFailed++;
      journal.refused(party, cause === 'timeout' ? reason : `TLS handshake: ${reason}`);
    },
  };
}
