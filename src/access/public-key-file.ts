/**
 * Files of the raw public keys of CoAP devices (RFC 7250): one `user:key` a line, the key as its SubjectPublicKeyInfo, of the curve
 * P-256, in base64. Blank lines and lines that begin with `#` are comments.
 */
import { parseRawPublicKey } from '../coap/dtls/raw-public-key.js';
import { Refusal } from '../coap/dtls/refusal.js';
import { decodeBase64, readUserFile } from './security-file.js';

/** Bytes of the longest name, as of identities of other kinds. */
const MOST_NAME = 128;

/** Whose each key is, by its SubjectPublicKeyInfo in base64. */
export type PublicKeyUsers = ReadonlyMap<string, string>;

/**
 * Reads a file of public keys.
 * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
 */
export async function readPublicKeyFile(file: string): Promise<PublicKeyUsers> {
  const seen = new Set<string>();
  const keys = await readUserFile<Buffer>(file, {
    kind: 'file of public keys',
    line: 'user:key',
    badName: `the name has more than ${MOST_NAME} bytes or a control character`,
    prepare: (name) => (Buffer.byteLength(name) > MOST_NAME || /\p{Cc}/u.test(name) ? null : name),
    parse: (text) => {
      // Whoever shows it could be either.
      if (seen.has(text)) return 'the key is already that of another line';
      seen.add(text);
      return parsePublicKey(text);
    },
  });
  return new Map([...keys].map(([user, key]) => [key.toString('base64'), user]));
}

/** The SubjectPublicKeyInfo, or what is wrong with it. */
export function parsePublicKey(text: string): Buffer | string {
  if (text === '') return 'the key is missing';
  const key = decodeBase64(text);
  if (key === null) return 'the key is not in base64';
  return parseRawPublicKey(key) instanceof Refusal
    ? 'the key is not the SubjectPublicKeyInfo of a public key of the curve P-256 (prime256v1) with an uncompressed point'
    : key;
}
