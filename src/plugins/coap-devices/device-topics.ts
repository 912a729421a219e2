/**
 * The topics of one registered device. Messages below them become requests to it, and its answers are published; a retained
 * message says what it has registered, another one whether it is there.
 */
import type { Message } from '../../bus/message.js';
import type { Party } from '../../bus/party.js';
import type { RequestTransmission } from '../../coap/client/limits.js';
import type { ClientRequest } from '../../coap/client/request.js';
import { ContentFormat, Method } from '../../coap/codes.js';
import { decodeForwardedProperties } from '../../wire/publish-view.js';
import { contentFormatNamed, contentFormatOf, propertiesOf } from '../coap-topics/content-format.js';
import type { InProcessClient, PluginContext } from '../plugin.js';
import { AnswerTopic } from './answer-topic.js';
import { DeviceObservations } from './device-observations.js';
import type { Change } from './directory.js';
import type { Errand, Errands } from './errands.js';
import type { KeptObservation, KeptObservations } from './kept-observations.js';
import { levelOf, type Registration } from './registration.js';
import { propertiesWith } from './reply.js';
import { overLine, type Route } from './route.js';

/** The publisher of everything about registered devices. */
export const CLIENT_ID = 'coap-devices';
/** Last levels of the topics that say whether a device is there, and where outcomes go that nobody else asks for. */
const STATE = '$state';
const RESPONSE = '$response';
/** User Properties of a message: one argument of the request's query, and the Content-Format that the response is to have. */
const QUERY_PROPERTY = 'coap-query';
const ACCEPT_PROPERTY = 'coap-accept';
const NONE = Buffer.alloc(0);

const METHODS = {
  get: Method.Get,
  put: Method.Put,
  post: Method.Post,
  delete: Method.Delete,
  fetch: Method.Fetch,
  patch: Method.Patch,
  ipatch: Method.IPatch,
} as const;

/** What the topics of all devices share. */
export interface DeviceHost {
  readonly context: PluginContext;
  readonly errands: Errands;
  readonly kept: KeptObservations;
  readonly transmission: RequestTransmission;
  /** `coap.devices_topic`. */
  readonly root: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** How a device is reached, or why it cannot be. */
  routeOf(registration: Registration): Route | string;
}

export class DeviceTopics {
  readonly #host: DeviceHost;
  readonly #topic: string;
  readonly #level: string;
  readonly #bus: InProcessClient;
  readonly #observations: DeviceObservations;
  #registration: Registration;

