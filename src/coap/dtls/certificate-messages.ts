/**
 * Certificate, CertificateRequest, CertificateVerify, and a signed ServerKeyExchange (RFC 5246 7.4.2, 7.4.4, 7.4.8; RFC 7250 3;
 * RFC 8422 5.4, 5.5).
 */
import { FieldReader } from './fields.js';
import { SignatureScheme } from './protocol.js';

/** ecdsa_sign: the client has an ECDSA key (RFC 8422 5.5). */
const ECDSA_SIGN = 64;
/** Names of CAs are left out if they are longer than this together. No names: the client may send what it has. */
const LONGEST_AUTHORITIES = 2048;

function uint(value: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

export function certificateMessage(chain: readonly Buffer[]): Buffer {
  const list = Buffer.concat(chain.flatMap((der) => [uint(der.length, 3), der]));
  return Buffer.concat([uint(list.length, 3), list]);
}

/** The certificates of a chain, as views; undefined if the message is malformed. */
export function parseCertificateMessage(body: Buffer): Buffer[] | undefined {
  const reader = new FieldReader(body);
  const list = new FieldReader(reader.vector(3));
  if (reader.failed || reader.left > 0) return undefined;
  const chain: Buffer[] = [];
  while (list.left > 0) {
    const der = list.vector(3);
    if (list.failed || der.length === 0) return undefined;
    chain.push(der);
  }
  return chain;
}

/** Certificate with a raw public key in the place of the list. */
export function rawPublicKeyMessage(info: Buffer): Buffer {
  return Buffer.concat([uint(info.length, 3), info]);
}

/** The key of such a message, as a view; no bytes if the sender has none; undefined if the message is malformed. */
export function parseRawPublicKeyMessage(body: Buffer): Buffer | undefined {
  const reader = new FieldReader(body);
  const info = reader.vector(3);
  return reader.failed || reader.left > 0 ? undefined : info;
}

/** Asks for a certificate with an ECDSA key; a CA above it may have signed with RSA. @param authorities Names in DER */
export function certificateRequest(authorities: readonly Buffer[]): Buffer {
  const schemes = [SignatureScheme.EcdsaSha256, SignatureScheme.RsaSha256].map((scheme) => uint(scheme, 2));
  const names = Buffer.concat(authorities.flatMap((name) => [uint(name.length, 2), name]));
  const told = names.length > LONGEST_AUTHORITIES ? Buffer.alloc(0) : names;
  return Buffer.concat([
    Buffer.from([1, ECDSA_SIGN]),
    uint(2 * schemes.length, 2),
    ...schemes,
    uint(told.length, 2),
    told,
  ]);
}

/** What CertificateVerify has; undefined if it is malformed. */
export function parseCertificateVerify(
  body: Buffer,
): { readonly scheme: number; readonly signature: Buffer } | undefined {
  const reader = new FieldReader(body);
  const scheme = reader.uint(2);
  const signature = reader.vector(2);
  return reader.failed || reader.left > 0 ? undefined : { scheme, signature };
}

/** CertificateRequest; undefined if it is malformed. `takesEcdsa`: a certificate with an ECDSA key and SHA-256 will do. */
export function parseCertificateRequest(body: Buffer): { readonly takesEcdsa: boolean } | undefined {
  const reader = new FieldReader(body);
  const types = reader.vector(1);
  const schemes = reader.vector(2);
  reader.vector(2);
  if (reader.failed || reader.left > 0 || types.length === 0 || schemes.length % 2 !== 0) return undefined;
  let knowsScheme = false;
  for (let at = 0; at < schemes.length; at += 2)
    knowsScheme ||= schemes.readUInt16BE(at) === SignatureScheme.EcdsaSha256;
  return { takesEcdsa: knowsScheme && types.includes(ECDSA_SIGN) };
}

/** The body of CertificateVerify (RFC 5246 7.4.8). */
export function certificateVerify(signature: Buffer): Buffer {
  return Buffer.concat([uint(SignatureScheme.EcdsaSha256, 2), uint(signature.length, 2), signature]);
}

/** ServerKeyExchange of ECDHE (RFC 8422 5.4). */
export interface SignedParameters {
  readonly group: number;
  readonly point: Buffer;
  /** What is signed, with both randoms in front. */
  readonly parameters: Buffer;
  readonly scheme: number;
  readonly signature: Buffer;
}

/** named_curve: parameters that are a group by its number (RFC 8422 5.4). */
export const NAMED_CURVE = 3;

/** The fields, as views; undefined if the message is malformed, or names no curve. */
export function parseServerKeyExchange(body: Buffer): SignedParameters | undefined {
  const reader = new FieldReader(body);
  const form = reader.uint(1);
  const group = reader.uint(2);
  const point = reader.vector(1);
  const parameters = body.subarray(0, body.length - reader.left);
  const scheme = reader.uint(2);
  const signature = reader.vector(2);
  if (reader.failed || reader.left > 0 || form !== NAMED_CURVE) return undefined;
  return { group, point, parameters, scheme, signature };
}
