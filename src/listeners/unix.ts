/** MQTT over a Unix socket: a file of the machine, whose permissions say who may connect. */

import { chmodSync, chownSync, lchownSync } from 'node:fs';
import { lstat, readFile, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { ErrorKinds, mayNot, PorticoError } from '../errors.js';
import { keepEarly, takeEarly } from './early.js';
import type { Listener } from './listener.js';
import { behind, type ProxyDoor } from './proxy-door.js';

const BACKLOG = 4096;
/** What nobody but the owner can use, until the group has been set. */
const OWNER_ONLY = 0o177;
/** Bytes of the longest path of a Unix socket on Linux, without the NUL behind it. */
export const LONGEST_SOCKET_PATH = 107;
/** Where the names of groups are. */
const GROUPS = '/etc/group';

/** The file of a Unix socket. */
export interface SocketFile {
  readonly path: string;
  /** Permissions, such as 0o660. */
  readonly mode: number;
  /** Name or number of the group that owns it; undefined for that of the process. */
  readonly group: string | undefined;
}

/** Who is to own it in the place of the process. */
export interface SocketOwner {
  readonly uid: number;
  readonly gid: number;
}

export class UnixListener implements Listener {
  readonly type = 'unix';
  #server: Server;
  readonly #accept: (socket: Socket) => void;
  readonly #file: SocketFile;

  readonly #door: ProxyDoor | null;

  /** @param door where the PROXY header of each connection is read */
  constructor(file: SocketFile, accept: (socket: Socket) => void, door: ProxyDoor | null = null) {
    this.#file = file;
    this.#door = door;
    this.#accept = behind(door, accept);
    this.#server = createServer({ allowHalfOpen: false }, this.#accept);
  }

  get address(): string {
    return this.#file.path;
  }

  async listen(): Promise<void> {
    await this.#orWords(async () => {
      const { path, group } = this.#file;
      const early = takeEarly(path);
      if (early !== undefined) {
        this.#server = early.removeAllListeners('connection').on('connection', this.#accept);
        return;
      }
      const gid = group === undefined ? null : await groupId(group);
      await clearStale(path);
      await this.#bind(gid);
    });
  }

  /**
   * Binds as root, for the listener of the same path that another user makes. That one may be free to do what it likes in the
   * folder, so nothing is done to the path that would follow a link there.
   */
  async bindEarly(owner: SocketOwner): Promise<void> {
    await this.#orWords(async () => {
      const { path, mode, group } = this.#file;
      const gid = group === undefined ? owner.gid : await groupId(group);
      await clearStale(path);
      await this.#listenWith(0o777 & ~mode);
      lchownSync(path, owner.uid, gid);
      keepEarly(path, this.#server);
    });
  }

  async #orWords(open: () => Promise<void>): Promise<void> {
    const { path } = this.#file;
    try {
      await open();
    } catch (error) {
      const reason = error instanceof Error ? words(error) : String(error);
      throw new PorticoError(ErrorKinds.Listen, `cannot listen for MQTT on ${path}: ${reason}`, { cause: error });
    }
  }

  async #bind(gid: number | null): Promise<void> {
    const { path, mode } = this.#file;
    // The file is there when `listen` returns: nobody may connect before its group and mode are set.
    await this.#listenWith(OWNER_ONLY);
    try {
      if (gid !== null) chownSync(path, process.geteuid?.() ?? -1, gid);
      chmodSync(path, mode);
    } catch (error) {
      this.#server.close();
      throw error;
    }
  }

  #listenWith(umask: number): Promise<void> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      const former = process.umask(umask);
      try {
        server.listen({ path: this.#file.path, backlog: BACKLOG });
      } finally {
        process.umask(former);
      }
      server.once('listening', () => {
        server.off('error', reject);
        server.on('error', () => {});
        resolve();
      });
    });
  }

  /** Takes no more connections, and removes the file. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#server.listening) this.#server.close(() => resolve());
      else resolve();
      this.#door?.close();
    });
  }
}

/** Removes the socket of a broker that did not end by itself. Rejects if there is something else. */
async function clearStale(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket()) throw new Error('there is a file of that name that is no socket');
    if (await isListening(path)) throw new Error('another program listens on this socket');
    await unlink(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}

/** Whether a program listens on a socket; rejects if that cannot be told. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve(false);
      // Its line of connections is full.
      else if (error.code === 'EAGAIN') resolve(true);
      else reject(error);
    });
  });
}

/** The number of a group. */
async function groupId(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group);
  const lines = (await readFile(GROUPS, 'utf8')).split('\n').map((line) => line.split(':'));
  const found = lines.find(([name]) => name === group);
  if (found === undefined)
    throw new Error(`there is no group ${JSON.stringify(group)} in ${GROUPS}; its number works, too`);
  return Number(found[2]);
}

function words(error: Error): string {
  switch ('code' in error ? error.code : '') {
    case 'EADDRINUSE':
      return 'another program uses this path';
    case 'EACCES':
      // What libuv says of a folder that is missing, too.
      return `${mayNot()} make or use this file, or its folder is not there`;
    case 'EPERM':
      return `${mayNot()} give the file to that group`;
    case 'ENAMETOOLONG':
      return `the path has more than ${LONGEST_SOCKET_PATH} bytes`;
    default:
      return error.message;
  }
}
