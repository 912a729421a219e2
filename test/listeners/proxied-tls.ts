/** Clients of TLS whose connections begin with what their proxy says. */
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { temporaryFolder } from '../support/portico.js';
import { CA, pem, SERVER } from './tls-scene.js';

/** A certificate and its key as options of a listener. */
export function certificateFiles(): { cert_file: string; key_file: string } {
  const folder = temporaryFolder();
  const [cert_file, key_file] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  writeFileSync(cert_file, String(SERVER.cert));
  writeFileSync(key_file, String(SERVER.key), { mode: 0o600 });
  return { cert_file, key_file };
}

/**
 * A client that shakes hands behind a header.
 * @param pieces of the header; the last one leaves together with the first bytes of the client
 */
export function shakeBehind(port: number, pieces: readonly Uint8Array[], options: ConnectionOptions = {}): TLSSocket {
  const raw = connect({ port, host: '127.0.0.1', noDelay: true });
  const socket = connectTls({
    socket: new Behind(raw, pieces),
    ca: pem(CA.der),
    checkServerIdentity: () => undefined,
    ...options,
  });
  // Who is refused finds out by its end.
  socket.on('error', () => {});
  return socket;
}

/** A connection that puts a header in front of what is written. */
class Behind extends Duplex {
  readonly #raw: Socket;
  #pieces: readonly Uint8Array[];

  constructor(raw: Socket, pieces: readonly Uint8Array[]) {
    super();
    this.#raw = raw;
    this.#pieces = pieces;
    raw.on('data', (chunk) => this.push(chunk));
    raw.on('error', () => this.destroy());
    raw.on('close', () => this.destroy());
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const [last, ...before] = this.#pieces.toReversed();
    this.#pieces = [];
    const write = async (): Promise<void> => {
      for (const piece of before.reverse()) await new Promise((resolve) => this.#raw.write(piece, resolve));
      this.#raw.write(last === undefined ? chunk : Buffer.concat([last, chunk]), done);
    };
    void write();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#raw.destroy();
    done(error);
  }
}
