/** Why a handshake of TLS has failed, in words. */

/** What OpenSSL and Node.js tell. */
export interface HandshakeError extends NodeJS.ErrnoException {
  /** OpenSSL's words, without the place in its sources. */
  readonly reason?: string;
}

/** By OpenSSL's words. What begins with `alert` there was said by the client. */
const WORDS: Readonly<Record<string, string>> = {
  'unsupported protocol': 'the client speaks no version of TLS that the listener does',
  'no protocols available': 'the client speaks no version of TLS that the listener does',
  'wrong version number': 'what came is no TLS',
  'unknown protocol': 'what came is no TLS',
  'http request': 'what came is HTTP, not TLS',
  'https proxy request': 'what came is HTTP, not TLS',
  'no shared cipher': 'the client has no cipher suite that the listener has',
  'no suitable signature algorithm': 'the client takes no signature that the certificate of the listener can give',
  'no application protocol': 'the client speaks no protocol that the listener does (ALPN)',
  'tlsv1 alert unknown ca': 'the client does not know the CA of the listener’s certificate',
  'sslv3 alert bad certificate': 'the client refuses the listener’s certificate',
  'sslv3 alert certificate unknown': 'the client refuses the listener’s certificate',
  'sslv3 alert certificate expired': 'to the client the listener’s certificate has expired',
  'sslv3 alert certificate revoked': 'to the client the listener’s certificate is revoked',
  'sslv3 alert handshake failure': 'the client has found nothing in common with the listener',
  'tlsv1 alert protocol version': 'the client speaks no version of TLS that the listener does',
  'tlsv1 alert user cancelled': 'the client gave up',
};

/** What OpenSSL says of a client without a key where there is no certificate. */
const WITHOUT_KEY: readonly string[] = ['no shared cipher', 'no suitable signature algorithm'];

/**
 * The reason of a failure, for a sentence.
 * @param keys whether the listener takes pre-shared keys alone
 */
export function reasonOf({ reason, code, message }: HandshakeError, keys: boolean): string {
  if (keys && WITHOUT_KEY.includes(reason ?? '')) {
    return 'the client shows no pre-shared key, or has no cipher suite that the listener has';
  }
  if (reason !== undefined) return WORDS[reason] ?? reason;
  return code === 'ECONNRESET' ? BROKEN_OFF : message;
}

/** The client has left before the handshake was done. */
export const BROKEN_OFF = 'the client closed the connection before the handshake was done';
