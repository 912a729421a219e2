/** Who a certificate says that its owner is: the common name of its subject, over DTLS, over TLS and before a proxy. */
import type { X509Certificate } from 'node:crypto';

/** Bytes of the longest common name that is an identity, as of PSK identities. */
const LONGEST_NAME = 128;

/** The one common name, 1 to 128 bytes without control characters; undefined if there is none like that. */
export function commonNameOf(x509: X509Certificate): string | undefined {
  const { subject } = x509.toLegacyObject();
  // With several it is an array; a certificate may have no subject.
  const name: unknown = subject?.CN;
  return typeof name === 'string' && isIdentity(name) ? name : undefined;
}

/** Whether a common name can say who somebody is. */
export function isIdentity(name: string): boolean {
  return name !== '' && !/\p{Cc}/u.test(name) && Buffer.byteLength(name) <= LONGEST_NAME;
}
