/** The server's key, and what it shows it with: a certificate, or the public key alone (RFC 7252 9.1.3.2, 9.1.3.3). */
import { type KeyObject, sign, X509Certificate } from 'node:crypto';
import { certificateMessage, rawPublicKeyMessage } from './certificate-messages.js';
import { CertificateType } from './protocol.js';
import { rawPublicKeyOf } from './raw-public-key.js';

export interface ServerCertificateOptions {
  /**
   * In DER, the server's own first, each certified by the one behind it; the CA's own may be left out. Undefined: only clients
   * that take raw public keys are served.
   */
  readonly chain?: readonly Buffer[] | undefined;
  /** The private key, of the curve P-256. */
  readonly key: KeyObject;
}

/** The server's own certificate. */
function firstOf(chain: readonly Buffer[]): X509Certificate {
  if (chain.length === 0) throw new TypeError('the certificate chain is empty');
  const [own] = chain.map((der) => {
    try {
      const x509 = new X509Certificate(der);
      if (x509.raw.equals(der)) return x509;
    } catch {
      // Told below.
    }
    throw new TypeError('the certificate chain has what is no certificate in DER');
  });
  return own;
}

export class ServerCertificate {
  /** The body of Certificate, by its type. */
  readonly messages: ReadonlyMap<CertificateType, Buffer>;
  /** The types that it has. */
  readonly types: readonly CertificateType[];
  readonly #key: KeyObject;

  /** Throws a TypeError if the key is of another kind or another certificate's, or the chain has what is no certificate. */
  constructor({ chain, key }: ServerCertificateOptions) {
    const own = chain && firstOf(chain);
    if (key.type !== 'private' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
      throw new TypeError('the key is not a private key of the curve P-256');
    }
    if (own?.checkPrivateKey(key) === false) throw new TypeError('the key is not that of the certificate');
    this.messages = new Map([
      ...(chain === undefined ? [] : [[CertificateType.X509, certificateMessage(chain)] as const]),
      [CertificateType.RawPublicKey, rawPublicKeyMessage(rawPublicKeyOf(key))] as const,
    ]);
    this.types = [...this.messages.keys()];
    this.#key = key;
  }

  /** ecdsa_secp256r1_sha256. */
  sign(bytes: Buffer): Buffer {
    return sign('sha256', bytes, this.#key);
  }
}
