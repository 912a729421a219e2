/** A CoAP server endpoint: takes datagrams, gives requests to a handler, and never throws at whoever delivers them. */

import { block2Key, fetchKey } from './block.js';
import { isResponse } from './client/line.js';
import { Code, codeClass, EMPTY, Method, Type } from './codes.js';
import { Core, type CoreOptions, describe } from './core.js';
import type { CoapCounters } from './counters.js';
import { NOT_SEEN, Seen } from './deduplication.js';
import { affords, received, sent } from './echo.js';
import { type CoapExchange, Exchange } from './exchange.js';
import { FormatError, Message, parseMessage } from './message.js';
import { PathReader } from './paths.js';
import type { Remote } from './remotes.js';
import { type CoapRequest, Request, readOptions } from './request.js';
import type { CoapResponse } from './response.js';
import { SharedLine } from './shared-line.js';
import type { DatagramAddress, DatagramTransport } from './transport.js';

/**
 * Answers a request through the exchange, at once or later. It must not block. An exception becomes 5.00, counted as
 * `handlerErrors`.
 */
export type RequestHandler = (request: CoapRequest, exchange: CoapExchange) => void;

/** Options of an endpoint. Times, limits and parameters left out have their defaults. */
export interface CoapServerOptions extends CoreOptions {
  readonly handler: RequestHandler;
  /** Host names and addresses that a Uri-Host may name; any other is 5.05 (RFC 7252 5.7.2). Default: any. */
  readonly hosts?: readonly string[];
  /** Told of a remote endpoint that will never send or take anything again, once everything of it here has ended. */
  readonly onGone?: (remote: DatagramAddress, reason: string) => void;
}

/** How full the tables of an endpoint are. */
export interface CoapTables {
  readonly remotes: number;
  readonly deduplicationBytes: number;
  readonly pendingExchanges: number;
  readonly separateResponses: number;
  readonly observers: number;
  readonly block1Bodies: number;
  readonly block1Bytes: number;
  readonly block2Bodies: number;
  readonly block2Bytes: number;
  readonly paths: number;
  readonly timers: number;
}

const INCOMPLETE: CoapResponse = { code: Code.RequestEntityIncomplete };
const METHOD_NOT_ALLOWED: CoapResponse = { code: Code.MethodNotAllowed };
const UNAVAILABLE: CoapResponse = { code: Code.ServiceUnavailable, maxAge: 2 };
const SERVER_ERROR: CoapResponse = { code: Code.InternalServerError };
const PROXYING_NOT_SUPPORTED: CoapResponse = { code: Code.ProxyingNotSupported };

export class CoapEndpoint {
  /** For a client that asks from this endpoint's own address and port, and gets the responses that arrive here. */
  readonly line: SharedLine;
  readonly #core: Core;
  readonly #handler: RequestHandler;
  readonly #hosts: ReadonlySet<string> | undefined;
  readonly #onGone: CoapServerOptions['onGone'];
  readonly #message = new Message();
  readonly #paths = new PathReader();
  #tooLarge: CoapResponse;

  /** Takes over the transport's datagrams from now on. */
  constructor(transport: DatagramTransport, options: CoapServerOptions) {
    this.#core = new Core(transport, options);
    this.line = new SharedLine(this.#core);
    this.#handler = options.handler;
    this.#hosts = options.hosts && new Set(options.hosts.map((host) => host.toLowerCase()));
    this.#onGone = options.onGone;
    this.#tooLarge = { code: Code.RequestEntityTooLarge, size1: this.#core.limits.bodyBytes };
    transport.onDatagram = (bytes, source) => {
      try {
        this.#receive(bytes, source);
      } catch (error) {
        // Not reached by any datagram known; but one that finds a fault costs itself, not the process.
        this.#core.counters.internalErrors++;
        this.#core.event('internal-error', undefined, describe(error));
      }
    };
    transport.onGone = (source, reason) => this.#forget(source, reason);
    transport.onMoved = (source) => this.#core.remotes.moved(source);
  }

  /** Whatever is under way for a remote that is gone ends, and nothing of it is remembered. */
  #forget(source: DatagramAddress, reason: string): void {
    const core = this.#core;
    if (core.closed) return;
    this.line.onGone?.(source);
    const remote = core.remotes.peek(source);
    if (remote !== undefined) {
      core.transmission.clear(remote);
      for (const observer of [...remote.observers]) observer.terminate('closed');
      core.remotes.remove(remote);
    }
    try {
      this.#onGone?.(source, reason);
    } catch (error) {
      core.handlerFailed(remote, error);
    }
  }

