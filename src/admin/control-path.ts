/** Where the control socket of a broker is. */
import { closeSync, openSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ErrorKinds, PorticoError } from '../errors.js';

const NAME = 'control.sock';
/** Bytes that the address of a Unix domain socket has room for, without its last 0. */
const MAX_BYTES = process.platform === 'linux' ? 107 : 103;

/** A path for `bind` and `connect`; valid until it is released. */
export interface SocketPath {
  readonly path: string;
  release(): void;
}

/** The path for people. */
export function controlSocket(directory: string): string {
  return join(directory, NAME);
}

/**
 * A path to the control socket that the operating system takes, however long the directory's is: on Linux by way of the
 * open directory, elsewhere relative to the working directory.
 * @throws PorticoError `PORTICO_LISTEN` if there is none; an error of the file system if there is no such directory
 */
export function socketPath(directory: string): SocketPath {
  const whole = controlSocket(directory);
  if (Buffer.byteLength(whole) <= MAX_BYTES) return { path: whole, release() {} };
  if (process.platform === 'linux') {
    const descriptor = openSync(directory, 'r');
    return { path: `/proc/self/fd/${descriptor}/${NAME}`, release: () => closeSync(descriptor) };
  }
  const near = relative(process.cwd(), whole);
  if (Buffer.byteLength(near) <= MAX_BYTES) return { path: near, release() {} };
  throw new PorticoError(ErrorKinds.Listen, `the path ${whole} is longer than the ${MAX_BYTES} bytes of a socket's`);
}
