/** The server's certificate and key (RFC 7252 9.1.3.3). */
import { type KeyObject, sign, X509Certificate } from 'node:crypto';
import { certificateMessage } from './certificate-messages.js';

export interface ServerCertificateOptions {
  /** In DER, the server's own first, each certified by the one behind it; the CA's own may be left out. */
  readonly chain: readonly Buffer[];
  /** The private key, of the curve P-256. */
  readonly key: KeyObject;
}

export class ServerCertificate {
  /** The body of Certificate. */
  readonly message: Buffer;
  readonly #key: KeyObject;

  /** Throws a TypeError if the key is of another kind or another certificate's, or the chain has what is no certificate. */
  constructor({ chain, key }: ServerCertificateOptions) {
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
    if (key.type !== 'private' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
      throw new TypeError('the key is not a private key of the curve P-256');
    }
    if (!own.checkPrivateKey(key)) throw new TypeError('the key is not that of the certificate');
    this.message = certificateMessage(chain);
    this.#key = key;
  }

  /** ecdsa_secp256r1_sha256. */
  sign(bytes: Buffer): Buffer {
    return sign('sha256', bytes, this.#key);
  }
}
