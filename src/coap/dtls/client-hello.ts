/** ClientHello (RFC 6347 4.2.1): what stands in front of its cookie, and the whole of it. */
import { type CommonExtensions, readCommonExtensions, readExtensions } from './extensions.js';
import { FieldReader } from './fields.js';
import { Alert, Extension, RANDOM_BYTES, RENEGOTIATION_SCSV } from './protocol.js';

/** The first fields, up to the cookie: enough for the cookie exchange, which keeps no state. */
export interface HelloStart {
  readonly version: number;
  readonly random: Buffer;
  readonly sessionId: Buffer;
  readonly cookie: Buffer;
}

export interface ClientHello extends HelloStart, CommonExtensions {
  readonly cipherSuites: readonly number[];
  /** What the client knows of elliptic curves (RFC 8422 5.1) and signatures; undefined if it does not say. */
  readonly groups: readonly number[] | undefined;
  readonly pointFormats: Buffer | undefined;
  readonly signatureSchemes: readonly number[] | undefined;
  /** The types of certificates that the client can show, and those that it takes, the best first; undefined if it does not say (RFC 7250 4.1). */
  readonly clientCertificateTypes: Buffer | undefined;
  readonly serverCertificateTypes: Buffer | undefined;
}

function readStart(reader: FieldReader): HelloStart {
  const version = reader.uint(2);
  const random = reader.take(RANDOM_BYTES);
  const sessionId = reader.vector(1);
  if (sessionId.length > 32) reader.failed = true;
  return { version, random, sessionId, cookie: reader.vector(1) };
}

/** The first fields of a message that may go on in other fragments. */
export function parseHelloStart(body: Buffer): HelloStart | undefined {
  const reader = new FieldReader(body);
  const start = readStart(reader);
  return reader.failed ? undefined : start;
}

/** A vector of numbers of 2 bytes, at least one; undefined if that is not what it is. */
function parseNumbers(data: Buffer): number[] | undefined {
  if (data.length < 4 || data.length % 2 !== 0 || data.readUInt16BE(0) !== data.length - 2) return undefined;
  return Array.from({ length: data.length / 2 - 1 }, (_, at) => data.readUInt16BE(2 + 2 * at));
}

/** A vector of bytes, at least one: its content; undefined if that is not what it is. */
function parseBytes(data: Buffer): Buffer | undefined {
  return data.length >= 2 && data[0] === data.length - 1 ? data.subarray(1) : undefined;
}

/** The whole message, as views of `body`; or the alert that it deserves. */
export function parseClientHello(body: Buffer): ClientHello | number {
  const reader = new FieldReader(body);
  const start = readStart(reader);
  const suites = reader.vector(2);
  const compressions = reader.vector(1);
  // Both vectors have one entry at least (RFC 5246 7.4.1.2).
  if (reader.failed || suites.length === 0 || suites.length % 2 !== 0 || compressions.length === 0) {
    return Alert.DecodeError;
  }
  const extensions = readExtensions(reader);
  if (typeof extensions === 'number') return extensions;
  if (!compressions.includes(0)) return Alert.IllegalParameter;
  const cipherSuites: number[] = [];
  for (let at = 0; at < suites.length; at += 2) cipherSuites.push(suites.readUInt16BE(at));
  const common = readCommonExtensions(extensions);
  if (typeof common === 'number') return common;
  let isMalformed = false;
  const read = <Content>(type: number, parse: (data: Buffer) => Content | undefined): Content | undefined => {
    const data = extensions.get(type);
    const content = data && parse(data);
    if (data !== undefined && content === undefined) isMalformed = true;
    return content;
  };
  const groups = read(Extension.SupportedGroups, parseNumbers);
  const signatureSchemes = read(Extension.SignatureAlgorithms, parseNumbers);
  const pointFormats = read(Extension.EcPointFormats, parseBytes);
  const clientCertificateTypes = read(Extension.ClientCertificateType, parseBytes);
  const serverCertificateTypes = read(Extension.ServerCertificateType, parseBytes);
  if (isMalformed) return Alert.DecodeError;
  return {
    ...start,
    ...common,
    cipherSuites,
    secureRenegotiation: common.secureRenegotiation || cipherSuites.includes(RENEGOTIATION_SCSV),
    groups,
    pointFormats,
    signatureSchemes,
    clientCertificateTypes,
    serverCertificateTypes,
  };
}
