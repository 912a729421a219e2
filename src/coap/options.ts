/** Option numbers and what a message may do with them (RFC 7252 5.4 and 5.10; RFC 7641; RFC 7959; RFC 7967; RFC 8768; RFC 9175). */

/** Option numbers known to this endpoint. */
export const OptionNumber = {
  IfMatch: 1,
  UriHost: 3,
  ETag: 4,
  IfNoneMatch: 5,
  Observe: 6,
  UriPort: 7,
  LocationPath: 8,
  UriPath: 11,
  ContentFormat: 12,
  MaxAge: 14,
  UriQuery: 15,
  HopLimit: 16,
  Accept: 17,
  LocationQuery: 20,
  Block2: 23,
  Block1: 27,
  Size2: 28,
  ProxyUri: 35,
  ProxyScheme: 39,
  Size1: 60,
  Echo: 252,
  NoResponse: 258,
  RequestTag: 292,
} as const;

/** How one option may occur. */
export interface OptionDefinition {
  readonly name: string;
  /** May occur more than once in a message (RFC 7252 5.4.5). */
  readonly repeatable: boolean;
  /** Length of the value in bytes; outside of it the option counts as unrecognized (RFC 7252 5.4.3). */
  readonly minimum: number;
  readonly maximum: number;
}

function define(name: string, minimum: number, maximum: number, repeatable = false): OptionDefinition {
  return { name, repeatable, minimum, maximum };
}

/** Definitions of the options that mean something in a request to a server, by number. */
export const REQUEST_OPTIONS: ReadonlyMap<number, OptionDefinition> = new Map([
  [OptionNumber.IfMatch, define('If-Match', 0, 8, true)],
  [OptionNumber.UriHost, define('Uri-Host', 1, 255)],
  [OptionNumber.ETag, define('ETag', 1, 8, true)],
  [OptionNumber.IfNoneMatch, define('If-None-Match', 0, 0)],
  [OptionNumber.Observe, define('Observe', 0, 3)],
  [OptionNumber.UriPort, define('Uri-Port', 0, 2)],
  [OptionNumber.UriPath, define('Uri-Path', 0, 255, true)],
  [OptionNumber.ContentFormat, define('Content-Format', 0, 2)],
  [OptionNumber.UriQuery, define('Uri-Query', 0, 255, true)],
  // What is no byte from 1 to 255 is refused, not ignored (RFC 8768 3).
  [OptionNumber.HopLimit, define('Hop-Limit', 0, 65_535)],
  [OptionNumber.Accept, define('Accept', 0, 2)],
  [OptionNumber.Block2, define('Block2', 0, 3)],
  [OptionNumber.Block1, define('Block1', 0, 3)],
  [OptionNumber.Size2, define('Size2', 0, 4)],
  [OptionNumber.ProxyUri, define('Proxy-Uri', 1, 1034)],
  [OptionNumber.ProxyScheme, define('Proxy-Scheme', 1, 255)],
  [OptionNumber.Size1, define('Size1', 0, 4)],
  [OptionNumber.Echo, define('Echo', 1, 40)],
  [OptionNumber.NoResponse, define('No-Response', 0, 1)],
  [OptionNumber.RequestTag, define('Request-Tag', 0, 8, true)],
]);

/** Odd numbers are critical: an endpoint that does not know the option must not act on the message (RFC 7252 5.4.6). */
export function isCritical(option: number): boolean {
  return (option & 1) === 1;
}

/** Even, unsafe to forward or not, whose bits 2-4 are all set: not part of the cache key (RFC 7252 5.4.6). */
export function isNoCacheKey(option: number): boolean {
  return (option & 0x1e) === 0x1c;
}
