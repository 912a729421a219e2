/** Who sends a request: the client of the broker that stands for a device. */
import type { CoapRemote } from '../../coap/remotes.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import type { InProcessClient, PluginContext } from '../plugin.js';
import { UNAUTHORIZED } from './answers.js';
import type { Connections, DeviceConnection } from './connections.js';
import { type DeviceQuery, readDeviceQuery } from './device-query.js';

/** `address:port` of a remote endpoint. */
export function addressOf({ family, address, port }: Pick<CoapRemote, 'family' | 'address' | 'port'>): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The identity that DTLS or TLS has proved, by a pre-shared key or a certificate, if it has. */
export function identityOf({ session }: CoapRemote): string | undefined {
  if (session === undefined || !('identity' in session)) return undefined;
  return typeof session.identity === 'string' ? session.identity : undefined;
}

/** Whether nobody on the way can read what a remote endpoint sends: DTLS or TLS is below. */
export function isSecured({ session }: CoapRemote): boolean {
  return session !== undefined;
}

export class Devices {
  readonly #context: PluginContext;
  readonly #connections: Connections;
  readonly #options: { readonly anonymous: boolean };
  /** Connections of devices with an identity, by their association or connection of TLS, or what comes of the first request of one. */
  readonly #secured = new WeakMap<object, DeviceConnection | Promise<DeviceConnection | CoapResponse>>();
  /**
   * Clients of remote endpoints that prove nothing: first the one that it has called itself last, then those with other
   * names that observe something. They go when the endpoint forgets the remote.
   */
  readonly #strangers = new WeakMap<object, readonly InProcessClient[]>();
  /** Those of them that do not come over UDP, by the key of their association or connection, of whose end the endpoint is told. */
  readonly #connected = new Map<string, readonly InProcessClient[]>();

  /** @param options whether devices without credentials are served, which is asked for each request */
  constructor(context: PluginContext, connections: Connections, options: { readonly anonymous: boolean }) {
    this.#context = context;
    this.#connections = connections;
    this.#options = options;
  }

  /** The client of whoever sends a request, or the response that refuses it. */
  clientOf(request: CoapRequest): InProcessClient | CoapResponse | Promise<InProcessClient | CoapResponse> {
    const query = readDeviceQuery(request.query);
    if (query.token !== undefined) {
      const client = this.#connections.hear(query.token)?.client;
      return client !== undefined && (query.clientId ?? client.id) === client.id ? client : UNAUTHORIZED;
    }
    const identity = identityOf(request.remote);
    if (identity !== undefined) return this.#secure(request.remote, identity, query);
    return this.#options.anonymous ? this.#stranger(request.remote, query) : UNAUTHORIZED;
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

  /** A remote endpoint will never send anything again: its client ends. */
  gone(key: string | undefined, session: object | undefined, reason: string): void {
    if (key !== undefined) {
      for (const client of this.#connected.get(key) ?? []) client.close(reason);
      this.#connected.delete(key);
    }
    const secured = session === undefined ? undefined : this.#secured.get(session);
    if (session === undefined || secured === undefined) return;
    this.#secured.delete(session);
    if ('client' in secured) secured.client.close(reason);
    else void secured.then((made) => 'client' in made && made.client.close(reason)).catch(() => {});
  }

  /** It may call itself what it likes, as an MQTT client without user name may. */
  #stranger(remote: CoapRemote, { clientId }: DeviceQuery): InProcessClient {
    const named = this.#strangers.get(remote) ?? [];
    const [last] = named;
    if (last !== undefined && (clientId === undefined || clientId === last.id)) return last;
    const address = addressOf(remote);
    const { transport } = this.#connections;
    const client =
      named.find(({ id }) => id === clientId) ??
      this.#context.openClient({ id: clientId ?? `coap-${address}`, remote: address, transport });
    const clients = [client, ...named.filter((other) => other !== client && other.subscriptions > 0)];
    this.#strangers.set(remote, clients);
    if (transport !== 'coap') this.#connected.set(remote.key, clients);
    return client;
  }
}

function clientOf(made: DeviceConnection | CoapResponse): InProcessClient | CoapResponse {
  return 'client' in made ? made.client : made;
}
