/** One request as its caller sees it: as many messages as its bodies and the server's questions take. */
import { blockSize, LAST_BLOCK, sizeExponent } from '../block.js';
import { Code, codeClass, codeName, Method } from '../codes.js';
import { Timer } from '../timers.js';
import { Body } from './body.js';
import type { ClientCore } from './core.js';
import type { ClientCounters } from './counters.js';
import { ClientExchange, type ExchangeOwner, type Token, type TokenHolder } from './exchange.js';
import type { RequestTransmission } from './limits.js';
import type { Failure, FailureReason, Outcome } from './outcome.js';
import type { Peer } from './peers.js';
import { type ClientRequest, frameOf, type RequestFrame } from './request.js';
import type { ResponseMessage } from './response.js';

/** Who started an operation. */
export interface OperationOwner {
  /** The response has begun to arrive; if it is blockwise, the rest is fetched now. */
  began?(response: ResponseMessage): void;
  /** Called once, unless the operation is withdrawn. */
  ended(outcome: Outcome): void;
}

/** How an operation registers, or deregisters, an observation (RFC 7641 2). */
export interface ObserveRequest {
  /** 0 registers, 1 deregisters. */
  readonly value: number;
  readonly token: Token;
  /** Keeps the token when the exchange is over; null if nobody does. */
  readonly holder: ObserveHolder | null;
}

/** An observation, as its registration sees it. */
export interface ObserveHolder extends TokenHolder {
  /** The registration is about to be sent in this exchange. */
  registering(exchange: ClientExchange): void;
}

const COUNTERS: Readonly<Record<FailureReason, keyof ClientCounters | null>> = {
  timeout: 'timeouts',
  unacknowledged: 'unacknowledged',
  reset: 'resets',
  // Counted under the name of the limit.
  limit: null,
  'bad-response': 'badResponses',
  'body-changed': 'bodiesChanged',
  unsendable: 'unsendable',
  cancelled: 'cancelled',
  gone: 'cancelled',
  handshake: 'handshakeFailures',
  closed: 'cancelled',
};

/** A server that asks for an Echo every time, or changes its mind again and again, gets this many repetitions. */
const MAX_ECHOES = 2;
const MAX_RESTARTS = 2;

export class Operation extends Timer implements ExchangeOwner {
  readonly peer: Peer;
  readonly #core: ClientCore;
  readonly #owner: OperationOwner;
  readonly #frame: RequestFrame;
  readonly #transmission: RequestTransmission;
  readonly #registration: ObserveRequest | null;
  #exchange: ClientExchange | null = null;
  #body: Body | null = null;
  /** The largest SZX that both sides use. */
  #exponent: number;
  /** Where in the request's body the block in flight begins. */
  #offset = 0;
  #uploading = false;
  #echoes = 0;
  #restarts = 0;
  /** Bytes taken of the budget of bodies. */
  #reserved = 0;
  #done = false;

  constructor(
    core: ClientCore,
    peer: Peer,
    request: ClientRequest,
    owner: OperationOwner,
    registration: ObserveRequest | null = null,
  ) {
    super();
    this.#core = core;
    this.peer = peer;
    this.#owner = owner;
    this.#frame = frameOf(request);
    this.#transmission = { ...core.transmission, ...request.transmission };
    this.#registration = registration;
    this.#exponent = sizeExponent(this.#transmission.blockSize);
  }

