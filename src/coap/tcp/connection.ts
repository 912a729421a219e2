/**
 * One connection of CoAP over TCP. It gives the endpoint each message as it would come over UDP, and sends what the
 * endpoint answers: what TCP does by itself (acknowledgements, resets, retransmissions) stays here.
 */
import type { Socket } from 'node:net';
import { codeClass, EMPTY, Type } from '../codes.js';
import { FormatError, Message, parseMessage } from '../message.js';
import type { DatagramAddress } from '../transport.js';
import type { TcpEntrance } from './entrance.js';
import { datagramOf, FrameHead, frameOf, Head, readHead } from './frame.js';
import type { TcpLimits } from './limits.js';
import { abort, csm, ping, pong, release, SIGNALING_CLASS, Signal, unknownCriticalOption } from './signaling.js';

/** Why a connection was ended: a limit by its name, a fault of its client, or because the door has no room for it. */
export type AbortCause = 'openTime' | 'idleTime' | 'messageBytes' | 'unfinishedBytes' | 'fault' | 'no room';

/** Milliseconds that a client has to take the last message. */
const CLOSE_GRACE = 1000;

/** What a connection tells, and asks for. */
export interface ConnectionHost {
  readonly limits: TcpLimits;
  /** Milliseconds of a monotonic clock. */
  now(): number;
  /** A message for the endpoint. */
  deliver(datagram: Buffer, source: DatagramAddress): void;
  /** More bytes are kept of messages that have not come in full, or fewer if negative. May end connections, this one too. */
  holds(more: number): void;
  /** A message was dropped because the client does not read. */
  dropped(source: DatagramAddress): void;
  /** The connection was ended for what the client sent, or did not send. */
  aborted(source: DatagramAddress, cause: AbortCause, reason: string): void;
  closed(connection: Connection): void;
}

const NOTHING = Buffer.alloc(0);

export class Connection {
  readonly address: DatagramAddress;
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #entrance: TcpEntrance | undefined;
  readonly #frame = new FrameHead();
  readonly #message = new Message();
  /** `opening` until the client has said what it can. After `closing` nothing more is taken from it. */
  #state: 'opening' | 'open' | 'closing' | 'closed' = 'opening';
  /** A frame that has not come in full is `#rest[0, #restBytes)`. */
  #rest: Buffer = NOTHING;
  #restBytes = 0;
  /** Bytes that a frame needs, as far as its head has come. */
  #needed = 0;
  #messageId = 0;
  /** Message id of the Confirmable message that was written last. */
  #confirmable = -1;
  /** When something came, or was taken, last; once it is closing, since when. */
  #heardAt: number;
  /** When it was asked with a Ping since; infinite if it was not. */
  #askedAt = Number.POSITIVE_INFINITY;

  /** @param entrance its place with whoever counts connections */
  constructor(socket: Socket, address: DatagramAddress, host: ConnectionHost, entrance?: TcpEntrance) {
    this.#socket = socket;
    this.address = address;
    this.#host = host;
    this.#entrance = entrance;
    this.#heardAt = host.now();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('end', () => socket.end());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#closed());
    // Both sides begin with it, without waiting for the other (RFC 8323 5.3).
    socket.write(csm());
  }

  /** Whether the client has said what it can. */
  get open(): boolean {
    return this.#state === 'open';
  }

  /** Bytes that are kept of a message that has not come in full. */
  get unfinished(): number {
    return this.#rest.length;
  }

