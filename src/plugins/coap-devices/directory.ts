/**
 * The resource directory of RFC 9176: devices register the links of their resources, for a time that they renew. It knows
 * no sockets and no topics; whoever owns it keeps what comes and goes, and is told of it.
 */
import { randomBytes } from 'node:crypto';
import { Code } from '../../coap/codes.js';
import { filterLinks, type Link } from '../../coap/link-format.js';
import type { DatagramAddress } from '../../coap/transport.js';
import {
  absoluteLink,
  DEFAULT_LIFETIME,
  endpointLink,
  hostOf,
  levelOf,
  MOST_ATTRIBUTES,
  type Origin,
  type Registration,
  type RegistrationQuery,
  readLinks,
  readRegistrationQuery,
} from './registration.js';

/** Bounds of the directory; documented under their names in the section `coap`. */
export interface DirectoryLimits {
  readonly registrations: number;
  readonly registrations_per_device: number;
  /** Bytes. */
  readonly registration_bytes: number;
  readonly registration_links: number;
  /** Seconds. */
  readonly registration_lifetime_min: number;
  /** Seconds. */
  readonly registration_lifetime_max: number;
}

export type Change = 'registered' | 'updated' | 'removed' | 'expired';

export interface DirectoryOptions {
  readonly limits: DirectoryLimits;
  /** Path of the registrations, such as `/rd`. */
  readonly path: string;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Keeps a registration, or forgets one; throws if that cannot be done now. Resolves once it is durable. */
  put(registration: Registration): Promise<void>;
  delete(registration: Registration): Promise<void>;
  /**
   * A registration has come or changed, or is gone: for its owner, or because its lifetime is over.
   * @param registrant who has done it; null for the time
   */
  changed(registration: Registration, what: Change, registrant: Registrant | null): void;
  /** A limit refused something. */
  refused(limit: keyof DirectoryLimits, registrant: Registrant): void;
}

/** Who asks for something. */
export interface Registrant {
  /** Where the request came from: `coap://host:port`. */
  readonly base: string;
  /** Who it is; null for whoever is anonymous. */
  readonly owner: string | null;
  readonly origin: Origin;
  /** Where it is reached for now. */
  readonly address: DatagramAddress;
}

/** An answer: its code, words for people if it is an error, and the registration if there is one. */
export interface DirectoryAnswer {
  readonly code: number;
  readonly sentence?: string;
  readonly registration?: Registration;
  /** Resolves once what changed is durable. */
  readonly durable?: Promise<void>;
}

const NOT_FOUND: DirectoryAnswer = { code: Code.NotFound };
const NOT_YOURS: DirectoryAnswer = { code: Code.Forbidden, sentence: 'it is registered by someone else' };
const UNWRITABLE: DirectoryAnswer = { code: Code.ServiceUnavailable, sentence: 'the store can take nothing now' };
/** Links of one page of a lookup, unless the query says less. */
const PAGE = 1000;

export class Directory {
  readonly #options: DirectoryOptions;
  readonly #byId = new Map<string, Registration>();
  readonly #shown = new Map<string, Shown>();
  /** By topic level. */
  readonly #byLevel = new Map<string, Registration>();
  /** Registrations of one identity, or of one address. */
  readonly #byParty = new Map<string, number>();

  constructor(options: DirectoryOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byId.size;
  }

  all(): IterableIterator<Registration> {
    return this.#byId.values();
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
    const found = this.#byLevel.get(levelOf({ ep, d }));
    return found?.ep === ep && found.d === d ? found : undefined;
  }

  /** Puts back what the store holds. @throws Error if another device has its level */
  restore(registration: Registration): void {
    if (this.#byLevel.has(levelOf(registration))) throw new Error('two registrations have one name');
    this.#keep(registration);
  }

  /** Why a registration cannot be, as far as its query and its links tell; null if it can. */
  #refusal(read: RegistrationQuery | null, registrant: Registrant): DirectoryAnswer | null {
    if (read === null) return bad('a parameter is repeated, or not what RFC 9176 5 says, or a name is no topic level');
    const { registration_lifetime_min: least, registration_lifetime_max: most } = this.#options.limits;
    if (read.lt !== null && read.lt < least) {
      this.#options.refused('registration_lifetime_min', registrant);
      return bad(`lt is at least ${least}`);
    }
    if (read.lt !== null && read.lt > most) {
      this.#options.refused('registration_lifetime_max', registrant);
      return bad(`lt is at most ${most}`);
    }
    if (read.base !== null && registrant.owner === null && hostOf(read.base) !== hostOf(registrant.base)) {
      return { code: Code.Forbidden, sentence: 'a base elsewhere needs an identity' };
    }
    return null;
  }

