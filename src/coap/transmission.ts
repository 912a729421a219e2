/** Confirmable messages on their way out: one in flight per remote, retransmitted until acknowledged (RFC 7252 4.2, 4.7). */
import type { Core } from './core.js';
import type { Observer } from './observe.js';
import type { Remote } from './remotes.js';
import type { CoapResponse, Frame } from './response.js';
import { Timer } from './timers.js';

/** One Confirmable message, in flight or waiting for its turn. Its bytes are written anew for each transmission. */
export class Outgoing extends Timer implements Frame {
  type = 0;
  messageId = 0;
  readonly tokenLength: number;
  readonly tokenHigh: number;
  readonly tokenLow: number;
  response: CoapResponse;
  observe = -1;
  block1 = -1;
  block2 = -1;
  size2 = -1;
  etag: Buffer | null = null;
  payloadStart = 0;
  payloadEnd = 0;
  readonly remote: Remote;
  /** Whose notification this is, or whose first response. */
  readonly observer: Observer | null;
  /** Answers a request, and is counted as a separate response; else a notification. */
  readonly separate: boolean;
  retransmissions = 0;
  /** Of the first transmission, in milliseconds of the clock. */
  sentAt = 0;
  /** Milliseconds until the next retransmission, by ACK_TIMEOUT and its doublings. */
  timeout = 0;
  readonly #core: Core;

  constructor(
    core: Core,
    remote: Remote,
    token: { readonly tokenLength: number; readonly tokenHigh: number; readonly tokenLow: number },
    response: CoapResponse,
    observer: Observer | null,
    separate: boolean,
  ) {
    super();
    this.#core = core;
    this.remote = remote;
    this.tokenLength = token.tokenLength;
    this.tokenHigh = token.tokenHigh;
    this.tokenLow = token.tokenLow;
    this.response = response;
    this.observer = observer;
    this.separate = separate;
  }

  /** Takes over what a newer state of the same observation says. */
  adopt(newer: Outgoing): void {
    this.response = newer.response;
    this.observe = newer.observe;
    this.block2 = newer.block2;
    this.etag = newer.etag;
    this.payloadStart = newer.payloadStart;
    this.payloadEnd = newer.payloadEnd;
  }

  expire(): void {
    this.#core.transmission.retransmit(this);
  }
}

/** Sends Confirmable messages. Invariant: a remote's `waiting` is empty unless its `inFlight` is set. */
export class Transmission {
  readonly #core: Core;
  #separate = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Separate responses in flight or waiting. */
  get separateResponses(): number {
    return this.#separate;
  }

  /** Sends the message now, or when those before it are done. False if the limit of separate responses is reached. */
  send(outgoing: Outgoing): boolean {
    const remote = outgoing.remote;
    if (outgoing.separate) {
      const { limits } = this.#core;
      const all = this.#separate >= limits.separateResponses;
      if (all || remote.separateResponses >= limits.separateResponsesPerRemote) {
        if (all) this.#core.counters.droppedSeparateResponses++;
        else this.#core.counters.droppedSeparateResponsesPerRemote++;
        this.#core.event('limit', remote, all ? 'separateResponses' : 'separateResponsesPerRemote');
        return false;
      }
      this.#separate++;
      remote.separateResponses++;
    }
    if (remote.inFlight === null) this.#start(outgoing);
    else remote.waiting.push(outgoing);
    return true;
  }

  /** Withdraws a message: nothing more is sent of it. */
  withdraw(outgoing: Outgoing): void {
    const remote = outgoing.remote;
    if (remote.inFlight === outgoing) {
      this.#next(remote);
      return;
    }
    const index = remote.waiting.indexOf(outgoing);
    if (index < 0) return;
    remote.waiting.splice(index, 1);
    this.#forget(outgoing);
  }

