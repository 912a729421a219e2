/** The listeners that MQTT comes by, made from their options, and what becomes of connections that they refuse. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Broker } from '../broker.js';
import { isTls } from '../config/listeners-tls.js';
import type { Config, ListenerConfig } from '../config/schema.js';
import { ErrorKinds, PorticoError } from '../errors.js';
import type { Listener } from '../listeners/listener.js';
import { Origins } from '../listeners/origins.js';
import { ProxyDoor, type ProxyRefusal } from '../listeners/proxy-door.js';
import { TcpListener } from '../listeners/tcp.js';
import { TrustedProxies } from '../listeners/trusted-proxies.js';
import { UnixListener } from '../listeners/unix.js';
import { type Refusal, WebSocketListener } from '../listeners/websocket.js';
import type { AccessControl } from '../session/access-control.js';
import type { Entry } from '../session/gate.js';
import type { Party } from '../session/journal.js';
import { type ListenerOptions, ListenerTerms, USUAL_PREFIX } from '../session/listener-terms.js';
import { Mount } from '../session/mount.js';
import type { Shown } from '../session/shown.js';
import { StreamTransport, type Transport } from '../session/transport.js';
import { ReasonCode } from '../wire/reason-codes.js';
import { type Pages, tlsListener } from './tls-listener.js';
import type { TlsSecurity } from './tls-security.js';

export type MqttListenerConfig = Extract<ListenerConfig, { type: 'mqtt' | 'mqtts' | 'websocket' | 'wss' | 'unix' }>;

/** Permissions of the file of a Unix socket. */
export const USUAL_MODE = '0660';

function isMqtt(listener: ListenerConfig | undefined): listener is MqttListenerConfig {
  return listener !== undefined && listener.type !== 'http' && !listener.type.startsWith('coap');
}

/** Whoever has not said who it is. */
export function strangerAt(remote: string, transport: string): Party {
  return { id: '', remote, username: null, transport, version: 0 };
}

/** The proxies that a listener trusts; null for none. */
export function trustedBy(listener: ListenerConfig): TrustedProxies | null {
  const proxies = 'trusted_proxies' in listener ? listener.trusted_proxies : undefined;
  return proxies === undefined ? null : new TrustedProxies(proxies);
}

/** Whose scripts may connect; null for all. */
function originsOf(listener: MqttListenerConfig): Origins | null {
  const origins = 'origins' in listener ? listener.origins : undefined;
  return origins === undefined ? null : new Origins(origins);
}

/** The only path of the URL that is answered; null for any. */
function pathOf({ options }: Standing): string | null {
  return 'path' in options ? (options.path ?? null) : null;
}

/** What a listener of WebSockets asks of pages, as of now. */
function pageOf(standing: Standing): Pages {
  return {
    get path() {
      return pathOf(standing);
    },
    get origins() {
      return standing.origins;
    },
  };
}

function termsOf(listener: MqttListenerConfig, name: string): ListenerOptions {
  const { mount_point: prefix, protocol_versions: versions } = listener;
  return {
    name,
    maxConnections: listener.max_connections ?? Number.POSITIVE_INFINITY,
    maxQos: listener.max_qos ?? 2,
    versions: versions === undefined ? null : new Set(versions),
    mount: prefix === undefined ? null : new Mount(prefix),
    usernameAsClientId: listener.use_username_as_clientid ?? false,
    autoIdPrefix: listener.auto_id_prefix ?? USUAL_PREFIX,
    emptyClientIds: listener.allow_empty_client_id ?? true,
    clientIdPrefix: listener.client_id_prefix ?? '',
  };
}

/** A listener as it is configured now: what a reload changes of it. */
interface Standing {
  options: MqttListenerConfig;
  /** One for all its addresses. */
  readonly terms: ListenerTerms;
  trusted: TrustedProxies | null;
  origins: Origins | null;
}

