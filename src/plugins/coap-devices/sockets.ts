/** The broker's own sockets for requests to devices that are configured: one for each family of addresses. */
import { CoapClient } from '../../coap/client/client.js';
import type { ClientLimits } from '../../coap/client/limits.js';
import type { CoapUri } from '../../coap/client/uri.js';
import { type DatagramAddress, UdpTransport } from '../../coap/transport.js';
import { DeviceAddresses } from './addresses.js';
import type { Route } from './route.js';

type Family = DatagramAddress['family'];

export class DeviceSockets {
  readonly #limits: Partial<ClientLimits>;
  readonly #addresses = new DeviceAddresses();
  readonly #clients = new Map<Family, CoapClient>();

  constructor(limits: Partial<ClientLimits>) {
    this.#limits = limits;
  }

  get clients(): IterableIterator<CoapClient> {
    return this.#clients.values();
  }

  /** Binds what the targets need; rejects with `PORTICO_LISTEN`. A machine without IPv6 still reaches names. */
  async open(targets: readonly CoapUri[]): Promise<void> {
    const families = new Set(targets.map(({ kind }) => kind));
    if (families.has('IPv4') || families.has('name')) await this.#bind('IPv4', '0.0.0.0');
    if (families.has('IPv6')) await this.#bind('IPv6', '::');
    else if (families.has('name')) await this.#bind('IPv6', '::').catch(() => {});
  }

  async #bind(family: Family, address: string): Promise<void> {
    const transport = await UdpTransport.bind({ address, port: 0 });
    this.#clients.set(family, new CoapClient(transport, { limits: this.#limits }));
  }

  /** Calls back with the way to a target, at once or when its name is resolved; null if there is none. */
  find(target: CoapUri, handler: (route: Route | null) => void): void {
    this.#addresses.find(target, (address) => {
      const client = address === null ? undefined : this.#clients.get(address.family);
      handler(address === null || client === undefined ? null : { client, address });
    });
  }

  /** What is under way fails as `closed`. */
  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }
}
