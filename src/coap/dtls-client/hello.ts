/** The client's hello, and what a server answers it with (RFC 6347 4.2.1, RFC 5246 7.4.1). */
import { CIPHER_SUITES, type CipherSuite } from '../dtls/cipher.js';
import {
  type CommonExtensions,
  connectionIdExtension,
  readCommonExtensions,
  readExtensions,
  uint16,
  writeExtension,
} from '../dtls/extensions.js';
import { FieldReader } from '../dtls/fields.js';
import { Alert, Extension, RANDOM_BYTES, RENEGOTIATION_SCSV, VERSION_1_2 } from '../dtls/protocol.js';

/** What is offered, in the order of preference. */
const OFFERED = CIPHER_SUITES.filter(({ keyExchange }) => keyExchange === 'psk');
/** The extensions that a server may answer with (RFC 5246 7.4.1.4): the last one answers the cipher suite of its name. */
const ASKED: ReadonlySet<number> = new Set([
  Extension.ExtendedMasterSecret,
  Extension.ConnectionId,
  Extension.RenegotiationInfo,
]);
const LONGEST_SESSION_ID = 32;

/**
 * ClientHello. No session is resumed, nothing compressed. The Connection ID offered is empty: records to the client bear
 * none, those to the server the one it gives, so that it can follow the client to a new address (RFC 9146 3).
 * @param cookie of the HelloVerifyRequest; empty in the first one
 */
export function clientHello(random: Buffer, cookie: Buffer): Buffer {
  const suites = Buffer.concat([...OFFERED.map(({ code }) => uint16(code)), uint16(RENEGOTIATION_SCSV)]);
  const extensions = Buffer.concat([
    writeExtension(Extension.ExtendedMasterSecret, Buffer.alloc(0)),
    writeExtension(Extension.ConnectionId, connectionIdExtension(Buffer.alloc(0))),
  ]);
  return Buffer.concat([
    uint16(VERSION_1_2),
    random,
    // No session.
    Buffer.from([0]),
    Buffer.from([cookie.length]),
    cookie,
    uint16(suites.length),
    suites,
    // One compression method: none.
    Buffer.from([1, 0]),
    uint16(extensions.length),
    extensions,
  ]);
}

/** The cookie of HelloVerifyRequest, as a view; undefined if it is malformed. Its version says nothing (RFC 6347 4.2.1). */
export function parseHelloVerifyRequest(body: Buffer): Buffer | undefined {
  const reader = new FieldReader(body);
  reader.uint(2);
  const cookie = reader.vector(1);
  return reader.failed || reader.left > 0 ? undefined : cookie;
}

/** What the server has chosen of what was offered. */
export interface ServerHello extends CommonExtensions {
  readonly random: Buffer;
  readonly suite: CipherSuite;
}

/** The whole message, as views of `body`; or the alert that it deserves. */
export function parseServerHello(body: Buffer): ServerHello | number {
  const reader = new FieldReader(body);
  const version = reader.uint(2);
  const random = reader.take(RANDOM_BYTES);
  const sessionId = reader.vector(1);
  const code = reader.uint(2);
  const compression = reader.uint(1);
  const extensions = readExtensions(reader);
  if (typeof extensions === 'number') return extensions;
  if (sessionId.length > LONGEST_SESSION_ID) return Alert.DecodeError;
  if (version !== VERSION_1_2) return Alert.ProtocolVersion;
  const suite = OFFERED.find((offered) => offered.code === code);
  if (suite === undefined || compression !== 0) return Alert.IllegalParameter;
  for (const type of extensions.keys()) if (!ASKED.has(type)) return Alert.UnsupportedExtension;
  const common = readCommonExtensions(extensions);
  return typeof common === 'number' ? common : { ...common, random, suite };
}
