/** Chooses the cipher suite, the group and the types of certificates from what the client offers and the server has. */
import { CIPHER_SUITES, type CipherSuite } from './cipher.js';
import type { ClientHello } from './client-hello.js';
import { Group } from './groups.js';
import { Alert, CertificateType, SignatureScheme, UNCOMPRESSED_POINTS } from './protocol.js';
import { Refusal } from './refusal.js';

/** What the server has. */
export interface Means {
  readonly psk: boolean;
  /** The types of certificates that it can show. */
  readonly serverTypes: readonly CertificateType[];
  /** The types of certificates that it can verify, and whether a client must show one; undefined: it asks for none. */
  readonly clients: { readonly types: readonly CertificateType[]; readonly required: boolean } | undefined;
}

export interface Choice {
  readonly suite: CipherSuite;
  /** For the suites that agree on a key by it. */
  readonly group: Group;
  /** What the server shows; undefined with a pre-shared key. */
  readonly serverType: CertificateType | undefined;
  /** What the client is asked for; undefined if for nothing. */
  readonly clientType: CertificateType | undefined;
}

/** The first type of the client's list, which begins with what it prefers, that the server knows (RFC 7250 4.1, 4.2). */
function commonType(theirs: Buffer | undefined, ours: readonly CertificateType[]): CertificateType | undefined {
  if (theirs === undefined) return ours.find((type) => type === CertificateType.X509);
  for (const code of theirs) {
    const type = ours.find((own) => own === code);
    if (type !== undefined) return type;
  }
  return undefined;
}

/** RFC 7250 4.2. Who has not said anything of types does not know the alert either. */
function noCommonType(theirs: Buffer | undefined, whose: string): Refusal {
  const alert = theirs === undefined ? Alert.HandshakeFailure : Alert.UnsupportedCertificate;
  return new Refusal(alert, `no common type of ${whose} certificates`);
}

/** The order of suites is the server's; those of groups and types the client's, which knows what is cheap for it. */
export function negotiate(hello: ClientHello, { psk, serverTypes, clients }: Means): Choice | Refusal {
  const { cipherSuites, groups, pointFormats, signatureSchemes } = hello;
  // RFC 8422 5.1.2.
  if (pointFormats !== undefined && !pointFormats.includes(UNCOMPRESSED_POINTS)) {
    return new Refusal(Alert.IllegalParameter, 'no uncompressed points');
  }
  // The certificate's key is on secp256r1, so the client must know that too (RFC 8422 5.1). Who names no groups knows any.
  const knowsCurve = groups === undefined || groups.includes(Group.Secp256r1);
  // Without the extension it would be SHA-1 (RFC 5246 7.4.1.4.1).
  const knowsScheme = signatureSchemes?.includes(SignatureScheme.EcdsaSha256) === true;
  const mayCertify = serverTypes.length > 0 && knowsCurve && knowsScheme;
  const serverType = commonType(hello.serverCertificateTypes, serverTypes);
  const suite = CIPHER_SUITES.find(
    ({ code, keyExchange }) => (keyExchange === 'psk' ? psk : mayCertify) && cipherSuites.includes(code),
  );
  if (suite === undefined) return new Refusal(Alert.HandshakeFailure, 'no common cipher suite');
  const isCertified = suite.keyExchange !== 'psk';
  if (isCertified && serverType === undefined) return noCommonType(hello.serverCertificateTypes, 'server');
  const asked = isCertified ? clients : undefined;
  const clientType = asked && commonType(hello.clientCertificateTypes, asked.types);
  if (asked?.required && clientType === undefined) return noCommonType(hello.clientCertificateTypes, 'client');
  const group = groups?.find((code): code is Group => code === Group.Secp256r1 || code === Group.X25519);
  return {
    suite,
    group: group ?? Group.Secp256r1,
    serverType: isCertified ? serverType : undefined,
    clientType,
  };
}