  /** Sends a message of the endpoint, `bytes[offset, offset + length)` as it would be over UDP. */
  send(bytes: Buffer, offset: number, length: number): void {
    if (this.#state === 'closed' || this.#state === 'closing') return;
    const type = (bytes[offset] >>> 4) & 3;
    const messageId = (bytes[offset + 2] << 8) | bytes[offset + 3];
    if (bytes[offset + 1] === EMPTY) {
      // There is no other reason for a Reset than a message without form.
      if (type === Type.Reset) this.abort('a message that does not parse');
      return;
    }
    if (type === Type.Confirmable) {
      // TCP repeats by itself.
      if (messageId === this.#confirmable) return;
      this.#confirmable = messageId;
    } else if (type === Type.NonConfirmable && this.#socket.writableLength > this.#host.limits.outputBytes) {
      this.#host.dropped(this.address);
      return;
    }
    this.#socket.write(frameOf(bytes, offset, offset + length), (error) => {
      if (type === Type.Confirmable && !error) this.#acknowledge(messageId);
    });
    // Whoever asks without taking the answers has to wait.
    if (this.#socket.writableLength > this.#host.limits.outputBytes) this.#socket.pause();
  }

  /** A Confirmable message is done once the socket has taken it, so that a slow client gets the newest state next. */
  #acknowledge(messageId: number): void {
    if (this.#state !== 'open') return;
    const datagram = Buffer.from([0x60, EMPTY, messageId >>> 8, messageId & 0xff]);
    this.#host.deliver(datagram, this.address);
  }

  /** Ends the connection for a fault of the client. @param option the critical option that is not known, or -1 */
  abort(reason: string, option = -1, cause: AbortCause = 'fault'): void {
    if (this.#state === 'closed' || this.#state === 'closing') return;
    this.#close();
    this.#host.aborted(this.address, cause, reason);
    this.#socket.end(abort(reason, option));
    this.#socket.destroySoon();
  }

  /** Ends the connection in order. */
  release(): void {
    if (this.#state === 'closed' || this.#state === 'closing') return;
    this.#close();
    this.#socket.end(release());
    this.#socket.destroySoon();
  }

  /** Nothing more is taken from it. */
  #close(): void {
    this.#state = 'closing';
    this.#heardAt = this.#host.now();
    this.#hold(NOTHING);
  }

  /** Asks a client that has been silent for too long, ends it if that has not helped. To be called now and then. */
  check(now: number): void {
    const silence = now - this.#heardAt;
    if (this.#state === 'closing') {
      // It does not take what was sent before.
      if (silence >= CLOSE_GRACE) this.#socket.destroy();
      return;
    }
    const { idleTime } = this.#host.limits;
    if (this.#state !== 'open' || silence < idleTime) return;
    if (now - this.#askedAt >= idleTime / 2) this.abort('nothing came, and no Pong', -1, 'idleTime');
    else if (this.#askedAt > now) {
      this.#askedAt = now;
      this.#socket.write(ping());
    }
  }

  #heard(): void {
    this.#heardAt = this.#host.now();
    this.#askedAt = Number.POSITIVE_INFINITY;
  }

  #closed(): void {
    this.#state = 'closed';
    this.#hold(NOTHING);
    this.#host.closed(this);
  }

  #drained(): void {
    if (this.#state !== 'closing') this.#heard();
    this.#socket.resume();
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'closing') return;
    this.#heard();
    if (this.#restBytes > 0 && this.#restBytes + chunk.length < this.#needed) {
      this.#keep(chunk);
      return;
    }
    const bytes = this.#restBytes === 0 ? chunk : Buffer.concat([this.#rest.subarray(0, this.#restBytes), chunk]);
    let at = 0;
    let found: number = Head.Whole;
    while (this.#state === 'opening' || this.#state === 'open') {
      const frame = this.#frame;
      found = readHead(bytes, at, frame);
      if (found === Head.Malformed) {
        this.abort('a token of more than eight bytes');
        return;
      }
      const { messageBytes } = this.#host.limits;
      if (frame.end - at > messageBytes) {
        this.abort(`a message of more than ${messageBytes} bytes`, -1, 'messageBytes');
        return;
      }
      if (found === Head.Unfinished) break;
      this.#receive(bytes);
      at = frame.end;
    }
    if (this.#state !== 'opening' && this.#state !== 'open') return;
    this.#restBytes = bytes.length - at;
    this.#needed = Math.max(this.#frame.end - at, 1);
    // A copy: the chunk may be much larger.
    this.#hold(this.#restBytes === 0 ? NOTHING : Buffer.from(bytes.subarray(at)));
  }

  #hold(rest: Buffer): void {
    const more = rest.length - this.#rest.length;
    this.#rest = rest;
    if (more !== 0) this.#host.holds(more);
  }

  /** Pieces may have one byte each: what is kept has the bytes of them all, and nothing for each. */
  #keep(chunk: Buffer): void {
    const bytes = this.#restBytes + chunk.length;
    if (bytes > this.#rest.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#needed, Math.max(bytes, 2 * this.#rest.length)));
      this.#rest.copy(larger, 0, 0, this.#restBytes);
      this.#hold(larger);
    }
    chunk.copy(this.#rest, this.#restBytes);
    this.#restBytes = bytes;
  }

  #receive(bytes: Buffer): void {
    const frame = this.#frame;
    if (frame.code === EMPTY) return; // RFC 8323 3.4
    const signaling = codeClass(frame.code) === SIGNALING_CLASS;
    if (this.#state === 'opening' && frame.code !== Signal.Csm) {
      this.abort('no Capabilities and Settings Message first');
      return;
    }
    this.#messageId = (this.#messageId + 1) & 0xffff;
    const datagram = datagramOf(bytes, frame, Type.Confirmable, this.#messageId);
    if (signaling) this.#signal(datagram);
    else this.#host.deliver(datagram, this.address);
  }

  #open(): void {
    if (this.#state !== 'opening') return;
    if (this.#entrance?.admit() === false) this.abort('too many connections', -1, 'no room');
    else this.#state = 'open';
  }

  #signal(datagram: Buffer): void {
    const message = this.#message;
    if (parseMessage(datagram, message) !== FormatError.None) {
      this.abort('a signaling message that does not parse');
      return;
    }
    const unknown = unknownCriticalOption(message);
    if (unknown >= 0) {
      this.abort('a critical option that is not known', message.code === Signal.Csm ? unknown : -1);
      return;
    }
    if (message.code === Signal.Csm) this.#open();
    else if (message.code === Signal.Ping) this.#socket.write(pong(message));
    else if (message.code === Signal.Release) this.release();
    else if (message.code === Signal.Abort) this.#socket.destroy();
    message.bytes = NOTHING;
  }
}