export class MqttListeners {
  readonly #broker: Broker;
  readonly #listeners: Config['listeners'];
  readonly #tls: TlsSecurity;
  readonly #standing = new Map<MqttListenerConfig, Standing>();

  /** Where each connection came in. */
  readonly #cameTo = new WeakMap<object, MqttListenerConfig>();
  readonly #isOpen: (listener: MqttListenerConfig) => boolean;

  /**
   * @param isOpen whether a client without user name may connect to a listener, asked for each connection
   * @param accessOf what decides on those that come by a listener
   */
  constructor(
    broker: Broker,
    { listeners }: Config,
    tls: TlsSecurity,
    isOpen: (listener: MqttListenerConfig) => boolean,
    accessOf: (listener: MqttListenerConfig) => AccessControl,
  ) {
    this.#tls = tls;
    this.#broker = broker;
    this.#isOpen = isOpen;
    this.#listeners = listeners;
    for (const [i, listener] of listeners.entries()) {
      if (!isMqtt(listener)) continue;
      const terms = new ListenerTerms(termsOf(listener, `listeners.${i}`), accessOf(listener));
      this.#standing.set(listener, {
        options: listener,
        terms,
        trusted: trustedBy(listener),
        origins: originsOf(listener),
      });
    }
  }

  /** @param listeners those of the start as they are configured now, in their order */
  replace(listeners: Config['listeners']): void {
    for (const [i, listener] of this.#listeners.entries()) {
      const [standing, options] = [isMqtt(listener) && this.#standing.get(listener), listeners[i]];
      if (!standing || !isMqtt(options)) continue;
      standing.options = options;
      standing.terms.options = termsOf(options, standing.terms.options.name);
      standing.trusted = trustedBy(options);
      standing.origins = originsOf(options);
    }
  }

  #standingOf(listener: MqttListenerConfig): Standing {
    const standing = this.#standing.get(listener);
    if (standing === undefined) throw new PorticoError(ErrorKinds.Configuration, `${listener.type} was not loaded`);
    return standing;
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
    const connection = this.#broker.accept(transport, request, this.#isOpen(listener), entry, shown);
    this.#cameTo.set(connection, listener);
    // A reload may have come between its handshake and this.
    const { psk } = connection;
    if (psk === null || this.#tls.isKeyOf(psk, listener)) return;
    connection.reject(ReasonCode.NotAuthorized, 'its key is not in the psk_file any more');
  }

  /** @param host one of the addresses of the listener */
  make(listener: MqttListenerConfig, host: string): Listener {
    const broker = this.#broker;
    const standing = this.#standingOf(listener);
    const { terms } = standing;
    const door = this.#doorOf(listener, standing);
    if (isTls(listener)) {
      return tlsListener(listener, host, {
        broker,
        door,
        credentials: this.#tls.of(listener),
        trusted: () => (door === null ? standing.trusted : null),
        terms,
        page: pageOf(standing),
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
          ipv6Only: listener.ipv6_only ?? false,
          door,
          terms,
          get path() {
            return pathOf(standing);
          },
          get trusted() {
            return door === null ? standing.trusted : null;
          },
          get origins() {
            return standing.origins;
          },
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

  /** Where the PROXY headers of a listener are read; null if it has none, which only a restart changes. */
  #doorOf({ type, proxy_protocol: versions }: MqttListenerConfig, standing: Standing): ProxyDoor | null {
    if (versions === undefined) return null;
    const { environment } = this.#broker;
    const { gate } = environment;
    return new ProxyDoor({
      get versions() {
        return standing.options.proxy_protocol ?? versions;
      },
      get trusted() {
        return type === 'unix' ? null : standing.trusted;
      },
      get requireTls() {
        return standing.options.proxy_require_tls ?? false;
      },
      get requireCertificate() {
        return standing.options.proxy_require_certificate ?? false;
      },
      get namesUsers() {
        return standing.options.proxy_username_from === 'identity';
      },
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
