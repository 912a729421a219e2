/** Where a connection comes from, in words. */
import { isIPv4, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** What a trusted proxy has said about the connections that it passes on. */
const told = new WeakMap<Duplex, string>();

/** An IPv4 address that is mapped to IPv6 (RFC 4291 2.5.5.2), as the system writes it, as what it is; any other address as it stands. */
export function plainAddress(address: string): string {
  const rest = address.startsWith('::ffff:') ? address.slice(7) : '';
  // `::ffff:1:203.0.113.9` is another address.
  return isIPv4(rest) ? rest : address;
}

/** An address and port in one; an IPv4 address that is mapped to IPv6 as what it is. */
export function addressText(address: string, port: number | undefined): string {
  const plain = plainAddress(address);
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`;
}

/** From here on, a connection comes from where its proxy says. */
export function setRemote(stream: Duplex, remote: string): void {
  told.set(stream, remote);
}

/** `address:port` of the other end of a stream; `local` for one that has no address. */
export function remoteOf(stream: Duplex): string {
  const remote = told.get(stream);
  if (remote !== undefined) return remote;
  if (!(stream instanceof Socket) || stream.remoteAddress === undefined) return 'local';
  return addressText(stream.remoteAddress, stream.remotePort);
}