  /** Sends the first message. */
  begin(): void {
    const length = this.#frame.request.payload?.length ?? 0;
    this.#start();
    if (this.#reserve(length)) this.#first();
  }

  /** Takes up a response that came by itself, a notification, to fetch the rest of it. */
  continueFrom(response: ResponseMessage): void {
    this.#start();
    this.#download(response);
  }

  /** Ends with a failure, unless it has ended. */
  fail(reason: FailureReason, detail: string): void {
    if (this.#done) return;
    const isUnanswered = reason === 'timeout' || reason === 'unacknowledged';
    const awaited = isUnanswered ? this.#core.line.unanswered?.(this.peer.address) : undefined;
    const failure: Failure =
      awaited === undefined ? { reason, detail } : { reason: 'handshake', detail: `${awaited}, ${detail}` };
    this.#stop();
    const counter = COUNTERS[failure.reason];
    if (counter !== null) this.#core.counters[counter]++;
    this.#owner.ended({ response: null, failure });
  }

  /** Ends without a report. */
  withdraw(): void {
    if (this.#done) return;
    this.#stop();
    this.#core.counters.cancelled++;
  }

  expire(): void {
    this.fail('timeout', `no response within ${this.#transmission.timeout} ms`);
  }

  failed(reason: FailureReason, detail: string): void {
    this.#exchange = null;
    this.fail(reason, detail);
  }

  answered(response: ResponseMessage): void {
    this.#exchange = null;
    const { echo } = response;
    if (echo !== undefined) {
      // RFC 9175 2.3: the request is repeated with it; whatever else follows has it too.
      this.#frame.echo = echo;
      if (response.code === Code.Unauthorized && this.#echoes < MAX_ECHOES) {
        this.#echoes++;
        this.#core.counters.echoes++;
        this.#send();
        return;
      }
    }
    if (this.#body === null && this.#uploadGoesOn(response)) return;
    if (response.code === Code.Continue) {
      this.fail('bad-response', '2.31 to the last block');
      return;
    }
    this.#uploading = false;
    this.#download(response);
  }

  #start(): void {
    const core = this.#core;
    core.requests++;
    core.counters.requests++;
    this.peer.requests++;
    core.wheel.arm(this, this.#transmission.timeout);
  }

  #stop(): void {
    const core = this.#core;
    this.#done = true;
    core.wheel.disarm(this);
    core.requests--;
    core.bodiesBytes -= this.#reserved;
    this.#exchange?.withdraw();
    this.#exchange = null;
    this.#body = null;
    this.peer.requests--;
    core.settle(this.peer);
  }

  #reserve(bytes: number): boolean {
    if (this.#core.reserve(bytes)) {
      this.#reserved += bytes;
      return true;
    }
    this.#core.counters.refusedBodies++;
    this.fail('limit', 'bodiesBytes');
    return false;
  }

  /** Sends the frame in a new exchange, whose token nobody has seen (RFC 9175 4). */
  #send(): void {
    const core = this.#core;
    const registration = this.#frame.observe >= 0 ? this.#registration : null;
    const token = registration?.token ?? core.newToken(this.peer);
    const holder = registration?.holder ?? null;
    const exchange = new ClientExchange(core, this.peer, token, this.#frame, this.#transmission, this, holder);
    this.#exchange = exchange;
    holder?.registering(exchange);
    exchange.begin();
  }

  /** The request from its beginning, in one message if that is enough. */
  #first(): void {
    const { request, tag } = this.#frame;
    const length = request.payload?.length ?? 0;
    if (length > blockSize(this.#exponent) || tag !== null) this.#upload();
    else this.#whole();
  }

  /** The request in one message. */
  #whole(): void {
    const frame = this.#frame;
    frame.observe = this.#registration?.value ?? -1;
    frame.block1 = -1;
    frame.block2 = this.#early();
    frame.size1 = -1;
    frame.tag = null;
    frame.payloadStart = 0;
    frame.payloadEnd = frame.request.payload?.length ?? 0;
    this.#send();
  }

  /** The Block2 option with which blocks of a smaller size are asked for from the start (RFC 7959 2.4), or -1. */
  #early(): number {
    return this.#exponent < 6 ? this.#exponent : -1;
  }

  /** Sends the request's body from its beginning, block by block (RFC 7959 2.5), under a new Request-Tag. */
  #upload(): void {
    this.#uploading = true;
    this.#offset = 0;
    this.#frame.tag = this.#core.newTag();
    this.#sendBlock();
  }

