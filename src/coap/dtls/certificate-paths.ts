/** A path from a certificate of a peer to a CA: signatures, dates, usages (RFC 5280 6). What it names is the caller's affair. */
import { X509Certificate } from 'node:crypto';
import { type CertificateFields, CRL_SIGN, DIGITAL_SIGNATURE, readCertificateFields } from './certificate-fields.js';
import { Alert } from './protocol.js';
import { quoted, Refusal } from './refusal.js';
import type { RevocationList } from './revocation-list.js';

export interface PathOptions {
  /** Whose certificates are taken. Each must be a CA's (basicConstraints CA:TRUE). */
  readonly ca: readonly X509Certificate[];
  /** If there are any, each CA of a path needs one that is in force (RFC 5280 6.3). Default: none. */
  readonly revoked?: readonly RevocationList[] | undefined;
  /** Milliseconds since 1970, for the dates. Default: `Date.now`. */
  readonly now?: () => number;
}

/** What a certificate is for: an extended key usage (RFC 5280 4.2.1.12), and who has it. */
export interface Purpose {
  readonly usage: string;
  readonly who: string;
}

/** id-kp-serverAuth, id-kp-clientAuth. */
export const FOR_SERVERS: Purpose = { usage: '1.3.6.1.5.5.7.3.1', who: 'servers' };
export const FOR_CLIENTS: Purpose = { usage: '1.3.6.1.5.5.7.3.2', who: 'clients' };

/** Certificates in a chain, that of the peer included. */
const LONGEST_CHAIN = 4;

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

export class CertificatePaths {
  /** The names of the CAs, in DER. */
  readonly authorities: readonly Buffer[];
  readonly #purpose: Purpose;
  readonly #anchors: readonly Parsed[];
  readonly #revoked: readonly RevocationList[];
  readonly #now: () => number;

  /** Throws a TypeError for what is no certificate of a CA. */
  constructor({ ca, revoked, now }: PathOptions, purpose: Purpose) {
    this.#purpose = purpose;
    this.#revoked = revoked ?? [];
    this.#now = now ?? Date.now;
    this.#anchors = ca.map((x509) => {
      const fields = readCertificateFields(x509.raw);
      if (!x509.ca || fields === undefined) throw new TypeError(`not a CA: ${quoted(x509.subject)}`);
      return { x509, fields };
    });
    this.authorities = this.#anchors.map(({ fields }) => fields.subject);
  }

  /**
   * @param chain in DER, the peer's own first, each certified by the one behind it (RFC 5246 7.4.2)
   * @param name makes of the peer's certificate what it says, once all else about it is good
   */
  verify<T>(chain: readonly Buffer[], name: (x509: X509Certificate) => T | Refusal): T | Refusal {
    try {
      const x509 = this.#verify(chain);
      return x509 instanceof Refusal ? x509 : name(x509);
    } catch {
      return new Refusal(Alert.BadCertificate, 'malformed certificate');
    }
  }

  #verify(chain: readonly Buffer[]): X509Certificate | Refusal {
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
  #check(path: readonly Parsed[], anchors: readonly Parsed[]): X509Certificate | Refusal {
    const top = path[path.length - 1].x509;
    const anchor = anchors.find(({ x509 }) => top.verify(x509.publicKey));
    if (anchor === undefined) return new Refusal(Alert.BadCertificate, 'bad signature of a certificate');
    for (let at = path.length; at >= 0; at--) {
      const certificate = path[at] ?? anchor;
      const signer = path[at + 1] ?? anchor;
      if (at < path.length - 1 && !certificate.x509.verify(signer.x509.publicKey)) {
        return new Refusal(Alert.BadCertificate, 'bad signature of a certificate');
      }
      const isAnchor = certificate === anchor;
      const refusal =
        this.#refuse(certificate, at, isAnchor) ?? (isAnchor ? undefined : this.#revoke(certificate, signer));
      if (refusal !== undefined) return refusal;
    }
    return withKeyOfP256(path[0].x509);
  }

  /** RFC 5280 6.3.3. */
  #revoke({ x509 }: Parsed, { x509: signer, fields }: Parsed): Refusal | undefined {
    if (this.#revoked.length === 0) return undefined;
    const maySign = ((fields.keyUsage ?? CRL_SIGN) & CRL_SIGN) !== 0;
    const lists = this.#revoked.filter(
      (list) => maySign && list.issuer.equals(fields.subject) && list.isSignedBy(signer.publicKey),
    );
    const now = this.#now();
    const whose = `list of revoked certificates of ${quoted(signer.subject)}`;
    if (lists.length === 0) return new Refusal(Alert.CertificateUnknown, `no ${whose}`);
    if (lists.some((list) => list.has(x509.serialNumber))) {
      return new Refusal(Alert.CertificateRevoked, `certificate revoked ${quoted(x509.subject)}`);
    }
    const isInForce = lists.some(({ from, until }) => from <= now && now <= until);
    return isInForce ? undefined : new Refusal(Alert.CertificateUnknown, `past its time is the ${whose}`);
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
    if (!isAnchor && usages !== undefined && !usages.includes(this.#purpose.usage)) {
      return refuse(Alert.UnsupportedCertificate, `certificate not for ${this.#purpose.who}`);
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

function withKeyOfP256(x509: X509Certificate): X509Certificate | Refusal {
  const { publicKey } = x509;
  if (publicKey.asymmetricKeyType === 'ec' && publicKey.asymmetricKeyDetails?.namedCurve === 'prime256v1') return x509;
  return new Refusal(Alert.UnsupportedCertificate, `certificate of another kind of key ${quoted(x509.subject)}`);
}
