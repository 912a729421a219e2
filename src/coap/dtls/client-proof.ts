/** How a client that is asked for a certificate shows who it is: Certificate, and CertificateVerify (RFC 5246 7.4.6, 7.4.8). */
import { parseCertificateMessage, parseCertificateVerify } from './certificate-messages.js';
import type { ClientCertificate, ClientCertificates } from './client-certificates.js';
import { Alert, SignatureScheme } from './protocol.js';
import { Refusal } from './refusal.js';
import type { Transcript } from './transcript.js';

export class ClientProof {
  readonly #clients: ClientCertificates;
  readonly #transcript: Transcript;
  #certificate: ClientCertificate | undefined;

  constructor(clients: ClientCertificates, transcript: Transcript) {
    this.#clients = clients;
    this.#transcript = transcript;
  }

  /** The common name, once there is a certificate. It is the client's only if CertificateVerify shows that it has the key. */
  get identity(): string | undefined {
    return this.#certificate?.identity;
  }

  /** Certificate. One without certificates is taken if none is required; nothing is signed then. */
  receiveCertificate(body: Buffer): Refusal | undefined {
    const chain = parseCertificateMessage(body);
    if (chain === undefined) return new Refusal(Alert.DecodeError, 'malformed Certificate');
    if (chain.length === 0) {
      this.#transcript.forgetSignature();
      return this.#clients.required ? new Refusal(Alert.HandshakeFailure, 'no client certificate') : undefined;
    }
    const verified = this.#clients.verify(chain);
    if (verified instanceof Refusal) return verified;
    this.#certificate = verified;
    return undefined;
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
    return new Refusal(Alert.DecryptError, `bad signature, certificate of ${JSON.stringify(identity)}`);
  }
}