  constructor(host: DeviceHost, registration: Registration) {
    this.#host = host;
    this.#registration = registration;
    this.#level = levelOf(registration);
    this.#topic = `${host.root}/${this.#level}`;
    this.#bus = host.context.openClient({ id: CLIENT_ID, remote: 'internal', transport: 'internal', trusted: true });
    this.#observations = new DeviceObservations({
      errands: host.errands,
      kept: host.kept,
      id: registration.id,
      route: () => host.routeOf(this.#registration),
      now: host.now,
    });
    this.#bus.subscribe(`${this.#topic}/#`, 2, (message, publisher) => this.#received(message, publisher));
  }

  /** The device has registered, again or for the first time, or has renewed its registration. */
  here(registration: Registration, what: Change): void {
    this.#registration = registration;
    this.#show();
    // It may have begun anew, and know of no observer.
    this.#observations.renew(what === 'registered');
  }

  /** Publishes what is registered, and that the device is there. */
  #show(): void {
    const { base, lt, expiresAt, attributes, links } = this.#registration;
    const content = {
      base,
      lifetime: lt,
      expires: new Date(expiresAt).toISOString(),
      ...(Object.keys(attributes).length === 0 ? null : { attributes }),
      links: links.map(({ href, attributes: own }) => ({ ...own, href })),
    };
    this.#retain(this.#topic, JSON.stringify(content), propertiesOf(ContentFormat.Json));
    this.#tell('online');
  }

  /** The registration was kept; what was to be published about it is, if it is not there. What is observed waits for `resume`. */
  restored(): void {
    if (this.#bus.retained(this.#topic) === null) this.#show();
    else this.#tell('online');
  }

  /** Puts back an observation; `resume` takes it up. */
  restoreObservation({ path, query, accept, qos, answer, correlation }: KeptObservation): void {
    const { about, responseTopic } = this.#topicsOf(path);
    const message: Message = {
      topic: `${about}/observe`,
      payload: NONE,
      qos,
      retain: false,
      properties: propertiesWith(correlation === undefined ? undefined : Buffer.from(correlation, 'base64')),
      expiresAt: 0,
      publisherId: '',
      receivedAt: 0,
    };
    const whenKnown = (use: (topic: string) => void): void => use(answer ?? responseTopic);
    const errand: Errand = { message, device: this.#level, answer: { whenKnown }, form: 'raw', bus: this.#bus };
    const { transmission } = this.#host;
    const request = { method: Method.Get, path, query, transmission, ...(accept === undefined ? null : { accept }) };
    this.#observations.restore(errand, request, path.length === 0 ? responseTopic : about);
  }

  /** Takes up what was observed before the restart: see `DeviceObservations.resume`. */
  resume(most: number): { readonly begun: number; readonly isDone: boolean } {
    return this.#observations.resume(most);
  }

  /** The device is gone. */
  gone(what: 'removed' | 'expired'): void {
    this.#observations.close();
    this.#retain(this.#topic, '', NONE);
    this.#tell(what);
    this.close();
  }

  close(): void {
    this.#bus.close();
  }

  #tell(state: 'online' | 'removed' | 'expired'): void {
    const topic = `${this.#topic}/${STATE}`;
    // A renewal is no news.
    if (this.#bus.retained(topic)?.payload.equals(Buffer.from(state))) return;
    this.#retain(topic, state, NONE);
  }

  #retain(topic: string, text: string, properties: Buffer): void {
    this.#bus.publish(topic, Buffer.from(text), { qos: 1, retain: true, properties }, null);
  }

  #received(message: Message, publisher: Party | null): void {
    // What is published about a device is no command for it.
    if (message.publisherId === CLIENT_ID || this.#bus.closed) return;
    const below = message.topic.slice(this.#topic.length + 1);
    const slash = below.lastIndexOf('/');
    const verb = below.slice(slash + 1);
    if (verb !== 'observe' && verb !== 'cancel' && !Object.hasOwn(METHODS, verb)) return;
    const path = slash < 0 ? [] : below.slice(0, slash).split('/');
    const { about, responseTopic } = this.#topicsOf(path);
    const answer = new AnswerTopic(message, publisher, responseTopic, this.#bus);
    const errand: Errand = { message, device: this.#level, answer, form: 'raw', bus: this.#bus };
    if (verb === 'cancel') {
      this.#observations.cancel(errand, path);
      return;
    }
    const method = verb === 'observe' ? Method.Get : METHODS[verb as keyof typeof METHODS];
    const request = this.#request(method, path, message);
    if (typeof request === 'string') this.#host.errands.unsendable(errand, request);
    // The topic of the device itself says what it has registered.
    else if (verb === 'observe') this.#observations.begin(errand, request, path.length === 0 ? responseTopic : about);
    else this.#send(errand, request);
  }

  /** The topic of a resource, and where outcomes about it go. */
  #topicsOf(path: readonly string[]): { readonly about: string; readonly responseTopic: string } {
    const about = [this.#topic, ...path].join('/');
    return { about, responseTopic: `${about}/${RESPONSE}` };
  }

  #send(errand: Errand, request: ClientRequest): void {
    const { errands } = this.#host;
    if (!errands.begin(errand)) return;
    const route = this.#host.routeOf(this.#registration);
    if (typeof route === 'string') errands.unreachable(errand, route);
    else route.client.request(route.address, overLine(request, route), (outcome) => errands.end(errand, outcome));
  }

  /** The request that a message asks for, or why there is none. */
  #request(method: number, path: readonly string[], message: Message): ClientRequest | string {
    const { userProperties = [] } = decodeForwardedProperties(message.properties);
    const query = userProperties.filter(([name]) => name === QUERY_PROPERTY).map(([, value]) => value);
    const wanted = userProperties.find(([name]) => name === ACCEPT_PROPERTY)?.[1];
    const accept = wanted === undefined ? undefined : contentFormatNamed(wanted);
    if (wanted !== undefined && accept === undefined)
      return `${ACCEPT_PROPERTY}: no Content-Format is known as ${wanted}`;
    const { transmission } = this.#host;
    const request = { method, path, query, transmission, ...(accept === undefined ? null : { accept }) };
    if (method === Method.Get || method === Method.Delete) return request;
    const contentFormat = contentFormatOf(message);
    return { ...request, payload: message.payload, ...(contentFormat === undefined ? null : { contentFormat }) };
  }
}
