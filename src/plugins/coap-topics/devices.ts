/** Who sends a request: the client of the broker that stands for a device. */
import type { CoapRemote } from '../../coap/remotes.js';
import type { CoapRequest } from '../../coap/request.js';
import type { InProcessClient, PluginContext } from '../plugin.js';

/** `address:port` of a remote endpoint. */
export function addressOf({ family, address, port }: CoapRemote): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

export class Devices {
  readonly #context: PluginContext;
  readonly #anonymous: boolean;
  /** Clients of remote endpoints that say nothing of themselves; they go when the endpoint forgets the remote. */
  readonly #strangers = new WeakMap<object, InProcessClient>();

  /** @param anonymous whether devices without credentials are served */
  constructor(context: PluginContext, anonymous: boolean) {
    this.#context = context;
    this.#anonymous = anonymous;
  }

  /** The client of whoever sends a request; null if nobody vouches for it. */
  clientOf(request: CoapRequest): InProcessClient | null {
    return this.#anonymous ? this.#stranger(request.remote) : null;
  }

  #stranger(remote: CoapRemote): InProcessClient {
    let client = this.#strangers.get(remote);
    if (client === undefined) {
      const address = addressOf(remote);
      client = this.#context.openClient({ id: `coap-${address}`, remote: address, transport: 'coap' });
      this.#strangers.set(remote, client);
    }
    return client;
  }
}
