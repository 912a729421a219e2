/**
 * The resource directory of RFC 9176: devices register the links of their resources, for a time that they renew. It knows
 * no sockets and no topics; whoever owns it is told of what comes and goes.
 */
import { randomBytes } from 'node:crypto';
import { Code } from '../../coap/codes.js';
import { filterLinks, type Link } from '../../coap/link-format.js';
import {
  absoluteLink,
  DEFAULT_LIFETIME,
  endpointLink,
  type Registration,
  readLinks,
  readRegistrationQuery,
} from './registration.js';

export interface DirectoryOptions {
  /** Most registrations. */
  readonly registrations: number;
  /** Path of the registrations, such as `/rd`. */
  readonly path: string;
  /** Milliseconds since the epoch. */
  now(): number;
  /** A registration has come or changed, or is gone: for its owner, or because its lifetime is over. */
  changed(registration: Registration, what: 'registered' | 'updated' | 'removed' | 'expired'): void;
  /** The limit of registrations was reached. */
  full(): void;
}

/** Who asks for something. */
export interface Registrant {
  /** Where the request came from: `coap://host:port`. */
  readonly base: string;
  /** Who it is; null for whoever is anonymous. */
  readonly owner: string | null;
}

/** An answer: its code, and the registration if there is one. */
export interface DirectoryAnswer {
  readonly code: number;
  readonly registration?: Registration;
}

const BAD_REQUEST: DirectoryAnswer = { code: Code.BadRequest };
const NOT_FOUND: DirectoryAnswer = { code: Code.NotFound };
const FORBIDDEN: DirectoryAnswer = { code: Code.Forbidden };
const FULL: DirectoryAnswer = { code: Code.ServiceUnavailable };
/** Links of one page of a lookup, unless the query says less. */
const PAGE = 1000;

export class Directory {
  readonly #options: DirectoryOptions;
  readonly #byId = new Map<string, Registration>();
  /** By sector and endpoint name. */
  readonly #byName = new Map<string, Registration>();

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Path of a registration (RFC 9176 5.3). */
  locationOf({ id }: Registration): string {
    return `${this.#options.path}/${id}`;
  }

  get(id: string): Registration | undefined {
    return this.#byId.get(id);
  }

  /** The device of a name, in a sector or in none. */
  find(ep: string, d = ''): Registration | undefined {
    return this.#byName.get(nameOf(ep, d));
  }

  /** Puts back what the store holds. */
  restore(registration: Registration): void {
    this.#keep(registration);
  }

  /**
   * Registers a device; one that is registered already is replaced under the same location (RFC 9176 5). A name belongs to
   * whoever has registered it first, for as long as that lasts.
   */
  register(query: readonly string[], payload: Buffer, registrant: Registrant): DirectoryAnswer {
    const read = readRegistrationQuery(query);
    if (read === null || read.ep === '') return BAD_REQUEST;
    const base = read.base ?? registrant.base;
    const links = readLinks(payload, base);
    if (links === null) return BAD_REQUEST;
    const former = this.find(read.ep, read.d);
    if (former !== undefined && former.owner !== registrant.owner) return FORBIDDEN;
    if (former === undefined && this.#byId.size >= this.#options.registrations) {
      this.#options.full();
      return FULL;
    }
    const lt = read.lt ?? DEFAULT_LIFETIME;
    const registration: Registration = {
      id: former?.id ?? this.#newId(),
      ep: read.ep,
      d: read.d,
      lt,
      base,
      implicit: read.base === null,
      attributes: read.attributes,
      links,
      owner: registrant.owner,
      expiresAt: this.#options.now() + lt * 1000,
    };
    this.#keep(registration);
    this.#options.changed(registration, 'registered');
    return { code: Code.Created, registration };
  }

