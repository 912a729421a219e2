/**
 * The control socket: HTTP over a Unix domain socket in the data directory, for commands that ask the running broker.
 * Who may write to it may do everything; its mode is 0600.
 */
import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { type ErrorKind, ErrorKinds, PorticoError } from '../errors.js';
import { controlSocket, type SocketPath, socketPath } from './control-path.js';

/** What one path answers. */
export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Answers; rejects if it cannot. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** What the socket has to say, as pino takes it. */
export interface ControlLog {
  info(sentence: string): void;
  warn(sentence: string): void;
}

/** Commands at a time. */
const MAX_CONNECTIONS = 32;

/** What a client is told of a failure. */
export interface ControlFailure {
  readonly code: string;
  readonly message: string;
}

export class ControlServer {
  readonly #directory: string;
  readonly #routes: readonly Route[];
  readonly #log: ControlLog;
  readonly #server: Server;
  /** Requests that are being answered. */
  readonly #answering = new Set<Promise<void>>();
  #path: SocketPath | null = null;

  /** @param directory created if absent */
  constructor(directory: string, routes: readonly Route[], log: ControlLog) {
    this.#directory = directory;
    this.#routes = routes;
    this.#log = log;
    this.#server = createServer((request, response) => {
      const answering = this.#answer(request, response).finally(() => this.#answering.delete(answering));
      this.#answering.add(answering);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /**
   * Listens. A socket that a killed broker has left behind is replaced; one that answers is another broker's, and stays.
   * @throws PorticoError `PORTICO_LISTEN`
   */
  async open(): Promise<void> {
    try {
      mkdirSync(this.#directory, { recursive: true });
      this.#path = socketPath(this.#directory);
      await this.#replace(this.#path.path);
      await this.#bind(this.#path.path);
    } catch (error) {
      this.#release();
      const words = error instanceof Error ? error.message : String(error);
      const sentence = `cannot open the control socket ${controlSocket(this.#directory)}: ${words}`;
      throw new PorticoError(ErrorKinds.Listen, sentence, { cause: error });
    }
  }

  /** Takes a dead socket out of the way, and nothing else. */
  async #replace(path: string): Promise<void> {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isSocket()) throw new PorticoError(ErrorKinds.Listen, 'there is a file of that name');
    if (await answers(path)) throw new PorticoError(ErrorKinds.Listen, 'another broker answers there');
    rmSync(path, { force: true });
  }

  #bind(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      // The mode has to be right from the first moment, and the socket is made within `listen`.
      const former = process.umask(0o177);
      try {
        this.#server.listen({ path });
      } finally {
        process.umask(former);
      }
      this.#server.once('listening', () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#log.warn(`the control socket failed: ${error.message}`));
        resolve();
      });
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that goes away is nobody's fault.
    response.on('error', () => {});
    try {
      const path = (request.url ?? '').split('?')[0];
      const there = this.#routes.filter((one) => one.path === path);
      const route = there.find(({ method }) => method === request.method);
      if (route !== undefined) await route.handle(request, response);
      else if (there.length === 0) fail(response, 404, NotThere, `there is no ${path}`);
      else fail(response, 405, NotThere, `${path} does not take ${request.method}`);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#log.warn(`${request.method} ${request.url} failed: ${message}`);
      const kind = error instanceof PorticoError ? error.kind : Internal;
      if (response.headersSent) response.destroy();
      else fail(response, kind === ErrorKinds.Limit ? 409 : 500, kind, message);
    }
  }

  /** Breaks off what is being answered; resolves when nothing of it is left. */
  async close(): Promise<void> {
    if (this.#server.listening) {
      const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
      this.#server.closeAllConnections();
      await closed;
    }
    await Promise.allSettled(this.#answering);
    // Not before: closing has removed the socket by this path.
    this.#release();
  }

  #release(): void {
    this.#path?.release();
    this.#path = null;
  }
}

/** What the URL of a request says behind its question mark. */
export function parametersOf(request: IncomingMessage): URLSearchParams {
  return new URL(request.url ?? '', 'http://control').searchParams;
}

export function answerJson(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value)}\n`);
}

const NotThere: ErrorKind = { code: 'PORTICO_NOT_THERE' };
const Internal: ErrorKind = { code: 'PORTICO_INTERNAL' };

function fail(response: ServerResponse, status: number, { code }: ErrorKind, message: string): void {
  answerJson(response, status, { code, message } satisfies ControlFailure);
}

/** Whether somebody listens on a socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const answer = (there: boolean) => () => {
      socket.destroy();
      resolve(there);
    };
    socket.once('connect', answer(true));
    socket.once('error', answer(false));
  });
}
