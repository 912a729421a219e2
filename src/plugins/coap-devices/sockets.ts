/** The broker's own sockets for requests to devices: one for each family of addresses, and the same for DTLS. */
import { CoapClient } from '../../coap/client/client.js';
import type { ClientLimits } from '../../coap/client/limits.js';
import type { CoapUri } from '../../coap/client/uri.js';
import type { DtlsClientTransport } from '../../coap/dtls-client/transport.js';
import { type DatagramAddress, UdpTransport } from '../../coap/transport.js';
import { UdpPorts } from '../../coap/udp-ports.js';
import type { TransportOptions } from '../coap-topics/transports.js';
import type { PluginContext } from '../plugin.js';
import { DeviceAddresses } from './addresses.js';
import { type DeviceCredentials, NO_CREDENTIALS } from './credentials.js';
import { type PortNumbers, portLimit, portNumbers } from './ports.js';
import type { Route } from './route.js';
import { dtlsTo, type SecureLineNumbers, secureAddress, secureLineNumbers } from './secure-line.js';

type Family = DatagramAddress['family'];

const ANY: Readonly<Record<Family, string>> = { IPv4: '0.0.0.0', IPv6: '::' };

export class DeviceSockets {
  readonly #limits: Partial<ClientLimits>;
  readonly #options: TransportOptions;
  readonly #credentials: DeviceCredentials;
  readonly #addresses = new DeviceAddresses();
  readonly #plain = new Map<Family, CoapClient>();
  readonly #secure = new Map<Family, CoapClient>();
  readonly #lines: DtlsClientTransport[] = [];
  readonly #ports: UdpPorts[] = [];

  constructor(
    limits: Partial<ClientLimits>,
    options: TransportOptions,
    credentials: DeviceCredentials = NO_CREDENTIALS,
  ) {
    this.#limits = limits;
    this.#options = options;
    this.#credentials = credentials;
  }

  get clients(): CoapClient[] {
    return [...this.#plain.values(), ...this.#secure.values()];
  }

  get numbers(): SecureLineNumbers & PortNumbers {
    return { ...secureLineNumbers(this.#lines), ...portNumbers(this.#ports) };
  }

  /** Binds what the targets need; rejects with `PORTICO_LISTEN`. A machine without IPv6 still reaches names. */
  async open(targets: readonly Pick<CoapUri, 'secure' | 'kind'>[], context: PluginContext): Promise<void> {
    for (const secure of [false, true]) {
      const kinds = new Set(targets.filter((target) => target.secure === secure).map(({ kind }) => kind));
      if (kinds.has('IPv4') || kinds.has('name')) await this.#bind('IPv4', secure, context);
      if (kinds.has('IPv6')) await this.#bind('IPv6', secure, context);
      else if (kinds.has('name')) await this.#bind('IPv6', secure, context).catch(() => {});
    }
  }

  async #bind(family: Family, secure: boolean, context: PluginContext): Promise<void> {
    if (!secure) {
      const udp = await UdpTransport.bind({ address: ANY[family], port: 0 });
      this.#plain.set(family, new CoapClient(udp, { limits: this.#limits }));
      return;
    }
    const ports = await UdpPorts.bind(ANY[family], {
      onLimit: (limit, remote) => portLimit(context, limit, remote),
    });
    this.#ports.push(ports);
    const line = dtlsTo(ports, this.#options, context);
    this.#lines.push(line);
    this.#secure.set(family, new CoapClient(line, { limits: this.#limits }));
  }

  /**
   * Calls back with the way to a target, at once or when its name is resolved; null if there is none.
   * @param endpoint name of a registered device
   */
  find(target: CoapUri, handler: (route: Route | null) => void, endpoint?: string): void {
    this.#addresses.find(target, (found) => {
      const client = found === null ? undefined : (target.secure ? this.#secure : this.#plain).get(found.family);
      const address =
        found !== null && target.secure ? secureAddress(target, found, this.#credentials, endpoint) : found;
      handler(address === null || client === undefined ? null : { client, address });
    });
  }

  /** What is under way fails as `closed`. */
  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
  }
}
