/** Which resource a request is for, and what its method does there. */
import { Method } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { Link } from '../../coap/link-format.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import type { InProcessClient, PluginContext } from '../plugin.js';
import {
  BAD_QUERY,
  METHOD_NOT_ALLOWED,
  NO_ENVELOPE,
  NO_TOPIC,
  NO_TOPIC_TO_WRITE,
  NOT_FOUND,
  SERVER_ERROR,
} from './answers.js';
import { CONNECTION_PATH, ConnectionResource } from './connection-resource.js';
import type { Connections } from './connections.js';
import { readDeviceQuery } from './device-query.js';
import type { Devices } from './devices.js';
import { discover, WELL_KNOWN_CORE } from './discovery.js';
import { observeDurably } from './durable-observation.js';
import { envelopeFormat } from './envelope.js';
import type { Face } from './face.js';
import { FilterReading } from './filters.js';
import { Mapping } from './mappings.js';
import { observe } from './observing.js';
import type { CoapTopicsOptions } from './options.js';
import { readPublishQuery } from './publishing.js';
import type { Pubsub } from './pubsub/pubsub.js';
import { read } from './reading.js';
import { type Target, TopicPaths } from './topic-paths.js';
import { PLAIN, type TopicView } from './topic-view.js';
import { clear, publish } from './writing.js';

export class Resources {
  readonly #options: CoapTopicsOptions;
  #paths: TopicPaths;
  #mappings: readonly Mapping[];
  readonly #devices: Devices;
  readonly #connections: Connections;
  #connection: ConnectionResource;
  readonly #context: PluginContext;
  readonly #pubsub: Pubsub | null;
  /** Resources beside those of topics. */
  readonly #faces: Face[] = [];

  constructor(
    options: CoapTopicsOptions,
    devices: Devices,
    connections: Connections,
    context: PluginContext,
    pubsub: Pubsub | null = null,
  ) {
    this.#options = options;
    this.#paths = new TopicPaths(options.path);
    this.#mappings = options.mappings.map((mapping) => new Mapping(mapping, context));
    this.#devices = devices;
    this.#connections = connections;
    this.#connection = new ConnectionResource(connections, options.insecure_password);
    this.#context = context;
    this.#pubsub = pubsub;
  }

  /** Its options have changed: what was made of them is made again, for requests that come from now on. */
  replaceOptions(): void {
    const { path, mappings, insecure_password: insecure } = this.#options;
    this.#paths = new TopicPaths(path);
    this.#mappings = mappings.map((mapping) => new Mapping(mapping, this.#context));
    this.#connection = new ConnectionResource(this.#connections, insecure);
  }

  /** Serves further resources, too. */
  add(face: Face): void {
    this.#faces.push(face);
  }

  handle(request: CoapRequest, exchange: CoapExchange): void {
    if (request.pathKey === CONNECTION_PATH) {
      this.#later(this.#connection.handle(request, exchange), exchange);
      return;
    }
    const client = this.#devices.clientOf(request);
    if (!(client instanceof Promise)) this.#serve(client, request, exchange);
    else {
      const payload = { value: Buffer.from(request.payload) };
      const kept: CoapRequest = Object.create(request, { payload });
      const served = client.then((found) => this.#serve(found, kept, exchange));
      this.#later(served, exchange);
    }
  }

  /** What is thrown after the handler has returned is 5.00, too. */
  #later(served: Promise<void>, exchange: CoapExchange): void {
    served.catch((error: unknown) => {
      this.#context.logger.error({ err: error }, 'coap: a request could not be served');
      exchange.respond(SERVER_ERROR);
    });
  }

