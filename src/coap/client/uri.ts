/** URIs of the schemes `coap` and `coaps`, taken apart into what a request says (RFC 7252 6.1, 6.2, 6.4). */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** The parts of such a URI. */
export interface CoapUri {
  /** `coaps`: over DTLS. */
  readonly secure: boolean;
  /** An IP address without brackets, or a host name in lower case. */
  readonly host: string;
  /** What `host` is. The family of a name is known only once it is resolved. */
  readonly kind: 'IPv4' | 'IPv6' | 'name';
  /** 1 to 65535; 5683 unless the URI says otherwise, of `coaps` 5684. */
  readonly port: number;
  /** Values of the Uri-Path options, decoded, up to 255 bytes each. */
  readonly path: readonly string[];
  /** Values of the Uri-Query options, decoded, up to 255 bytes each. */
  readonly query: readonly string[];
}

/** The ports of `coap` and `coaps` (RFC 7252 6.1, 6.2). */
const DEFAULT_PORT = 5683;
const DEFAULT_SECURE_PORT = 5684;

const PARTS = /^coaps?:\/\/(\[[^\][/?#@]*\]|[^:/?#@[\]]*)(?::([0-9]*))?(\/[^?#]*)?(?:\?([^#]*))?$/i;
/** What RFC 3986 allows in a path or a query; everything else is percent-encoded. */
const ALLOWED = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*$/;

/** Takes a URI apart. Returns the reason, in words, if it is no URI that a request can be made of. */
export function parseCoapUri(uri: string): CoapUri | string {
  if (!/^coaps?:/i.test(uri)) return 'the scheme is neither coap nor coaps';
  const secure = /^coaps/i.test(uri);
  if (uri.includes('#')) return 'a fragment cannot be asked for';
  const parts = PARTS.exec(uri);
  if (parts === null) return 'not of the form coap://host:port/path?query';
  const [, authority, digits, path = '', query] = parts;
  const usual = secure ? DEFAULT_SECURE_PORT : DEFAULT_PORT;
  const port = digits === undefined || digits === '' ? usual : Number(digits);
  if (port < 1 || port > 65_535) return 'the port is not within 1 to 65535';
  if (!ALLOWED.test(path) || !ALLOWED.test(query ?? ''))
    return 'the path or query has a character that must be encoded';
  const host = hostOf(authority);
  if (host === undefined) return 'the host is neither an IP address nor a name of up to 255 bytes';
  const segments = decodeAll(segmentsOf(path));
  const queries = decodeAll(query === undefined ? [] : query.split('&'));
  if (segments === undefined || queries === undefined) {
    return 'a part of the path or query is not UTF-8 or has more than 255 bytes';
  }
  return { secure, ...host, port, path: segments, query: queries };
}

/** Host and port as a URI has them, the port always: `192.0.2.1:5683`, `[2001:db8::1]:5684`. */
export function authorityOf({ host, kind, port }: Pick<CoapUri, 'host' | 'kind' | 'port'>): string {
  return `${kind === 'IPv6' ? `[${host}]` : host}:${port}`;
}

function hostOf(authority: string): Pick<CoapUri, 'host' | 'kind'> | undefined {
  if (authority.startsWith('[')) {
    const host = decode(authority.slice(1, -1));
    return host !== undefined && isIPv6(host) ? { host: canonical(host), kind: 'IPv6' } : undefined;
  }
  if (!ALLOWED.test(authority)) return undefined;
  const host = decode(authority)?.toLowerCase();
  if (host === undefined || host === '') return undefined;
  return { host, kind: isIPv4(host) ? 'IPv4' : 'name' };
}

/** An IPv6 address as sockets write it, so that a response is known by its source. */
function canonical(host: string): string {
  const [address, zone] = host.split('%');
  const written = new SocketAddress({ address, family: 'ipv6' }).address;
  return zone === undefined ? written : `${written}%${zone}`;
}

/** The segments of a path without its dot segments (RFC 3986 5.2.4); none for the root (RFC 7252 6.4, step 8). */
function segmentsOf(path: string): string[] {
  const segments: string[] = [];
  const given = path.split('/').slice(1);
  for (const [index, segment] of given.entries()) {
    const plain = segment.replaceAll(/%2e/gi, '.');
    if (plain !== '.' && plain !== '..') {
      segments.push(segment);
      continue;
    }
    if (plain === '..') segments.pop();
    // A dot segment at the end leaves the slash before it.
    if (index === given.length - 1) segments.push('');
  }
  return segments.length === 1 && segments[0] === '' ? [] : segments;
}

function decodeAll(values: readonly string[]): string[] | undefined {
  const decoded: string[] = [];
  for (const value of values) {
    const text = decode(value);
    if (text === undefined) return undefined;
    decoded.push(text);
  }
  return decoded;
}

function decode(value: string): string | undefined {
  try {
    const text = decodeURIComponent(value);
    return Buffer.byteLength(text) > 255 ? undefined : text;
  } catch {
    return undefined;
  }
}
