/** The resources of the directory on one address of CoAP (RFC 9176 4 to 6), and the devices that came by it. */
import type { CoapClient } from '../../coap/client/client.js';
import { Code, ContentFormat, Method } from '../../coap/codes.js';
import type { CoapExchange } from '../../coap/exchange.js';
import type { Link } from '../../coap/link-format.js';
import type { CoapRemote } from '../../coap/remotes.js';
import type { CoapRequest } from '../../coap/request.js';
import type { CoapResponse } from '../../coap/response.js';
import type { DatagramAddress } from '../../coap/transport.js';
import { ReasonCode } from '../../wire/reason-codes.js';
import { CHANGED, diagnostic, METHOD_NOT_ALLOWED, NOT_ACCEPTABLE } from '../coap-topics/answers.js';
import { isOfDevice } from '../coap-topics/device-query.js';
import type { Face } from '../coap-topics/face.js';
import type { InProcessClient } from '../plugin.js';
import type { DeviceCounters } from './counters.js';
import type { DeviceHost } from './device-topics.js';
import type { Directory, DirectoryAnswer, Registrant } from './directory.js';
import type { LookupObservers } from './lookup-observers.js';
import { baseOf, levelOf, readRegistrationQuery } from './registration.js';
import { overLine } from './route.js';

/** What the directory has on every address. */
export interface DirectoryHost {
  readonly directory: Directory;
  readonly lookups: LookupObservers;
  readonly tally: DeviceCounters;
  readonly host: DeviceHost;
}

/** Path of registrations. */
export const DIRECTORY_PATH = 'rd';
const REGISTRATIONS = `/${DIRECTORY_PATH}`;
const SIMPLE = '/.well-known/rd';
const LOOKUPS: ReadonlyMap<string, 'ep' | 'res'> = new Map([
  ['/rd-lookup/ep', 'ep'],
  ['/rd-lookup/res', 'res'],
]);
const LINKS: readonly Link[] = [
  { href: REGISTRATIONS, attributes: { rt: 'core.rd', ct: ContentFormat.LinkFormat } },
  { href: '/rd-lookup/ep', attributes: { rt: 'core.rd-lookup-ep', ct: ContentFormat.LinkFormat, obs: true } },
  { href: '/rd-lookup/res', attributes: { rt: 'core.rd-lookup-res', ct: ContentFormat.LinkFormat, obs: true } },
];
const UNSUPPORTED: CoapResponse = { code: Code.UnsupportedContentFormat };
const FORBIDDEN: CoapResponse = diagnostic(
  Code.Forbidden,
  'this endpoint name needs the right to publish on its topic',
);
const NOT_SIMPLE = diagnostic(Code.BadRequest, 'a simple registration has no payload and no base');
const NAME_TOO_LONG = diagnostic(Code.BadRequest, 'the topic of this endpoint name would be too long');
/** Seconds after which a device that was refused for want of room may try again. */
const RETRY_AFTER = 10;
/** Parameters that say who the device is (`mqtt/connection`): they are not told to anybody else. */
function ownQuery({ query }: CoapRequest): string[] {
  return query.filter((argument) => !isOfDevice(argument));
}

export class DirectoryFace implements Face {
  readonly client: CoapClient;
  readonly #devices: DirectoryHost;
  readonly #via: string;
  readonly #plain: boolean;
  /** Where those are that came by an association or a connection, by registration; and the registrations of each. */
  readonly #bound = new Map<string, DatagramAddress>();
  readonly #byKey = new Map<string, Set<string>>();
  /** Simple registrations under way, by remote. */
  readonly #asked = new Set<string>();

  constructor(devices: DirectoryHost, client: CoapClient, via: string, plain: boolean) {
    this.#devices = devices;
    this.client = client;
    this.#via = via;
    this.#plain = plain;
  }

  /** Whether any address of a family can be reached from here. */
  serves(family: 'IPv4' | 'IPv6'): boolean {
    return this.#plain && this.#via.includes('[') === (family === 'IPv6');
  }

