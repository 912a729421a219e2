/** The resource of the collection: lists and finds topics, and takes new ones. */
import { Code, ContentFormat, Method } from '../../../coap/codes.js';
import type { CoapExchange } from '../../../coap/exchange.js';
import { formatLinks } from '../../../coap/link-format.js';
import type { CoapRequest } from '../../../coap/request.js';
import type { CoapResponse } from '../../../coap/response.js';
import type { InProcessClient, PluginContext } from '../../plugin.js';
import { isOfDevice } from '../device-query.js';
import { failureOf } from '../publishing.js';
import { accepts, METHOD_NOT_ALLOWED, NOT_ACCEPTABLE, readOr400, respondWhen, unfit } from './answers.js';
import { decodeFilter, decodeProperties, encodeProperties, Malformed } from './cbor.js';
import type { Collection } from './collection.js';
import { incomplete, matches, type Properties } from './configuration.js';
import type { PubsubCounters } from './counters.js';
import { Creation } from './creation.js';
import { collectionLinks, topicLink, topicsFor } from './links.js';
import type { Topic } from './topic.js';

export class CollectionResource {
  readonly #collection: Collection;
  readonly #contentFormat: number;
  readonly #counters: PubsubCounters;
  readonly #now: () => number;

  /** @param contentFormat `coap.pubsub_content_format` */
  constructor(collection: Collection, contentFormat: number, counters: PubsubCounters, now: () => number) {
    this.#collection = collection;
    this.#contentFormat = contentFormat;
    this.#counters = counters;
    this.#now = now;
  }

  handle(request: CoapRequest, exchange: CoapExchange, client: InProcessClient, context: PluginContext): void {
    switch (request.method) {
      case Method.Get:
        this.#list(request, exchange, client);
        break;
      case Method.Fetch:
        this.#find(request, exchange, client);
        break;
      case Method.Post:
        this.#create(request, exchange, client, context);
        break;
      default:
        exchange.respond(METHOD_NOT_ALLOWED);
    }
  }

  #list(request: CoapRequest, exchange: CoapExchange, client: InProcessClient): void {
    const query = request.query.filter((argument) => !isOfDevice(argument));
    if (!accepts(request, ContentFormat.LinkFormat)) exchange.respond(NOT_ACCEPTABLE);
    else exchange.respond(linkDocument(collectionLinks(client, this.#collection, this.#contentFormat, query)));
  }

  /** FETCH with a filter: topics that have each of its properties. */
  #find(request: CoapRequest, exchange: CoapExchange, client: InProcessClient): void {
    const refusal = unfit(request, this.#contentFormat, this.#counters);
    if (refusal !== null) exchange.respond(refusal);
    else if (!accepts(request, ContentFormat.LinkFormat)) exchange.respond(NOT_ACCEPTABLE);
    else {
      const found = readOr400(exchange, () => {
        const filter = decodeFilter(request.payload);
        if (filter === null) return [];
        return [...topicsFor(client, this.#collection)].filter(({ configuration }) => matches(configuration, filter));
      });
      if (found === null) return;
      exchange.respond(linkDocument(found.map((topic) => topicLink(this.#collection, topic, this.#contentFormat))));
    }
  }

  #create(request: CoapRequest, exchange: CoapExchange, client: InProcessClient, context: PluginContext): void {
    const refusal = unfit(request, this.#contentFormat, this.#counters);
    if (refusal !== null) {
      exchange.respond(refusal);
      return;
    }
    if (!accepts(request, this.#contentFormat)) {
      exchange.respond(NOT_ACCEPTABLE);
      return;
    }
    const properties = readOr400(exchange, () => decodeProperties(request.payload));
    if (properties === null) return;
    const prepared = this.#prepare(exchange, properties);
    if (prepared === null) return;
    client.mayPublish(prepared.configuration.name, (reasonCode) => {
      if (reasonCode >= 0x80) {
        exchange.respond(failureOf(reasonCode));
        return;
      }
      // Another may have come meanwhile.
      const again = (): Topic | null => {
        const topic = this.#prepare(exchange, properties);
        return topic !== null && this.#hasRoom(exchange, client, context) ? topic : null;
      };
      const topic = again();
      if (topic === null) return;
      if (topic.configuration.initialize === undefined) this.#add(topic, exchange);
      else new Creation(this.#collection, client, exchange, again, (made) => this.#created(made)).begin(topic);
    });
  }

  #prepare(exchange: CoapExchange, properties: Properties): Topic | null {
    return readOr400(exchange, () => {
      const lack = incomplete(properties);
      if (lack !== null) throw new Malformed(lack);
      return this.#collection.prepare(properties, this.#now());
    });
  }

  #hasRoom(exchange: CoapExchange, client: InProcessClient, context: PluginContext): boolean {
    if (!this.#collection.isFull) return true;
    this.#counters.pubsubTopicsRefused++;
    context.limit(client, 'coap.pubsub_topics', 'a further topic is refused');
    exchange.respond({ code: Code.ServiceUnavailable, payload: Buffer.from('there are too many topics') });
    return false;
  }

  /** The answer to a creation. */
  #created(topic: Topic): CoapResponse {
    return {
      code: Code.Created,
      locationPath: this.#collection.pathOf(topic),
      contentFormat: this.#contentFormat,
      payload: encodeProperties(topic.configuration),
    };
  }

  #add(topic: Topic, exchange: CoapExchange): void {
    respondWhen(
      exchange,
      () => this.#collection.add(topic),
      () => this.#created(topic),
    );
  }
}

function linkDocument(links: Parameters<typeof formatLinks>[0]): CoapResponse {
  return {
    code: Code.Content,
    contentFormat: ContentFormat.LinkFormat,
    payload: Buffer.from(formatLinks(links)),
  };
}
