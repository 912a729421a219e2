/** Observing resources (RFC 7641): who observes, and what goes out to them. */
import { block2Key, blockSize, fetchKey, sizeExponent } from './block.js';
import { chooseBlock } from './block2.js';
import { Code, Type } from './codes.js';
import type { Core } from './core.js';
import { affords } from './echo.js';
import type { Remote } from './remotes.js';
import type { Request } from './request.js';
import { type CoapResponse, FIXED_ROOM, type Frame, frameRoom, isSuccess } from './response.js';
import { Timer } from './timers.js';
import { Outgoing } from './transmission.js';

/**
 * Why an observation is over: the client deregistered, sent a Reset, did not acknowledge, or registered anew with the
 * same token; a final response was sent, or the owner ended it; the endpoint was closed, or the remote is gone.
 */
export type ObservationEnd = 'cancelled' | 'reset' | 'timeout' | 'replaced' | 'error' | 'ended' | 'closed';

/** One observer of one resource, as its owner sees it. */
export interface Observation {
  readonly active: boolean;
  /** Whether a state would have to wait now, and be replaced by a newer one. */
  readonly busy: boolean;
  /** Called when the observation is not busy any more. */
  onReady: (() => void) | null;
  /**
   * Sends the resource's new state, now or as soon as the client has acknowledged the last one; a state that waits is
   * replaced by a newer one. Confirmable as the registration was unless said otherwise. A response that is no success, or
   * one of another Content-Format (RFC 7641 4.2), ends the observation.
   */
  notify(response: CoapResponse, confirmable?: boolean): void;
  /** Ends the observation, with a final response without Observe if one is given. */
  end(response?: CoapResponse): void;
}

/** Whether a state says in which form those after it are (RFC 7641 4.2): an empty one without Content-Format does not. */
function hasForm({ code, payload, contentFormat }: CoapResponse): boolean {
  return code === Code.Content && (contentFormat !== undefined || (payload !== undefined && payload.length > 0));
}

/** An entry in the list of observers (RFC 7641 4.1): remote endpoint and token. */
export class Observer implements Observation {
  readonly remote: Remote;
  readonly tokenLength: number;
  readonly tokenHigh: number;
  readonly tokenLow: number;
  readonly #confirmable: boolean;
  readonly #exponent: number;
  readonly #key: string;
  readonly #fetchKey: string | null;
  readonly #onEnd: (reason: ObservationEnd) => void;
  readonly #core: Core;
  /** A registering observer has not got its first response yet. */
  #state: 'registering' | 'active' | 'ended' = 'registering';
  #sequence: number;
  /** The state sent last, or about to be sent. */
  #last: CoapResponse | null = null;
  /** A state that came before the first response. */
  #early: CoapResponse | null = null;
  #sinceConfirmable = 0;
  #lastConfirmable = 0;
  /** The notification that waits for its turn. Invariant: it is in `remote.waiting`. */
  waiting: Outgoing | null = null;
  onReady: (() => void) | null = null;

  constructor(core: Core, request: Request, sequence: number, onEnd: (reason: ObservationEnd) => void) {
    this.#core = core;
    this.remote = request.remote;
    this.tokenLength = request.tokenLength;
    this.tokenHigh = request.tokenHigh;
    this.tokenLow = request.tokenLow;
    this.#confirmable = request.confirmable;
    const exponent = sizeExponent(core.limits.blockSize);
    this.#exponent = request.block2 < 0 ? exponent : Math.min(exponent, request.block2 & 7);
    this.#key = block2Key(request);
    this.#fetchKey = fetchKey(request, this.#key);
    this.#sequence = sequence;
    this.#onEnd = onEnd;
  }

  get active(): boolean {
    return this.#state !== 'ended';
  }