  /** Where a device is that came by an association or a connection; undefined if that is gone. */
  addressOf(id: string): DatagramAddress | undefined {
    return this.#bound.get(id);
  }

  /** An association or a connection is gone. */
  gone(key: string | undefined): void {
    for (const id of this.#byKey.get(key ?? '') ?? []) this.#bound.delete(id);
    this.#byKey.delete(key ?? '');
  }

  /** A registration was made or renewed from here. */
  reached(id: string, address: DatagramAddress): void {
    if (!isBound(address)) return;
    const key = address.key ?? '';
    this.#bound.set(id, address);
    const ids = this.#byKey.get(key);
    if (ids === undefined) this.#byKey.set(key, new Set([id]));
    else ids.add(id);
  }

  /** A registration is gone, or the device has come by another way. */
  forget(id: string): void {
    const key = this.#bound.get(id)?.key ?? '';
    const ids = this.#byKey.get(key);
    this.#bound.delete(id);
    ids?.delete(id);
    if (ids?.size === 0) this.#byKey.delete(key);
  }

  links(): Iterable<Link> {
    return LINKS;
  }

  handle(request: CoapRequest, exchange: CoapExchange, client: InProcessClient): boolean {
    const { pathKey, method, path } = request;
    const lookup = LOOKUPS.get(pathKey);
    if (lookup !== undefined) {
      if (method !== Method.Get) exchange.respond(METHOD_NOT_ALLOWED);
      else if (request.accept !== undefined && request.accept !== ContentFormat.LinkFormat) {
        exchange.respond(NOT_ACCEPTABLE);
      } else {
        const { root } = this.#devices.host;
        const knows = (level: string): boolean => client.mayKnow(`${root}/${level}`);
        this.#devices.lookups.answer({ kind: lookup, query: ownQuery(request), knows }, exchange);
      }
    } else if (pathKey === REGISTRATIONS) {
      if (method !== Method.Post) exchange.respond(METHOD_NOT_ALLOWED);
      else this.#register(request, exchange, client);
    } else if (pathKey === SIMPLE) {
      if (method !== Method.Post) exchange.respond(METHOD_NOT_ALLOWED);
      else this.#registerSimply(request, exchange, client);
    } else if (path.length === 2 && path[0] === DIRECTORY_PATH) this.#change(path[1], request, exchange, client);
    else return false;
    return true;
  }

  #register(request: CoapRequest, exchange: CoapExchange, client: InProcessClient): void {
    const { contentFormat = ContentFormat.LinkFormat, remote } = request;
    if (contentFormat !== ContentFormat.LinkFormat) {
      exchange.respond(UNSUPPORTED);
      return;
    }
    const query = ownQuery(request);
    const payload = Buffer.from(request.payload);
    this.#admit(query, remote, exchange, client, (registrant) => {
      this.#respond(this.#devices.directory.register(query, payload, registrant), exchange);
    });
  }

  /** The device is answered first: it may not serve while it waits (RFC 9176 5.1). Then its links are asked for. */
  #registerSimply(request: CoapRequest, exchange: CoapExchange, client: InProcessClient): void {
    const query = ownQuery(request);
    const remote = reachable(request.remote);
    if (request.payload.length > 0 || query.some((argument) => argument.startsWith('base='))) {
      this.#devices.tally.badRegistrations++;
      exchange.respond(NOT_SIMPLE);
      return;
    }
    this.#admit(query, request.remote, exchange, client, (registrant) => {
      exchange.respond(CHANGED);
      const { key = `${remote.address}:${remote.port}` } = remote;
      if (this.#asked.has(key)) return;
      this.#asked.add(key);
      const { transmission } = this.#devices.host;
      // Whoever it is may not be there: two small datagrams are no more than a false source has spent.
      const maxRetransmit = Math.min(1, transmission.maxRetransmit);
      const asking = {
        method: Method.Get,
        path: ['.well-known', 'core'],
        accept: ContentFormat.LinkFormat,
        transmission: { ...transmission, maxRetransmit },
      };
      this.client.request(remote, overLine(asking, { client: this.client, address: remote }), ({ response }) => {
        this.#asked.delete(key);
        const links = response?.code === Code.Content ? response.payload : null;
        const answer = links === null ? null : this.#devices.directory.register(query, links, registrant);
        if (answer?.registration === undefined) this.#devices.tally.failedSimpleRegistrations++;
      });
    });
  }

  /** Whether the device may register under its name: its client may publish on the topic of the device. */
  #admit(
    query: readonly string[],
    remote: CoapRemote,
    exchange: CoapExchange,
    client: InProcessClient,
    admitted: (registrant: Registrant) => void,
  ): void {
    const { directory, host } = this.#devices;
    const registrant = this.#registrant(remote, client);
    const refusal = directory.check(query, registrant);
    const read = readRegistrationQuery(query);
    if (refusal !== null || read === null) {
      this.#respond(refusal ?? { code: Code.BadRequest }, exchange);
      return;
    }
    this.#ask(`${host.root}/${levelOf(read)}`, exchange, client, () => admitted(registrant));
  }

  #ask(topic: string, exchange: CoapExchange, client: InProcessClient, allowed: () => void): void {
    client.mayPublish(topic, (reasonCode) => {
      if (reasonCode < 0x80) allowed();
      else {
        this.#devices.tally.deniedRegistrations++;
        exchange.respond(reasonCode === ReasonCode.TopicNameInvalid ? NAME_TOO_LONG : FORBIDDEN);
      }
    });
  }

  #change(id: string, request: CoapRequest, exchange: CoapExchange, client: InProcessClient): void {
    const { method, remote, payload } = request;
    const { directory, host } = this.#devices;
    const registrant = this.#registrant(remote, client);
    if (method === Method.Post) {
      const query = ownQuery(request);
      const update = (): void => this.#respond(directory.update(id, query, payload, registrant), exchange);
      const registration = directory.get(id);
      // Rights may have changed since it registered. What is not its own is refused without asking.
      if (registration === undefined || registration.owner !== registrant.owner) update();
      else this.#ask(`${host.root}/${levelOf(registration)}`, exchange, client, update);
    } else if (method === Method.Delete) this.#respond(directory.remove(id, registrant), exchange);
    else exchange.respond(METHOD_NOT_ALLOWED);
  }

  #registrant(remote: CoapRemote, { username }: InProcessClient): Registrant {
    const { address, port, family } = remote;
    const [scheme] = this.#via.split(':');
    const bound = isBound(remote);
    return {
      base: baseOf(remote, scheme),
      owner: username,
      origin: { address, port, family, via: this.#via, bound },
      address: reachable(remote),
    };
  }

  /** Answers when what has changed is durable. */
  #respond(answer: DirectoryAnswer, exchange: CoapExchange): void {
    const { code, sentence, registration, durable } = answer;
    const { tally: counters } = this.#devices;
    if (code === Code.BadRequest) counters.badRegistrations++;
    else if (code === Code.Forbidden) counters.deniedRegistrations++;
    if (registration === undefined || durable === undefined) {
      const response = sentence === undefined ? { code } : diagnostic(code, sentence);
      exchange.respond(code === Code.ServiceUnavailable ? { ...response, maxAge: RETRY_AFTER } : response);
      return;
    }
    const { id } = registration;
    const response: CoapResponse = code === Code.Created ? { code, locationPath: [DIRECTORY_PATH, id] } : { code };
    // It never fails: a broker that has stopped answers nobody.
    void durable.then(() => exchange.respond(response));
  }
}

/** Whether a remote is reached by its association or connection only: it has a key that address and port do not make. */
function isBound({ key, address, port }: DatagramAddress): boolean {
  return key !== undefined && key !== `${address}:${port}`;
}

/** A remote as it is now; the endpoint may forget it. */
function reachable(remote: DatagramAddress): DatagramAddress {
  const { address, port, family, key, session, reliable } = remote;
  if (!isBound(remote) || key === undefined) return { address, port, family };
  return { address, port, family, key, ...(session && { session }), ...(reliable === true && { reliable }) };
}
