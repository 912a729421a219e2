/** Keys and certificates as they are given to a transport, and what its handshakes make of them. */
import { type ClientCertificateOptions, ClientCertificates } from './client-certificates.js';
import type { DtlsCounters } from './counters.js';
import type { HandshakeMaterial } from './handshake-host.js';
import { HINT_BYTES } from './limits.js';
import { type PskFunction, PskLookup } from './psk.js';
import { ServerCertificate, type ServerCertificateOptions } from './server-certificate.js';

/** `psk`, `certificate` or both. The order of the cipher suites decides for a client that offers both: `CIPHER_SUITES`. */
export interface DtlsCredentials {
  readonly psk?: PskFunction | undefined;
  readonly certificate?: ServerCertificateOptions | undefined;
  /** Asks clients for certificates or raw public keys, in handshakes with those of the server. Default: none is asked for. */
  readonly clientCertificates?: ClientCertificateOptions | undefined;
  /** Told to each client before it names its identity (RFC 4279 5.2); at most 128 bytes of UTF-8. Default: none. */
  readonly identityHint?: string;
}

/**
 * What handshakes need. Throws a RangeError for an identity hint that is too long, a TypeError for certificates and keys
 * that cannot serve, and without `psk` and `certificate`.
 * @param identityBytes of the longest identity that is looked up
 * @param onLimit told of a longer one
 */
export function materialOf(
  { psk, certificate, clientCertificates, identityHint }: DtlsCredentials,
  counters: DtlsCounters,
  identityBytes: number,
  onLimit: () => void,
): HandshakeMaterial {
  const hint = identityHint === undefined ? undefined : Buffer.from(identityHint);
  if (hint !== undefined && hint.length > HINT_BYTES) throw new RangeError('identityHint is too long');
  if (certificate === undefined && (psk === undefined || clientCertificates !== undefined)) {
    throw new TypeError(psk === undefined ? 'psk or certificate is needed' : 'clientCertificates need certificate');
  }
  return {
    psk: psk && new PskLookup(psk, counters, identityBytes, onLimit),
    certificate: certificate && new ServerCertificate(certificate),
    clientCertificates: clientCertificates && new ClientCertificates(clientCertificates),
    identityHint: hint,
  };
}
