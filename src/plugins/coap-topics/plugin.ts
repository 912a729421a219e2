/**
 * The plugin that maps CoAP resources to topics: PUT and POST publish, GET reads the retained value, GET with Observe
 * subscribes, DELETE clears. A device reaches the bus through a client of its own, like any MQTT client.
 */
import type { Message } from '../../bus/message.js';
import { Code, Method } from '../../coap/codes.js';
import { CoapEndpoint } from '../../coap/endpoint.js';
import type { CoapExchange } from '../../coap/exchange.js';
import { filterLinks, formatLinks, type Link } from '../../coap/link-format.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import { UdpTransport } from '../../coap/transport.js';
import type { InProcessClient, Plugin, PluginContext } from '../plugin.js';
import { propertiesOf } from './content-format.js';
import { type EndpointOptions, endpointOptions, optionOf } from './endpoint-options.js';
import { PublishReply, readPublishQuery } from './publishing.js';
import type { Pubsub } from './pubsub/pubsub.js';
import { contentOf } from './representation.js';
import { type Target, TopicPaths } from './topic-paths.js';

/** Options of one CoAP listener; those with a name in `coap.` are documented there. */
export interface CoapTopicsOptions extends EndpointOptions {
  readonly host: string;
  /** UDP port; 0 for any free one. */
  readonly port: number;
  /** Whether devices without credentials are served. */
  readonly anonymous: boolean;
  readonly path: string;
  readonly notification: 'auto' | 'con' | 'non';
}

const LINK_FORMAT = 40;
/** Topics listed in /.well-known/core. */
const MAX_LINKS = 1000;

const UNAUTHORIZED: CoapResponse = { code: Code.Unauthorized };
const NOT_FOUND: CoapResponse = { code: Code.NotFound };
const BAD_REQUEST: CoapResponse = { code: Code.BadRequest };
const BAD_OPTION: CoapResponse = { code: Code.BadOption };
const METHOD_NOT_ALLOWED: CoapResponse = { code: Code.MethodNotAllowed };
const NOT_ACCEPTABLE: CoapResponse = { code: Code.NotAcceptable };
const PRECONDITION_FAILED: CoapResponse = { code: Code.PreconditionFailed };
const NO_PAYLOAD = Buffer.alloc(0);
const EMPTY_CONTENT: CoapResponse = { code: Code.Content };

export class CoapTopics implements Plugin {
  readonly name = 'coap';
  readonly #options: CoapTopicsOptions;
  readonly #paths: TopicPaths;
  #transport: UdpTransport | null = null;
  #endpoint: CoapEndpoint | null = null;
  /** Clients of the broker by remote endpoint; they go when the endpoint forgets the remote. */
  readonly #clients = new WeakMap<object, InProcessClient>();
  #context: PluginContext | null = null;
  readonly #pubsub: Pubsub | null;

  /** @param pubsub the face of draft-ietf-core-coap-pubsub, which has started; null for none */
  constructor(options: CoapTopicsOptions, pubsub: Pubsub | null = null) {
    this.#options = options;
    this.#pubsub = pubsub;
    this.#paths = new TopicPaths(options.path);
  }

