/** What stands for whose address it is, where clients are counted by it. */
import { isIP, SocketAddress } from 'node:net';

/** Groups of an IPv6 address that say whose it is: whoever has one address has its whole /64. */
const NETWORK_GROUPS = 4;

/** What is counted as one address; null for what has none, such as a stream inside the process. */
export function addressOf(remote: string): string | null {
  const [, inBrackets, plain] = /^(?:\[([^\]]+)\]|([^[\]]+)):\d+$/.exec(remote) ?? [];
  const address = inBrackets ?? plain ?? '';
  const family = isIP(address);
  if (family === 0) return null;
  if (family === 4) return address;
  return MAPPED.test(address) ? mappedIn(address) : networkOf(address);
}

/** An IPv4 address that is mapped to IPv6 (RFC 4291 2.5.5.2), however it is written: of all of them /64 says nothing. */
const MAPPED = /^[0:]*:ffff:/i;

function mappedIn(address: string): string {
  const canonical = new SocketAddress({ address: address.split('%')[0], family: 'ipv6' }).address;
  const rest = canonical.startsWith('::ffff:') ? canonical.slice(7) : '';
  return isIP(rest) === 4 ? rest : networkOf(canonical);
}

/** The /64 of an IPv6 address. */
function networkOf(address: string): string {
  const [before, after] = address.split('%')[0].split('::');
  const head = before === '' ? [] : before.split(':');
  // Only `::` leaves groups out. An IPv4 address at the end stands for two of them, behind those that count.
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const tailGroups = tail.length + (after?.includes('.') ? 1 : 0);
  const zeros = after === undefined ? 0 : 8 - head.length - tailGroups;
  const groups = [...head, ...new Array<string>(Math.max(0, zeros)).fill('0'), ...tail];
  return groups
    .slice(0, NETWORK_GROUPS)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

/** An address, as `addressOf` gives it, for people. */
export function shownAddress(address: string): string {
  return address.includes(':') ? `${address}::/64` : address;
}

/** What an address written by people counts as, also as `shownAddress` writes it; null if it is none. */
export function addressFrom(text: string): string | null {
  return addressOf(`[${text.replace(/\/64$/, '')}]:0`);
}

/** Whether an address, as `addressOf` gives it, is one of this machine: 127.0.0.0/8 and ::1, with all of ::/64. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '0:0:0:0';
}
