/**
 * TLS before MQTT and WebSocket. A connection has its place at the gate and its turn before its handshake begins, for that costs
 * more than anything that follows. From then on it has `mqtt.connect_timeout` to be done.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import type { Arrival } from '../session/arrivals.js';
import type { Entry } from '../session/gate.js';
import type { Party } from '../session/journal.js';
import { remoteOf, setRemote } from '../session/remote.js';
import type { Shown } from '../session/shown.js';
import type { Listener } from './listener.js';
import { behind, type ProxyDoor } from './proxy-door.js';
import { addressOf, listen } from './tcp.js';
import { type Demand, usernameOf } from './tls-identity.js';
import { BROKEN_OFF, type HandshakeError, reasonOf } from './tls-reasons.js';
import type { TrustedProxies } from './trusted-proxies.js';

/** What a listener of TLS has from its files and options. */
export interface TlsCredentials {
  /** Files, versions and cipher suites as of now. */
  readonly context: SecureContextOptions;
  readonly demand: Demand;
  /** What clients are told before they name their identity; with pre-shared keys only. */
  readonly pskHint: string | undefined;
  /** The key of an identity, as of now. */
  keyOf(identity: string): Buffer | undefined;
  /** Calls back when anything of it has changed; returns what ends that. */
  onRenewal(renewed: () => void): () => void;
}

/** What a listener of TLS needs besides its address. */
export interface TlsListenerOptions {
  readonly type: 'mqtts' | 'wss';
  readonly credentials: TlsCredentials;
  /** Where the PROXY header of each connection is read, before its handshake. */
  readonly door?: ProxyDoor | null;
  /** Proxies that say whose connection it is once the handshake is done. */
  readonly trusted?: TrustedProxies | null;
  /** Whether `::` is IPv6 alone. */
  readonly ipv6Only?: boolean;
  /** Seconds that a handshake may take that begins now, its wait for its turn included (`mqtt.connect_timeout`). */
  timeout(): number;
  /** Gives a new connection its place at the gate; null if it has to be closed at once. */
  enter(party: Party): Entry | null;
  /** A connection has ended before its handshake was done. */
  leave(entry: Entry): void;
  /** Whether nobody may come as this identity from there, whatever key it has; counted and told if so. */
  banned(party: Party, identity: string): boolean;
  /** Holds a connection until its turn comes. */
  arrive(arrival: Arrival & Party): void;
  /** Takes a client whose handshake is done. */
  accept(socket: TLSSocket, entry: Entry, shown: Shown): void;
  /** A handshake is done, and what it has shown is good. */
  done(): void;
  /**
   * A handshake was not done, for want of time or for another reason.
   * @param guessed the identity of a pre-shared key that the client has named and not shown; null for none
   */
  failed(party: Party, cause: 'timeout' | 'handshake', reason: string, guessed: string | null): void;
}

/** The protocol for which ALPN asks (RFC 7301): that of the IANA for MQTT, and that of WebSocket. */
const ALPN = { mqtts: ['mqtt'], wss: ['http/1.1'] } as const;

/** Milliseconds; the most that a timer can have. */
const LONGEST_TIMER = 2 ** 31 - 1;

export class TlsListener implements Listener {
  readonly type: 'mqtts' | 'wss';
  /** Takes connections; hands those whose turn it is to the other one, which listens nowhere. */
  readonly #front: Server;
  #tls: TlsServer;
  readonly #options: TlsListenerOptions;
  readonly #host: string;
  readonly #port: number;
  /** Handshakes that are not done, by the place that they come from. */
  readonly #handshakes = new Map<string, Handshake>();
  #endRenewal: (() => void) | null = null;

  /** @param port 0 for any free one */
  constructor(host: string, port: number, options: TlsListenerOptions) {
    const { type, door = null } = options;
    this.type = type;
    this.#options = options;
    this.#host = host;
    this.#port = port;
    this.#front = createServer(
      { noDelay: true, allowHalfOpen: false, pauseOnConnect: door === null },
      behind(door, (socket) => this.#enter(socket)),
    );
    this.#tls = this.#handshaker();
  }

