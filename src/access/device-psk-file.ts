/**
 * Files of the keys with which the broker makes itself known to CoAP devices: one `coaps://host:port identity:key` a line, the
 * key in hexadecimal digits. Blank lines and lines that begin with `#` are comments.
 */
import { authorityOf, parseCoapUri } from '../coap/client/uri.js';
import type { PskCredential } from '../coap/dtls-client/psk-exchange.js';
import { parsePskKey } from './psk-file.js';
import { readUserFile, type UserFileFormat } from './security-file.js';

/** Bytes of the longest identity that every server takes (RFC 4279 5.3). */
const MOST_IDENTITY = 128;

/** Whom the broker is for each device, by `host:port`. */
export type DeviceKeys = ReadonlyMap<string, PskCredential>;

export const NO_DEVICE_KEYS: DeviceKeys = new Map();

const FORMAT: UserFileFormat<PskCredential> = {
  kind: 'file of device keys',
  line: 'coaps://host:port identity:key',
  separator: ' ',
  who: 'device',
  badName: 'the device is not written as coaps://host:port',
  prepare: deviceOf,
  parse: parseCredential,
};

/**
 * Reads such a file.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export function readDevicePskFile(file: string): Promise<DeviceKeys> {
  return readUserFile(file, FORMAT);
}

/** `host:port` of a device that is written as `coaps://host:port`; null for anything else. */
export function deviceOf(uri: string): string | null {
  const target = parseCoapUri(uri);
  if (typeof target === 'string' || !target.secure || target.path.length > 0 || target.query.length > 0) return null;
  return authorityOf(target);
}

/** An identity may hold colons, a key has none. */
function parseCredential(text: string): PskCredential | string {
  const colon = text.lastIndexOf(':');
  const identity = text.slice(0, Math.max(0, colon)).trimStart();
  if (identity === '') return `the line is not ${FORMAT.line}`;
  if (Buffer.byteLength(identity) > MOST_IDENTITY) return `the identity has more than ${MOST_IDENTITY} bytes`;
  const key = parsePskKey(text.slice(colon + 1));
  return typeof key === 'string' ? key : { identity, key };
}
