/** The listeners that MQTT comes by, made from their options, and what becomes of connections that they refuse. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Broker } from './broker.js';
import { isTls } from './config/listeners-tls.js';
import type { Config, ListenerConfig } from './config/schema.js';
import type { Listener } from './listeners/listener.js';
import { Origins } from './listeners/origins.js';
import { ProxyDoor, type ProxyRefusal } from './listeners/proxy-door.js';
import { TcpListener } from './listeners/tcp.js';
import { TrustedProxies } from './listeners/trusted-proxies.js';
import { UnixListener } from './listeners/unix.js';
import { type Refusal, WebSocketListener } from './listeners/websocket.js';
import type { Entry } from './session/gate.js';
import type { Party } from './session/journal.js';
import { ListenerTerms, USUAL_PREFIX } from './session/listener-terms.js';
import { Mount } from './session/mount.js';
import type { Shown } from './session/shown.js';
import { StreamTransport, type Transport } from './session/transport.js';
import { tlsListener } from './tls-listener.js';
import type { TlsSecurity } from './tls-security.js';

export type MqttListenerConfig = Extract<ListenerConfig, { type: 'mqtt' | 'mqtts' | 'websocket' | 'wss' | 'unix' }>;

/** Permissions of the file of a Unix socket. */
const USUAL_MODE = '0660';

/** Whoever has not said who it is. */
export function strangerAt(remote: string, transport: string): Party {
  return { id: '', remote, username: null, transport, version: 0 };
}

/** The proxies that a listener trusts; null for none. */
export function trustedBy(listener: {
  readonly trusted_proxies?: readonly string[] | undefined;
}): TrustedProxies | null {
  return listener.trusted_proxies === undefined ? null : new TrustedProxies(listener.trusted_proxies);
}

export class MqttListeners {
  readonly #broker: Broker;
  readonly #listeners: Config['listeners'];
  readonly #tls: TlsSecurity;
  /** One for all addresses of a listener. */
  readonly #terms = new Map<MqttListenerConfig, ListenerTerms>();

  /** Where each connection came in. */
  readonly #cameTo = new WeakMap<object, MqttListenerConfig>();
  readonly #isOpen: (listener: MqttListenerConfig) => boolean;

  /** @param isOpen whether a client without user name may connect to a listener, asked for each connection */
  constructor(
    broker: Broker,
    { listeners }: Config,
    tls: TlsSecurity,
    isOpen: (listener: MqttListenerConfig) => boolean,
  ) {
    this.#tls = tls;
    this.#broker = broker;
    this.#isOpen = isOpen;
    this.#listeners = listeners;
  }