  /** An Acknowledgement arrived. */
  acknowledge(remote: Remote | undefined, messageId: number): void {
    const outgoing = remote?.inFlight ?? null;
    if (remote === undefined || outgoing?.messageId !== messageId) {
      this.#core.counters.unmatchedReplies++;
      return;
    }
    // What was sent elsewhere tells nothing of the way to where it is now.
    if (outgoing.retransmissions === 0 && remote.sentElsewhere !== outgoing) {
      remote.measured(this.#core.clock.now() - outgoing.sentAt);
    }
    this.#verify(remote, outgoing);
    this.#next(remote);
    outgoing.observer?.ready();
  }

  /** A Reset arrived: to the message in flight, or to a Non-confirmable notification (RFC 7641 3.6). */
  reset(remote: Remote | undefined, messageId: number): void {
    const counters = this.#core.counters;
    const inFlight = remote?.inFlight ?? null;
    if (remote !== undefined && inFlight !== null && inFlight.messageId === messageId) {
      counters.resetsReceived++;
      this.#verify(remote, inFlight);
      inFlight.observer?.terminate('reset');
      if (remote.inFlight === inFlight) this.#next(remote);
      return;
    }
    const observer = remote?.notifications?.find(messageId);
    if (observer === undefined) counters.unmatchedReplies++;
    else {
      counters.resetsReceived++;
      observer.terminate('reset');
    }
  }

  /** Who answers a message has received it where it was sent. */
  #verify(remote: Remote, answered: Outgoing): void {
    if (remote.sentElsewhere !== answered) this.#core.verify(remote);
  }

  /** The time of a message in flight is up. */
  retransmit(outgoing: Outgoing): void {
    const { counters, transmissionParameters } = this.#core;
    if (outgoing.retransmissions >= transmissionParameters.maxRetransmit) {
      this.#giveUp(outgoing);
      return;
    }
    outgoing.retransmissions++;
    outgoing.timeout *= 2;
    const newer = outgoing.observer?.waiting ?? null;
    if (newer !== null && newer !== outgoing) {
      // RFC 7641 4.5.2: the newer state goes out in its place, as a new message, but the attempts go on counting.
      this.withdraw(newer);
      outgoing.adopt(newer);
      outgoing.messageId = outgoing.remote.nextMessageId();
      if (outgoing.observer !== null) outgoing.observer.waiting = null;
      counters.notificationsReplaced++;
    }
    counters.retransmissions++;
    // The first one may have come early; the others are due when they are for everybody (RFC 7252 4.2).
    const early = outgoing.retransmissions === 1 ? this.#core.clock.now() - outgoing.sentAt : outgoing.timeout / 2;
    this.#transmit(outgoing, 1.5 * outgoing.timeout - early);
  }

  /** Drops everything for a remote, in flight and waiting. */
  clear(remote: Remote): void {
    const waiting = remote.waiting;
    remote.waiting = [];
    for (const outgoing of waiting) this.#forget(outgoing);
    if (remote.inFlight !== null) this.#next(remote);
  }

  #start(outgoing: Outgoing): void {
    const remote = outgoing.remote;
    const { ackTimeout, ackRandomFactor, maxRetransmit } = this.#core.transmissionParameters;
    remote.inFlight = outgoing;
    outgoing.messageId = remote.nextMessageId();
    outgoing.sentAt = this.#core.clock.now();
    const factor = 1 + this.#core.random() * (ackRandomFactor - 1);
    outgoing.timeout = ackTimeout * factor;
    outgoing.observer?.confirmableSent(outgoing);
    // Nothing is given up any sooner for it.
    const overdue = maxRetransmit === 0 ? ackTimeout : (remote.roundTrip?.timeout(ackTimeout) ?? ackTimeout);
    this.#transmit(outgoing, overdue * factor);
  }

  /** @param delay milliseconds until the acknowledgement is overdue */
  #transmit(outgoing: Outgoing, delay: number): void {
    if (this.#core.transmit(outgoing, outgoing.remote)) {
      if (outgoing.observe >= 0) {
        this.#core.counters.notifications += outgoing.separate ? 0 : 1;
        this.#core.counters.notificationsConfirmable += outgoing.separate ? 0 : 1;
      }
      this.#core.wheel.arm(outgoing, delay);
      return;
    }
    this.#next(outgoing.remote);
    outgoing.observer?.terminate('error');
  }

  /** An endpoint that was silent for all of MAX_TRANSMIT_WAIT is gone, and with it whatever else waited for it. */
  #giveUp(outgoing: Outgoing): void {
    const remote = outgoing.remote;
    this.#core.counters.transmissionTimeouts++;
    this.#core.event('timeout', remote, `message ${outgoing.messageId}`);
    this.clear(remote);
    for (const observer of [...remote.observers]) observer.terminate('timeout');
  }

  #next(remote: Remote): void {
    const done = remote.inFlight;
    if (done !== null) {
      this.#core.wheel.disarm(done);
      this.#forget(done);
    }
    remote.inFlight = null;
    remote.sentElsewhere = null;
    const following = remote.waiting.shift();
    if (following !== undefined) this.#start(following);
  }

  #forget(outgoing: Outgoing): void {
    if (!outgoing.separate) return;
    this.#separate--;
    outgoing.remote.separateResponses--;
  }
}
