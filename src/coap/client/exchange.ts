/** One request message and the response to it: retransmission, Acknowledgement, token (RFC 7252 4.2, 5.2, 5.3). */
import { Type } from '../codes.js';
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
  #timeout = 0;

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
    if (this.#state === 'sent' && this.#confirmable) this.#await();
  }

  answered(response: ResponseMessage): void {
    if (this.#state === 'done') return;
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
    this.#transmit();
  }

  #send(): void {
    const core = this.#core;
    const { ackTimeout, ackRandomFactor } = this.#transmission;
    const type = this.#confirmable ? Type.Confirmable : Type.NonConfirmable;
    this.peer.inFlight = this;
    this.#state = 'sent';
    this.messageId = core.line.nextMessageId(this.peer.address) ?? this.peer.nextMessageId();
    this.#timeout = ackTimeout * (1 + core.random() * (ackRandomFactor - 1));
    writeRequest(core.writer, this.frame, type, this.messageId, this.token.high, this.token.low);
    this.#bytes = Buffer.from(core.writer.buffer.subarray(0, core.writer.length));
    this.#transmit();
  }

  #transmit(): void {
    const bytes = this.#bytes as Buffer;
    // Armed first: a transport in memory may bring the response before `send` returns.
    this.#core.wheel.arm(this, this.#timeout);
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
