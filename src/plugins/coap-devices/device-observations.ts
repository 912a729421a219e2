/** What is observed at one registered device, on behalf of whoever asked for it by a message. */
import type { ClientObservation, ObservationOver } from '../../coap/client/observation.js';
import type { Outcome } from '../../coap/client/outcome.js';
import type { ClientRequest } from '../../coap/client/request.js';
import type { ClientResponse } from '../../coap/client/response.js';
import { codeClass } from '../../coap/codes.js';
import { type Errand, type Errands, failed } from './errands.js';
import { replyOf } from './reply.js';
import { overLine, peerOf, type Route } from './route.js';

/** One observation; it outlives the place that the device has when it begins. */
interface Watch {
  readonly errand: Errand;
  readonly request: ClientRequest;
  /** Where its states are published. */
  readonly topic: string;
  observation: ClientObservation | null;
  /** Peer that it is with. */
  peer: string;
  /** Counts the observations that this one has been: what an earlier one brings is too late. */
  generation: number;
  /** The message that asked for it has its answer. */
  answered: boolean;
  /** The last response was an error. */
  refused: boolean;
}

export class DeviceObservations {
  readonly #errands: Errands;
  readonly #route: () => Route | string;
  /** By path. */
  readonly #watches = new Map<string, Watch>();

  /** @param route how the device is reached now, or why it is not */
  constructor(errands: Errands, route: () => Route | string) {
    this.#errands = errands;
    this.#route = route;
  }

  /** Observes a resource; one that is observed already is observed anew. */
  begin(errand: Errand, request: ClientRequest, topic: string): void {
    if (!this.#errands.begin(errand)) return;
    const key = keyOf(request.path ?? []);
    this.#drop(key);
    const watch: Watch = {
      errand,
      request,
      topic,
      observation: null,
      peer: '',
      generation: 0,
      answered: false,
      refused: false,
    };
    this.#watches.set(key, watch);
    this.#observe(key, watch);
  }

  /** Ends the observation of a resource; both who asked for it and who ends it are told. */
  cancel(errand: Errand, path: readonly string[]): void {
    const key = keyOf(path);
    const watch = this.#watches.get(key);
    this.#watches.delete(key);
    this.#errands.reply(errand, failed('cancelled', watch === undefined ? 'nothing was observed' : ''));
    watch?.observation?.cancel();
    if (watch !== undefined) this.#answer(watch, failed('cancelled', ''));
  }

  /** The device has registered or moved. @param all also what is observed where the device is still */
  renew(all: boolean): void {
    const route = this.#route();
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
    this.#watches.delete(key);
    watch.observation?.forget();
    this.#answer(watch, failed('cancelled', 'the device is gone, or it is observed anew'));
  }

  /** Whoever asked gets the first answer, or the reason why there is none, and its place back. */
  #answer(watch: Watch, outcome: Outcome): void {
    if (watch.answered) return;
    watch.answered = true;
    this.#errands.end(watch.errand, outcome);
  }

  #observe(key: string, watch: Watch): void {
    const route = this.#route();
    if (typeof route === 'string') {
      this.#watches.delete(key);
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
    watch.observation = route.client.observe(route.address, overLine(watch.request, route), {
      onState: (response) => {
        if (isCurrent()) this.#state(watch, response);
      },
      onEnd: (end) => {
        if (isCurrent()) this.#ended(key, watch, end);
      },
    });
  }

  #state(watch: Watch, response: ClientResponse): void {
    const first = !watch.answered;
    this.#answer(watch, { response, failure: null });
    watch.refused = codeClass(response.code) !== 2;
    if (!watch.refused) {
      const { bus, message } = watch.errand;
      const { payload, properties } = replyOf({ response, failure: null }, 'raw', undefined);
      bus.publish(watch.topic, payload, { qos: message.qos, properties }, null);
    } else if (!first) this.#errands.reply(watch.errand, { response, failure: null });
  }

  #ended(key: string, watch: Watch, end: ObservationOver): void {
    if (end.reason === 'gone' && watch.answered) {
      // It goes on when the device is back.
      watch.generation++;
      watch.observation = null;
      watch.peer = '';
      return;
    }
    this.#watches.delete(key);
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
