/** One request and its response: piggybacked, separate or Non-confirmable (RFC 7252 5.2). */

import { block2Key, fetchKey, sizeExponent } from './block.js';
import { chooseBlock } from './block2.js';
import { Code, codeClass, Method, Type } from './codes.js';
import type { Core } from './core.js';
import { Seen } from './deduplication.js';
import { affords } from './echo.js';
import type { Observation, ObservationEnd, Observer } from './observe.js';
import type { Request } from './request.js';
import { type CoapResponse, type Frame, frameRoom, writeFrame } from './response.js';
import { Timer } from './timers.js';
import { Outgoing } from './transmission.js';

/** How a handler answers a request, at once or later. */
export interface CoapExchange {
  /**
   * Answers the request; only the first answer counts. Within `acknowledgeAfter` the answer to a Confirmable request is
   * piggybacked on its Acknowledgement, after that it is a separate response.
   */
  respond(response: CoapResponse): void;
  /** True once answered. */
  readonly closed: boolean;
  /**
   * Registers the request's sender and token as an observer; to be called before `respond`, whose response then carries
   * Observe and is followed by notifications. `onEnd` is called once, whoever ends the observation. Undefined if the
   * request does not ask for it (a GET or FETCH with Observe 0) or a limit is reached: answer without it then.
   */
  observe(onEnd: (reason: ObservationEnd) => void): Observation | undefined;
}

const SERVER_ERROR: CoapResponse = { code: Code.InternalServerError };
const UNAVAILABLE: CoapResponse = { code: Code.ServiceUnavailable };
const BAD_REQUEST: CoapResponse = { code: Code.BadRequest };

export class Exchange extends Timer implements CoapExchange {
  readonly #core: Core;
  readonly #request: Request;
  /** Position of the request in the deduplication. */
  readonly #record: number;
  /** Waiting: the handler returned without an answer. Acknowledged: an empty Acknowledgement was sent meanwhile. */
  #state: 'handling' | 'waiting' | 'acknowledged' | 'closed' = 'handling';
  #observer: Observer | null = null;