  describe(): string[] {
    if (this.#transport === null) return [];
    const { address, port } = this.#transport;
    return [address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`];
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#endpoint?.counters };
  }

  async start(context: PluginContext): Promise<void> {
    const options = this.#options;
    this.#context = context;
    this.#transport = await UdpTransport.bind({ address: options.host, port: options.port });
    this.#endpoint = new CoapEndpoint(this.#transport, {
      handler: (request, exchange) => this.#handle(request, exchange),
      ...endpointOptions(options),
      onEvent: (name, remote, detail) => {
        if (name === 'limit') context.limit(null, optionOf(detail), `reached by ${remote?.key ?? 'all devices'}`);
        else context.logger.debug({ event: name, remote: remote?.key, detail }, `coap: ${name} ${detail}`);
      },
    });
  }

  async stop(): Promise<void> {
    await this.#endpoint?.close();
  }

  #handle(request: CoapRequest, exchange: CoapExchange): void {
    if (!this.#options.anonymous) {
      exchange.respond(UNAUTHORIZED);
      return;
    }
    if (this.#pubsub?.handle(request, exchange, () => this.#client(request))) return;
    const target = this.#paths.target(request.path, request.pathKey);
    if (target.kind === 'topic') this.#topic(request, exchange, target.topic);
    else if (target.kind === 'invalid') exchange.respond(BAD_REQUEST);
    else this.#discovery(request, exchange, target);
  }

  #topic(request: CoapRequest, exchange: CoapExchange, topic: string): void {
    const client = this.#client(request);
    switch (request.method) {
      case Method.Get:
        if (request.observe === 0) this.#observe(client, request, exchange, topic);
        else this.#get(client, request, exchange, topic);
        break;
      case Method.Put:
      case Method.Post:
        this.#publish(client, request, exchange, topic);
        break;
      case Method.Delete:
        this.#delete(client, request, exchange, topic);
        break;
      default:
        exchange.respond(METHOD_NOT_ALLOWED);
    }
  }

  #client(request: CoapRequest): InProcessClient {
    const { remote } = request;
    let client = this.#clients.get(remote);
    if (client === undefined) {
      const address =
        remote.family === 'IPv6' ? `[${remote.address}]:${remote.port}` : `${remote.address}:${remote.port}`;
      client = (this.#context as PluginContext).openClient({
        id: `coap-${address}`,
        remote: address,
        transport: 'coap',
      });
      this.#clients.set(remote, client);
    }
    return client;
  }

  #get(client: InProcessClient, request: CoapRequest, exchange: CoapExchange, topic: string): void {
    const message = client.retained(topic);
    exchange.respond(message === null ? NOT_FOUND : represent(message, request));
  }

  #observe(client: InProcessClient, request: CoapRequest, exchange: CoapExchange, topic: string): void {
    const message = client.retained(topic);
    const first = message === null ? EMPTY_CONTENT : represent(message, request);
    const { accept } = request;
    if (first.code >>> 5 !== 2) {
      exchange.respond(first);
      return;
    }
    // A client that observes too much already is answered without Observe (RFC 7641 4.1).
    const observation = exchange.observe(() => {
      if (typeof subscription === 'object') subscription.cancel();
    });
    const subscription =
      observation === undefined
        ? undefined
        : client.subscribe(topic, 2, (notification) => {
            if (notification.payload.length === 0 && notification.retain) observation.end(NOT_FOUND);
            else observation.notify(inFormat(acceptable(notification, accept), first), this.#confirmable(notification));
          });
    if (typeof subscription === 'number') observation?.end();
    exchange.respond(first);
  }

  #confirmable(message: Message): boolean {
    const { notification } = this.#options;
    return notification === 'auto' ? message.qos > 0 : notification === 'con';
  }

  /** PUT publishes and keeps the value; POST publishes, and keeps it if asked. */
  #publish(client: InProcessClient, request: CoapRequest, exchange: CoapExchange, topic: string): void {
    const put = request.method === Method.Put;
    const query = readPublishQuery(request.query);
    if (query === null) {
      exchange.respond(BAD_OPTION);
      return;
    }
    const former = put || request.ifNoneMatch || request.ifMatch.length > 0 ? client.retained(topic) : null;
    if (!preconditionsHold(request, former)) {
      exchange.respond(PRECONDITION_FAILED);
      return;
    }
    const retain = query.retain ?? put;
    // An empty value clears: it creates nothing.
    const created = put && retain && former === null && request.payload.length > 0;
    const options = {
      qos: query.qos ?? (request.confirmable ? 1 : 0),
      retain,
      properties: propertiesOf(request.contentFormat),
      ...(query.expiry === undefined ? null : { expiry: query.expiry }),
    } as const;
    client.publish(topic, request.payload, options, new PublishReply(exchange, created ? 'created' : 'changed'));
  }

  /** Clears the retained value, which subscribers of MQTT see as an empty retained message. */
  #delete(client: InProcessClient, request: CoapRequest, exchange: CoapExchange, topic: string): void {
    if (!preconditionsHold(request, client.retained(topic))) {
      exchange.respond(PRECONDITION_FAILED);
      return;
    }
    const options = { qos: request.confirmable ? 1 : 0, retain: true } as const;
    client.publish(topic, NO_PAYLOAD, options, new PublishReply(exchange, 'deleted'));
  }

  /** `/.well-known/core` (RFC 6690) and the collection of topics. */
  #discovery(request: CoapRequest, exchange: CoapExchange, target: Target): void {
    const core = request.pathKey === '/.well-known/core';
    if (!core && target.kind !== 'collection') exchange.respond(NOT_FOUND);
    else if (request.method !== Method.Get) exchange.respond(METHOD_NOT_ALLOWED);
    else if (request.accept !== undefined && request.accept !== LINK_FORMAT) exchange.respond(NOT_ACCEPTABLE);
    else {
      const links = filterLinks(this.#links(request, core), request.query);
      exchange.respond({ code: Code.Content, contentFormat: LINK_FORMAT, payload: Buffer.from(formatLinks(links)) });
    }
  }

  #links(request: CoapRequest, core: boolean): Link[] {
    const links: Link[] = core ? [{ href: this.#paths.link, attributes: { rt: 'core.ps', ct: 40 } }] : [];
    if (core && this.#pubsub !== null) links.push(...this.#pubsub.links());
    for (const topic of this.#client(request).retainedTopics('#').slice(0, MAX_LINKS)) {
      links.push({ href: this.#paths.linkOf(topic), attributes: { rt: 'core.ps.data', obs: true } });
    }
    return links;
  }
}

/** A message for a request: 2.03 if the client has it already, 4.06 in a form that it does not accept. */
function represent(message: Message, request: CoapRequest): CoapResponse {
  const content = acceptable(message, request.accept);
  const { etag } = content;
  if (etag === undefined || !request.etags.some((known) => known.equals(etag))) return content;
  const valid: CoapResponse = { code: Code.Valid, etag };
  return content.maxAge === undefined ? valid : { ...valid, maxAge: content.maxAge };
}

/** A value without a Content-Format is whatever the client takes it for. */
function acceptable(message: Message, accept: number | undefined): CoapResponse {
  const content = contentOf(message, Date.now());
  if (accept === undefined || content.contentFormat === undefined || content.contentFormat === accept) return content;
  return NOT_ACCEPTABLE;
}

/**
 * Notifications have the Content-Format of the first answer (RFC 7641 4.2). MQTT clients often say none: that is no other
 * format, and what is said where the first answer had none is left out. Two that differ end the observation.
 */
function inFormat(response: CoapResponse, first: CoapResponse): CoapResponse {
  if (response.contentFormat === first.contentFormat) return response;
  if (first.contentFormat !== undefined && response.contentFormat !== undefined) return response;
  const { contentFormat: _own, ...unsaid } = response;
  return first.contentFormat === undefined ? unsaid : { ...unsaid, contentFormat: first.contentFormat };
}

/** If-Match and If-None-Match (RFC 7252 5.10.8); an empty If-Match is met by any value. */
function preconditionsHold(request: CoapRequest, former: Message | null): boolean {
  if (request.ifNoneMatch && former !== null) return false;
  if (request.ifMatch.length === 0) return true;
  if (former === null) return false;
  const { etag } = contentOf(former, Date.now());
  return request.ifMatch.some((wanted) => wanted.length === 0 || (etag !== undefined && wanted.equals(etag)));
}
