/** One observed resource, from the side of the client (RFC 7641 3). */
import { codeClass } from '../codes.js';
import { Timer } from '../timers.js';
import type { ClientCore } from './core.js';
import type { ClientExchange, Token } from './exchange.js';
import { type ObserveHolder, Operation, type OperationOwner } from './operation.js';
import type { Failure, Outcome } from './outcome.js';
import type { Peer } from './peers.js';
import type { ClientRequest } from './request.js';
import type { ClientResponse, ResponseMessage } from './response.js';

/**
 * Why an observation is over: the caller cancelled it; the server's last response, which was delivered, had no Observe or
 * was an error; or a failure of the registration, or of a registration anew.
 */
export type ObservationOver = { readonly reason: 'cancelled' | 'final'; readonly detail: string } | Failure;

/** Takes what an observation brings. */
export interface ObservationHandler {
  /** A state of the resource, the first one among them; a state may be left out for a newer one. */
  onState(response: ClientResponse): void;
  /** Called once. */
  onEnd(end: ObservationOver): void;
}

/** An observation as its owner sees it. */
export interface ClientObservation {
  readonly active: boolean;
  /** Registers anew with the same token, as when Max-Age has passed (RFC 7641 3.3.1). */
  renew(): void;
  /** Deregisters with Observe 1 (RFC 7641 3.6). */
  cancel(): void;
  /** Forgets it: the next notification gets a Reset (RFC 7641 3.6). */
  forget(): void;
}

/** Half of what 24 bits can number, and 128 seconds, within which no sequence may go round (RFC 7641 3.4). */
const HALF = 1 << 23;
const ROUND = 128_000;
/** After Max-Age has passed, a client waits this long at random before it registers anew (RFC 7641 3.3.1). */
const PATIENCE = 5_000;
const SPREAD = 10_000;
/** Longest delay that is waited for in one go; Max-Age has 32 bits of seconds. */
const LONGEST = 86_400_000;

/** Whether a notification is newer than the freshest one so far (RFC 7641 3.4); times in milliseconds. */
export function isFresher(value: number, at: number, last: number, lastAt: number): boolean {
  if (at > lastAt + ROUND) return true;
  return last < value ? value - last < HALF : last - value > HALF;
}

export class Observing extends Timer implements ClientObservation, ObserveHolder, OperationOwner {
  readonly #core: ClientCore;
  readonly peer: Peer;
  readonly #request: ClientRequest;
  readonly #handler: ObservationHandler;
  readonly #token: Token;
  #exchange: ClientExchange | null = null;
  /** The registration, or what fetches the rest of a notification. */
  #operation: Operation | null = null;
  #registering = false;
  #active = true;
  /** Whether the last response says that the server has this client on its list. */
  #listed = false;
  /** The freshest Observe value, and when it came; -1 before the first. */
  #last = -1;
  #lastAt = 0;

  constructor(core: ClientCore, peer: Peer, request: ClientRequest, handler: ObservationHandler) {
    super();
    this.#core = core;
    this.peer = peer;
    this.#request = request;
    this.#handler = handler;
    this.#token = core.newToken(peer);
  }

  get active(): boolean {
    return this.#active;
  }

  get current(): ClientExchange | null {
    return this.#exchange === null || this.#exchange.done ? null : this.#exchange;
  }

  begin(): void {
    const core = this.#core;
    core.observations++;
    core.counters.observationsBegun++;
    this.peer.observations++;
    this.#register();
  }

  renew(): void {
    this.expire();
  }

  cancel(): void {
    if (!this.#active) return;
    this.#over({ reason: 'cancelled', detail: '' });
    const registration = { value: 1, token: this.#token, holder: null };
    // Whatever is answered, it is over.
    new Operation(this.#core, this.peer, this.#request, { ended: () => {} }, registration).begin();
  }

  forget(): void {
    if (this.#active) this.#over({ reason: 'cancelled', detail: '' });
  }

  /** The client is closed, or the peer is gone or out of reach. */
  end(reason: 'closed' | 'gone' | 'handshake', detail = ''): void {
    if (this.#active) this.#over({ reason, detail });
  }

  registering(exchange: ClientExchange): void {
    this.#exchange = exchange;
  }

  /** A registration was answered: its Observe value counts whatever came before, since the server may have begun anew. */
  began(response: ResponseMessage): void {
    if (this.#registering) this.#fresh(response);
  }

  notified(response: ResponseMessage): void {
    if (!this.#active) return;
    const now = this.#core.clock.now();
    if (response.observe >= 0 && this.#last >= 0 && !isFresher(response.observe, now, this.#last, this.#lastAt)) {
      this.#core.counters.staleNotifications++;
      return;
    }
    this.#core.counters.notifications++;
    this.#fresh(response);
    // A newer state replaces one that is still being fetched.
    this.#operation?.withdraw();
    this.#operation = null;
    this.#registering = false;
    const isWhole = response.block2 < 0 || (response.block2 & 8) === 0;
    if (isWhole && response.payload.length <= this.#core.limits.bodyBytes) {
      this.#deliver(response);
      return;
    }
    this.#operation = new Operation(this.#core, this.peer, this.#request, this);
    this.#operation.continueFrom(response);
  }

  ended(outcome: Outcome): void {
    const registering = this.#registering;
    this.#operation = null;
    this.#registering = false;
    if (!this.#active) return;
    if (outcome.response !== null) this.#deliver(outcome.response);
    else if (registering) this.#over(outcome.failure);
    // The rest of a notification is lost; the next one, or the registration anew, brings the state.
  }

  /** Nothing was heard since Max-Age has passed: the server may have forgotten, or the notification be lost. */
  expire(): void {
    if (!this.#active || this.#registering) return;
    this.#core.counters.reregistrations++;
    this.#operation?.withdraw();
    this.#register();
  }

  #register(): void {
    this.#registering = true;
    const registration = { value: 0, token: this.#token, holder: this };
    this.#operation = new Operation(this.#core, this.peer, this.#request, this, registration);
    this.#operation.begin();
  }

  #fresh(response: ResponseMessage): void {
    // RFC 7641 3.2, 4.2: without Observe, or with an error, the client is on no list any more.
    this.#listed = response.observed && codeClass(response.code) === 2;
    if (!this.#listed) return;
    this.#last = response.observe;
    this.#lastAt = this.#core.clock.now();
    const delay = response.maxAge * 1000 + PATIENCE + this.#core.random() * SPREAD;
    this.#core.wheel.arm(this, Math.min(delay, LONGEST));
  }

  #deliver(response: ClientResponse): void {
    this.#core.call(() => this.#handler.onState(response));
    if (this.#active && (!this.#listed || codeClass(response.code) !== 2)) this.#over({ reason: 'final', detail: '' });
  }

  #over(end: ObservationOver): void {
    const core = this.#core;
    this.#active = false;
    core.wheel.disarm(this);
    this.#operation?.withdraw();
    this.#operation = null;
    core.release(this.peer, this.#token, this);
    core.observations--;
    core.counters.observationsEnded++;
    this.peer.observations--;
    core.settle(this.peer);
    core.call(() => this.#handler.onEnd(end));
  }
}