  /**
   * Whether a device may register, before its links are known; null if it may. A name belongs to whoever has registered it
   * first, for as long as that lasts.
   */
  check(query: readonly string[], registrant: Registrant): DirectoryAnswer | null {
    const read = readRegistrationQuery(query);
    const refusal = this.#refusal(read, registrant);
    if (read === null || refusal !== null) return refusal;
    if (read.ep === '') return bad('ep is missing');
    const former = this.#byLevel.get(levelOf(read));
    if (former !== undefined) {
      return former.ep === read.ep && former.d === read.d && former.owner === registrant.owner ? null : NOT_YOURS;
    }
    const { registrations, registrations_per_device: perDevice } = this.#options.limits;
    if (this.#byId.size >= registrations) return this.#full('registrations', registrant);
    const ofDevice = this.#byParty.get(partyOf(registrant)) ?? 0;
    return ofDevice >= perDevice ? this.#full('registrations_per_device', registrant) : null;
  }

  #full(limit: keyof DirectoryLimits, registrant: Registrant): DirectoryAnswer {
    this.#options.refused(limit, registrant);
    return { code: Code.ServiceUnavailable, sentence: 'there are too many registrations' };
  }

  /** Registers a device; one that is registered already is replaced under the same location (RFC 9176 5). */
  register(query: readonly string[], payload: Buffer, registrant: Registrant): DirectoryAnswer {
    const refusal = this.check(query, registrant);
    const read = readRegistrationQuery(query);
    if (refusal !== null || read === null) return refusal ?? bad('');
    const {
      registration_bytes: bytes,
      registration_links: most,
      registration_lifetime_max: longest,
    } = this.#options.limits;
    if (payload.length > bytes) return this.#tooLarge('registration_bytes', registrant);
    const base = read.base ?? registrant.base;
    const links = readLinks(payload, base);
    if (links === null) return bad('the payload is no application/link-format');
    if (links.length > most) return this.#tooLarge('registration_links', registrant);
    const former = this.find(read.ep, read.d);
    const lt = read.lt ?? Math.min(DEFAULT_LIFETIME, longest);
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
      origin: registrant.origin,
      expiresAt: this.#options.now() + lt * 1000,
    };
    return this.#change(registration, 'registered', Code.Created, registrant);
  }

  #tooLarge(limit: keyof DirectoryLimits, registrant: Registrant): DirectoryAnswer {
    this.#options.refused(limit, registrant);
    return { code: Code.RequestEntityTooLarge, sentence: `more than coap.${limit}` };
  }

  /** Not to be guessed: who knows it may update an anonymous registration. */
  #newId(): string {
    return randomBytes(8).toString('base64url');
  }

  /** Renews a registration (RFC 9176 5.3.1): without parameters it lasts for its lifetime from now on. */
  update(id: string, query: readonly string[], payload: Buffer, registrant: Registrant): DirectoryAnswer {
    const registration = this.#byId.get(id);
    if (registration === undefined) return NOT_FOUND;
    if (registration.owner !== registrant.owner) return NOT_YOURS;
    const read = readRegistrationQuery(query);
    const refusal = this.#refusal(read, registrant);
    if (read === null || refusal !== null) return refusal ?? bad('');
    if (read.ep !== '' || read.d !== '') return bad('ep and d cannot change');
    if (payload.length > 0) return bad('links come with a new registration');
    const attributes = { ...registration.attributes, ...read.attributes };
    if (Object.keys(attributes).length > MOST_ATTRIBUTES) return bad(`more than ${MOST_ATTRIBUTES} attributes`);
    const renewed: Registration = {
      ...registration,
      lt: read.lt ?? registration.lt,
      implicit: registration.implicit && read.base === null,
      base: read.base ?? (registration.implicit ? registrant.base : registration.base),
      attributes,
      origin: registrant.origin,
      expiresAt: this.#options.now() + (read.lt ?? registration.lt) * 1000,
    };
    return this.#change(renewed, 'updated', Code.Changed, registrant);
  }

  remove(id: string, registrant: Registrant): DirectoryAnswer {
    const registration = this.#byId.get(id);
    if (registration === undefined) return NOT_FOUND;
    if (registration.owner !== registrant.owner) return NOT_YOURS;
    return this.#change(registration, 'removed', Code.Deleted, registrant);
  }

  /** Forgets whoever has not renewed its registration in time. Call about once a second. */
  dropExpired(): void {
    const now = this.#options.now();
    for (const registration of [...this.#byId.values()]) {
      // What the store cannot forget now is tried again the next time.
      if (registration.expiresAt <= now) this.#change(registration, 'expired', Code.Deleted, null);
    }
  }

  #change(registration: Registration, what: Change, code: number, by: Registrant | null): DirectoryAnswer {
    const gone = what === 'removed' || what === 'expired';
    let durable: Promise<void>;
    try {
      durable = gone ? this.#options.delete(registration) : this.#options.put(registration);
    } catch {
      return UNWRITABLE;
    }
    if (gone) this.#forget(registration);
    else this.#keep(registration);
    this.#options.changed(registration, what, by);
    return { code, registration, durable };
  }

  #keep(registration: Registration): void {
    const former = this.#byId.get(registration.id);
    if (former !== undefined) this.#count(former, -1);
    this.#count(registration, 1);
    this.#byId.set(registration.id, registration);
    this.#shown.set(registration.id, {
      device: endpointLink(registration, this.locationOf(registration)),
      links: registration.links.map((link) => absoluteLink(link, registration.base)),
    });
    this.#byLevel.set(levelOf(registration), registration);
  }

  #forget(registration: Registration): void {
    this.#count(registration, -1);
    this.#byId.delete(registration.id);
    this.#shown.delete(registration.id);
    this.#byLevel.delete(levelOf(registration));
  }

  #count(registration: Registration, more: 1 | -1): void {
    const party = partyOf(registration);
    const count = (this.#byParty.get(party) ?? 0) + more;
    if (count === 0) this.#byParty.delete(party);
    else this.#byParty.set(party, count);
  }

  /**
   * Links of all devices that match a query (RFC 9176 6.1). A device's own attributes match for each of its links.
   * @param knows whether the device that is a level of a topic may be shown
   */
  lookUpResources(query: readonly string[], knows = anyDevice): Link[] {
    const page = new Page(query);
    for (const registration of this.#byId.values()) {
      if (!knows(levelOf(registration))) continue;
      const { device, links } = this.#shown.get(registration.id) as Shown;
      const filters = page.filters.filter((filter) => !matches(device, filter));
      for (const link of filterLinks(links, filters)) if (!page.take(link)) return page.links;
    }
    return page.links;
  }

  /** Devices that match a query, or have a link that does (RFC 9176 6.1, 6.4). */
  lookUpEndpoints(query: readonly string[], knows = anyDevice): Link[] {
    const page = new Page(query);
    for (const registration of this.#byId.values()) {
      if (!knows(levelOf(registration))) continue;
      const { device, links } = this.#shown.get(registration.id) as Shown;
      const found = page.filters.every((filter) => matches(device, filter) || filterLinks(links, [filter]).length > 0);
      if (found && !page.take(device)) return page.links;
    }
    return page.links;
  }
}

