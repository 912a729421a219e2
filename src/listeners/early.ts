/**
 * Sockets that only root may bind, bound before the process becomes another user (option `user`): a listener of the same
 * address takes over what is bound already. Until then their clients are closed at once, as if nobody listened.
 */
import type { Server } from 'node:net';

const bound = new Map<string, Server>();

/** @param place of the kind that `placeOf` makes, or the path of a Unix socket */
export function keepEarly(place: string, server: Server): void {
  bound.set(place, server);
}

/** What was bound early; from then on it belongs to the caller. */
export function takeEarly(place: string): Server | undefined {
  const server = bound.get(place);
  bound.delete(place);
  return server;
}

/** An address of TCP. */
export function placeOf(host: string, port: number): string {
  return `${host} ${port}`;
}