  /** Does handshakes with the credentials of now. Those that have begun end with those that they began with. */
  #handshaker(): TlsServer {
    const { credentials } = this.#options;
    const { demand, pskHint } = credentials;
    const tls = createTlsServer({
      ...credentials.context,
      ALPNProtocols: [...ALPN[this.type]],
      // It verifies certificates and goes on in any case, so that a refusal can name the reason.
      ...(demand.certificate === 'none' ? null : { requestCert: true, rejectUnauthorized: false }),
      ...(demand.psk && {
        pskCallback: (socket: TLSSocket, identity: string) => this.#keyOf(socket, identity),
        ...(pskHint !== undefined && { pskIdentityHint: pskHint }),
      }),
      // The timer of a handshake ends before.
      handshakeTimeout: LONGEST_TIMER,
    });
    tls.on('secureConnection', (socket) => this.#done(socket, demand));
    tls.on('tlsClientError', (error: HandshakeError, socket) => {
      socket.destroy();
      this.#find(socket)?.fail(reasonOf(error, demand.psk));
    });
    return tls;
  }

  get address(): string {
    return addressOf(this.#front);
  }

  async listen(): Promise<void> {
    const what = this.type === 'mqtts' ? 'MQTT over TLS' : 'WebSocket over TLS';
    await listen(this.#front, this.#host, this.#port, what, this.#options.ipv6Only);
    this.#endRenewal = this.#options.credentials.onRenewal(() => {
      this.#tls = this.#handshaker();
    });
  }

  close(): Promise<void> {
    this.#endRenewal?.();
    this.#options.door?.close();
    for (const handshake of [...this.#handshakes.values()]) handshake.end();
    return new Promise((resolve) => {
      if (this.#front.listening) this.#front.close(() => resolve());
      else resolve();
    });
  }

  #enter(socket: Socket): void {
    // What a door has read beyond the header waits in the socket, where TLS takes it up.
    socket.pause();
    const party = { id: '', remote: remoteOf(socket), username: null, transport: this.type, version: 0 };
    // It was gone before anyone could ask where it came from.
    if (socket.remoteAddress === undefined) {
      socket.destroy();
      this.#options.failed(party, 'handshake', BROKEN_OFF, null);
      return;
    }
    // A proxy does not count as one client: whose connection it is comes later.
    const isProxy = this.#options.trusted?.sent(socket) === true;
    const entry = this.#options.enter(isProxy ? { ...party, remote: `proxy ${party.remote}` } : party);
    if (entry === null) {
      socket.destroy();
      return;
    }
    const place = placeOf(socket);
    const handshake = new Handshake(socket, party, entry, this.#options, {
      begin: () => this.#tls.emit('connection', socket),
      settled: () => this.#handshakes.delete(place),
    });
    this.#handshakes.set(place, handshake);
    this.#options.arrive(handshake);
    handshake.begin();
  }

  #find(socket: TLSSocket): Handshake | undefined {
    // Once it is closed, only the socket below still knows where it came from.
    const { _parent: below } = socket as unknown as { readonly _parent?: Socket | null };
    return this.#handshakes.get(placeOf(socket.remoteAddress === undefined ? (below ?? socket) : socket));
  }

