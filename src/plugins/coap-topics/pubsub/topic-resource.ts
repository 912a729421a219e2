/** The resource of one topic: its configuration, whole or in part, changed and deleted. */
import { Code, ContentFormat, Method } from '../../../coap/codes.js';
import type { CoapExchange } from '../../../coap/exchange.js';
import type { CoapRequest } from '../../../coap/request.js';
import type { CoapResponse } from '../../../coap/response.js';
import type { InProcessClient } from '../../plugin.js';
import { FORBIDDEN } from '../answers.js';
import { failureOf } from '../publishing.js';
import { accepts, METHOD_NOT_ALLOWED, NOT_ACCEPTABLE, NOT_FOUND, readOr400, respondWhen, unfit } from './answers.js';
import { decodeProperties, encodeProperties, keysOf, Malformed } from './cbor.js';
import { type Collection, MAX_CONFIGURATION_BYTES } from './collection.js';
import { type Configuration, changed, type Properties } from './configuration.js';
import type { PubsubCounters } from './counters.js';
import { Deletion } from './deletion.js';
import type { Topic } from './topic.js';

export class TopicResource {
  readonly #collection: Collection;
  readonly #contentFormat: number;
  readonly #counters: PubsubCounters;

  /** @param contentFormat `coap.pubsub_content_format` */
  constructor(collection: Collection, contentFormat: number, counters: PubsubCounters) {
    this.#collection = collection;
    this.#contentFormat = contentFormat;
    this.#counters = counters;
  }

  handle(topic: Topic, request: CoapRequest, exchange: CoapExchange, client: InProcessClient): void {
    if (!accepts(request, this.#contentFormat)) {
      exchange.respond(NOT_ACCEPTABLE);
      return;
    }
    switch (request.method) {
      case Method.Get:
        if (isKnown(topic, exchange, client)) exchange.respond(this.#representation(Code.Content, topic));
        break;
      case Method.Fetch:
        if (isKnown(topic, exchange, client)) this.#part(topic, request, exchange);
        break;
      case Method.Post:
        this.#change(topic, request, exchange, client, true);
        break;
      case Method.IPatch:
        this.#change(topic, request, exchange, client, false);
        break;
      case Method.Delete:
        this.#permitted(topic, exchange, client, () => {
          new Deletion(this.#collection, topic, client, (answer) => exchange.respond(answer)).begin();
        });
        break;
      default:
        exchange.respond(METHOD_NOT_ALLOWED);
    }
  }

  #representation(code: number, { configuration }: Topic, keys?: readonly number[]): CoapResponse {
    return { code, contentFormat: this.#contentFormat, payload: encodeProperties(configuration, keys) };
  }

  #part(topic: Topic, request: CoapRequest, exchange: CoapExchange): void {
    const refusal = unfit(request, ContentFormat.Cbor, this.#counters);
    if (refusal !== null) {
      exchange.respond(refusal);
      return;
    }
    const keys = readOr400(exchange, () => keysOf(request.payload));
    if (keys !== null) exchange.respond(this.#representation(Code.Content, topic, keys));
  }

  /** @param whole POST, which replaces; otherwise iPATCH */
  #change(topic: Topic, request: CoapRequest, exchange: CoapExchange, client: InProcessClient, whole: boolean): void {
    const refusal = unfit(request, this.#contentFormat, this.#counters);
    if (refusal !== null) {
      exchange.respond(refusal);
      return;
    }
    const properties = readOr400(exchange, () => decodeProperties(request.payload));
    if (properties === null || this.#next(topic, exchange, properties, whole) === null) return;
    this.#permitted(topic, exchange, client, () => {
      // Another may have changed it meanwhile.
      const next = this.#next(topic, exchange, properties, whole);
      if (next === null) return;
      respondWhen(
        exchange,
        () => this.#collection.change(topic, next),
        () => this.#representation(Code.Changed, topic),
      );
    });
  }

  #next(topic: Topic, exchange: CoapExchange, properties: Properties, whole: boolean): Configuration | null {
    const next = readOr400(exchange, () => {
      const result = changed(topic.configuration, properties, whole);
      if (typeof result === 'string') throw new Malformed(result);
      return result;
    });
    if (next === null || encodeProperties(next).length <= MAX_CONFIGURATION_BYTES) return next;
    this.#counters.pubsubConfigurationsTooLarge++;
    exchange.respond({ code: Code.RequestEntityTooLarge, size1: MAX_CONFIGURATION_BYTES });
    return null;
  }

  /** Goes on if the client may publish on the topic, and the topic is still there then. */
  #permitted(topic: Topic, exchange: CoapExchange, client: InProcessClient, goOn: () => void): void {
    client.mayPublish(topic.configuration.name, (reasonCode) => {
      if (reasonCode >= 0x80) exchange.respond(failureOf(reasonCode));
      else if (!this.#collection.has(topic)) exchange.respond(NOT_FOUND);
      else goOn();
    });
  }
}

/** Whether a client may know of a topic; if not, the request is answered. */
function isKnown({ configuration }: Topic, exchange: CoapExchange, client: InProcessClient): boolean {
  if (client.mayKnow(configuration.name)) return true;
  exchange.respond(FORBIDDEN);
  return false;
}
