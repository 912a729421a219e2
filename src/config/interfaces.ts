/** Network interfaces of this machine. */
import { networkInterfaces } from 'node:os';

/** An address that can be bound. */
export interface InterfaceAddress {
  readonly host: string;
  /** Only this machine reaches it. */
  readonly internal: boolean;
}

/** The addresses that an interface has now; none if there is no such interface, or it is not up yet. */
export function addressesOf(name: string): InterfaceAddress[] {
  return (networkInterfaces()[name] ?? []).map((one) => {
    // A link-local address means nothing without its interface.
    const zone = one.family === 'IPv6' && one.scopeid !== 0 ? `%${name}` : '';
    return { host: one.address + zone, internal: one.internal };
  });
}