  get busy(): boolean {
    return this.#state === 'registering' || this.waiting !== null || this.#inFlight();
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** The first response is about to be sent; returns its Observe value, or -1 if there is to be none. */
  establish(response: CoapResponse): number {
    if (this.#state !== 'registering') return -1;
    if (!isSuccess(response)) {
      this.terminate('error');
      return -1;
    }
    this.#state = 'active';
    this.#last = response;
    this.#lastConfirmable = this.#core.clock.now();
    return this.#sequence;
  }

  /** The first response is on its way. */
  established(): void {
    const early = this.#early;
    this.#early = null;
    if (early !== null) this.notify(early);
    this.ready();
  }

  /** Something that was in the way of a state is done. */
  ready(): void {
    if (this.onReady === null || this.#state !== 'active' || this.busy) return;
    try {
      this.onReady();
    } catch (error) {
      this.#core.handlerFailed(this.remote, error);
    }
  }

  notify(response: CoapResponse, confirmable?: boolean): void {
    if (this.#state === 'ended') return;
    if (!isSuccess(response)) {
      this.end(response);
      return;
    }
    const last = this.#last;
    if (this.#state === 'registering' || last === null) {
      this.#early = response;
      return;
    }
    if (response.code === Code.Content && hasForm(last) && response.contentFormat !== last.contentFormat) {
      this.end({ code: Code.NotAcceptable });
      return;
    }
    if (response.code !== Code.Valid) this.#last = response;
    // RFC 7641 4.4: 24 bits, increasing.
    this.#sequence = (this.#sequence + 1) & 0xffffff;
    if (this.waiting !== null) {
      this.#fill(this.waiting, response, this.#sequence);
      this.#core.counters.notificationsReplaced++;
      return;
    }
    const now = this.#core.clock.now();
    if (this.#inFlight() || this.#isConfirmable(confirmable, response, now)) {
      this.#sendConfirmable(response, this.#sequence);
    } else this.#sendNonConfirmable(response, this.#sequence, now);
  }

  end(response?: CoapResponse): void {
    if (this.#state === 'ended') return;
    const established = this.#state === 'active';
    this.#leave();
    if (response === undefined || !established) this.#withdraw();
    else if (this.waiting !== null) this.#fill(this.waiting, response, -1);
    else if (this.#inFlight() || this.#confirmable) this.#sendConfirmable(response, -1);
    else this.#sendNonConfirmable(response, -1, 0);
    this.#tell(response === undefined ? 'ended' : 'error');
  }

  /** The endpoint ends the observation. Nothing more is sent. */
  terminate(reason: ObservationEnd): void {
    if (this.#state !== 'ended') {
      this.#leave();
      this.#withdraw();
      this.#tell(reason);
    } else this.#withdraw();
  }

  /** A Confirmable message of this observer goes out for the first time. */
  confirmableSent(outgoing: Outgoing): void {
    if (this.waiting === outgoing) this.waiting = null;
    this.#sinceConfirmable = 0;
    this.#lastConfirmable = this.#core.clock.now();
  }

  /** Repeats the present state as a Confirmable message if the last one is too long ago (RFC 7641 4.5). */
  check(now: number): void {
    if (this.#state !== 'active' || this.#last === null || this.waiting !== null || this.#inFlight()) return;
    const { confirmableInterval } = this.#core.transmissionParameters;
    // Those that would be late at the next look are due now.
    if (now - this.#lastConfirmable + checkPeriod(confirmableInterval) >= confirmableInterval) {
      this.notify(this.#last, true);
    }
  }

  #inFlight(): boolean {
    return this.remote.inFlight?.observer === this;
  }

  #isConfirmable(asked: boolean | undefined, response: CoapResponse, now: number): boolean {
    if (asked ?? this.#confirmable) return true;
    const { transmissionParameters, counters } = this.#core;
    if (asked === undefined) {
      const { confirmableEvery, confirmableInterval } = transmissionParameters;
      this.#sinceConfirmable++;
      if (this.#sinceConfirmable >= confirmableEvery || now - this.#lastConfirmable >= confirmableInterval) return true;
    }
    // An acknowledgement tells the round-trip time, and that somebody is there.
    if (this.remote.mayNotify(now, transmissionParameters.notificationInterval) && this.#isEarned(response))
      return false;
    counters.notificationsPaced++;
    return true;
  }

  #isEarned(response: CoapResponse): boolean {
    if (this.remote.verified) return true;
    return affords(this.remote, FIXED_ROOM + Math.min(response.payload?.length ?? 0, blockSize(this.#exponent)));
  }

  #sendConfirmable(response: CoapResponse, observe: number): void {
    const outgoing = new Outgoing(this.#core, this.remote, this, response, this, false);
    this.#fill(outgoing, response, observe);
    if (this.remote.inFlight !== null) this.waiting = outgoing;
    this.#core.transmission.send(outgoing);
  }

  #sendNonConfirmable(response: CoapResponse, observe: number, now: number): void {
    const frame = this.#core.frame;
    frame.type = Type.NonConfirmable;
    frame.messageId = this.remote.nextMessageId();
    frame.tokenLength = this.tokenLength;
    frame.tokenHigh = this.tokenHigh;
    frame.tokenLow = this.tokenLow;
    frame.block1 = -1;
    frame.size2 = -1;
    this.#fill(frame, response, observe);
    if (!this.#core.transmit(frame, this.remote)) {
      this.terminate('error');
      return;
    }
    if (observe < 0) return;
    this.#core.counters.notifications++;
    this.remember(frame.messageId, now);
  }

  /** A Reset to this Non-confirmable message ends the observation. */
  remember(messageId: number, now: number): void {
    this.remote.notifications ??= new NotificationWindow();
    this.remote.notifications.add(messageId, this, now);
  }

  #fill(frame: Frame, response: CoapResponse, observe: number): void {
    frame.response = response;
    frame.observe = observe;
    frame.etag = null;
    chooseBlock(frame, -1, this.#exponent);
    // Who has not shown where it is gets the least that it can acknowledge.
    if (!this.remote.verified && !affords(this.remote, frameRoom(frame))) chooseBlock(frame, -1, 0);
    if (frame.block2 >= 0) this.#core.block2.keep(this.#key, this.#fetchKey, response, frame.etag);
  }

  #tell(reason: ObservationEnd): void {
    try {
      this.#onEnd(reason);
    } catch (error) {
      this.#core.handlerFailed(this.remote, error);
    }
  }

  #leave(): void {
    this.#state = 'ended';
    this.#core.observers.remove(this);
  }

  #withdraw(): void {
    const { waiting } = this;
    this.waiting = null;
    if (waiting !== null) this.#core.transmission.withdraw(waiting);
    const inFlight = this.remote.inFlight;
    // A first response in flight is an answer, and goes on without its observation.
    if (inFlight?.observer === this && !inFlight.separate) this.#core.transmission.withdraw(inFlight);
  }
}

/** Milliseconds between two looks for observers that are to confirm their interest. */
function checkPeriod(interval: number): number {
  return Math.min(60_000, interval / 4);
}

/** All observers, and their bounds. */
export class Observers extends Timer {
  readonly #core: Core;
  #size = 0;

  constructor(core: Core) {
    super();
    this.#core = core;
  }

  get size(): number {
    return this.#size;
  }

  find(request: Request): Observer | undefined {
    for (const observer of request.remote.observers) {
      if (
        observer.tokenLow === request.tokenLow &&
        observer.tokenHigh === request.tokenHigh &&
        observer.tokenLength === request.tokenLength
      ) {
        return observer;
      }
    }
    return undefined;
  }

  /** Adds the sender of a request. An entry of the same endpoint and token is replaced (RFC 7641 4.1). */
  register(request: Request, onEnd: (reason: ObservationEnd) => void): Observer | undefined {
    const { counters, limits, transmissionParameters, wheel } = this.#core;
    const former = this.find(request);
    // A first value by the clock is above those of a life before this one, at up to four notifications a second.
    const sequence = former === undefined ? (Date.now() >>> 8) & 0xffffff : (former.sequence + 1) & 0xffffff;
    former?.terminate('replaced');
    if (this.#size >= limits.observers) {
      counters.observersRefused++;
      this.#core.event('limit', request.remote, 'observers');
      return undefined;
    }
    if (request.remote.observers.length >= limits.observersPerRemote) {
      counters.observersRefusedPerRemote++;
      this.#core.event('limit', request.remote, 'observersPerRemote');
      return undefined;
    }
    const observer = new Observer(this.#core, request, sequence, onEnd);
    request.remote.observers.push(observer);
    this.#size++;
    counters.observersRegistered++;
    if (this.before === null) wheel.arm(this, checkPeriod(transmissionParameters.confirmableInterval));
    return observer;
  }

  remove(observer: Observer): void {
    const observers = observer.remote.observers;
    const index = observers.indexOf(observer);
    if (index < 0) return;
    observers[index] = observers[observers.length - 1];
    observers.pop();
    if (observers.length === 0) observer.remote.notifications = null;
    this.#size--;
    this.#core.counters.observersEnded++;
  }

  /** Looks for observers that have not confirmed their interest for too long. */
  expire(): void {
    const now = this.#core.clock.now();
    for (const remote of this.#core.remotes.all()) {
      if (remote.observers.length === 0) continue;
      for (const observer of [...remote.observers]) observer.check(now);
    }
    if (this.#size > 0) this.#core.wheel.arm(this, checkPeriod(this.#core.transmissionParameters.confirmableInterval));
  }
}

const SMALLEST_WINDOW = 8;
const LARGEST_WINDOW = 1_024;
/** Milliseconds within which a Reset is expected to come back. */
const RESET_DELAY = 4_000;

/** The last Non-confirmable notifications to a remote, so that a Reset finds its observer. Grows with their rate. */
export class NotificationWindow {
  #messageIds = new Uint16Array(SMALLEST_WINDOW);
  #observers: (Observer | undefined)[] = new Array(SMALLEST_WINDOW);
  #at = 0;
  #turned = 0;

  add(messageId: number, observer: Observer, now: number): void {
    if (this.#at === this.#observers.length) {
      if (now - this.#turned < RESET_DELAY && this.#at < LARGEST_WINDOW) this.#grow();
      else {
        this.#at = 0;
        this.#turned = now;
      }
    }
    this.#messageIds[this.#at] = messageId;
    this.#observers[this.#at] = observer;
    this.#at++;
  }

  find(messageId: number): Observer | undefined {
    const index = this.#messageIds.lastIndexOf(messageId);
    const observer = index < 0 ? undefined : this.#observers[index];
    return observer?.active === true ? observer : undefined;
  }

  #grow(): void {
    const messageIds = new Uint16Array(2 * this.#messageIds.length);
    messageIds.set(this.#messageIds);
    this.#messageIds = messageIds;
    this.#observers.length = messageIds.length;
  }
}