  /** Puts other limits and parameters in the place of those there are, as far as `Core` can. */
  replace(options: Pick<CoreOptions, 'limits' | 'transmission'>): void {
    this.#core.replace(options);
    this.#tooLarge = { code: Code.RequestEntityTooLarge, size1: this.#core.limits.bodyBytes };
  }

  get counters(): Readonly<CoapCounters> {
    return this.#core.counters;
  }

  get tables(): CoapTables {
    const core = this.#core;
    return {
      remotes: core.remotes.size,
      deduplicationBytes: core.deduplication.size,
      pendingExchanges: core.pendingExchanges,
      separateResponses: core.transmission.separateResponses,
      observers: core.observers.size,
      block1Bodies: core.block1.size,
      block1Bytes: core.block1.bytes,
      block2Bodies: core.block2.size,
      block2Bytes: core.block2.bytes,
      paths: this.#paths.size,
      timers: core.wheel.size,
    };
  }

  /** Stops: observations end as `closed`, nothing more is sent, and the transport is closed. */
  async close(): Promise<void> {
    const core = this.#core;
    if (core.closed) return;
    core.closed = true;
    core.transport.onDatagram = undefined;
    core.transport.onGone = undefined;
    core.transport.onMoved = undefined;
    for (const remote of core.remotes.all()) {
      core.transmission.clear(remote);
      for (const observer of [...remote.observers]) observer.terminate('closed');
    }
    core.wheel.close();
    await core.transport.close();
  }