  #serve(client: InProcessClient | CoapResponse, request: CoapRequest, exchange: CoapExchange): void {
    if ('code' in client) {
      exchange.respond(client);
      return;
    }
    if (this.#pubsub?.handle(request, exchange, client)) return;
    const target = this.#paths.target(request.path, request.pathKey);
    if (target.kind !== 'elsewhere') this.#target(client, request, exchange, target);
    else if (request.pathKey === WELL_KNOWN_CORE) this.#discover(client, request, exchange);
    else if (this.#faces.some((face) => face.handle(request, exchange, client))) return;
    // Where all levels of a mapping have names, its paths are any others.
    else if (!this.#mapped(client, request, exchange)) exchange.respond(NOT_FOUND);
  }

  #target(
    client: InProcessClient,
    request: CoapRequest,
    exchange: CoapExchange,
    target: Exclude<Target, { kind: 'elsewhere' }>,
  ): void {
    const session = request.observe === undefined ? undefined : readDeviceQuery(request.query).session;
    switch (target.kind) {
      case 'topic':
        if (session === undefined) this.#topic(client, request, exchange, target.topic, PLAIN);
        else this.#filter(client, request, exchange, target.topic, session);
        break;
      case 'filter':
        this.#filter(client, request, exchange, target.filter, session);
        break;
      case 'collection':
        this.#discover(client, request, exchange);
        break;
      case 'invalid':
        exchange.respond(NO_TOPIC);
    }
  }

  #discover(client: InProcessClient, request: CoapRequest, exchange: CoapExchange): void {
    const { listed } = this.#options;
    const links = this.#links(client);
    this.#later(
      discover(client, request, exchange, this.#paths, this.#mappings, links, listed, this.#context),
      exchange,
    );
  }

  /** Handles a request for the path of a mapping; false if it is for another. */
  #mapped(client: InProcessClient, request: CoapRequest, exchange: CoapExchange): boolean {
    for (const mapping of this.#mappings) {
      const topic = mapping.topicOf(request.path);
      if (topic === undefined) continue;
      if (topic === null) exchange.respond(NO_TOPIC);
      else if (!mapping.allows(request.method)) exchange.respond(METHOD_NOT_ALLOWED);
      else this.#topic(client, request, exchange, topic, mapping);
      return true;
    }
    return false;
  }

  *#links(client: InProcessClient): Iterable<Link> {
    for (const face of this.#faces) yield* face.links();
    if (this.#pubsub !== null) yield* this.#pubsub.links(client);
  }

  /** A filter can only be read: nothing can be published on it. */
  #filter(
    client: InProcessClient,
    request: CoapRequest,
    exchange: CoapExchange,
    filter: string,
    session: string | undefined,
  ): void {
    if (request.method !== Method.Get) {
      exchange.respond(NO_TOPIC_TO_WRITE);
      return;
    }
    const format = envelopeFormat(request.accept);
    const qos = qosOf(request);
    if (format === null) exchange.respond(NO_ENVELOPE);
    else if (qos === null) exchange.respond(BAD_QUERY);
    else {
      const reading = new FilterReading(client, filter, format, this.#options, this.#context);
      let served: Promise<void>;
      if (request.observe !== 0) served = reading.read(exchange);
      else if (session === undefined) served = reading.observe(exchange, qos);
      else served = observeDurably(client, exchange, filter, session, format, reading, this.#options);
      this.#later(served, exchange);
    }
  }

  #topic(client: InProcessClient, request: CoapRequest, exchange: CoapExchange, topic: string, view: TopicView): void {
    switch (request.method) {
      case Method.Get:
        if (request.observe === 0) this.#observe(client, request, exchange, topic, view);
        else read(client, request, exchange, topic, view);
        break;
      case Method.Put:
      case Method.Post:
        publish(client, request, exchange, topic, view);
        break;
      case Method.Delete:
        clear(client, request, exchange, topic, view);
        break;
      default:
        exchange.respond(METHOD_NOT_ALLOWED);
    }
  }

  #observe(
    client: InProcessClient,
    request: CoapRequest,
    exchange: CoapExchange,
    topic: string,
    view: TopicView,
  ): void {
    const qos = qosOf(request);
    if (qos === null) exchange.respond(BAD_QUERY);
    else observe(client, request, exchange, topic, view, qos, this.#options.notification);
  }
}

/** The QoS of an observation, by its query as in EMQX's gateway; null if it is none. */
function qosOf({ observe, query }: CoapRequest): 0 | 1 | 2 | null {
  const said = observe === 0 ? readPublishQuery(query) : undefined;
  if (said === undefined) return 2;
  return said === null ? null : (said.qos ?? 2);
}
