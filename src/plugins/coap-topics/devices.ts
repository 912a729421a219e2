/** Who sends a request: the client of the broker that stands for a device. */
import type { DtlsSession } from '../../coap/dtls/association.js';
import { DEFAULT_LIMITS } from '../../coap/limits.js';
import type { CoapRemote } from '../../coap/remotes.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import type { DatagramAddress } from '../../coap/transport.js';
import type { InProcessClient, Party, PluginContext } from '../plugin.js';
import { NO_ANONYMOUS, UNKNOWN_TOKEN } from './answers.js';
import type { Connections, DeviceConnection } from './connections.js';
import { type DeviceQuery, readDeviceQuery } from './device-query.js';
import { type EndpointOptions, exchangeLifetimeOf } from './endpoint-options.js';
import type { CoapTopicsOptions } from './options.js';
import { Strangers } from './strangers.js';

/** `address:port` of a remote endpoint. */
export function addressOf({ family, address, port }: Pick<CoapRemote, 'family' | 'address' | 'port'>): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The identity that DTLS or TLS has proved, by a pre-shared key or a certificate, if it has. */
export function identityOf({ session }: DatagramAddress): string | undefined {
  if (session === undefined || !('identity' in session)) return undefined;
  return typeof session.identity === 'string' ? session.identity : undefined;
}

/** Whether nobody on the way can read what a remote endpoint sends: DTLS or TLS is below. */
export function isSecured({ session }: CoapRemote): boolean {
  return session !== undefined;
}

/** What an admin reads of the way of a device: where it is now, and what protects what it sends. */
export function securityOf(remote: CoapRemote): Readonly<Record<string, unknown>> {
  const { session } = remote;
  if (session === undefined || !('cipherSuite' in session)) return {};
  const { cipherSuite, proof, connectionId } = session as Partial<DtlsSession>;
  return {
    now_at: addressOf(remote),
    cipher_suite: cipherSuite,
    proof,
    ...(connectionId === undefined ? null : { connection_id: connectionId }),
  };
}

export class Devices {
  readonly #connections: Connections;
  readonly #options: { readonly anonymous: boolean };
  /** Connections of devices with an identity, by their association or connection of TLS, or what comes of the first request of one. */
  readonly #secured = new WeakMap<object, DeviceConnection | Promise<DeviceConnection | CoapResponse>>();
  /** Those that prove nothing. */
  readonly strangers: Strangers;
  /** The address that they come to, `scheme://host:port`; empty while it is not known. */
  endpoint = '';

  /** @param now milliseconds of a clock */
  constructor(
    context: PluginContext,
    connections: Connections,
    options: Pick<CoapTopicsOptions, 'anonymous'> & EndpointOptions,
    now: () => number = () => performance.now(),
  ) {
    this.#connections = connections;
    this.#options = options;
    const { transport } = connections;
    const open = (remote: CoapRemote, clientId: string | undefined): InProcessClient => {
      const address = addressOf(remote);
      return context.openClient({ id: clientId ?? `coap-${address}`, remote: address, transport, details });
    };
    // One for all of them.
    const details = (): Readonly<Record<string, unknown>> => ({ endpoint: this.endpoint });
    const most = options.clients ?? DEFAULT_LIMITS.remotes;
    this.strangers = new Strangers(open, { lifetime: exchangeLifetimeOf(options), most }, now);
  }

  /** The client of whoever sends a request, or the response that refuses it. */
  clientOf(request: CoapRequest): InProcessClient | CoapResponse | Promise<InProcessClient | CoapResponse> {
    const query = readDeviceQuery(request.query);
    if (query.token !== undefined) {
      const client = this.#connections.hear(query.token)?.client;
      return client !== undefined && (query.clientId ?? client.id) === client.id ? client : UNKNOWN_TOKEN;
    }
    const identity = identityOf(request.remote);
    if (identity !== undefined) return this.#secure(request.remote, identity, query);
    return this.#options.anonymous ? this.strangers.hear(request.remote, query.clientId) : NO_ANONYMOUS;
  }

  /** A device that DTLS or TLS vouches for is connected from its first request on. */
  #secure(
    remote: CoapRemote,
    identity: string,
    query: DeviceQuery,
  ): InProcessClient | Promise<InProcessClient | CoapResponse> {
    const key = remote.session as object;
    const known = this.#secured.get(key);
    if (known !== undefined && 'client' in known) {
      if (this.#connections.hear(known.token) !== undefined) return known.client;
      // It has been silent for too long.
      this.#secured.delete(key);
    } else if (known !== undefined) return known.then(clientOf);
    const address = addressOf(remote);
    const opening = this.#connections.open({
      clientId: query.clientId ?? `coap-${identity}`,
      username: identity,
      password: undefined,
      remote: address,
      verified: true,
      observes: true,
      details: () => ({ endpoint: this.endpoint, ...securityOf(remote) }),
    });
    this.#secured.set(key, opening);
    return opening.then(
      (made) => {
        if ('code' in made) this.#secured.delete(key);
        else this.#secured.set(key, made);
        return clientOf(made);
      },
      (error: unknown) => {
        this.#secured.delete(key);
        throw error;
      },
    );
  }

  /** Who sends a request, as far as it says so, for those who follow it: nothing is opened, and nobody counts as heard of. */
  partyOf(remote: DatagramAddress, query: DeviceQuery): Party {
    const { token, clientId, username = null } = query;
    const connected = token === undefined ? undefined : this.#connections.peek(token);
    if (connected !== undefined) return connected.client;
    const secured = remote.session === undefined ? undefined : this.#secured.get(remote.session);
    if (clientId === undefined && secured !== undefined && 'client' in secured) return secured.client;
    const at = addressOf(remote);
    const stranger = this.strangers.peek(remote.key ?? `${remote.address}:${remote.port}`);
    if (clientId === undefined && stranger !== undefined) return stranger;
    const identity = identityOf(remote);
    return {
      id: clientId ?? `coap-${identity ?? at}`,
      username: identity ?? username,
      remote: at,
      transport: this.#connections.transport,
      version: 0,
    };
  }

  /** A remote endpoint will never send anything again: its client ends. */
  gone(key: string | undefined, session: object | undefined, reason: string): void {
    if (key !== undefined) this.strangers.gone(key, reason);
    const secured = session === undefined ? undefined : this.#secured.get(session);
    if (session === undefined || secured === undefined) return;
    this.#secured.delete(session);
    if ('client' in secured) secured.client.close(reason);
    else void secured.then((made) => 'client' in made && made.client.close(reason)).catch(() => {});
  }
}

function clientOf(made: DeviceConnection | CoapResponse): InProcessClient | CoapResponse {
  return 'client' in made ? made.client : made;
}