/** What lookups show of a registration; it is made once, since a lookup looks at all of them. */
interface Shown {
  readonly device: Link;
  readonly links: readonly Link[];
}

function anyDevice(_level: string): boolean {
  return true;
}

function bad(sentence: string): DirectoryAnswer {
  return { code: Code.BadRequest, sentence };
}

/** Whom `coap.registrations_per_device` counts for. */
function partyOf({ owner, origin }: Pick<Registrant, 'owner' | 'origin'>): string {
  return owner === null ? `address ${origin.address}` : `user ${owner}`;
}

function matches(link: Link, filter: string): boolean {
  return filterLinks([link], [filter]).length > 0;
}

/** `page` and `count` choose a part of what the other parameters of a query find (RFC 9176 6.1). */
class Page {
  readonly filters: readonly string[];
  readonly links: Link[] = [];
  readonly #count: number;
  /** Links of the pages before this one that are still to come. */
  #skip: number;

  constructor(query: readonly string[]) {
    const filters: string[] = [];
    let page = 0;
    let count = PAGE;
    for (const argument of query) {
      const [, name, number] = /^(page|count)=(\d{1,9})$/.exec(argument) ?? [];
      if (name === 'page') page = Number(number);
      else if (name === 'count') count = Math.min(PAGE, Number(number));
      else filters.push(argument);
    }
    this.filters = filters;
    this.#count = count;
    this.#skip = page * count;
  }

  /** False once the page is full. */
  take(link: Link): boolean {
    if (this.#skip > 0) this.#skip--;
    else if (this.links.length < this.#count) this.links.push(link);
    return this.links.length < this.#count;
  }
}
