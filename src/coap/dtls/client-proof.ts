/** How a client that is asked for a certificate shows who it is: Certificate, and CertificateVerify (RFC 5246 7.4.6, 7.4.8). */
import type { DtlsSession } from './association.js';
import { parseCertificateMessage, parseCertificateVerify, parseRawPublicKeyMessage } from './certificate-messages.js';
import type { ClientCertificate, ClientCertificates } from './client-certificates.js';
import { Alert, CertificateType, SignatureScheme } from './protocol.js';
import { Refusal } from './refusal.js';
import type { Transcript } from './transcript.js';

const MALFORMED = new Refusal(Alert.DecodeError, 'malformed Certificate');

export class ClientProof {
  /** What Certificate has to hold. */
  readonly type: CertificateType;
  readonly #clients: ClientCertificates;
  readonly #transcript: Transcript;
  #certificate: ClientCertificate | undefined;

  constructor(clients: ClientCertificates, type: CertificateType, transcript: Transcript) {
    this.#clients = clients;
    this.type = type;
    this.#transcript = transcript;
  }

  /** The name, once there is a certificate or a key. It is the client's only if CertificateVerify shows that it has the key. */
  get identity(): string | undefined {
    return this.#certificate?.identity;
  }

  /** What shows that identity. */
  get proof(): DtlsSession['proof'] {
    if (this.#certificate === undefined) return 'none';
    return this.type === CertificateType.RawPublicKey ? 'public-key' : 'certificate';
  }

  /** Certificate. One without a certificate or key is taken if none is required; nothing is signed then. */
  receiveCertificate(body: Buffer): Refusal | undefined {
    const verified = this.type === CertificateType.X509 ? this.#verifyChain(body) : this.#verifyRawPublicKey(body);
    if (verified instanceof Refusal) return verified;
    if (verified === undefined) {
      this.#transcript.forgetSignature();
      const what = this.type === CertificateType.X509 ? 'client certificate' : 'raw public key of the client';
      return this.#clients.required ? new Refusal(Alert.HandshakeFailure, `no ${what}`) : undefined;
    }
    this.#certificate = verified;
    return undefined;
  }

  /** Undefined: the client has none. */
  #verifyChain(body: Buffer): ClientCertificate | Refusal | undefined {
    const chain = parseCertificateMessage(body);
    if (chain === undefined) return MALFORMED;
    return chain.length === 0 ? undefined : this.#clients.verify(chain);
  }

  #verifyRawPublicKey(body: Buffer): ClientCertificate | Refusal | undefined {
    const info = parseRawPublicKeyMessage(body);
    if (info === undefined) return MALFORMED;
    return info.length === 0 ? undefined : this.#clients.verifyRawPublicKey(info);
  }

  /** CertificateVerify, which is not in the transcript yet. */
  receiveVerify(body: Buffer): Refusal | undefined {
    const verify = parseCertificateVerify(body);
    if (verify === undefined) return new Refusal(Alert.DecodeError, 'malformed CertificateVerify');
    if (verify.scheme !== SignatureScheme.EcdsaSha256) {
      return new Refusal(Alert.IllegalParameter, `signature scheme 0x${verify.scheme.toString(16)}`);
    }
    const { identity, publicKey } = this.#certificate!;
    if (this.#transcript.isSigned(publicKey, verify.signature)) return undefined;
    const what = this.type === CertificateType.X509 ? 'certificate' : 'raw public key';
    return new Refusal(Alert.DecryptError, `bad signature, ${what} of ${JSON.stringify(identity)}`);
  }
}