  #sendBlock(): void {
    const frame = this.#frame;
    const { length } = frame.request.payload as Buffer;
    const size = blockSize(this.#exponent);
    const number = this.#offset / size;
    if (number > LAST_BLOCK) {
      this.fail('unsendable', 'more blocks than Block1 can number');
      return;
    }
    frame.payloadStart = this.#offset;
    frame.payloadEnd = Math.min(this.#offset + size, length);
    const more = frame.payloadEnd < length;
    frame.observe = more ? -1 : (this.#registration?.value ?? -1);
    frame.block1 = (number << 4) | (more ? 8 : 0) | this.#exponent;
    frame.block2 = more ? -1 : this.#early();
    frame.size1 = this.#offset === 0 ? length : -1;
    this.#send();
  }

  /** True if the response asks for more of the request's body, or ended the operation. */
  #uploadGoesOn(response: ResponseMessage): boolean {
    const { code, block1 } = response;
    const exponent = block1 < 0 ? this.#exponent : block1 & 7;
    if (code === Code.RequestEntityTooLarge) {
      // RFC 7959 2.9.3: Block1 in a 4.13 names the size of block that the server can take.
      const { length } = this.#frame.request.payload ?? { length: 0 };
      if (block1 < 0 || length <= blockSize(exponent) || (this.#uploading && exponent >= this.#exponent)) return false;
      this.#exponent = Math.min(exponent, this.#exponent);
      this.#core.counters.restarts++;
      this.#upload();
      return true;
    }
    if (!this.#uploading) return false;
    if (code === Code.RequestEntityIncomplete && this.#restarts < MAX_RESTARTS) {
      this.#restart();
      this.#upload();
      return true;
    }
    const { block1: sent, payloadEnd } = this.#frame;
    if (codeClass(code) !== 2 || (sent & 8) === 0) return false;
    if (block1 < 0 ? code === Code.Continue : block1 >>> 4 !== sent >>> 4) {
      this.fail('bad-response', 'Block1 of another block');
      return true;
    }
    // Without Block1 the server has not read the option: this is its last word.
    if (block1 < 0) return false;
    this.#offset = payloadEnd;
    this.#exponent = Math.min(exponent, this.#exponent);
    this.#sendBlock();
    return true;
  }

  /** Takes a response, or a block of one, and asks for the next (RFC 7959 2.4). */
  #download(response: ResponseMessage): void {
    const further = this.#body !== null;
    const body = this.#body ?? new Body(response);
    if (!further) {
      this.#owner.began?.(response);
      // The owner may have withdrawn the operation.
      if (this.#done) return;
    }
    if (further && (response.code !== body.first.code || response.block2 < 0)) {
      if (response.code === Code.RequestEntityIncomplete) this.#fetchAnew();
      else if (codeClass(response.code) === 2)
        this.fail('bad-response', `${codeName(response.code)} in place of a block`);
      else this.#succeed(response);
      return;
    }
    if (response.block2 < 0) {
      if (this.#fits(response.payload.length)) this.#succeed(response);
      return;
    }
    const fit = body.add(response);
    if (fit === 'changed') this.#fetchAnew();
    else if (fit === 'unfit') this.fail('bad-response', 'Block2 of another block, or of another length');
    else if (this.#fits(Math.max(body.length, response.size2 ?? 0)) && this.#reserve(response.payload.length)) {
      if ((response.block2 & 8) === 0) this.#succeed(body.whole());
      else this.#fetchNext(body, response.block2 & 7);
    }
  }

  #fits(length: number): boolean {
    if (length <= this.#core.limits.bodyBytes) return true;
    this.#core.counters.bodiesTooLarge++;
    this.fail('limit', 'bodyBytes');
    return false;
  }

  #fetchNext(body: Body, exponent: number): void {
    const frame = this.#frame;
    const used = Math.min(exponent, this.#exponent);
    const number = body.length / blockSize(used);
    this.#body = body;
    if (number > LAST_BLOCK) {
      this.fail('bad-response', 'more blocks than Block2 can number');
      return;
    }
    this.#exponent = used;
    frame.observe = -1;
    frame.block1 = -1;
    frame.size1 = -1;
    frame.block2 = (number << 4) | used;
    const { method, payload } = frame.request;
    // A body that took blocks of its own is known by its Request-Tag, or by the observation that it belongs to.
    const repeats = method === Method.Fetch && payload !== undefined && frame.tag === null;
    frame.payloadStart = 0;
    frame.payloadEnd = repeats && payload.length <= this.#transmission.blockSize ? payload.length : 0;
    this.#send();
  }

  /** The body has changed, or the server has lost it. What is safe is asked anew; anything else must not happen twice. */
  #fetchAnew(): void {
    const { method } = this.#frame.request;
    if ((method !== Method.Get && method !== Method.Fetch) || this.#restarts >= MAX_RESTARTS) {
      this.fail('body-changed', 'the body changed while it was fetched');
      return;
    }
    this.#restart();
    this.#first();
  }

  #restart(): void {
    this.#restarts++;
    this.#core.counters.restarts++;
    this.#body = null;
  }

  #succeed(response: ResponseMessage): void {
    this.#stop();
    this.#core.counters.responses++;
    this.#owner.ended({ response, failure: null });
  }
}
