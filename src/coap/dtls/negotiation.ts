/** Chooses the cipher suite and the group from what the client offers and the server has. */
import { CIPHER_SUITES, type CipherSuite } from './cipher.js';
import type { ClientHello } from './client-hello.js';
import { Group } from './groups.js';
import { Alert, SignatureScheme, UNCOMPRESSED_POINTS } from './protocol.js';
import { Refusal } from './refusal.js';

export interface Choice {
  readonly suite: CipherSuite;
  /** For the suites that agree on a key by it. */
  readonly group: Group;
}

/** The order of suites is the server's; that of groups the client's, which knows what is cheap for it. */
export function negotiate(hello: ClientHello, has: { psk: boolean; certificate: boolean }): Choice | Refusal {
  const { cipherSuites, groups, pointFormats, signatureSchemes } = hello;
  // RFC 8422 5.1.2.
  if (pointFormats !== undefined && !pointFormats.includes(UNCOMPRESSED_POINTS)) {
    return new Refusal(Alert.IllegalParameter, 'no uncompressed points');
  }
  // The certificate's key is on secp256r1, so the client must know that too (RFC 8422 5.1). Who names no groups knows any.
  const knowsCurve = groups === undefined || groups.includes(Group.Secp256r1);
  // Without the extension it would be SHA-1 (RFC 5246 7.4.1.4.1).
  const knowsScheme = signatureSchemes?.includes(SignatureScheme.EcdsaSha256) === true;
  const mayCertify = has.certificate && knowsCurve && knowsScheme;
  const suite = CIPHER_SUITES.find(
    ({ code, keyExchange }) => (keyExchange === 'psk' ? has.psk : mayCertify) && cipherSuites.includes(code),
  );
  if (suite === undefined) return new Refusal(Alert.HandshakeFailure, 'no common cipher suite');
  const group = groups?.find((code): code is Group => code === Group.Secp256r1 || code === Group.X25519);
  return { suite, group: group ?? Group.Secp256r1 };
}
