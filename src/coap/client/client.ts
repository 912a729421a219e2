/**
 * A CoAP client: sends requests to any number of peers through one socket, and never throws at whoever delivers its
 * datagrams. It knows endpoints by their address; names are resolved before.
 */
import { codeName, Type } from '../codes.js';
import type { Message } from '../message.js';
import type { DatagramAddress, DatagramTransport } from '../transport.js';
import { ClientCore, type ClientOptions } from './core.js';
import { ClientCounters } from './counters.js';
import { type ClientLine, isResponse, type Requester, TransportLine } from './line.js';
import { type ClientObservation, type ObservationHandler, Observing } from './observation.js';
import { Operation } from './operation.js';
import type { Failure, Outcome } from './outcome.js';
import type { Peer } from './peers.js';
import { type ClientRequest, isSendable } from './request.js';
import { readResponse } from './response.js';

/** A request under way. */
export interface PendingRequest {
  /** Ends it with the failure `cancelled`, unless it has ended. A message that was sent may still be carried out. */
  cancel(): void;
}

/** How full the tables of a client are. */
export interface ClientTables {
  readonly requests: number;
  readonly observations: number;
  readonly bodiesBytes: number;
  readonly peers: number;
  readonly timers: number;
}

const OVER: PendingRequest = { cancel: () => {} };
const NO_OBSERVATION: ClientObservation = { active: false, renew: () => {}, cancel: () => {}, forget: () => {} };

export class CoapClient implements Requester {
  readonly #core: ClientCore;
  readonly #operations = new Set<Operation>();
  readonly #observations = new Set<Observing>();

  /** @param line a transport, whose datagrams are this client's from now on, or the line of a server endpoint */
  constructor(line: DatagramTransport | ClientLine, options: ClientOptions = {}) {
    const counters = new ClientCounters();
    const own = 'requester' in line ? line : new TransportLine(line, counters);
    this.#core = new ClientCore(own, counters, options);
    own.requester = this;
  }

  get counters(): Readonly<ClientCounters> {
    return this.#core.counters;
  }

  get tables(): ClientTables {
    const { requests, observations, bodiesBytes, peers, wheel } = this.#core;
    return { requests, observations, bodiesBytes, peers: peers.size, timers: wheel.size };
  }

  /**
   * Asks `address`. `onOutcome` is called once, with the response, whatever its code, or the reason why there is none; it
   * may be called before this returns.
   */
  request(address: DatagramAddress, request: ClientRequest, onOutcome: (outcome: Outcome) => void): PendingRequest {
    const core = this.#core;
    const peer = this.#admit(address, request);
    if ('reason' in peer) {
      core.call(() => onOutcome({ response: null, failure: peer }));
      return OVER;
    }
    const operation: Operation = new Operation(core, peer, request, {
      ended: (outcome) => {
        this.#operations.delete(operation);
        core.call(() => onOutcome(outcome));
      },
    });
    this.#operations.add(operation);
    operation.begin();
    return { cancel: () => operation.fail('cancelled', '') };
  }

  /** Observes a resource with a GET or FETCH; `handler` may be called before this returns. */
  observe(address: DatagramAddress, request: ClientRequest, handler: ObservationHandler): ClientObservation {
    const core = this.#core;
    const peer = this.#admit(address, request);
    const refusal = 'reason' in peer ? peer : this.#observationLimit(peer);
    if ('reason' in peer || refusal !== null) {
      core.call(() => handler.onEnd(refusal as Failure));
      return NO_OBSERVATION;
    }
    const observing: Observing = new Observing(core, peer, request, {
      onState: (response) => handler.onState(response),
      onEnd: (end) => {
        this.#observations.delete(observing);
        handler.onEnd(end);
      },
    });
    this.#observations.add(observing);
    observing.begin();
    return observing;
  }