  /** Not to be guessed: who knows it may update an anonymous registration. */
  #newId(): string {
    return randomBytes(8).toString('base64url');
  }

  /** Renews a registration (RFC 9176 5.3.1): without parameters it lasts for its lifetime from now on. */
  update(id: string, query: readonly string[], payload: Buffer, registrant: Registrant): DirectoryAnswer {
    const registration = this.#byId.get(id);
    if (registration === undefined) return NOT_FOUND;
    if (registration.owner !== registrant.owner) return FORBIDDEN;
    const read = readRegistrationQuery(query);
    // Names cannot change, and links come with a new registration.
    if (read === null || read.ep !== '' || read.d !== '' || payload.length > 0) return BAD_REQUEST;
    const renewed: Registration = {
      ...registration,
      lt: read.lt ?? registration.lt,
      implicit: registration.implicit && read.base === null,
      base: read.base ?? (registration.implicit ? registrant.base : registration.base),
      attributes: { ...registration.attributes, ...read.attributes },
      expiresAt: this.#options.now() + (read.lt ?? registration.lt) * 1000,
    };
    this.#keep(renewed);
    this.#options.changed(renewed, 'updated');
    return { code: Code.Changed, registration: renewed };
  }

  remove(id: string, registrant: Registrant): DirectoryAnswer {
    const registration = this.#byId.get(id);
    if (registration === undefined) return NOT_FOUND;
    if (registration.owner !== registrant.owner) return FORBIDDEN;
    this.#forget(registration, 'removed');
    return { code: Code.Deleted, registration };
  }

  /** Forgets whoever has not renewed its registration in time. Call about once a second. */
  dropExpired(): void {
    const now = this.#options.now();
    for (const registration of this.#byId.values()) {
      if (registration.expiresAt <= now) this.#forget(registration, 'expired');
    }
  }

  #keep(registration: Registration): void {
    this.#byId.set(registration.id, registration);
    this.#byName.set(nameOf(registration.ep, registration.d), registration);
  }

  #forget(registration: Registration, what: 'removed' | 'expired'): void {
    this.#byId.delete(registration.id);
    this.#byName.delete(nameOf(registration.ep, registration.d));
    this.#options.changed(registration, what);
  }

  /** Links of all devices that match a query (RFC 9176 6.1). A device's own attributes match for each of its links. */
  lookUpResources(query: readonly string[]): Link[] {
    const { page, filters } = splitPaging(query);
    const found: Link[] = [];
    for (const registration of this.#byId.values()) {
      const device = this.#link(registration);
      for (const link of registration.links) {
        const absolute = absoluteLink(link, registration.base);
        if (filters.every((filter) => matchesAny([absolute, device], filter))) found.push(absolute);
      }
    }
    return page(found);
  }

  /** Devices that match a query, or have a link that does (RFC 9176 6.1, 6.4). */
  lookUpEndpoints(query: readonly string[]): Link[] {
    const { page, filters } = splitPaging(query);
    const found: Link[] = [];
    for (const registration of this.#byId.values()) {
      const device = this.#link(registration);
      const links = registration.links.map((link) => absoluteLink(link, registration.base));
      if (filters.every((filter) => matchesAny([device, ...links], filter))) found.push(device);
    }
    return page(found);
  }

  #link(registration: Registration): Link {
    return endpointLink(registration, this.locationOf(registration));
  }
}

function nameOf(ep: string, d: string): string {
  return `${d}\n${ep}`;
}

function matchesAny(links: readonly Link[], filter: string): boolean {
  return filterLinks(links, [filter]).length > 0;
}

/** `page` and `count` choose a part of what the other parameters find (RFC 9176 6.1). */
function splitPaging(query: readonly string[]): { page: (found: Link[]) => Link[]; filters: string[] } {
  let page = 0;
  let count = PAGE;
  const filters: string[] = [];
  for (const argument of query) {
    const [, name, number] = /^(page|count)=(\d{1,9})$/.exec(argument) ?? [];
    if (name === 'page') page = Number(number);
    else if (name === 'count') count = Math.min(PAGE, Number(number));
    else filters.push(argument);
  }
  return { page: (found) => found.slice(page * count, (page + 1) * count), filters };
}
