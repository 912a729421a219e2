/** What node:crypto does not tell of a certificate (RFC 5280 4.1, 4.2.1): its subject as it stands, path length, key usage. */
import { DerReader, DerTag } from './der.js';

export interface CertificateFields {
  /** The Name, in DER. */
  readonly subject: Buffer;
  /** Certificates of CAs that may stand between this one and the last; undefined: any number. */
  readonly pathLength: number | undefined;
  /** The first byte of the usages; undefined if the certificate names none. */
  readonly keyUsage: number | undefined;
  /** The object identifier, in hexadecimal, of a critical extension that is not known here. */
  readonly unknownCritical: string | undefined;
}

/** Bits of the key usages (RFC 5280 4.2.1.3). */
export const DIGITAL_SIGNATURE = 0x80;
export const CRL_SIGN = 0x02;

/** Object identifiers of extensions: 2.5.29.n. */
const ExtensionId = {
  KeyUsage: '551d0f',
  SubjectAltName: '551d11',
  BasicConstraints: '551d13',
  ExtendedKeyUsage: '551d25',
} as const;
/** Those that are heeded, or say nothing that is asked for. */
const KNOWN: ReadonlySet<string> = new Set(Object.values(ExtensionId));

function pathLength(value: Buffer): number | undefined {
  const constraints = new DerReader(new DerReader(value).take(DerTag.Sequence));
  constraints.optional(DerTag.Boolean);
  const length = constraints.optional(DerTag.Integer);
  if (length === undefined) return undefined;
  // More than one byte is more than any path here.
  return length.length === 1 && length[0] < 0x80 ? length[0] : 0x7f;
}

/** The fields of a certificate in DER; undefined if they cannot be read. */
export function readCertificateFields(der: Buffer): CertificateFields | undefined {
  const toBeSigned = new DerReader(new DerReader(der).take(DerTag.Sequence));
  const reader = new DerReader(toBeSigned.take(DerTag.Sequence));
  reader.optional(DerTag.Version);
  reader.take(DerTag.Integer);
  // Signature algorithm, issuer, validity; behind the subject its public key.
  for (let skipped = 0; skipped < 3; skipped++) reader.whole();
  const subject = reader.whole();
  reader.whole();
  while (reader.next !== -1 && reader.next !== DerTag.Extensions) reader.whole();
  const fields = { subject, pathLength: undefined, keyUsage: undefined, unknownCritical: undefined };
  if (toBeSigned.failed || reader.failed) return undefined;
  const extensions = reader.optional(DerTag.Extensions);
  return extensions === undefined ? fields : withExtensions(fields, extensions);
}

function withExtensions(fields: CertificateFields, extensions: Buffer): CertificateFields | undefined {
  const found: { -readonly [Name in keyof CertificateFields]: CertificateFields[Name] } = { ...fields };
  const list = new DerReader(new DerReader(extensions).take(DerTag.Sequence));
  while (list.next !== -1) {
    const extension = new DerReader(list.take(DerTag.Sequence));
    const id = extension.take(DerTag.ObjectIdentifier).toString('hex');
    const isCritical = (extension.optional(DerTag.Boolean)?.[0] ?? 0) !== 0;
    const value = extension.take(DerTag.OctetString);
    if (list.failed || extension.failed) return undefined;
    if (id === ExtensionId.BasicConstraints) found.pathLength = pathLength(value);
    else if (id === ExtensionId.KeyUsage) found.keyUsage = new DerReader(value).take(DerTag.BitString)[1] ?? 0;
    if (isCritical && !KNOWN.has(id)) found.unknownCritical = id;
  }
  return list.failed ? undefined : found;
}
