/**
 * Verifies what clients show: certificates, by a path to a CA, dates, usages, and the common name that is the identity (RFC 5280
 * 6); raw public keys, by whose they are (RFC 7250 6).
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { commonNameOf } from '../common-name.js';
import { type CertificateFields, DIGITAL_SIGNATURE, readCertificateFields } from './certificate-fields.js';
import { Alert, CertificateType } from './protocol.js';
import { parseRawPublicKey } from './raw-public-key.js';
import { quoted, Refusal } from './refusal.js';

/** Whose a raw public key is, a SubjectPublicKeyInfo of the curve P-256 in DER; null if nobody's. Must not block. */
export type PublicKeyFunction = (info: Buffer) => string | null;

/** `ca`, `publicKeys` or both. */
export interface ClientCertificateOptions {
  /** Whose certificates are taken. Each must be a CA's (basicConstraints CA:TRUE). */
  readonly ca?: readonly X509Certificate[] | undefined;
  readonly publicKeys?: PublicKeyFunction | undefined;
  /** Whether a client without certificate and raw public key is refused. Else it has no identity, and its session says so. */
  readonly required: boolean;
  /** Milliseconds since 1970, for the dates. Default: `Date.now`. */
  readonly now?: () => number;
}

/** A certificate or a raw public key that is good. Whether the client has its key, CertificateVerify shows. */
export interface ClientCertificate {
  readonly identity: string;
  readonly publicKey: KeyObject;
}

/** Certificates in a chain, that of the client included. */
const LONGEST_CHAIN = 4;
/** id-kp-clientAuth (RFC 5280 4.2.1.12). */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

interface Parsed {
  readonly x509: X509Certificate;
  readonly fields: CertificateFields;
}

function parse(der: Buffer): Parsed | undefined {
  const x509 = new X509Certificate(der);
  const fields = readCertificateFields(der);
  // The class reads PEM too, and ignores bytes behind the certificate.
  return fields !== undefined && x509.raw.equals(der) ? { x509, fields } : undefined;
}

export class ClientCertificates {
  readonly required: boolean;
  /** The types that can be verified. */
  readonly types: readonly CertificateType[];
  /** The names of the CAs, in DER. */
  readonly authorities: readonly Buffer[];
  readonly #anchors: readonly Parsed[];
  readonly #publicKeys: PublicKeyFunction | undefined;
  readonly #now: () => number;

