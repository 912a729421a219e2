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
import { Group } from '../dtls/groups.js';
import {
  Alert,
  CertificateType,
  Extension,
  RANDOM_BYTES,
  RENEGOTIATION_SCSV,
  SignatureScheme,
  UNCOMPRESSED_POINTS,
  VERSION_1_2,
} from '../dtls/protocol.js';

/** What a ClientHello offers. */
export interface Offer {
  /** In the order of preference. */
  readonly suites: readonly CipherSuite[];
  readonly extensions: Buffer;
  /** The extensions that a server may answer with (RFC 5246 7.4.1.4). */
  readonly answers: ReadonlySet<number>;
  /** What the server may show and be shown, if not certificates alone (RFC 7250 4.1). */
  readonly types?: CertificateTypes | undefined;
}

/** Types of certificates, of each side in the order of preference. */
export interface CertificateTypes {
  readonly server: readonly CertificateType[];
  /** None: the client has nothing to show. */
  readonly client: readonly CertificateType[];
}

const COMMON = Buffer.concat([
  writeExtension(Extension.ExtendedMasterSecret, Buffer.alloc(0)),
  writeExtension(Extension.ConnectionId, connectionIdExtension(Buffer.alloc(0))),
]);
/** The last one answers the cipher suite of its name. */
const COMMON_ANSWERS = [Extension.ExtendedMasterSecret, Extension.ConnectionId, Extension.RenegotiationInfo];

export const PSK_OFFER: Offer = {
  suites: CIPHER_SUITES.filter(({ keyExchange }) => keyExchange === 'psk'),
  extensions: COMMON,
  answers: new Set(COMMON_ANSWERS),
};

const CERTIFICATE_SUITES = CIPHER_SUITES.filter(({ keyExchange }) => keyExchange === 'ecdhe-ecdsa');
const FOR_CERTIFICATES = Buffer.concat([
  writeExtension(Extension.SupportedGroups, list([Group.Secp256r1])),
  writeExtension(Extension.EcPointFormats, Buffer.from([1, UNCOMPRESSED_POINTS])),
  // A CA above the server's ECDSA key may have signed with RSA.
  writeExtension(Extension.SignatureAlgorithms, list([SignatureScheme.EcdsaSha256, SignatureScheme.RsaSha256])),
]);
const CERTIFICATE_ANSWERS: ReadonlySet<number> = new Set([...COMMON_ANSWERS, Extension.EcPointFormats]);
const NAMED_ANSWERS: ReadonlySet<number> = new Set([...CERTIFICATE_ANSWERS, Extension.ServerName]);
const TYPE_EXTENSIONS: ReadonlySet<number> = new Set([
  Extension.ClientCertificateType,
  Extension.ServerCertificateType,
]);
const CERTIFICATES: readonly CertificateType[] = [CertificateType.X509];
const HOST_NAME = 0;
/** Names in ASCII, without a dot at the end (RFC 6066 3). */
const HOST_NAMES = /^[!-~]{0,254}[!-\-/-~]$/;

/** @param host a name, which the server is told (RFC 6066 3); undefined for an address */
export function certificateOffer(host: string | undefined, types?: CertificateTypes): Offer {
  const suites = CERTIFICATE_SUITES;
  const extensions = Buffer.concat([COMMON, FOR_CERTIFICATES, ...(types === undefined ? [] : typeExtensions(types))]);
  if (host === undefined || !HOST_NAMES.test(host)) return { suites, extensions, answers: CERTIFICATE_ANSWERS, types };
  const name = Buffer.from(host);
  const entry = Buffer.concat([Buffer.from([HOST_NAME]), uint16(name.length), name]);
  const named = writeExtension(Extension.ServerName, Buffer.concat([uint16(entry.length), entry]));
  return { suites, extensions: Buffer.concat([extensions, named]), answers: NAMED_ANSWERS, types };
}

/** RFC 7250 4.1: lists; who has nothing to show says nothing of it. */
function typeExtensions({ server, client }: CertificateTypes): Buffer[] {
  const listOf = (types: readonly CertificateType[]): Buffer => Buffer.from([types.length, ...types]);
  const own = client.length === 0 ? [] : [writeExtension(Extension.ClientCertificateType, listOf(client))];
  return [...own, writeExtension(Extension.ServerCertificateType, listOf(server))];
}

function list(codes: readonly number[]): Buffer {
  return Buffer.concat([uint16(2 * codes.length), ...codes.map(uint16)]);
}

const LONGEST_SESSION_ID = 32;

/**
 * ClientHello. No session is resumed, nothing compressed. The Connection ID offered is empty: records to the client bear
 * none, those to the server the one it gives, so that it can follow the client to a new address (RFC 9146 3).
 * @param cookie of the HelloVerifyRequest; empty in the first one
 */
export function clientHello(offer: Offer, random: Buffer, cookie: Buffer): Buffer {
  const suites = Buffer.concat([...offer.suites.map(({ code }) => uint16(code)), uint16(RENEGOTIATION_SCSV)]);
  const { extensions } = offer;
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
  /** What the server shows, and what it would be shown. */
  readonly serverType: CertificateType;
  readonly clientType: CertificateType;
}

/** The whole message, as views of `body`; or the alert that it deserves. */
export function parseServerHello(offer: Offer, body: Buffer): ServerHello | number {
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
  const suite = offer.suites.find((offered) => offered.code === code);
  if (suite === undefined || compression !== 0) return Alert.IllegalParameter;
  const { answers, types } = offer;
  for (const type of extensions.keys()) {
    const answersTypes = types !== undefined && TYPE_EXTENSIONS.has(type);
    if (!answers.has(type) && !answersTypes) return Alert.UnsupportedExtension;
  }
  const serverType = typeOf(extensions.get(Extension.ServerCertificateType), types?.server ?? CERTIFICATES);
  // A server that asks for nothing says nothing of it, whatever was offered.
  const clientType = typeOf(extensions.get(Extension.ClientCertificateType), [
    ...(types?.client ?? []),
    ...CERTIFICATES,
  ]);
  if (serverType === undefined || clientType === undefined) return Alert.UnsupportedCertificate;
  const formats = extensions.get(Extension.EcPointFormats);
  if (formats !== undefined) {
    if (formats.length < 2 || formats[0] !== formats.length - 1) return Alert.DecodeError;
    // RFC 8422 5.2.
    if (!formats.includes(UNCOMPRESSED_POINTS, 1)) return Alert.IllegalParameter;
  }
  if ((extensions.get(Extension.ServerName)?.length ?? 0) > 0) return Alert.DecodeError;
  const common = readCommonExtensions(extensions);
  return typeof common === 'number' ? common : { ...common, random, suite, serverType, clientType };
}

/** The type that the server has chosen (RFC 7250 4.2), a certificate if it says nothing; undefined if it was not offered. */
function typeOf(answer: Buffer | undefined, offered: readonly CertificateType[]): CertificateType | undefined {
  const code = answer === undefined ? CertificateType.X509 : answer.length === 1 ? answer[0] : -1;
  return offered.find((type) => type === code);
}
