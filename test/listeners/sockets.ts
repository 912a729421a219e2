/** Plain sockets to listeners. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A connection to a port of 127.0.0.1 that has said nothing yet. */
export async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  socket.on('error', () => {});
  return socket;
}

/** Resolves when a connection is closed; a reset is one of the ways in which the broker may close. */
export function closed(socket: Socket): Promise<void> {
  socket.on('error', () => {});
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}
