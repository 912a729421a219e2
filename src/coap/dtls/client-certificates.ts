/**
 * Verifies what clients show: certificates, by a path to a CA and the common name that is the identity; raw public keys, by
 * whose they are (RFC 7250 6).
 */
import type { KeyObject, X509Certificate } from 'node:crypto';
import { commonNameOf } from '../common-name.js';
import { CertificatePaths, FOR_CLIENTS, type PathOptions } from './certificate-paths.js';
import { Alert, CertificateType } from './protocol.js';
import { parseRawPublicKey } from './raw-public-key.js';
import { quoted, Refusal } from './refusal.js';

/** Whose a raw public key is, a SubjectPublicKeyInfo of the curve P-256 in DER; null if nobody's. Must not block. */
export type PublicKeyFunction = (info: Buffer) => string | null;

/** `ca`, `publicKeys` or both. */
export interface ClientCertificateOptions extends Omit<PathOptions, 'ca'> {
  /** Whose certificates are taken. Each must be a CA's (basicConstraints CA:TRUE). */
  readonly ca?: readonly X509Certificate[] | undefined;
  readonly publicKeys?: PublicKeyFunction | undefined;
  /** Whether a client without certificate and raw public key is refused. Else it has no identity, and its session says so. */
  readonly required: boolean;
}

/** A certificate or a raw public key that is good. Whether the client has its key, CertificateVerify shows. */
export interface ClientCertificate {
  readonly identity: string;
  readonly publicKey: KeyObject;
}

export class ClientCertificates {
  readonly required: boolean;
  /** The types that can be verified. */
  readonly types: readonly CertificateType[];
  readonly #paths: CertificatePaths;
  readonly #publicKeys: PublicKeyFunction | undefined;

  /** Throws a TypeError for what is no certificate of a CA, and if there is nothing to verify by. */
  constructor({ ca = [], publicKeys, required, ...options }: ClientCertificateOptions) {
    this.required = required;
    this.#publicKeys = publicKeys;
    this.#paths = new CertificatePaths({ ca, ...options }, FOR_CLIENTS);
    this.types = [
      ...(ca.length === 0 ? [] : [CertificateType.X509]),
      ...(publicKeys === undefined ? [] : [CertificateType.RawPublicKey]),
    ];
    if (this.types.length === 0) throw new TypeError('client certificates need a CA or public keys');
  }

  /** The names of the CAs, in DER. */
  get authorities(): readonly Buffer[] {
    return this.#paths.authorities;
  }

  /** @param chain in DER, the client's own first, each certified by the one behind it (RFC 5246 7.4.2) */
  verify(chain: readonly Buffer[]): ClientCertificate | Refusal {
    return this.#paths.verify(chain, identify);
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
}

/** The common name is the identity. */
function identify(x509: X509Certificate): ClientCertificate | Refusal {
  const identity = commonNameOf(x509);
  if (identity !== undefined) return { identity, publicKey: x509.publicKey };
  return new Refusal(Alert.BadCertificate, `no common name that could be an identity ${quoted(x509.subject)}`);
}
