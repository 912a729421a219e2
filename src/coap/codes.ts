/** Message types, methods and response codes of CoAP (RFC 7252 3, 12.1; RFC 7959 6; RFC 8132 6; RFC 8516 5). */

/** Message types, RFC 7252 3. */
export const Type = { Confirmable: 0, NonConfirmable: 1, Acknowledgement: 2, Reset: 3 } as const;

/** The code of an Empty message, RFC 7252 4.1. */
export const EMPTY = 0;

/** Method codes, RFC 7252 5.8 and RFC 8132. */
export const Method = { Get: 1, Post: 2, Put: 3, Delete: 4, Fetch: 5, Patch: 6, IPatch: 7 } as const;

/** Response codes as they stand on the wire: class in the upper three bits, detail in the lower five. */
export const Code = {
  Created: 0x41,
  Deleted: 0x42,
  Valid: 0x43,
  Changed: 0x44,
  Content: 0x45,
  Continue: 0x5f,
  BadRequest: 0x80,
  Unauthorized: 0x81,
  BadOption: 0x82,
  Forbidden: 0x83,
  NotFound: 0x84,
  MethodNotAllowed: 0x85,
  NotAcceptable: 0x86,
  RequestEntityIncomplete: 0x88,
  Conflict: 0x89,
  PreconditionFailed: 0x8c,
  RequestEntityTooLarge: 0x8d,
  UnsupportedContentFormat: 0x8f,
  UnprocessableEntity: 0x96,
  TooManyRequests: 0x9d,
  InternalServerError: 0xa0,
  NotImplemented: 0xa1,
  BadGateway: 0xa2,
  ServiceUnavailable: 0xa3,
  GatewayTimeout: 0xa4,
  ProxyingNotSupported: 0xa5,
} as const;

const NAMES = new Map<number, string>([
  [EMPTY, 'Empty'],
  ...Object.entries(Method).map(([name, code]): [number, string] => [code, name.toUpperCase()]),
  ...Object.entries(Code).map(([name, code]): [number, string] => [code, name]),
]);

/** The class of a code: 0 request, 2 success, 4 client error, 5 server error; 1, 6 and 7 are reserved (RFC 7252 3). */
export function codeClass(code: number): number {
  return code >>> 5;
}

/** A code as RFC 7252 3 writes it: `2.05`. */
export function codeDigits(code: number): string {
  return `${code >>> 5}.${String(code & 0x1f).padStart(2, '0')}`;
}

/** A code for people, such as `4.04 NotFound`. */
export function codeName(code: number): string {
  const digits = codeDigits(code);
  const name = NAMES.get(code);
  return name === undefined ? digits : `${digits} ${name}`;
}

/** Content-Formats that the protocol itself needs (RFC 7252 12.3). Others are numbers that pass through. */
export const ContentFormat = { Text: 0, LinkFormat: 40, OctetStream: 42, Json: 50, Cbor: 60 } as const;
