/**
 * The resource of a topic's data, which is the retained message of the MQTT topic: HALF CREATED is a topic without one,
 * FULLY CREATED one with it, whoever has published it.
 */
import type { Message } from '../../../bus/message.js';
import { Code, codeClass, Method } from '../../../coap/codes.js';
import type { CoapExchange } from '../../../coap/exchange.js';
import type { CoapRequest } from '../../../coap/request.js';
import type { CoapResponse } from '../../../coap/response.js';
import type { InProcessClient, PluginContext } from '../../plugin.js';
import { CHANGED, CREATED, endOf, FORBIDDEN } from '../answers.js';
import { propertiesOf } from '../content-format.js';
import { inFormat } from '../observing.js';
import { preconditionsHold } from '../preconditions.js';
import { type Decide, failureOf, PublishReply } from '../publishing.js';
import { unlessKnown } from '../reading.js';
import { contentOf } from '../representation.js';
import { PLAIN } from '../topic-view.js';
import {
  badRequest,
  DELETED,
  METHOD_NOT_ALLOWED,
  NOT_ACCEPTABLE,
  NOT_FOUND,
  PRECONDITION_FAILED,
  UNSUPPORTED_FORMAT,
} from './answers.js';
import type { Collection } from './collection.js';
import type { PubsubCounters } from './counters.js';
import type { PublicationRate } from './publication-rate.js';
import { type Notification, Subscriber } from './subscriber.js';
import type { Topic } from './topic.js';

const NO_PAYLOAD = Buffer.alloc(0);
/** MQTT 5.0 Not authorized. */
const NOT_AUTHORIZED = 0x87;

export class DataResource {
  readonly #collection: Collection;
  /** `coap.notification`, for subscriptions that come. */
  notification: Notification;
  readonly #rate: PublicationRate;
  readonly #counters: PubsubCounters;
  readonly #now: () => number;

  constructor(
    collection: Collection,
    notification: Notification,
    rate: PublicationRate,
    counters: PubsubCounters,
    now: () => number,
  ) {
    this.#collection = collection;
    this.notification = notification;
    this.#rate = rate;
    this.#counters = counters;
    this.#now = now;
  }

  handle(
    topic: Topic,
    request: CoapRequest,
    exchange: CoapExchange,
    client: InProcessClient,
    context: PluginContext,
  ): void {
    switch (request.method) {
      case Method.Get:
        this.#read(topic, request, exchange, client);
        break;
      case Method.Put:
        this.#publish(topic, request, exchange, client, context);
        break;
      case Method.Delete:
        this.#delete(topic, request, exchange, client);
        break;
      default:
        exchange.respond(METHOD_NOT_ALLOWED);
    }
  }

  #publish(
    topic: Topic,
    request: CoapRequest,
    exchange: CoapExchange,
    client: InProcessClient,
    context: PluginContext,
  ): void {
    if (request.payload.length === 0) exchange.respond(badRequest('empty data cannot be kept; DELETE clears'));
    else {
      const decided = decideOnPublishing(topic, request, client);
      if (codeClass(decided.code) !== 2) {
        exchange.respond(decided);
        return;
      }
      const wait = this.#rate.wait(request.remote, this.#now());
      if (wait > 0) {
        this.#counters.pubsubPublicationsRefused++;
        context.limit(client, 'coap.pubsub_publications_per_second', 'a publication is refused');
        exchange.respond({ code: Code.TooManyRequests, maxAge: wait });
        return;
      }
      const qos = request.confirmable ? 1 : 0;
      const options = { qos, retain: true, properties: propertiesOf(request.contentFormat) } as const;
      const again = client.isAsked ? this.#publishingAgain(topic, request, client) : null;
      client.publish(
        topic.configuration.name,
        request.payload,
        options,
        new PublishReply(exchange, client, decided, again),
      );
    }
  }

  #publishingAgain(topic: Topic, request: CoapRequest, client: InProcessClient): Decide {
    return () => (this.#collection.has(topic) ? decideOnPublishing(topic, request, client) : NOT_FOUND);
  }

  #delete(topic: Topic, request: CoapRequest, exchange: CoapExchange, client: InProcessClient): void {
    const { name } = topic.configuration;
    const decide = (): CoapResponse => {
      if (!this.#collection.has(topic) || !client.hasRetained(name)) return NOT_FOUND;
      return preconditionsHold(request, client, name, PLAIN) ? DELETED : PRECONDITION_FAILED;
    };
    const decided = decide();
    if (decided !== DELETED) {
      exchange.respond(decided);
      return;
    }
    const options = { qos: request.confirmable ? 1 : 0, retain: true } as const;
    client.publish(name, NO_PAYLOAD, options, new PublishReply(exchange, client, decided, decide));
  }

  #read(topic: Topic, request: CoapRequest, exchange: CoapExchange, client: InProcessClient): void {
    if (!client.mayReceive(topic.configuration.name)) {
      exchange.respond(FORBIDDEN);
      return;
    }
    const message = client.retained(topic.configuration.name);
    if (message === null) {
      exchange.respond(NOT_FOUND);
      return;
    }
    const content = this.#represent(topic, message, request.accept);
    const answer = unlessKnown(content, request);
    if (request.observe !== 0 || codeClass(answer.code) !== 2) exchange.respond(answer);
    else exchange.respond(this.#subscribe(topic, request, exchange, client, content) ?? answer);
  }

  /** Subscribes if there is room: without it, the answer has no Observe. Returns why it is refused altogether. */
  #subscribe(
    topic: Topic,
    { accept }: CoapRequest,
    exchange: CoapExchange,
    client: InProcessClient,
    first: CoapResponse,
  ): CoapResponse | null {
    let subscriber: Subscriber | null = null;
    const observation = exchange.observe(() => {
      if (subscriber === null) return;
      topic.subscribers.delete(subscriber);
      subscriber.handle?.cancel();
    });
    if (observation === undefined) return null;
    // Notifications keep the Content-Format of the first answer (RFC 7641 4.2), also where a publisher says none.
    const represent = (message: Message): CoapResponse => inFormat(this.#represent(topic, message, accept), first);
    const entry = new Subscriber(observation, this.notification, represent, first, this.#now());
    subscriber = entry;
    topic.subscribers.add(entry);
    if (topic.isCrowded) {
      this.#counters.pubsubSubscribersRefused++;
      observation.end();
      return null;
    }
    const { name } = topic.configuration;
    const handle = client.subscribe(
      name,
      2,
      (message) => entry.notify(message, topic.configuration.observerCheck, this.#now()),
      () => entry.end(endOf(client)),
    );
    if (typeof handle !== 'number') {
      entry.handle = handle;
      return null;
    }
    observation.end();
    return handle === NOT_AUTHORIZED ? failureOf(handle) : null;
  }

  /** A message as data: one that says no Content-Format has that of the topic. */
  #represent({ configuration }: Topic, message: Message, accept: number | undefined): CoapResponse {
    const content = contentOf(message, this.#now());
    const contentFormat = content.contentFormat ?? configuration.contentFormat;
    if (contentFormat === undefined) return content;
    return accept === undefined || accept === contentFormat ? { ...content, contentFormat } : NOT_ACCEPTABLE;
  }
}

function decideOnPublishing({ configuration }: Topic, request: CoapRequest, client: InProcessClient): CoapResponse {
  const { name, contentFormat } = configuration;
  if (contentFormat !== undefined && request.contentFormat !== contentFormat) return UNSUPPORTED_FORMAT;
  if (!preconditionsHold(request, client, name, PLAIN)) return PRECONDITION_FAILED;
  return client.hasRetained(name) ? CHANGED : CREATED;
}