  /** Throws a TypeError for what is no certificate of a CA, and if there is nothing to verify by. */
  constructor({ ca = [], publicKeys, required, now }: ClientCertificateOptions) {
    this.required = required;
    this.#publicKeys = publicKeys;
    this.#now = now ?? Date.now;
    this.#anchors = ca.map((x509) => {
      const fields = readCertificateFields(x509.raw);
      if (!x509.ca || fields === undefined) throw new TypeError(`not a CA: ${quoted(x509.subject)}`);
      return { x509, fields };
    });
    this.types = [
      ...(ca.length === 0 ? [] : [CertificateType.X509]),
      ...(publicKeys === undefined ? [] : [CertificateType.RawPublicKey]),
    ];
    if (this.types.length === 0) throw new TypeError('client certificates need a CA or public keys');
    this.authorities = this.#anchors.map(({ fields }) => fields.subject);
  }

  /** @param chain in DER, the client's own first, each certified by the one behind it (RFC 5246 7.4.2) */
  verify(chain: readonly Buffer[]): ClientCertificate | Refusal {
    try {
      return this.#verify(chain);
    } catch {
      return new Refusal(Alert.BadCertificate, 'malformed certificate');
    }
  }

  /** @param info what the client has sent in the place of a certificate */
  verifyRawPublicKey(info: Buffer): ClientCertificate | Refusal {
    const publicKey = parseRawPublicKey(info);
    if (publicKey instanceof Refusal) return publicKey;
    try {
      const identity = this.#publicKeys?.(info) ?? null;
      // In words that its line in a file can be made of.
      if (identity === null) {
        return new Refusal(Alert.CertificateUnknown, `unknown raw public key ${quoted(info.toString('base64'))}`);
      }
      return { identity, publicKey };
    } catch {
      return new Refusal(Alert.InternalError, 'the raw public key could not be looked up');
    }
  }

  #verify(chain: readonly Buffer[]): ClientCertificate | Refusal {
    if (chain.length > LONGEST_CHAIN) return new Refusal(Alert.BadCertificate, 'chain too long');
    const path: Parsed[] = [];
    for (const der of chain) {
      const parsed = parse(der);
      if (parsed === undefined) return new Refusal(Alert.BadCertificate, 'malformed certificate');
      if (path.length > 0 && !path[path.length - 1].x509.checkIssued(parsed.x509)) break;
      path.push(parsed);
      const anchors = this.#anchors.filter(({ x509 }) => parsed.x509.checkIssued(x509));
      if (anchors.length > 0) return this.#check(path, anchors);
    }
    return new Refusal(Alert.UnknownCa, `unknown CA ${quoted(path.at(-1)?.x509.issuer)}`);
  }

  /** From the CA down: no key of a stranger is computed with before somebody trusted has signed it. */
  #check(path: readonly Parsed[], anchors: readonly Parsed[]): ClientCertificate | Refusal {
    const top = path[path.length - 1].x509;
    const anchor = anchors.find(({ x509 }) => top.verify(x509.publicKey));
    if (anchor === undefined) return new Refusal(Alert.BadCertificate, 'bad signature of a certificate');
    for (let at = path.length; at >= 0; at--) {
      const certificate = path[at] ?? anchor;
      const signer = path[at + 1] ?? anchor;
      if (at < path.length - 1 && !certificate.x509.verify(signer.x509.publicKey)) {
        return new Refusal(Alert.BadCertificate, 'bad signature of a certificate');
      }
      const refusal = this.#refuse(certificate, at, certificate === anchor);
      if (refusal !== undefined) return refusal;
    }
    return identify(path[0].x509);
  }

  /** @param at how many certificates stand below this one */
  #refuse({ x509, fields }: Parsed, at: number, isAnchor: boolean): Refusal | undefined {
    const { subject } = x509;
    const refuse = (alert: number, words: string): Refusal => new Refusal(alert, `${words} ${quoted(subject)}`);
    const now = this.#now();
    // What is no date is in no order: neither comparison holds.
    if (!(Date.parse(x509.validFrom) <= now)) return refuse(Alert.CertificateExpired, 'certificate not valid yet');
    if (!(now <= Date.parse(x509.validTo))) return refuse(Alert.CertificateExpired, 'certificate expired');
    if (fields.unknownCritical !== undefined) {
      return refuse(Alert.UnsupportedCertificate, `unknown critical extension ${fields.unknownCritical}`);
    }
    // The extended usages: node:crypto calls them so.
    const usages: readonly string[] | undefined = x509.keyUsage;
    if (!isAnchor && usages !== undefined && !usages.includes(CLIENT_AUTH)) {
      return refuse(Alert.UnsupportedCertificate, 'certificate not for clients');
    }
    if (at === 0) {
      return ((fields.keyUsage ?? DIGITAL_SIGNATURE) & DIGITAL_SIGNATURE) === 0
        ? refuse(Alert.UnsupportedCertificate, 'certificate not for signatures')
        : undefined;
    }
    if (!x509.ca) return refuse(Alert.BadCertificate, 'not a CA');
    if (at - 1 > (fields.pathLength ?? at)) return refuse(Alert.BadCertificate, 'path too long for');
    return undefined;
  }
}

/** The common name is the identity, the key is of P-256. */
function identify(x509: X509Certificate): ClientCertificate | Refusal {
  const { publicKey } = x509;
  if (publicKey.asymmetricKeyType !== 'ec' || publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    return new Refusal(Alert.UnsupportedCertificate, `certificate of another kind of key ${quoted(x509.subject)}`);
  }
  const identity = commonNameOf(x509);
  if (identity === undefined) {
    return new Refusal(Alert.BadCertificate, `no common name that could be an identity ${quoted(x509.subject)}`);
  }
  return { identity, publicKey };
}
