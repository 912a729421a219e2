/** One entry of `coap.observations`: a resource of a device that is observed for as long as the broker runs. */
import { isReserved, isValidName } from '../../bus/topics.js';
import type { ClientObservation } from '../../coap/client/observation.js';
import type { Outcome } from '../../coap/client/outcome.js';
import type { ClientRequest } from '../../coap/client/request.js';
import type { ClientResponse } from '../../coap/client/response.js';
import { type CoapUri, parseCoapUri } from '../../coap/client/uri.js';
import { codeClass, Method } from '../../coap/codes.js';
import { ErrorKinds, PorticoError } from '../../errors.js';
import type { InProcessClient } from '../plugin.js';
import type { DeviceCredentials } from './credentials.js';
import { failed } from './errands.js';
import { type FormatOption, formatNumber } from './format-names.js';
import { replyOf } from './reply.js';
import type { Route } from './route.js';
import { requestTransmission, type SharedOptions } from './transmission.js';

/** An entry as configured; its options are documented under `coap.observations`. */
export interface ObservationOptions {
  readonly uri: string;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly accept?: FormatOption | undefined;
  readonly response: 'raw' | 'json';
  readonly confirmable: boolean;
  /** Seconds, these and those below. */
  readonly timeout: number;
  readonly retry: number;
  readonly silence?: number | undefined;
  readonly failure_topic?: string | undefined;
}

/** What an observed resource is given. */
export interface ObservationHost {
  readonly bus: InProcessClient;
  /** The way to the device, null if there is none. */
  find(target: CoapUri, handler: (route: Route | null) => void): void;
  /** An observation failed or ended. @param again so had the one before */
  failed(uri: string, outcome: Outcome, again: boolean): void;
}

export class ObservedResource {
  readonly options: ObservationOptions;
  readonly target: CoapUri;
  readonly #request: ClientRequest;
  #host: ObservationHost | null = null;
  #observation: ClientObservation | null = null;
  /** Counts observations: what an earlier one brings is too late. */
  #generation = 0;
  #timer: NodeJS.Timeout | null = null;
  #failing = false;

  /** @throws PorticoError `PORTICO_CONFIGURATION` if the URI or a topic is none */
  constructor(options: ObservationOptions, shared: SharedOptions, credentials: DeviceCredentials) {
    const { uri, topic, failure_topic: failureTopic = topic, confirmable, timeout } = options;
    const target = parseCoapUri(uri);
    if (typeof target === 'string') {
      throw new PorticoError(ErrorKinds.Configuration, `coap.observations: ${uri}: ${target}`);
    }
    const lack = target.secure ? credentials.lack(target) : null;
    if (lack !== null) throw new PorticoError(ErrorKinds.Configuration, `coap.observations: ${uri}: ${lack}`);
    for (const name of [topic, failureTopic]) {
      if (isValidName(name) && !isReserved(name)) continue;
      throw new PorticoError(ErrorKinds.Configuration, `coap.observations: ${name} is no topic to publish on`);
    }
    this.options = options;
    this.target = target;
    const { path, query, kind, host } = target;
    const transmission = requestTransmission(shared, timeout);
    const accept = formatNumber(options.accept);
    this.#request = {
      method: Method.Get,
      path,
      query,
      confirmable,
      transmission,
      ...(kind === 'name' ? { uriHost: host } : null),
      ...(accept === undefined ? null : { accept }),
    };
  }

  start(host: ObservationHost): void {
    this.#host = host;
    this.#begin();
  }

  stop(): void {
    this.#host = null;
    this.#generation++;
    this.#wait(null);
  }

  #begin(): void {
    const generation = ++this.#generation;
    this.#wait(null);
    this.#host?.find(this.target, (route) => {
      if (generation !== this.#generation) return;
      if (route === null) {
        this.#ended(failed('unsendable', `${this.target.host} has no address that can be reached`));
        return;
      }
      const observation = route.client.observe(route.address, this.#request, {
        onState: (response) => {
          if (generation === this.#generation) this.#state(response);
        },
        onEnd: ({ reason, detail }) => {
          if (generation !== this.#generation) return;
          // The response that says so was dealt with as a state, or as a failure.
          this.#ended(reason === 'final' ? null : { response: null, failure: { reason, detail } });
        },
      });
      if (generation === this.#generation) this.#observation = observation;
    });
  }

  #state(response: ClientResponse): void {
    if (codeClass(response.code) !== 2) {
      this.#fail({ response, failure: null });
      return;
    }
    this.#failing = false;
    this.#listen();
    const { topic, qos, retain, response: form } = this.options;
    const { payload, properties } = replyOf({ response, failure: null }, form, undefined);
    this.#host?.bus.publish(topic, payload, { qos, retain, properties }, null);
  }

  #ended(outcome: Outcome | null): void {
    this.#generation++;
    this.#observation = null;
    if (outcome !== null) this.#fail(outcome);
    this.#wait(this.options.retry, () => this.#begin());
  }

  #fail(outcome: Outcome): void {
    const { uri, failure_topic: topic, qos, response: form } = this.options;
    this.#host?.failed(uri, outcome, this.#failing);
    this.#failing = true;
    if (topic === undefined) return;
    const { payload, properties } = replyOf(outcome, form, undefined);
    this.#host?.bus.publish(topic, payload, { qos, properties }, null);
  }

  /** Waits for the next state. */
  #listen(): void {
    const { silence } = this.options;
    if (silence === undefined) return;
    this.#wait(silence, () => {
      this.#observation?.renew();
      this.#listen();
    });
  }

  #wait(seconds: number | null, then?: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (seconds === null || then === undefined || this.#host === null) return;
    this.#timer = setTimeout(then, seconds * 1000);
    this.#timer.unref();
  }
}
