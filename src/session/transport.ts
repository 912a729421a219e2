/** Where a connection's bytes come from and go to: a socket, a WebSocket, or any duplex stream that Aedes takes. */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { giveBack, type Lent, type Output } from '../wire/output.js';
import type { ListenerTerms } from './listener-terms.js';
import { remoteOf } from './remote.js';

export interface TransportHandler {
  onData(chunk: Buffer): void;
  /** The peer reads again after `write` had returned with bytes pending. */
  onDrain(): void;
  /** The connection is gone; called once. */
  onClose(error: Error | null): void;
}

export interface Transport {
  /** `mqtt`, `websocket`, or another word for the log. */
  readonly name: string;
  /** Those of the listener; absent for a connection that comes by none of the configuration. */
  readonly terms?: ListenerTerms | undefined;
  /** `address:port` of the peer, or what stands for it. */
  readonly remote: string;
  /** Bytes handed over that the peer has not taken yet. */
  readonly pending: number;
  /** Bytes of the write under way that the system has not taken. Falls while `pending` stands, if a write is long. */
  readonly writing: number;
  handler: TransportHandler | null;
  /** Bytes that have come from the peer, with all that carries MQTT above TCP or TLS. */
  readonly bytesRead: number;
  /** The stream below, if there is one. */
  readonly stream: Duplex | null;
  /** The client has been accepted. @param maximumPacketSize bytes of the largest packet that it may send */
  accept(maximumPacketSize: number): void;
  /** Hands over all that an output has, with the buffer that it is in. */
  write(output: Output): void;
  pause(): void;
  resume(): void;
  /** Sends what is pending, then closes. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

/** How long a closing connection may take to deliver its last bytes, in milliseconds. */
const END_GRACE = 2000;

export class StreamTransport implements Transport {
  readonly name: string;
  readonly remote: string;
  readonly stream: Duplex;
  /** What a plain socket has written is in the kernel; another stream may still hold the bytes. */
  readonly #copies: boolean;
  /** Number of writes, and of those that are done. */
  #writes = 0;
  #done = 0;
  /**
   * Buffers that the socket has not taken, or whose callback has not come; the number of the first one's write. They are
   * of successive writes: one that is taken at once behind them, from within a callback, waits with them.
   */
  readonly #lent: Lent[] = [];
  #firstLent = 0;
  handler: TransportHandler | null = null;
  #closed = false;
  #ending: NodeJS.Timeout | null = null;

  readonly terms: ListenerTerms | undefined;

  constructor(stream: Duplex, name = 'mqtt', terms?: ListenerTerms) {
    this.stream = stream;
    this.name = name;
    this.terms = terms;
    this.#copies = stream instanceof Socket && !(stream instanceof TLSSocket);
    this.remote = remoteOf(stream);
    if (stream instanceof Socket) stream.setNoDelay(true);
    stream.on('data', (chunk: Buffer) => this.handler?.onData(chunk));
    stream.on('error', (error: Error) => this.#close(error));
    // A client that says no more may still have bytes to take, but not for ever.
    stream.on('end', () => this.end());
    stream.on('close', () => this.#close(null));
  }

  #close(error: Error | null): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#ending !== null) clearTimeout(this.#ending);
    this.handler?.onClose(error);
    this.stream.destroy();
  }

  /** Bytes were pending. The stream's own `drain` event comes only above its high-water mark, which is not our limit. */
  #pending = false;

  readonly #written = (error?: Error | null): void => {
    this.#done++;
    // A broken socket may still hold what it was given last, whatever it says.
    if (error || this.stream.destroyed) this.#lent.length = 0;
    else if (this.#lent.length > 0 && this.#done >= this.#firstLent) {
      giveBack(this.#lent.shift() as Lent);
      this.#firstLent++;
    }
    if (!this.#pending || this.stream.writableLength > 0) return;
    this.#pending = false;
    this.handler?.onDrain();
  };

  get pending(): number {
    return this.stream.writableLength;
  }

  get writing(): number {
    return writingOf(this.stream);
  }

  get bytesRead(): number {
    return this.stream instanceof Socket ? this.stream.bytesRead : 0;
  }

  accept(): void {}

  write(output: Output): void {
    // What is left of the connection is what the client has sent.
    if (this.#ending !== null || this.#closed) {
      output.recycle();
      return;
    }
    this.#writes++;
    this.stream.write(output.bytes(), this.#written);
    const taken = this.stream.writableLength === 0;
    if (!taken) this.#pending = true;
    if (!this.#copies || this.stream.destroyed) output.release();
    else if (taken && this.#lent.length === 0) output.recycle();
    else {
      if (this.#lent.length === 0) this.#firstLent = this.#writes;
      this.#lent.push(output.lend());
    }
  }

  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  end(): void {
    if (this.#closed || this.#ending !== null) return;
    this.#ending = setTimeout(() => this.stream.destroy(), END_GRACE);
    this.#ending.unref();
    // Read on, or the peer's unread bytes turn our close into a reset that may overtake the last packet.
    this.stream.resume();
    this.stream.end();
  }

  destroy(): void {
    this.stream.destroy();
  }
}

/** See `Transport.writing`; 0 for a stream that does not tell. Node's own socket timeout looks there, too. */
export function writingOf(stream: Duplex): number {
  const { _handle: handle } = stream as { _handle?: { readonly writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? 0;
}
