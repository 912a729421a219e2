/** Raw public keys (RFC 7250 3): a SubjectPublicKeyInfo in DER, of the curve P-256 and no other (RFC 7252 9.1.3.2). */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { DerReader, DerTag } from './der.js';
import { Alert } from './protocol.js';
import { Refusal } from './refusal.js';

/** What stands in front of the coordinates: ecPublicKey, secp256r1, and an uncompressed point (RFC 5480 2). */
const HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
const COORDINATE_BYTES = 32;
/** Each key has one form only, so bytes can be compared. */
export const RAW_PUBLIC_KEY_BYTES = HEAD.length + 2 * COORDINATE_BYTES;

const MALFORMED = new Refusal(Alert.BadCertificate, 'malformed raw public key');
const UNSUPPORTED = new Refusal(
  Alert.UnsupportedCertificate,
  'raw public key that is no uncompressed point of the curve P-256',
);

/** The key, or why it is none that is taken. */
export function parseRawPublicKey(info: Buffer): KeyObject | Refusal {
  if (info.length !== RAW_PUBLIC_KEY_BYTES || !info.subarray(0, HEAD.length).equals(HEAD)) {
    return isPublicKeyInfo(info) ? UNSUPPORTED : MALFORMED;
  }
  try {
    return createPublicKey({ key: info, format: 'der', type: 'spki' });
  } catch {
    // Off the curve.
    return MALFORMED;
  }
}

/** Whether it is the public key of any kind: an algorithm and a bit string, and nothing behind them. */
function isPublicKeyInfo(info: Buffer): boolean {
  const reader = new DerReader(info);
  const fields = new DerReader(reader.take(DerTag.Sequence));
  fields.take(DerTag.Sequence);
  fields.take(DerTag.BitString);
  return !reader.failed && !fields.failed && reader.next === -1 && fields.next === -1;
}

/** The public key of a private one of the curve P-256. Whatever its own file looked like, it has the one form. */
export function rawPublicKeyOf(key: KeyObject): Buffer {
  const { x = '', y = '' } = createPublicKey(key).export({ format: 'jwk' });
  return Buffer.concat([HEAD, Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
}
