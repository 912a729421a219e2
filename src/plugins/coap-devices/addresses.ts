/** Addresses of devices that are configured by name. */
import { lookup } from 'node:dns';
import type { CoapUri } from '../../coap/client/uri.js';
import type { DatagramAddress } from '../../coap/transport.js';

/** How long an address is used before its name is asked for again, in milliseconds. */
const LIFETIME = 60_000;

/** Takes an address, or null if the name has none. */
type AddressHandler = (address: DatagramAddress | null) => void;

/** Bounded by the names in the configuration. */
export class DeviceAddresses {
  readonly #known = new Map<string, { readonly address: DatagramAddress; readonly until: number }>();

  /** Calls back at once for an IP address or a name that is known, else when it is resolved. */
  find(target: CoapUri, handler: AddressHandler): void {
    const { host, port, kind } = target;
    if (kind !== 'name') {
      handler({ address: host, port, family: kind });
      return;
    }
    const key = `${host}:${port}`;
    const known = this.#known.get(key);
    if (known !== undefined && known.until > performance.now()) {
      handler(known.address);
      return;
    }
    // IPv4 first: a device that has both is reached at either, a network that has IPv6 only in name is not.
    lookup(host, { verbatim: false }, (error, address, family) => {
      if (error) {
        handler(null);
        return;
      }
      const found: DatagramAddress = { address, port, family: family === 6 ? 'IPv6' : 'IPv4' };
      this.#known.set(key, { address: found, until: performance.now() + LIFETIME });
      handler(found);
    });
  }
}