  constructor(core: Core, request: Request, record: number) {
    super();
    this.#core = core;
    this.#request = request;
    this.#record = record;
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  respond(response: CoapResponse): void {
    this.#reply(response, null, true);
  }

  /** Answers with a further block of a body that was kept. */
  respondKept(response: CoapResponse, etag: Buffer | null): void {
    this.#reply(response, etag, false);
  }

  observe(onEnd: (reason: ObservationEnd) => void): Observation | undefined {
    const request = this.#request;
    if (request.observe !== 0 || this.closed || this.#observer !== null) return undefined;
    if (request.method !== Method.Get && request.method !== Method.Fetch) return undefined;
    this.#observer = this.#core.observers.register(request, onEnd) ?? null;
    return this.#observer ?? undefined;
  }

  /** Closes without an answer. */
  close(): void {
    this.#finish();
    this.#observer?.terminate('closed');
  }

  /** The handler returned. */
  handled(): void {
    if (this.#state !== 'handling') return;
    const core = this.#core;
    const { acknowledgeAfter, handlerTimeout } = core.transmissionParameters;
    this.#state = 'waiting';
    core.pendingExchanges++;
    this.#request.remote.pendingExchanges++;
    core.wheel.arm(this, this.#request.confirmable ? acknowledgeAfter : handlerTimeout);
  }

  expire(): void {
    const core = this.#core;
    const { acknowledgeAfter, handlerTimeout } = core.transmissionParameters;
    if (this.#state === 'waiting' && this.#request.confirmable) {
      this.#state = 'acknowledged';
      core.counters.separateAcknowledgements++;
      this.#acknowledge();
      core.wheel.arm(this, handlerTimeout - acknowledgeAfter);
      return;
    }
    core.counters.handlerTimeouts++;
    core.event('handler-timeout', this.#request.remote, this.#request.pathKey);
    this.respond(UNAVAILABLE);
  }

  #reply(response: CoapResponse, etag: Buffer | null, keep: boolean): void {
    if (this.#state === 'closed') return;
    const core = this.#core;
    const request = this.#request;
    const separate = this.#state === 'acknowledged';
    this.#finish();
    const observe = request.observe === 0 ? this.#establish(response) : -1;
    if (observe < 0 && this.#suppressed(response)) {
      if (request.confirmable && !separate) this.#acknowledge();
      return;
    }
    core.counters.responses++;
    if (separate) {
      const outgoing = new Outgoing(core, request.remote, request, response, this.#observer, true);
      outgoing.type = Type.Confirmable;
      this.#fill(outgoing, response, observe, etag, keep);
      if (!request.remote.verified) this.#fit(outgoing, response, etag, keep);
      if (!core.transmission.send(outgoing)) this.#observer?.terminate('error');
    } else {
      const frame = core.frame;
      frame.type = request.confirmable ? Type.Acknowledgement : Type.NonConfirmable;
      frame.messageId = request.confirmable ? request.messageId : request.remote.nextMessageId();
      frame.tokenLength = request.tokenLength;
      frame.tokenHigh = request.tokenHigh;
      frame.tokenLow = request.tokenLow;
      this.#fill(frame, response, observe, etag, keep);
      if (!request.remote.verified) this.#fit(frame, response, etag, keep);
      this.#sendFrame(frame);
      if (frame.observe >= 0 && !request.confirmable) this.#observer?.remember(frame.messageId, core.clock.now());
    }
    if (observe >= 0) this.#observer?.established();
  }

  #sendFrame(frame: Frame): void {
    const core = this.#core;
    const request = this.#request;
    if (!core.transmit(frame, request.remote)) {
      this.#observer?.terminate('error');
      this.#fill(frame, SERVER_ERROR, -1, null, false);
      core.transmit(frame, request.remote);
    }
    if (request.confirmable)
      core.deduplication.answer(this.#record, core.writer.buffer, core.writer.length, core.second());
  }

  /**
   * Makes an answer to a remote that has not shown where it is no larger than it may be. A client that asks for blocks gets
   * smaller ones; so does one whose request must not be carried out twice. Any other is to ask again with Echo.
   */
  #fit(frame: Frame, response: CoapResponse, etag: Buffer | null, keep: boolean): void {
    const core = this.#core;
    const { remote, method, block2 } = this.#request;
    if (affords(remote, frameRoom(frame)) || this.#isAffordable(frame)) return;
    const safe = method === Method.Get || method === Method.Fetch;
    if (!safe || block2 >= 0) {
      let exponent = frame.block2 < 0 ? sizeExponent(core.limits.blockSize) : frame.block2 & 7;
      while (exponent-- > 0) {
        this.#fill(frame, response, frame.observe, etag, keep, exponent);
        if (this.#isAffordable(frame)) return;
      }
      if (!safe) return;
    }
    core.counters.echoDemanded++;
    core.event('limit', remote, 'echo');
    this.#observer?.terminate('error');
    this.#fill(frame, { code: Code.Unauthorized, echo: core.echo.make(remote) }, -1, null, false);
  }

  /** Answers that cannot be written are somebody else's concern. */
  #isAffordable(frame: Frame): boolean {
    const { writer } = this.#core;
    return !writeFrame(writer, frame) || affords(this.#request.remote, writer.length);
  }

  #fill(
    frame: Frame,
    response: CoapResponse,
    observe: number,
    etag: Buffer | null,
    keep: boolean,
    exponent = sizeExponent(this.#core.limits.blockSize),
  ): void {
    const core = this.#core;
    const request = this.#request;
    frame.response = response;
    frame.observe = observe;
    frame.etag = etag;
    frame.block1 = request.block1 < 0 ? -1 : core.block1.echo(request.block1, response.code === Code.Continue);
    const length = response.payload?.length ?? 0;
    frame.size2 = request.wantsSize2 && length > 0 ? length : -1;
    if (length === 0 && request.block2 < 16) {
      frame.block2 = -1;
      frame.payloadStart = 0;
      frame.payloadEnd = 0;
      return;
    }
    if (!chooseBlock(frame, request.block2, exponent)) {
      frame.response = BAD_REQUEST;
      frame.etag = null;
      frame.size2 = -1;
      chooseBlock(frame, -1, 6);
    } else if (keep && frame.block2 >= 0 && (frame.block2 & 8) !== 0) {
      const key = block2Key(request);
      core.block2.keep(key, fetchKey(request, key), response, frame.etag);
    }
  }

  /** The Observe value of the response to a registration, or -1. */
  #establish(response: CoapResponse): number {
    const observer = this.#observer;
    if (observer !== null) return observer.establish(response);
    // Answered without Observe: the client is not on the list any more (RFC 7641 4.1).
    if (this.#request.remote.observers.length > 0) this.#core.observers.find(this.#request)?.terminate('replaced');
    return -1;
  }

  #suppressed(response: CoapResponse): boolean {
    const { noResponse } = this.#request;
    // Without 2.31 a client cannot go on with its body (RFC 7959 2.9.1).
    if (response.code === Code.Continue) return false;
    return noResponse !== 0 && (noResponse & (1 << (codeClass(response.code) - 1))) !== 0;
  }

  #acknowledge(): void {
    const core = this.#core;
    core.sendEmpty(Type.Acknowledgement, this.#request.messageId, this.#request.remote);
    core.deduplication.setState(this.#record, Seen.Acknowledged);
  }

  #finish(): void {
    if (this.#state === 'waiting' || this.#state === 'acknowledged') {
      this.#core.wheel.disarm(this);
      this.#core.pendingExchanges--;
      this.#request.remote.pendingExchanges--;
    }
    this.#state = 'closed';
  }
}
