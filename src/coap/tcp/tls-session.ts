/** What a client of TLS has shown of itself once its handshake is done. */
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket, TlsOptions } from 'node:tls';
import { commonNameOf } from '../common-name.js';

/** What the CoAP side knows about a remote behind TLS: the `session` of its address. */
export interface TlsSession {
  /** The common name of the client's certificate, authentic; undefined if it has shown none. */
  readonly identity: string | undefined;
  /** What shows the identity; 'none': the client has verified the server, but nobody the client. */
  readonly proof: 'certificate' | 'none';
  readonly cipherSuite: string;
}

/** Certificates of the server, PEM, and whose certificates of clients it takes. */
export interface TlsCertificates {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Undefined: no client is asked for a certificate. */
  readonly clients?: {
    /** CAs, PEM, up to those that have signed themselves. */
    readonly ca: readonly string[];
    /** Lists of their revoked certificates, PEM: one of each CA, or none at all. */
    readonly crl?: readonly string[] | undefined;
    /** Whether a client without a certificate is refused. */
    readonly required: boolean;
  };
}

/** The options of `node:tls`. It verifies certificates and goes on in any case: `sessionOf` has the last word. */
export function tlsOptions({ cert, key, clients }: TlsCertificates): TlsOptions {
  const crl = clients?.crl === undefined ? null : { crl: [...clients.crl] };
  const asked = clients && { ca: [...clients.ca], ...crl, requestCert: true, rejectUnauthorized: false };
  return { cert, key, ALPNProtocols: ['coap'], ...asked };
}

/** The session of a client, or why it is refused: a certificate that is sent has to be good, also where none is required. */
export function sessionOf(socket: TLSSocket, { clients }: TlsCertificates): TlsSession | string {
  const cipherSuite = socket.getCipher().standardName;
  const x509 = clients === undefined ? undefined : socket.getPeerX509Certificate();
  if (x509 === undefined) {
    return clients?.required === true ? 'no client certificate' : { identity: undefined, proof: 'none', cipherSuite };
  }
  if (!socket.authorized) return certificateRefusal(socket, x509);
  const identity = commonNameOf(x509);
  if (identity === undefined) return nameRefusal(x509);
  return { identity, proof: 'certificate', cipherSuite };
}

/** Why a certificate is not good. */
export function certificateRefusal(socket: TLSSocket, x509: X509Certificate): string {
  return `client certificate refused: ${reasonOf(socket)}, ${subjectOf(x509)}`;
}

/** Why a certificate that is good says nothing of its owner. */
export function nameRefusal(x509: X509Certificate): string {
  return `no common name that could be an identity ${subjectOf(x509)}`;
}

/** As it may stand in a log. A certificate without a subject has none here, whatever the declarations say. */
function subjectOf({ subject }: { readonly subject: string | undefined }): string {
  return JSON.stringify((subject ?? '').slice(0, 128));
}

/** OpenSSL's name of the reason, as words: CERT_HAS_EXPIRED. */
function reasonOf({ authorizationError }: TLSSocket): string {
  return String(authorizationError).toLowerCase().replaceAll('_', ' ');
}