  #receive(bytes: Buffer, source: DatagramAddress): void {
    const counters = this.#core.counters;
    counters.datagramsReceived++;
    counters.bytesReceived += bytes.length;
    if (source.port === 0) {
      counters.droppedSourcePort++;
      return;
    }
    const message = this.#message;
    const error = parseMessage(bytes, message);
    if (error === FormatError.None) this.#core.taps.tap?.received(message, source);
    if (error !== FormatError.None) this.#malformed(error, source);
    else if (message.code === EMPTY) this.#receiveEmpty(source);
    else if (codeClass(message.code) === 0 && message.type <= Type.NonConfirmable) this.#receiveRequest(source);
    else if (this.line.requester !== undefined && isResponse(message)) {
      if (!this.line.requester.receiveResponse(message, source)) counters.unexpectedMessages++;
    } else {
      // A response, a reserved class, or a type that carries no request (RFC 7252 4.2, 4.3): this endpoint asked nothing.
      counters.unexpectedMessages++;
      if (message.type === Type.Confirmable) this.#reject(source);
    }
  }

  #malformed(error: number, source: DatagramAddress): void {
    if (error === FormatError.Version) {
      this.#core.counters.ignoredVersion++;
      return;
    }
    this.#core.counters.formatErrors++;
    if (error !== FormatError.TooShort && this.#message.type === Type.Confirmable) this.#reject(source);
  }

  #reject(source: DatagramAddress): void {
    this.#core.sendEmpty(Type.Reset, this.#message.messageId, source);
  }

  #receiveEmpty(source: DatagramAddress): void {
    const core = this.#core;
    const { type, messageId } = this.#message;
    if (type >= Type.Acknowledgement && this.line.requester?.receiveEmpty(type, messageId, source)) return;
    if (type === Type.Acknowledgement) core.transmission.acknowledge(core.remotes.peek(source), messageId);
    else if (type === Type.Reset) core.transmission.reset(core.remotes.peek(source), messageId);
    else if (type === Type.Confirmable) {
      core.counters.pings++;
      this.#reject(source);
    } else core.counters.unexpectedMessages++;
  }

  #receiveRequest(source: DatagramAddress): void {
    const core = this.#core;
    const message = this.#message;
    const remote = core.remotes.obtain(source);
    if (remote === undefined) {
      core.counters.droppedRemotes++;
      core.event('limit', undefined, 'remotes');
      return;
    }
    if (source.reliable) {
      const request = new Request(message, remote);
      this.#dispatch(request, new Exchange(core, request, NOT_SEEN));
      return;
    }
    received(remote, message.bytes.length);
    const second = core.second();
    const seen = core.deduplication.find(remote.id, message.messageId, second);
    if (seen !== NOT_SEEN) {
      this.#repeat(seen, remote);
      return;
    }
    const confirmable = message.type === Type.Confirmable;
    const { exchangeLifetime, nonLifetime } = core.transmissionParameters;
    const expiry = second + Math.ceil((confirmable ? exchangeLifetime : nonLifetime) / 1000);
    const state = confirmable ? Seen.Pending : Seen.Silent;
    const record = core.deduplication.insert(remote.id, message.messageId, state, second, expiry);
    const request = new Request(message, remote);
    this.#dispatch(request, new Exchange(core, request, record));
  }

  /** A duplicate is answered as it was, or not at all (RFC 7252 4.5). */
  #repeat(record: number, remote: Remote): void {
    const core = this.#core;
    const { deduplication } = core;
    core.counters.duplicates++;
    const state = deduplication.state(record);
    if (state === Seen.Acknowledged) core.sendEmpty(Type.Acknowledgement, this.#message.messageId, remote);
    else if (state === Seen.Answered) {
      const length = deduplication.answerLength(record);
      if (!affords(remote, length)) {
        core.counters.echoWithheld++;
        return;
      }
      sent(remote, length);
      core.send(deduplication.bytes, deduplication.answerStart(record), length, remote);
    } else return;
    core.counters.replays++;
  }

  #dispatch(request: Request, exchange: Exchange): void {
    const refusal = readOptions(this.#message, request, this.#paths);
    if (request.echo !== null && !request.remote.verified && this.#core.echo.isFresh(request.remote, request.echo)) {
      this.#core.verify(request.remote);
    }
    if (refusal !== 0) {
      this.#core.counters.badOptions++;
      // RFC 7252 5.4.1: a Non-confirmable request with an unrecognized critical option is ignored.
      if (refusal === Code.BadOption && !request.confirmable) exchange.close();
      else exchange.respond({ code: refusal });
    } else if (request.method > Method.IPatch) exchange.respond(METHOD_NOT_ALLOWED);
    else if (this.#hosts !== undefined && !this.#isOurs(request)) {
      this.#core.counters.badOptions++;
      exchange.respond(PROXYING_NOT_SUPPORTED);
    } else if (this.#acceptBlocks(request, exchange)) this.#handle(request, exchange);
  }

  #isOurs(request: Request): boolean {
    return request.uriHost === undefined || this.#hosts?.has(request.uriHost.toLowerCase()) === true;
  }

  /** False if the blocks of the request are dealt with here, and its answer is on its way. */
  #acceptBlocks(request: Request, exchange: Exchange): boolean {
    const core = this.#core;
    if (request.block1 >= 0) {
      const code = core.block1.accept(request);
      if (code === Code.RequestEntityTooLarge) core.event('limit', request.remote, 'bodyBytes');
      if (code !== 0) {
        exchange.respond(code === Code.RequestEntityTooLarge ? this.#tooLarge : { code });
        return false;
      }
    } else if (request.bytes.length - request.payloadStart > core.limits.bodyBytes) {
      core.counters.block1TooLarge++;
      core.event('limit', request.remote, 'bodyBytes');
      exchange.respond(this.#tooLarge);
      return false;
    }
    if (request.block2 < 16) return true;
    const key = block2Key(request);
    const kept = core.block2.find(fetchKey(request, key) ?? key);
    if (kept !== undefined) {
      exchange.respondKept(kept.response, kept.etag);
      return false;
    }
    // A safe request makes the same body again; any other must not be carried out twice.
    if (request.method === Method.Get || (request.method === Method.Fetch && request.payload.length > 0)) return true;
    exchange.respond(INCOMPLETE);
    return false;
  }

  #handle(request: Request, exchange: Exchange): void {
    const core = this.#core;
    const { limits } = core;
    const all = core.pendingExchanges >= limits.pendingExchanges;
    if (all || request.remote.pendingExchanges >= limits.pendingExchangesPerRemote) {
      if (all) core.counters.refusedExchanges++;
      else core.counters.refusedExchangesPerRemote++;
      core.event('limit', request.remote, all ? 'pendingExchanges' : 'pendingExchangesPerRemote');
      exchange.respond(UNAVAILABLE);
      return;
    }
    // RFC 7641 3.6: the request itself is answered like any GET.
    if (request.observe === 1) core.observers.find(request)?.terminate('cancelled');
    core.counters.requests++;
    try {
      this.#handler(request, exchange);
    } catch (error) {
      core.handlerFailed(request.remote, error);
      exchange.respond(SERVER_ERROR);
    }
    exchange.handled();
  }
}