  #termsOf(listener: MqttListenerConfig): ListenerTerms {
    const known = this.#terms.get(listener);
    if (known !== undefined) return known;
    const { mount_point: prefix, protocol_versions: versions } = listener;
    const terms = new ListenerTerms({
      name: `listeners.${this.#listeners.indexOf(listener)}`,
      maxConnections: listener.max_connections ?? Number.POSITIVE_INFINITY,
      maxQos: listener.max_qos ?? 2,
      versions: versions === undefined ? null : new Set(versions),
      mount: prefix === undefined ? null : new Mount(prefix),
      usernameAsClientId: listener.use_username_as_clientid ?? false,
      autoIdPrefix: listener.auto_id_prefix ?? USUAL_PREFIX,
    });
    this.#terms.set(listener, terms);
    return terms;
  }

  /** The listener that a connection came to, if it came to one. */
  listenerOf(connection: object): MqttListenerConfig | undefined {
    return this.#cameTo.get(connection);
  }

  #accept(
    listener: MqttListenerConfig,
    transport: Transport,
    request?: IncomingMessage,
    entry?: Entry | null,
    shown?: Shown,
  ): void {
    this.#cameTo.set(this.#broker.accept(transport, request, this.#isOpen(listener), entry, shown), listener);
  }

  /** @param host one of the addresses of the listener */
  make(listener: MqttListenerConfig, host: string): Listener {
    const broker = this.#broker;
    const terms = this.#termsOf(listener);
    const door = this.#doorOf(listener);
    if (isTls(listener)) {
      return tlsListener(listener, host, {
        broker,
        door,
        credentials: this.#tls.of(listener),
        terms,
        accept: (transport, request, entry, shown) => this.#accept(listener, transport, request, entry, shown),
        refused: (cause, remote, reason) => this.#refused(cause, remote, reason, 'wss'),
      });
    }
    const shownTo = (socket: Socket): Shown | undefined => {
      const username = door?.usernameOf(socket) ?? null;
      return username === null ? undefined : { username, elsewhere: true };
    };
    const accept = (socket: Socket): void => {
      const transport = new StreamTransport(socket, listener.type, terms);
      this.#accept(listener, transport, undefined, null, shownTo(socket));
    };
    switch (listener.type) {
      case 'mqtt':
        return new TcpListener(host, listener.port, accept, { door, ipv6Only: listener.ipv6_only ?? false });
      case 'unix': {
        const { path, mode = USUAL_MODE, group } = listener;
        return new UnixListener({ path, mode: Number.parseInt(mode, 8), group }, accept, door);
      }
      case 'websocket':
        return new WebSocketListener(host, listener.port, {
          path: listener.path ?? null,
          trusted: door === null ? trustedBy(listener) : null,
          origins: listener.origins === undefined ? null : new Origins(listener.origins),
          ipv6Only: listener.ipv6_only ?? false,
          door,
          terms,
          get maxConnectSize() {
            return broker.environment.options.maxConnectSize;
          },
          get connectTimeout() {
            return broker.environment.options.connectTimeout;
          },
          enter: (remote) => broker.environment.gate.enter(strangerAt(remote, 'websocket')),
          leave: (entry) => broker.environment.gate.leave(entry),
          accept: (transport, request, entry) =>
            this.#accept(listener, transport, request, entry, shownTo(request.socket)),
          refused: (cause, remote, reason) => this.#refused(cause, remote, reason),
        });
    }
  }

  /** Where the PROXY headers of a listener are read; null if it has none. */
  #doorOf(listener: MqttListenerConfig): ProxyDoor | null {
    const { type, proxy_protocol: versions } = listener;
    if (versions === undefined) return null;
    const { environment } = this.#broker;
    const { gate } = environment;
    return new ProxyDoor({
      versions,
      trusted: type === 'unix' ? null : trustedBy(listener),
      requireTls: listener.proxy_require_tls ?? false,
      requireCertificate: listener.proxy_require_certificate ?? false,
      namesUsers: listener.proxy_username_from === 'identity',
      timeout: () => environment.options.connectTimeout,
      enter: (remote) => gate.enter(strangerAt(remote, type)),
      leave: (entry) => gate.leave(entry),
      refused: (cause, remote, reason) => this.#refusedByDoor(cause, strangerAt(remote, type), reason),
    });
  }

  #refusedByDoor(cause: ProxyRefusal, party: Party, reason: string): void {
    const { counters, environment } = this.#broker;
    if (cause === 'timeout') counters.connectTimeouts++;
    else if (cause === 'untrusted') counters.refusedUntrustedProxies++;
    else if (cause === 'no TLS') counters.refusedProxiesWithoutTls++;
    else if (cause === 'no certificate') counters.refusedProxiesWithoutCertificate++;
    else counters.refusedProxyHeaders++;
    environment.journal.refused(party, reason);
  }

  /** A connection that never became one of MQTT. */
  #refused(cause: Refusal, remote: string, reason: string, transport = 'websocket'): void {
    const { counters, environment } = this.#broker;
    const party = strangerAt(remote, transport);
    if (cause === 'timeout') counters.connectTimeouts++;
    else if (cause === 'origin') counters.refusedOrigins++;
    else counters.protocolErrors++;
    if (cause === 'size') counters.oversizedPackets++;
    if (cause === 'connect size') {
      counters.connectsTooLarge++;
      environment.journal.limit(party, 'mqtt.max_connect_size', reason);
    }
    environment.journal.refused(party, reason);
  }
}
