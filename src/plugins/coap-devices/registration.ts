/** The registration of a device with the resource directory (RFC 9176 5): what its query and its links may be. */
import { isUtf8 } from 'node:buffer';
import { isIP } from 'node:net';
import { formatLinks, type Link, parseLinks } from '../../coap/link-format.js';

/** Seconds that a registration lasts unless the device says otherwise (RFC 9176 5). */
export const DEFAULT_LIFETIME = 90_000;
const MOST_LIFETIME = 0xffffffff;
/** The last millisecond since the epoch that is in a date. */
const MOST_TIME = 8.64e15;
/** Bytes of an endpoint name, and of a sector (RFC 9176 5). */
const MOST_NAME = 63;
/** Other attributes of the endpoint, such as `et`. */
export const MOST_ATTRIBUTES = 16;
const MOST_ATTRIBUTE = 255;
/** What an attribute of a link may be called (RFC 6690 2): anything else would be more than an attribute to who looks up. */
const ATTRIBUTE_NAME = /^[A-Za-z0-9!#$&+\-.^_`|~]+\*?$/;
/** Names that are no attributes of an endpoint. */
const PARAMETERS: ReadonlySet<string> = new Set(['ep', 'd', 'lt', 'base', 'page', 'count', 'href', 'anchor']);
const SCHEMES: ReadonlySet<string> = new Set(['coap:', 'coaps:', 'coap+tcp:', 'coaps+tcp:']);

/** Where the last request of a registration came from, and which of the broker's addresses it came to. */
export interface Origin {
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
  /** The broker's address, `scheme://host:port`: a device behind an address translator is reached from there only. */
  readonly via: string;
  /** It is reached by its security association or connection, or not at all. */
  readonly bound: boolean;
}

export interface Registration {
  /** Last segment of its location. */
  readonly id: string;
  /** Endpoint name, unique within its sector. */
  readonly ep: string;
  /** Sector; empty for none. */
  readonly d: string;
  /** Seconds. */
  readonly lt: number;
  /** Where its relative links begin: `coap://host:port`. */
  readonly base: string;
  /** The base is where the device's last request came from. */
  readonly implicit: boolean;
  readonly attributes: Readonly<Record<string, string>>;
  readonly links: readonly Link[];
  /** Who registered it; null for whoever is anonymous. */
  readonly owner: string | null;
  readonly origin: Origin;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** The topic level that stands for a device; a sector follows its name. */
export function levelOf({ ep, d }: Pick<Registration, 'ep' | 'd'>): string {
  return d === '' ? ep : `${ep}@${d}`;
}

/** What the query of a registration or of an update says. */
export interface RegistrationQuery {
  readonly ep: string;
  readonly d: string;
  readonly lt: number | null;
  readonly base: string | null;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Reads a query; null if it may not be so. Repeated parameters may not be, nor names that are no topic levels. */
export function readRegistrationQuery(query: readonly string[]): RegistrationQuery | null {
  const values = new Map<string, string>();
  for (const argument of query) {
    const equals = argument.indexOf('=');
    const name = equals < 0 ? argument : argument.slice(0, equals);
    if (name === '' || values.has(name)) return null;
    values.set(name, equals < 0 ? '' : argument.slice(equals + 1));
  }
  const ep = values.get('ep') ?? '';
  const d = values.get('d') ?? '';
  const lt = values.get('lt');
  const base = values.get('base');
  if (!isName(ep) || !isName(d) || d.includes('@')) return null;
  if (lt !== undefined && !(/^\d{1,10}$/.test(lt) && Number(lt) >= 1 && Number(lt) <= MOST_LIFETIME)) return null;
  if (base !== undefined && !isBase(base)) return null;
  const others = [...values].filter(([name]) => !PARAMETERS.has(name));
  if (others.length > MOST_ATTRIBUTES || !others.every(([name]) => ATTRIBUTE_NAME.test(name))) return null;
  if (others.some(([name, value]) => name.length > MOST_NAME || Buffer.byteLength(value) > MOST_ATTRIBUTE)) return null;
  return {
    ep,
    d,
    lt: lt === undefined ? null : Number(lt),
    base: base ?? null,
    attributes: Object.fromEntries(others),
  };
}

function isName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  return Buffer.byteLength(name) <= MOST_NAME && !/[\u0000-\u001f\u007f-\u009f/+#$]/.test(name);
}

/** A base is an absolute URI of CoAP without path, query or fragment (RFC 9176 5). */
function isBase(base: string): boolean {
  if (base.length > MOST_ATTRIBUTE || !URL.canParse(base)) return false;
  const { protocol, hostname, pathname, search, hash, username } = new URL(base);
  const bare = (pathname === '' || pathname === '/') && search === '' && hash === '' && username === '';
  return SCHEMES.has(protocol) && hostname !== '' && bare;
}

/** The base that an address stands for. */
export function baseOf(
  { address, port, family }: Pick<Origin, 'address' | 'port' | 'family'>,
  scheme = 'coap',
): string {
  // A zone means nothing to anyone else.
  return `${scheme}://${family === 'IPv6' ? `[${address.replace(/%.*$/, '')}]` : address}:${port}`;
}

/** The host of a base; of an IPv6 address the one way of writing it. */
export function hostOf(base: string): string {
  return new URL(base).hostname.toLowerCase();
}

/** The links of a registration; null if they are no link format, or have a target that is no URI. */
export function readLinks(payload: Buffer, base: string): Link[] | null {
  const links = isUtf8(payload) ? parseLinks(payload.toString(), Number.POSITIVE_INFINITY) : null;
  if (links === null) return null;
  return links.every(({ href }) => URL.canParse(href, base)) ? links : null;
}

/** A link as a lookup shows it: target and context are absolute (RFC 9176 6.2). */
export function absoluteLink(link: Link, base: string): Link {
  const { anchor } = link.attributes ?? {};
  const href = resolve(link.href, base);
  if (typeof anchor !== 'string') return { ...link, href };
  return { href, attributes: { ...link.attributes, anchor: resolve(anchor, base) } };
}

function resolve(reference: string, base: string): string {
  return URL.canParse(reference, base) ? new URL(reference, base).href : reference;
}

/** The link that stands for a device (RFC 9176 6.4). @param location path of its registration */
export function endpointLink({ ep, d, base, attributes }: Registration, location: string): Link {
  return { href: location, attributes: { ep, ...(d === '' ? null : { d }), base, rt: 'core.rd-ep', ...attributes } };
}

/** A registration as it is stored. */
export function encodeRegistration(registration: Registration): Buffer {
  return Buffer.from(JSON.stringify({ ...registration, links: formatLinks(registration.links) }));
}

/** A registration as `JSON.parse` has it. */
export type StoredRegistration = Omit<Registration, 'links'> & { readonly links: string };

/** @throws Error if it is none */
export function decodeRegistration(stored: StoredRegistration): Registration {
  const links = typeof stored.links === 'string' ? parseLinks(stored.links, Number.POSITIVE_INFINITY) : null;
  if (links === null || !isRegistration(stored)) throw new Error('a registration does not parse');
  return { ...stored, links };
}

function isRegistration(stored: StoredRegistration): boolean {
  const { id, ep, d, lt, base, implicit, attributes, owner, origin, expiresAt } = stored;
  const texts: readonly unknown[] = [id, ep, d, base, owner ?? ''];
  return (
    texts.every((text) => typeof text === 'string') &&
    /^[\w-]+$/.test(id) &&
    ep !== '' &&
    isName(ep) &&
    isName(d) &&
    !d.includes('@') &&
    isWithin(lt, 1, MOST_LIFETIME) &&
    isBase(base) &&
    typeof implicit === 'boolean' &&
    areAttributes(attributes) &&
    isOrigin(origin) &&
    isWithin(expiresAt, 0, MOST_TIME)
  );
}

function isWithin(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
}

function areAttributes(attributes: Readonly<Record<string, unknown>> | null | undefined): boolean {
  if (typeof attributes !== 'object' || attributes === null) return false;
  return Object.entries(attributes).every(
    ([name, value]) => ATTRIBUTE_NAME.test(name) && !PARAMETERS.has(name) && typeof value === 'string',
  );
}

function isOrigin(origin: Origin | null | undefined): boolean {
  if (typeof origin?.address !== 'string' || typeof origin.via !== 'string') return false;
  const { address, port, family, bound } = origin;
  return isWithin(port, 1, 0xffff) && family === `IPv${isIP(address)}` && typeof bound === 'boolean';
}
