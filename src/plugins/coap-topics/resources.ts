/** Which resource a request is for, and what its method does there. */
import { Method } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { CoapRequest } from '../../coap/request.js';
import type { InProcessClient } from '../plugin.js';
import { BAD_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND, UNAUTHORIZED } from './answers.js';
import type { Devices } from './devices.js';
import { discover, WELL_KNOWN_CORE } from './discovery.js';
import { observe } from './observing.js';
import type { CoapTopicsOptions } from './options.js';
import { clear, publish } from './publishing.js';
import { read } from './reading.js';
import { TopicPaths } from './topic-paths.js';

export class Resources {
  readonly #options: CoapTopicsOptions;
  readonly #paths: TopicPaths;
  readonly #devices: Devices;

  constructor(options: CoapTopicsOptions, devices: Devices) {
    this.#options = options;
    this.#paths = new TopicPaths(options.path);
    this.#devices = devices;
  }

  handle(request: CoapRequest, exchange: CoapExchange): void {
    const client = this.#devices.clientOf(request);
    if (client === null) exchange.respond(UNAUTHORIZED);
    else this.#serve(client, request, exchange);
  }

  #serve(client: InProcessClient, request: CoapRequest, exchange: CoapExchange): void {
    const target = this.#paths.target(request.path, request.pathKey);
    if (target.kind === 'topic') this.#topic(client, request, exchange, target.topic);
    else if (target.kind === 'invalid') exchange.respond(BAD_REQUEST);
    else if (target.kind === 'collection' || request.pathKey === WELL_KNOWN_CORE) {
      discover(client, request, exchange, this.#paths);
    } else exchange.respond(NOT_FOUND);
  }

  #topic(client: InProcessClient, request: CoapRequest, exchange: CoapExchange, topic: string): void {
    switch (request.method) {
      case Method.Get:
        if (request.observe === 0) observe(client, request, exchange, topic, this.#options.notification);
        else read(client, request, exchange, topic);
        break;
      case Method.Put:
      case Method.Post:
        publish(client, request, exchange, topic);
        break;
      case Method.Delete:
        clear(client, request, exchange, topic);
        break;
      default:
        exchange.respond(METHOD_NOT_ALLOWED);
    }
  }
}
