/** The proxies whose word about their clients counts (`trusted_proxies`). */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, type Socket, SocketAddress } from 'node:net';
import { addressText, plainAddress } from '../session/remote.js';

/** Entries of X-Forwarded-For that are looked at, from the last one: more proxies than that stand in no row. */
const MOST_PROXIES = 32;

export class TrustedProxies {
  readonly #list = new BlockList();

  /** @param entries addresses, and networks such as `10.0.0.0/8` */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [address, bits] = entry.split('/');
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      if (bits === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(bits), family);
    }
  }

  /** Whether a connection comes from a trusted proxy. */
  sent({ remoteAddress }: Socket): boolean {
    return remoteAddress !== undefined && this.#has(plainAddress(remoteAddress));
  }

  #has(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#list.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }

  /**
   * Where a request comes from by X-Forwarded-For: the last address that is no trusted proxy, for each proxy has added the
   * one that it has seen, and what stands before is the client's own word. Null if there is none.
   */
  clientOf({ headers }: IncomingMessage): string | null {
    const field = headers['x-forwarded-for'];
    if (field === undefined) return null;
    const entries = (Array.isArray(field) ? field.join(',') : field).split(',').slice(-MOST_PROXIES);
    for (const entry of entries.reverse()) {
      const address = addressIn(entry.trim());
      if (address === null) return null;
      if (!this.#has(address)) return addressText(address, 0);
    }
    return null;
  }
}

/** The address of an entry, which may have a port; null if there is none. */
function addressIn(entry: string): string | null {
  const [, inBrackets, before] = /^(?:\[([^\]]+)\](?::\d+)?|([^:]+):\d+)$/.exec(entry) ?? [];
  const text = inBrackets ?? before ?? entry;
  const family = isIP(text);
  if (family !== 6) return family === 0 ? null : text;
  // As the system writes it, so that one client has one address; a zone would mean something on the proxy only.
  return text.includes('%') ? null : plainAddress(new SocketAddress({ address: text, family: 'ipv6' }).address);
}
