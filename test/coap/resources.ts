/** The test resources of the ETSI CoAP test descriptions, served through the public interface of the library. */
import { createHash } from 'node:crypto';
import { Code, ContentFormat, Method } from '../../src/coap/codes.js';
import type { RequestHandler } from '../../src/coap/endpoint.js';
import type { CoapExchange } from '../../src/coap/exchange.js';
import { filterLinks, formatLinks, type Link } from '../../src/coap/link-format.js';
import type { Observation, ObservationEnd } from '../../src/coap/observe.js';
import { pathKey } from '../../src/coap/paths.js';
import type { CoapRequest } from '../../src/coap/request.js';
import type { CoapResponse } from '../../src/coap/response.js';

export const LARGE = Buffer.from(
  Array.from(
    { length: 40 },
    (_, line) => `line ${String(line).padStart(3, '0')} of a large resource, fifty bytes.\n`,
  ).join(''),
);

const LINKS: readonly Link[] = [
  { href: '/test', attributes: { rt: 'Type1', ct: 0 } },
  { href: '/link1', attributes: { rt: 'Type1 Type2', if: 'If1' } },
  { href: '/link2', attributes: { rt: 'Type2 Type3', if: 'If2' } },
  { href: '/link3', attributes: { rt: 'Type1 Type3', if: 'foo' } },
  { href: '/large', attributes: { rt: 'Type1 Type2', sz: LARGE.length } },
  { href: '/obs', attributes: { obs: true } },
  { href: '/path', attributes: { ct: 40 } },
];
const SUB_LINKS: readonly Link[] = [{ href: '/path/sub1' }, { href: '/path/sub2' }, { href: '/path/sub3' }];

/** A resource with a state and observers. */
class Resource {
  payload: Buffer;
  contentFormat: number;
  readonly observers = new Set<Observation>();
  readonly ended: ObservationEnd[] = [];
  readonly confirmable: boolean | undefined;

  constructor(payload: string | Buffer, contentFormat = 0, confirmable?: boolean) {
    this.payload = Buffer.from(payload);
    this.contentFormat = contentFormat;
    this.confirmable = confirmable;
  }

  get etag(): Buffer {
    return createHash('sha1').update(this.payload).digest().subarray(0, 4);
  }

  response(): CoapResponse {
    return {
      code: Code.Content,
      payload: this.payload,
      contentFormat: this.contentFormat,
      etag: this.etag,
      maxAge: 30,
    };
  }
}

/** The resources of one server. `defer` runs the answers of `/separate`. */
export class Resources {
  readonly #byPath = new Map<string, Resource>();
  readonly #defer: (answer: () => void) => void;
  /** Paths of the requests that reached the handler. */
  readonly handled: string[] = [];
  /** Bodies of the last PUT and POST. */
  lastBody = Buffer.alloc(0);
  #created = 0;

  constructor(defer: (answer: () => void) => void) {
    this.#defer = defer;
    this.put('/test', new Resource('a test'));
    this.put('/seg1/seg2/seg3', new Resource('three segments'));
    this.put('/validate', new Resource('to be validated'));
    this.put('/large', new Resource(LARGE));
    this.put('/large-update', new Resource('small as yet'));
    this.put('/link1', new Resource('link 1'));
    this.put('/link2', new Resource('link 2'));
    this.put('/link3', new Resource('link 3'));
    this.put('/path/sub1', new Resource('sub 1'));
    this.put('/obs', new Resource('state 0', 0, true));
    this.put('/obs-non', new Resource('state 0', 0, false));
    this.put('/obs-large', new Resource(LARGE));
  }

  put(path: string, resource: Resource): void {
    this.#byPath.set(path, resource);
  }

  resource(path: string): Resource {
    const resource = this.#byPath.get(path);
    if (resource === undefined) throw new Error(`no resource ${path}`);
    return resource;
  }

  /** A new state, with notifications. */
  change(path: string, payload: string | Buffer, contentFormat?: number): void {
    const resource = this.resource(path);
    resource.payload = Buffer.from(payload);
    resource.contentFormat = contentFormat ?? resource.contentFormat;
    const response = resource.response();
    for (const observer of [...resource.observers]) observer.notify(response, resource.confirmable);
  }

