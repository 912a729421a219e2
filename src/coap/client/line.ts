/** What a client sends through: a transport of its own, or the socket of a server endpoint (`CoapEndpoint.line`). */
import { codeClass, EMPTY, Type } from '../codes.js';
import { FormatError, Message, parseMessage } from '../message.js';
import type { DatagramAddress, DatagramTransport } from '../transport.js';
import type { ClientCounters } from './counters.js';

/** Takes what answers requests. */
export interface Requester {
  /** A message with a response code, of any type. It is dealt with, if need be by a Reset; false if it answers nothing. */
  receiveResponse(message: Message, source: DatagramAddress): boolean;
  /** An empty Acknowledgement or a Reset. False if it belongs to none of the requests. */
  receiveEmpty(type: number, messageId: number, source: DatagramAddress): boolean;
  /**
   * A peer will never take or answer anything again, or cannot be sent anything: what is under way with it fails.
   * @param detail words for a log, which may be empty
   */
  gone(peer: DatagramAddress, reason?: 'gone' | 'handshake', detail?: string): void;
}

/** A way out, and the way back. */
export interface ClientLine {
  /** Set by the client, cleared when it is closed. */
  requester: Requester | undefined;
  /** Sends `bytes[offset, offset + length)`; never throws. */
  send(bytes: Buffer, offset: number, length: number, peer: DatagramAddress): void;
  /** The next Message ID for this peer, if someone else sends to it from the same port (RFC 7252 4.4). */
  nextMessageId(peer: DatagramAddress): number | undefined;
  /** A request has had no answer. What is waited for, in words, if the peer cannot be sent anything as yet. */
  unanswered?(peer: DatagramAddress): string | undefined;
  close(): Promise<void>;
}

/** A transport that serves one client only: requests are rejected, a ping is answered (RFC 7252 4.2, 4.3). */
export class TransportLine implements ClientLine {
  requester: Requester | undefined;
  readonly #transport: DatagramTransport;
  readonly #counters: ClientCounters;
  readonly #message = new Message();
  readonly #reset = Buffer.from([0x70, 0, 0, 0]);

  /** Takes over the transport's datagrams from now on. */
  constructor(transport: DatagramTransport, counters: ClientCounters) {
    this.#transport = transport;
    this.#counters = counters;
    transport.onDatagram = (bytes, source) => {
      try {
        this.#receive(bytes, source);
      } catch {
        // Not reached by any datagram known; but one that finds a fault costs itself, not the process.
        counters.internalErrors++;
      }
    };
    transport.onGone = (remote, reason) => this.requester?.gone(remote, 'gone', reason);
    transport.onUnreachable = (remote, reason) => this.requester?.gone(remote, 'handshake', reason);
  }

  send(bytes: Buffer, offset: number, length: number, peer: DatagramAddress): void {
    this.#transport.send(bytes, offset, length, peer);
  }

  nextMessageId(): undefined {
    return undefined;
  }

  unanswered(peer: DatagramAddress): string | undefined {
    return this.#transport.unanswered?.(peer);
  }

  async close(): Promise<void> {
    this.#transport.onDatagram = undefined;
    this.#transport.onGone = undefined;
    this.#transport.onUnreachable = undefined;
    await this.#transport.close();
  }

  #receive(bytes: Buffer, source: DatagramAddress): void {
    const counters = this.#counters;
    const message = this.#message;
    counters.datagramsReceived++;
    counters.bytesReceived += bytes.length;
    // Nobody can be answered at port 0.
    if (source.port === 0) {
      counters.unexpectedMessages++;
      return;
    }
    const error = parseMessage(bytes, message);
    if (error !== FormatError.None) {
      counters.formatErrors++;
      if (error !== FormatError.TooShort && error !== FormatError.Version) this.#reject(source);
    } else if (message.code === EMPTY) {
      if (message.type === Type.Confirmable) this.#reject(source);
      else if (!this.requester?.receiveEmpty(message.type, message.messageId, source)) counters.unmatched++;
    } else if (isResponse(message)) this.requester?.receiveResponse(message, source);
    else {
      counters.unexpectedMessages++;
      this.#reject(source);
    }
  }

  #reject(source: DatagramAddress): void {
    if (this.#message.type !== Type.Confirmable) return;
    const { messageId } = this.#message;
    this.#reset[2] = messageId >>> 8;
    this.#reset[3] = messageId;
    this.#counters.resetsSent++;
    this.#counters.datagramsSent++;
    this.#counters.bytesSent += 4;
    this.#transport.send(this.#reset, 0, 4, source);
  }
}

/** A response by its code (RFC 7252 3) in a type that may carry one. */
export function isResponse(message: Message): boolean {
  const group = codeClass(message.code);
  return group >= 2 && group <= 5 && message.type !== Type.Reset;
}