  /** Stops: every request and observation ends as `closed`, and the line is closed. */
  async close(): Promise<void> {
    const core = this.#core;
    if (core.closed) return;
    core.closed = true;
    core.line.requester = undefined;
    for (const operation of [...this.#operations]) operation.fail('closed', '');
    for (const observing of [...this.#observations]) observing.end('closed');
    core.wheel.close();
    await core.line.close();
  }

  gone(remote: DatagramAddress, reason: 'gone' | 'handshake' = 'gone', detail = ''): void {
    const peer = this.#core.peers.peek(remote);
    if (peer === undefined || !peer.busy) return;
    for (const operation of [...this.#operations]) if (operation.peer === peer) operation.fail(reason, detail);
    for (const observing of [...this.#observations]) if (observing.peer === peer) observing.end(reason, detail);
  }

  receiveEmpty(type: number, messageId: number, source: DatagramAddress): boolean {
    const exchange = this.#core.peers.peek(source)?.find(messageId);
    if (exchange === undefined) return false;
    if (type === Type.Acknowledgement) exchange.acknowledged();
    else if (type === Type.Reset) exchange.failed('reset', '');
    else return false;
    return true;
  }

  receiveResponse(message: Message, source: DatagramAddress): boolean {
    const core = this.#core;
    const { counters, peers } = core;
    const { type, messageId, tokenHigh: high, tokenLow: low } = message;
    const peer = peers.peek(source);
    const memory = `${peer?.key} ${messageId} ${high} ${low}`;
    if (type === Type.Confirmable && peer !== undefined && core.isRemembered(memory)) {
      counters.duplicates++;
      core.sendEmpty(Type.Acknowledgement, messageId, source);
      return true;
    }
    const holder = peer === undefined || message.tokenLength !== 8 ? undefined : core.holder(peer, high, low);
    const exchange = holder?.current ?? null;
    // A piggybacked response has the Message ID of the request too (RFC 7252 5.3.2).
    const matches = holder !== undefined && (type !== Type.Acknowledgement || exchange?.messageId === messageId);
    if (!matches || !isResponse(message)) {
      counters.unmatched++;
      this.#reject(message, source);
      return false;
    }
    const response = readResponse(message);
    if (response === undefined) {
      this.#reject(message, source);
      exchange?.failed('bad-response', `${codeName(message.code)} with an option that is critical and not understood`);
      return true;
    }
    // A notification that crosses a deregistration is not its response; a Reset says the same as the request does.
    if (exchange?.frame.observe === 1 && response.observed && type !== Type.Acknowledgement) {
      counters.unmatched++;
      this.#reject(message, source);
      return true;
    }
    if (type === Type.Confirmable) {
      core.remember(memory);
      core.sendEmpty(Type.Acknowledgement, messageId, source);
    }
    if (exchange === null) holder.notified(response);
    else {
      if (type === Type.Confirmable) counters.separateResponses++;
      exchange.answered(response);
    }
    return true;
  }

  /** A Confirmable response, and a notification that nobody waits for, are told so (RFC 7252 4.2, RFC 7641 3.6). */
  #reject(message: Message, source: DatagramAddress): void {
    const core = this.#core;
    const { type } = message;
    if (type === Type.Acknowledgement || (type === Type.NonConfirmable && readResponse(message)?.observed !== true)) {
      return;
    }
    core.counters.resetsSent++;
    core.sendEmpty(Type.Reset, message.messageId, source);
  }

  /** The peer to ask, or why it cannot be asked. */
  #admit(address: DatagramAddress, request: ClientRequest): Peer | Failure {
    const core = this.#core;
    const { limits, counters } = core;
    if (core.closed) return { reason: 'closed', detail: '' };
    const blockSize = request.transmission?.blockSize ?? core.transmission.blockSize;
    if (!(address.port > 0 && address.port <= 0xffff) || !isSendable(request, blockSize)) {
      counters.unsendable++;
      return { reason: 'unsendable', detail: 'the port, or an option, is out of its bounds' };
    }
    if (core.requests >= limits.requests) {
      counters.refusedRequests++;
      return { reason: 'limit', detail: 'requests' };
    }
    const peer = core.peers.obtain(address, core.clock.now(), core.words.next());
    if (peer === undefined) {
      counters.refusedPeers++;
      return { reason: 'limit', detail: 'peers' };
    }
    if (peer.requests >= limits.requestsPerPeer) {
      counters.refusedRequestsPerPeer++;
      return { reason: 'limit', detail: 'requestsPerPeer' };
    }
    return peer;
  }

  #observationLimit(peer: Peer): Failure | null {
    const core = this.#core;
    const { limits, counters } = core;
    if (core.observations >= limits.observations) {
      counters.refusedObservations++;
      core.settle(peer);
      return { reason: 'limit', detail: 'observations' };
    }
    if (peer.observations >= limits.observationsPerPeer) {
      counters.refusedObservationsPerPeer++;
      core.settle(peer);
      return { reason: 'limit', detail: 'observationsPerPeer' };
    }
    return null;
  }
}
