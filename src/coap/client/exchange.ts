/** One request message and the response to it: retransmission, Acknowledgement, token (RFC 7252 4.2, 5.2, 5.3). */
import { Type } from '../codes.js';
import { RoundTrip } from '../round-trip.js';
import { Timer } from '../timers.js';
import type { ClientCore } from './core.js';
import type { RequestTransmission } from './limits.js';
import type { FailureReason } from './outcome.js';
import type { Peer } from './peers.js';
import { type RequestFrame, writeRequest } from './request.js';
import type { ResponseMessage } from './response.js';

/** A token (RFC 7252 5.3.1): 8 random bytes as two 32-bit halves, as in `Message`. */
export interface Token {
  readonly high: number;
  readonly low: number;
}

/** Who gets the messages with a token. */
export interface TokenHolder {
  /** The exchange that awaits a response with this token. */
  readonly current: ClientExchange | null;
  /** A response that none awaits: a notification. */
  notified(response: ResponseMessage): void;
}

/** Whom an exchange reports to; exactly one of the two is called, once, unless it is withdrawn. */
export interface ExchangeOwner {
  answered(response: ResponseMessage): void;
  failed(reason: FailureReason, detail: string): void;
}

export class ClientExchange extends Timer implements TokenHolder {
  readonly peer: Peer;
  readonly token: Token;
  readonly frame: RequestFrame;
  readonly owner: ExchangeOwner;
  /** The Message ID last sent, -1 while it waits for its turn. */
  messageId = -1;
  /** Waiting: for its turn. Sent: in flight. Awaiting: acknowledged, or Non-confirmable for long enough; the place is free. */
  #state: 'waiting' | 'sent' | 'awaiting' | 'done' = 'waiting';
  readonly #core: ClientCore;
  readonly #transmission: RequestTransmission;
  /** Who holds the token; an observation keeps it when the exchange is over. */
  readonly #holder: TokenHolder;
  #bytes: Buffer | null = null;
  #retransmissions = 0;
  /** Milliseconds until the next retransmission, by ACK_TIMEOUT and its doublings. */
  #timeout = 0;
  /** Of the first transmission, in milliseconds of the clock. */
  #sentAt = 0;

  /** @param holder of the token, if that is not the exchange itself */
  constructor(
    core: ClientCore,
    peer: Peer,
    token: Token,
    frame: RequestFrame,
    transmission: RequestTransmission,
    owner: ExchangeOwner,
    holder: TokenHolder | null,
  ) {
    super();
    this.#core = core;
    this.peer = peer;
    this.token = token;
    this.frame = frame;
    this.#transmission = transmission;
    this.owner = owner;
    this.#holder = holder ?? this;
  }

  get current(): ClientExchange {
    return this;
  }

  notified(): void {}

  get done(): boolean {
    return this.#state === 'done';
  }

  get #confirmable(): boolean {
    return this.frame.request.confirmable !== false;
  }

  /** Takes its place in line and its token. */
  begin(): void {
    const { peer } = this;
    peer.exchanges.add(this);
    this.#core.hold(peer, this.token, this.#holder);
    if (peer.inFlight === null) this.#send();
    else peer.waiting.push(this);
  }

  /** An empty Acknowledgement: the response comes separately (RFC 7252 5.2.2). */
  acknowledged(): void {
    if (this.#state !== 'sent' || !this.#confirmable) return;
    this.#measure();
    this.#await();
  }

  answered(response: ResponseMessage): void {
    if (this.#state === 'done') return;
    if (this.#state === 'sent' && this.#confirmable) this.#measure();
    this.withdraw();
    this.owner.answered(response);
  }

  failed(reason: FailureReason, detail: string): void {
    if (this.#state === 'done') return;
    this.withdraw();
    this.owner.failed(reason, detail);
  }

  /** Ends without a report; nothing more is sent of it. */
  withdraw(): void {
    if (this.#state === 'done') return;
    const { peer } = this;
    this.#state = 'done';
    this.#bytes = null;
    this.#core.wheel.disarm(this);
    peer.exchanges.delete(this);
    if (this.#holder === this) this.#core.release(peer, this.token, this);
    if (peer.inFlight === this) this.#next();
    else {
      const index = peer.waiting.indexOf(this);
      if (index >= 0) peer.waiting.splice(index, 1);
    }
    this.#core.settle(peer);
  }

  expire(): void {
    if (!this.#confirmable) {
      this.#await();
      return;
    }
    if (this.#retransmissions >= this.#transmission.maxRetransmit) {
      this.failed('unacknowledged', `after ${this.#retransmissions} retransmissions`);
      return;
    }
    this.#retransmissions++;
    this.#core.counters.retransmissions++;
    this.#timeout *= 2;
    // The first one may have come early; the others are due when they are for everybody (RFC 7252 4.2).
    const early = this.#retransmissions === 1 ? this.#core.clock.now() - this.#sentAt : this.#timeout / 2;
    this.#transmit(1.5 * this.#timeout - early);
  }

  /** Only what was sent once tells the round-trip time (RFC 6298 3). */
  #measure(): void {
    if (this.#retransmissions > 0) return;
    const { peer } = this;
    const milliseconds = this.#core.clock.now() - this.#sentAt;
    if (peer.roundTrip === null) peer.roundTrip = new RoundTrip(milliseconds);
    else peer.roundTrip.measured(milliseconds);
  }

  #send(): void {
    const core = this.#core;
    const { ackTimeout, ackRandomFactor, maxRetransmit } = this.#transmission;
    const type = this.#confirmable ? Type.Confirmable : Type.NonConfirmable;
    this.peer.inFlight = this;
    this.#state = 'sent';
    this.messageId = core.line.nextMessageId(this.peer.address) ?? this.peer.nextMessageId();
    const factor = 1 + core.random() * (ackRandomFactor - 1);
    this.#timeout = ackTimeout * factor;
    this.#sentAt = core.clock.now();
    // A Non-confirmable request holds its place for as long as ever, and nothing is given up any sooner.
    const isFixed = !this.#confirmable || maxRetransmit === 0;
    const overdue = isFixed ? ackTimeout : (this.peer.roundTrip?.timeout(ackTimeout) ?? ackTimeout);
    writeRequest(core.writer, this.frame, type, this.messageId, this.token.high, this.token.low);
    this.#bytes = Buffer.from(core.writer.buffer.subarray(0, core.writer.length));
    this.#transmit(overdue * factor);
  }

  /** @param delay milliseconds until the response is overdue */
  #transmit(delay: number): void {
    const bytes = this.#bytes as Buffer;
    // Armed first: a transport in memory may bring the response before `send` returns.
    this.#core.wheel.arm(this, delay);
    this.#core.send(bytes, bytes.length, this.peer.address);
  }

  #await(): void {
    this.#state = 'awaiting';
    this.#bytes = null;
    this.#core.wheel.disarm(this);
    if (this.peer.inFlight === this) this.#next();
  }

  #next(): void {
    const following = this.peer.waiting.shift();
    this.peer.inFlight = null;
    if (following !== undefined) following.#send();
  }
}
