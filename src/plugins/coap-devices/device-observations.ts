/**
 * What is observed at one registered device, on behalf of whoever asked for it by a message. Once the device observes, the
 * observation is kept: it goes on after a restart of the broker, until it ends or the registration does.
 */
import type { ClientObservation, ObservationOver } from '../../coap/client/observation.js';
import type { Outcome } from '../../coap/client/outcome.js';
import type { ClientRequest } from '../../coap/client/request.js';
import type { ClientResponse } from '../../coap/client/response.js';
import { codeClass } from '../../coap/codes.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import { type Errand, type Errands, failed } from './errands.js';
import type { KeptObservations } from './kept-observations.js';
import { replyOf } from './reply.js';
import { overLine, peerOf, type Route } from './route.js';

/** One observation; it outlives the place that the device has when it begins. */
class Watch {
  readonly errand: Errand;
  readonly request: ClientRequest;
  /** Where its states are published. */
  readonly topic: string;
  observation: ClientObservation | null = null;
  /** Peer that it is with. */
  peer = '';
  /** Counts the observations that this one has been: what an earlier one brings is too late. */
  generation = 0;
  /** The message that asked for it has its answer. */
  answered = false;
  /** The last response was an error. */
  refused = false;
  /** It is in the store, or on its way there. */
  kept = false;
  /** States that wait until it is; null if none has to. */
  waiting: ClientResponse[] | null = null;
  /**
   * Of before the restart, and nothing was heard of it since: a device that cannot be reached yet may come back. Milliseconds
   * since the epoch when it is tried again; null if it need not be.
   */
  resumeAt: number | null = null;

  constructor(errand: Errand, request: ClientRequest, topic: string) {
    this.errand = errand;
    this.request = request;
    this.topic = topic;
  }
}

/** What only says that a device is not there now. */
const ABSENCES: ReadonlySet<string> = new Set(['timeout', 'unacknowledged', 'reset', 'gone', 'handshake']);

/** Milliseconds until a device that did not answer after a restart is tried again, and until there may be room for a request. */
const ABSENT = 60_000;
const CROWDED = 1_000;
/** Limits of the client on what is under way at once. */
const CROWDS: ReadonlySet<string> = new Set(['requests', 'requestsPerPeer']);

