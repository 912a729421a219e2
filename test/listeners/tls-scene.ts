/** A listener of TLS without a broker: what comes through it, what it refuses, and whom it lets wait. */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type ConnectionOptions, connect, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { type TlsCredentials, TlsListener, type TlsListenerOptions } from '../../src/listeners/tls.js';
import type { Demand } from '../../src/listeners/tls-identity.js';
import type { Entry } from '../../src/session/gate.js';
import { Made, type Wish } from '../coap/dtls/certificates.js';

const DAY = 86_400_000;
/** TLS has no other clock. */
export const VALID = { from: Date.now() - DAY, to: Date.now() + DAY };
export const CA = new Made({ ...VALID, names: ['the CA'], ca: true });
export const OTHER_CA = new Made({ ...VALID, names: ['another CA'], ca: true });

export const pem = (...certificates: Buffer[]): string =>
  certificates.map((der) => String(new X509Certificate(der))).join('');
export const keyOf = ({ keys }: Made): string => String(keys.privateKey.export({ type: 'pkcs8', format: 'pem' }));
export const shows = (made: Made): ConnectionOptions => ({ cert: pem(...made.chain), key: keyOf(made) });
export const issued = (wish: Wish = {}): ConnectionOptions => shows(CA.issue({ ...VALID, ...wish }));
export const SERVER: SecureContextOptions = issued({ names: ['server'] });

/** What happened to one client. */
export type Outcome =
  | { readonly kind: 'accepted'; readonly username: string | null; readonly socket: TLSSocket }
  | { readonly kind: 'timeout' | 'handshake'; readonly reason: string; readonly remote: string };

export class Scene {
  readonly listener: TlsListener;
  readonly left: Entry[] = [];
  /** What waits for its turn, if `waits` is set. */
  readonly waiting: { unhold(): void; readonly closed: boolean }[] = [];
  readonly #outcomes: Outcome[] = [];
  readonly #takers: ((outcome: Outcome) => void)[] = [];
  readonly #files: { context: SecureContextOptions };
  #renewed: (() => void) | null = null;
  readonly #sockets: Socket[] = [];
  readonly #trust: ConnectionOptions;

  private constructor(wish: SceneWish) {
    this.#files = { context: wish.context ?? SERVER };
    this.#trust = wish.keys === undefined ? { ca: pem(CA.der), checkServerIdentity: () => undefined } : {};
    const demand: Demand = {
      usernameFrom: 'identity',
      certificate: 'none',
      psk: wish.keys !== undefined,
      ...wish.demand,
    };
    const files = this.#files;
    const credentials: TlsCredentials = {
      get context() {
        return files.context;
      },
      demand,
      pskHint: wish.keys === undefined ? undefined : 'a hint',
      keyOf: (identity) => wish.keys?.get(identity),
      onRenewal: (renewed) => {
        this.#renewed = renewed;
        return () => {};
      },
    };
    this.listener = new TlsListener('127.0.0.1', 0, {
      type: 'mqtts',
      credentials,
      timeout: () => wish.timeout ?? 10,
      enter: () => ({ address: null, pending: true, admitted: false, gone: false }),
      leave: (entry) => this.left.push(entry),
      banned: () => false,
      arrive: (arrival) => {
        if (wish.waits !== true) return;
        arrival.hold();
        this.waiting.push(arrival);
      },
      done: () => {},
      accept: (socket, _entry, { username }) => {
        socket.on('error', () => {});
        this.#sockets.push(socket);
        this.#put({ kind: 'accepted', username, socket });
      },
      failed: ({ remote }, kind, reason) => this.#put({ kind, reason, remote }),
      ...wish.options,
    });
  }

  static async open(context: TestContext, wish: SceneWish = {}): Promise<Scene> {
    const scene = new Scene(wish);
    await scene.listener.listen();
    context.after(async () => {
      const closed = scene.listener.close();
      for (const socket of scene.#sockets) socket.destroy();
      await closed;
    });
    return scene;
  }

  #put(outcome: Outcome): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#outcomes.push(outcome);
    else taker(outcome);
  }

  /** What becomes of the next client. */
  next(): Promise<Outcome> {
    const outcome = this.#outcomes.shift();
    if (outcome !== undefined) return Promise.resolve(outcome);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** The reason of the next refusal. */
  async refusal(): Promise<string> {
    const outcome = await this.next();
    return outcome.kind === 'accepted' ? `accepted ${outcome.username}` : `${outcome.kind}: ${outcome.reason}`;
  }

  get port(): number {
    return Number(this.listener.address.split(':')[1]);
  }

  /** A client of TLS. */
  client(options: ConnectionOptions = {}): TLSSocket {
    const socket = connect({ port: this.port, host: '127.0.0.1', ...this.#trust, ...options });
    socket.on('error', () => {});
    this.#sockets.push(socket);
    return socket;
  }

  /** A client of TCP that is connected. */
  async plain(): Promise<Socket> {
    const socket = connectTcp(this.port, '127.0.0.1');
    socket.on('error', () => {});
    this.#sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  }

  /** Puts other files into force. */
  renew(context: SecureContextOptions): void {
    this.#files.context = context;
    this.#renewed?.();
  }
}

export interface SceneWish {
  readonly demand?: Partial<Demand>;
  readonly context?: SecureContextOptions;
  readonly keys?: ReadonlyMap<string, Buffer>;
  readonly timeout?: number;
  /** Everybody has to wait for a turn. */
  readonly waits?: boolean;
  readonly options?: Partial<TlsListenerOptions>;
}
