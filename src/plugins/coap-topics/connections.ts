/**
 * Connections of devices: a client of the broker each, which ends when its device says nothing for too long. One made
 * by `mqtt/connection` is known by its token, from whatever address; one of DTLS by its security association, one of TLS by its
 * connection.
 */
import { randomBytes } from 'node:crypto';
import { Code } from '../../coap/codes.js';
import type { CoapResponse } from '../../coap/response.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import type { ClientIdentity, Credentials, InProcessClient, PluginContext, Refusal } from '../plugin.js';
import { diagnostic } from './answers.js';
import type { CoapTopicsOptions } from './options.js';

/** Bytes of a token: nobody guesses it. */
const TOKEN_BYTES = 16;
/** Milliseconds between looks at who is silent. */
const INTERVAL = 1000;
/** Seconds after which a device that was refused for want of room may try again. */
const RETRY_AFTER = 10;

const FULL: CoapResponse = {
  ...diagnostic(Code.ServiceUnavailable, 'coap.connections is reached'),
  maxAge: RETRY_AFTER,
};

/** A device that is connected. */
export interface DeviceConnection {
  readonly token: string;
  readonly client: InProcessClient;
  /** It stays while it observes, also in silence. */
  readonly observes: boolean;
  /** Milliseconds of the clock. */
  heardAt: number;
}

/** Who wants a connection, and how that is checked. */
export interface Asking {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** `address:port`. */
  readonly remote: string;
  /** DTLS or TLS has proved the user name. */
  readonly verified: boolean;
  readonly observes: boolean;
  /** See `ClientIdentity.details`. */
  readonly details?: ClientIdentity['details'];
}

type ConnectionOptions = Pick<CoapTopicsOptions, 'below' | 'anonymous' | 'connections' | 'heartbeat'>;

export class Connections {
  readonly #context: PluginContext;
  readonly #options: ConnectionOptions;
  readonly #now: () => number;
  /** By token, in the order in which they were last heard of. */
  readonly #byToken = new Map<string, DeviceConnection>();
  /** The last one of each client identifier. */
  readonly #byId = new Map<string, DeviceConnection>();
  #timer: NodeJS.Timeout | null = null;

  /** @param now milliseconds of a clock */
  constructor(context: PluginContext, options: ConnectionOptions, now: () => number = () => performance.now()) {
    this.#context = context;
    this.#options = options;
    this.#now = now;
  }

  /** How its devices come: the type of the listener. */
  get transport(): string {
    return this.#options.below?.type ?? 'coap';
  }

  get size(): number {
    return this.#byToken.size;
  }

  /** The connection of a token, which does not count as heard of. */
  peek(token: string): DeviceConnection | undefined {
    return this.#byToken.get(token);
  }

  /** The connection of a token, heard of now. */
  hear(token: string): DeviceConnection | undefined {
    const connection = this.#byToken.get(token);
    if (connection === undefined) return undefined;
    this.#byToken.delete(token);
    this.#byToken.set(token, connection);
    connection.heardAt = this.#now();
    return connection;
  }

  /** Opens a connection, or says why not in a response. */
  async open(asking: Asking): Promise<DeviceConnection | CoapResponse> {
    const { anonymous, heartbeat } = this.#options;
    const { clientId: id, username, password, remote, verified, observes, details } = asking;
    const way = details === undefined ? null : { details };
    const identity = { id, username: username ?? null, remote, transport: this.transport, ...way };
    // One that takes over another has its place.
    if (!this.#byId.has(id) && this.#isFull(id, remote)) return FULL;
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const credentials: Credentials = {
      anonymous,
      verified,
      keepalive: heartbeat,
      ...(password === undefined ? null : { password: Buffer.from(password) }),
      onEnd: () => {
        if (this.#byId.get(id) === this.#byToken.get(token)) this.#byId.delete(id);
        this.#byToken.delete(token);
      },
    };
    const client = await this.#context.connectClient(identity, credentials);
    if ('reasonCode' in client) return refusalOf(client);
    const connection: DeviceConnection = { token, client, observes, heardAt: this.#now() };
    // While the credentials were checked, others may have come.
    if (this.#isFull(id, remote)) {
      client.close('coap.connections is reached', ReasonCode.ServerBusy);
      return FULL;
    }
    this.#byToken.set(token, connection);
    this.#byId.set(id, connection);
    this.#timer ??= setInterval(() => this.sweep(), INTERVAL).unref();
    return connection;
  }

  #isFull(id: string, remote: string): boolean {
    if (this.#byToken.size < this.#options.connections) return false;
    this.#context.counters.refusedCoapConnections++;
    const party = { id, remote, username: null, transport: this.transport, version: 0 };
    this.#context.limit(party, 'coap.connections', 'a connection was refused');
    return true;
  }

  /** Ends the connections of devices that have been silent for too long. */
  sweep(): void {
    const { heartbeat } = this.#options;
    const now = this.#now();
    for (const [token, connection] of this.#byToken) {
      // Who was heard of later stands behind.
      if (now - connection.heardAt <= heartbeat * 1500) break;
      if (connection.observes && connection.client.subscriptions > 0) this.hear(token);
      else {
        this.#context.counters.coapTimeouts++;
        connection.client.close(`nothing heard for one and a half times coap.heartbeat (${heartbeat} s)`);
      }
    }
    if (this.#byToken.size === 0) this.#stopTimer();
  }

  /** Ends all connections. */
  close(): void {
    this.#stopTimer();
    for (const { client } of [...this.#byToken.values()]) {
      client.close('the CoAP listener is closed', ReasonCode.ServerShuttingDown);
    }
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}

function refusalOf({ reasonCode, told }: Refusal): CoapResponse {
  switch (reasonCode) {
    case ReasonCode.ClientIdentifierNotValid:
      return diagnostic(Code.BadRequest, told);
    case ReasonCode.ServerUnavailable:
    case ReasonCode.ServerBusy:
    case ReasonCode.ServerShuttingDown:
    case ReasonCode.UseAnotherServer:
    case ReasonCode.ServerMoved:
      return { ...diagnostic(Code.ServiceUnavailable, told), maxAge: RETRY_AFTER };
    default:
      return diagnostic(Code.Unauthorized, told);
  }
}