/** What is given to the observations of a device. */
export interface DeviceObservationsHost {
  readonly errands: Errands;
  readonly kept: KeptObservations;
  /** Of the registration. */
  readonly id: string;
  /** How the device is reached now, or why it is not. */
  route(): Route | string;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class DeviceObservations {
  readonly #host: DeviceObservationsHost;
  readonly #errands: Errands;
  /** By path. */
  readonly #watches = new Map<string, Watch>();

  constructor(host: DeviceObservationsHost) {
    this.#host = host;
    this.#errands = host.errands;
  }

  /** Observes a resource; one that is observed already is observed anew. */
  begin(errand: Errand, request: ClientRequest, topic: string): void {
    if (!this.#errands.begin(errand)) return;
    const key = keyOf(request.path ?? []);
    this.#drop(key);
    const watch = new Watch(errand, request, topic);
    this.#watches.set(key, watch);
    this.#observe(key, watch);
  }

  /** Puts back what the store holds; `resume` takes it up. Its message had its answer. */
  restore(errand: Errand, request: ClientRequest, topic: string): void {
    const watch = new Watch(errand, request, topic);
    watch.answered = true;
    watch.kept = true;
    watch.resumeAt = 0;
    this.#watches.set(keyOf(request.path ?? []), watch);
  }

  /**
   * Takes up what was restored, as far as the device can be reached.
   * @param most observations that may begin now
   * @returns those that did, and whether any has still to be taken up
   */
  resume(most: number): { readonly begun: number; readonly isDone: boolean } {
    const isReachable = typeof this.#host.route() !== 'string';
    let begun = 0;
    let isDone = true;
    for (const [key, watch] of [...this.#watches]) {
      if (watch.resumeAt === null) continue;
      isDone = false;
      if (!isReachable || watch.observation !== null || watch.resumeAt > this.#host.now() || begun >= most) continue;
      begun++;
      this.#observe(key, watch);
    }
    return { begun, isDone };
  }

  /** Ends the observation of a resource; both who asked for it and who ends it are told. */
  cancel(errand: Errand, path: readonly string[]): void {
    const key = keyOf(path);
    const watch = this.#watches.get(key);
    if (watch === undefined) {
      this.#errands.reply(errand, failed('cancelled', 'nothing was observed'));
      return;
    }
    const durable = this.#end(key, watch);
    watch.observation?.cancel();
    const tell = (): void => this.#errands.reply(errand, failed('cancelled', ''));
    if (durable === null) tell();
    else void durable.then(tell);
    this.#answer(watch, failed('cancelled', ''));
  }

  /** The device has registered or moved. @param all also what is observed where the device is still */
  renew(all: boolean): void {
    const route = this.#host.route();
    for (const [key, watch] of [...this.#watches]) {
      if (!all && typeof route !== 'string' && watch.peer === peerOf(route)) continue;
      watch.generation++;
      watch.observation?.forget();
      this.#observe(key, watch);
    }
  }

  /** The device is gone. */
  close(): void {
    for (const key of [...this.#watches.keys()]) this.#drop(key);
  }

  #drop(key: string): void {
    const watch = this.#watches.get(key);
    if (watch === undefined) return;
    this.#end(key, watch);
    watch.observation?.forget();
    this.#answer(watch, failed('cancelled', 'the device is gone, or it is observed anew'));
  }

  /** It is over, also for the store. Returns when that is durable; null if it is, or comes later. */
  #end(key: string, watch: Watch): Promise<void> | null {
    this.#watches.delete(key);
    this.#release(watch);
    if (!watch.kept) return null;
    watch.kept = false;
    return this.#host.kept.delete({ observes: this.#host.id, path: watch.request.path ?? [] });
  }

  /** Whoever asked gets the first answer, or the reason why there is none, and its place back. */
  #answer(watch: Watch, outcome: Outcome): void {
    if (watch.answered) return;
    watch.answered = true;
    this.#errands.end(watch.errand, outcome);
  }

  #observe(key: string, watch: Watch): void {
    const route = this.#host.route();
    if (typeof route === 'string') {
      this.#end(key, watch);
      if (watch.answered) this.#errands.reply(watch.errand, failed('unsendable', route));
      else {
        watch.answered = true;
        this.#errands.unreachable(watch.errand, route);
      }
      return;
    }
    watch.peer = peerOf(route);
    const { generation } = watch;
    const isCurrent = (): boolean => this.#watches.get(key) === watch && watch.generation === generation;
    const observation = route.client.observe(route.address, overLine(watch.request, route), {
      onState: (response) => {
        if (isCurrent()) this.#state(watch, response);
      },
      onEnd: (end) => {
        if (isCurrent()) this.#ended(key, watch, end);
      },
    });
    if (isCurrent()) watch.observation = observation;
  }

  #state(watch: Watch, response: ClientResponse): void {
    watch.resumeAt = null;
    watch.refused = codeClass(response.code) !== 2;
    if (response.observed && !watch.refused && !watch.kept) this.#keep(watch);
    if (watch.waiting === null) this.#tell(watch, response);
    else watch.waiting.push(response);
  }

  /** That a resource is observed is not told before the store has it. */
  #keep(watch: Watch): void {
    const { errand, request } = watch;
    const { path = [], query = [], accept } = request;
    watch.waiting = [];
    errand.answer.whenKnown((answer) => {
      // Over meanwhile.
      if (watch.waiting === null) return;
      const { correlationData } = decodeForwardedProperties(errand.message.properties);
      const correlation = correlationData?.toString('base64');
      const { id: observes, kept } = this.#host;
      const durable = kept.put({ observes, path, query, accept, qos: errand.message.qos, answer, correlation });
      if (durable === null) {
        // The next state tries again.
        this.#release(watch);
        return;
      }
      watch.kept = true;
      void durable.then(() => this.#release(watch));
    });
  }

  /** Nothing has to wait any more. */
  #release(watch: Watch): void {
    const states = watch.waiting ?? [];
    watch.waiting = null;
    for (const response of states) this.#tell(watch, response);
  }

  #tell(watch: Watch, response: ClientResponse): void {
    const first = !watch.answered;
    this.#answer(watch, { response, failure: null });
    if (codeClass(response.code) === 2) {
      const { bus, message } = watch.errand;
      const { payload, properties } = replyOf({ response, failure: null }, 'raw', undefined);
      bus.publish(watch.topic, payload, { qos: message.qos, properties }, null);
    } else if (!first) this.#errands.reply(watch.errand, { response, failure: null });
  }

  #ended(key: string, watch: Watch, end: ObservationOver): void {
    const isCrowded = end.reason === 'limit' && CROWDS.has(end.detail);
    const isAbsent = watch.resumeAt === null ? end.reason === 'gone' : isCrowded || ABSENCES.has(end.reason);
    if (isAbsent && watch.answered) {
      if (watch.resumeAt !== null) watch.resumeAt = this.#host.now() + (isCrowded ? CROWDED : ABSENT);
      // It goes on when the device is back.
      watch.generation++;
      watch.observation = null;
      watch.peer = '';
      return;
    }
    // The broker stops, and the observation goes on after the next start.
    if (end.reason === 'closed' && watch.kept) {
      this.#watches.delete(key);
      this.#release(watch);
      return;
    }
    this.#end(key, watch);
    // The error was the last word.
    if (end.reason === 'final' && watch.refused) return;
    const outcome: Outcome =
      end.reason === 'final'
        ? failed('cancelled', 'the device does not go on with it')
        : { response: null, failure: { reason: end.reason, detail: end.detail } };
    if (watch.answered) this.#errands.reply(watch.errand, outcome);
    else this.#answer(watch, outcome);
  }
}

function keyOf(path: readonly string[]): string {
  return path.join('/');
}