  readonly handler: RequestHandler = (request, exchange) => {
    this.handled.push(request.pathKey);
    switch (request.pathKey) {
      case '/.well-known/core':
        links(LINKS, request, exchange);
        return;
      case '/path':
        links(SUB_LINKS, request, exchange);
        return;
      case '/query':
        exchange.respond({ code: Code.Content, contentFormat: 0, payload: Buffer.from(request.query.join('&')) });
        return;
      case '/separate':
        this.#defer(() => exchange.respond({ code: Code.Content, contentFormat: 0, payload: Buffer.from('separate') }));
        return;
      case '/multi-format':
        multiFormat(request, exchange);
        return;
      case '/location-query':
        exchange.respond({ code: Code.Created, locationQuery: ['first=1', 'second=2'] });
        return;
      case '/large-post':
        this.lastBody = Buffer.from(request.payload);
        exchange.respond({ code: Code.Changed, contentFormat: 0, payload: Buffer.from(this.lastBody).reverse() });
        return;
      case '/large-create':
      case '/location-path':
        this.lastBody = Buffer.from(request.payload);
        this.#created++;
        this.put(`/created/${this.#created}`, new Resource(this.lastBody));
        exchange.respond({ code: Code.Created, locationPath: ['created', String(this.#created)] });
        return;
      default:
        this.#stored(request, exchange);
    }
  };

  #stored(request: CoapRequest, exchange: CoapExchange): void {
    const key = pathKey(request.path);
    const resource = this.#byPath.get(key);
    switch (request.method) {
      case Method.Get:
        if (resource === undefined) exchange.respond({ code: Code.NotFound });
        else this.#read(resource, request, exchange);
        return;
      case Method.Put:
        this.#write(key, resource, request, exchange);
        return;
      case Method.Post:
        this.lastBody = Buffer.from(request.payload);
        exchange.respond({ code: Code.Changed });
        return;
      case Method.Delete:
        this.#byPath.delete(key);
        for (const observer of [...(resource?.observers ?? [])]) observer.end({ code: Code.NotFound });
        exchange.respond({ code: Code.Deleted });
        return;
      default:
        exchange.respond({ code: Code.MethodNotAllowed });
    }
  }

  #read(resource: Resource, request: CoapRequest, exchange: CoapExchange): void {
    if (request.observe === 0) {
      const observation = exchange.observe((reason) => {
        resource.ended.push(reason);
        if (observation !== undefined) resource.observers.delete(observation);
      });
      if (observation !== undefined) resource.observers.add(observation);
    }
    const current = resource.etag;
    if (request.etags.some((etag) => etag.equals(current))) exchange.respond({ code: Code.Valid, etag: current });
    else exchange.respond(resource.response());
  }

  #write(key: string, resource: Resource | undefined, request: CoapRequest, exchange: CoapExchange): void {
    if (request.ifNoneMatch && resource !== undefined) {
      exchange.respond({ code: Code.PreconditionFailed });
      return;
    }
    const { ifMatch } = request;
    const matches = resource !== undefined && ifMatch.some((tag) => tag.length === 0 || tag.equals(resource.etag));
    if (ifMatch.length > 0 && !matches) {
      exchange.respond({ code: Code.PreconditionFailed });
      return;
    }
    this.lastBody = Buffer.from(request.payload);
    if (resource === undefined) {
      this.put(key, new Resource(this.lastBody, request.contentFormat ?? 0));
      exchange.respond({ code: Code.Created });
      return;
    }
    this.change(key, this.lastBody, request.contentFormat);
    exchange.respond({ code: Code.Changed });
  }
}

function links(all: readonly Link[], request: CoapRequest, exchange: CoapExchange): void {
  const payload = Buffer.from(formatLinks(filterLinks(all, request.query)));
  exchange.respond({ code: Code.Content, contentFormat: ContentFormat.LinkFormat, payload });
}

function multiFormat(request: CoapRequest, exchange: CoapExchange): void {
  if (request.method === Method.Put) {
    const known = request.contentFormat === 0 || request.contentFormat === 41;
    exchange.respond({ code: known ? Code.Changed : Code.UnsupportedContentFormat });
    return;
  }
  const accept = request.accept ?? 0;
  if (accept === 0) exchange.respond({ code: Code.Content, contentFormat: 0, payload: Buffer.from('plain') });
  else if (accept === 41) exchange.respond({ code: Code.Content, contentFormat: 41, payload: Buffer.from('<xml/>') });
  else exchange.respond({ code: Code.NotAcceptable });
}