  #keyOf(socket: TLSSocket, identity: string): Buffer {
    const key = this.#options.credentials.keyOf(identity);
    const handshake = this.#find(socket);
    const banned = handshake !== undefined && this.#options.banned(handshake, identity);
    if (handshake !== undefined) handshake.psk = { identity, key, banned };
    // An identity that nobody has fails as a wrong key does (RFC 4279 2), so that nobody learns which there are; and one that is
    // banned as well, for whether the handshake is done tells whether the key is right.
    return banned || key === undefined ? randomBytes(32) : key;
  }

  #done(socket: TLSSocket, demand: Demand): void {
    const handshake = this.#find(socket);
    // It has been ended meanwhile.
    if (handshake === undefined || socket.remoteAddress === undefined) {
      socket.destroy();
      return;
    }
    const { identity, key } = handshake.psk ?? {};
    const shown = usernameOf(socket, demand, key === undefined ? undefined : identity);
    if (typeof shown === 'string') {
      handshake.fail(shown);
      socket.on('error', () => {});
      socket.destroySoon();
      return;
    }
    handshake.settle();
    this.#options.done();
    setRemote(socket, handshake.remote);
    const psk = identity === undefined || key === undefined ? null : { identity, key };
    const username = this.#options.door?.usernameOf(handshake.socket) ?? shown.username;
    this.#options.accept(socket, handshake.entry, { username, psk });
  }
}

/** From where, and to where: the one connection that is both. */
function placeOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

/** What a handshake asks its listener to do. */
interface HandshakeHost {
  begin(): void;
  /** It is done, or has failed; once. */
  settled(): void;
}

/** A pre-shared key that a client has named. */
interface NamedKey {
  readonly identity: string;
  /** Undefined if nobody has it. */
  readonly key: Buffer | undefined;
  readonly banned: boolean;
}

/** A connection from its first moment to the end of its handshake. */
class Handshake implements Arrival, Party {
  readonly id = '';
  readonly username = null;
  readonly version = 0;
  readonly remote: string;
  readonly transport: string;
  readonly entry: Entry;
  /** The connection below TLS. */
  readonly socket: Socket;
  /** The identity that the client has named, and its key if there is one. */
  psk: NamedKey | null = null;
  readonly #options: TlsListenerOptions;
  readonly #host: HandshakeHost;
  readonly #timer: NodeJS.Timeout;
  #held = false;
  #begun = false;
  closed = false;

  constructor(socket: Socket, party: Party, entry: Entry, options: TlsListenerOptions, host: HandshakeHost) {
    this.remote = party.remote;
    this.transport = party.transport;
    this.entry = entry;
    this.socket = socket;
    this.#options = options;
    this.#host = host;
    socket.on('error', ignored);
    socket.once('close', this.#gone);
    this.#timer = setTimeout(() => {
      this.#fail('timeout', 'no TLS handshake within mqtt.connect_timeout');
      socket.destroy();
    }, options.timeout() * 1000);
  }

  readonly #gone = (): void => this.fail(BROKEN_OFF);

  hold(): void {
    this.#held = true;
  }

  unhold(): void {
    this.#held = false;
    this.begin();
  }

  /** Begins, unless it is not its turn. */
  begin(): void {
    if (this.#held || this.#begun || this.closed) return;
    this.#begun = true;
    this.#host.begin();
  }

  /** It is done. */
  settle(): void {
    this.closed = true;
    clearTimeout(this.#timer);
    this.socket.off('close', this.#gone);
    this.#host.settled();
  }

  /** It has failed; whoever says so closes the connection. */
  fail(reason: string): void {
    const { psk } = this;
    const named = psk === null ? '' : JSON.stringify(psk.identity.slice(0, 128));
    // Whoever leaves before the end has learnt nothing of the key.
    const guessed = psk === null || psk.banned || reason === BROKEN_OFF ? null : psk.identity;
    if (psk === null) this.#fail('handshake', reason);
    else if (psk.banned) this.#fail('handshake', `identity ${named} is banned from there for failed logins`);
    else if (psk.key !== undefined) {
      this.#fail('handshake', `identity ${named} has another key in access.psk_file, or: ${reason}`, guessed);
    } else this.#fail('handshake', `identity ${named} is not in access.psk_file`, guessed);
  }

  #fail(cause: 'timeout' | 'handshake', reason: string, guessed: string | null = null): void {
    if (this.closed) return;
    this.settle();
    this.#options.leave(this.entry);
    this.#options.failed(this, cause, reason, guessed);
  }

  /** Gives it up without a word. */
  end(): void {
    this.settle();
    this.#options.leave(this.entry);
    this.socket.destroy();
  }
}

function ignored(): void {}
