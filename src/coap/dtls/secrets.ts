/** From a premaster secret to the keys of an association. */
import { type CipherSuite, KEY_BYTES, Protection, SALT_BYTES } from './cipher.js';
import { extendedMasterSecret, keyBlock, masterSecret } from './prf.js';

/** What a handshake goes on with. */
export interface Secrets {
  /** For Finished; to be zeroed after it. */
  readonly master: Buffer;
  /** As the server has them: it reads what the client writes. */
  readonly read: Protection;
  readonly write: Protection;
}

/** @param premaster is left as it is; @param sessionHash for the extended master secret; undefined for the one of RFC 5246 */
export function deriveKeys(
  suite: CipherSuite,
  premaster: Buffer,
  clientRandom: Buffer,
  serverRandom: Buffer,
  sessionHash: Buffer | undefined,
): Secrets {
  const master =
    sessionHash === undefined
      ? masterSecret(premaster, clientRandom, serverRandom)
      : extendedMasterSecret(premaster, sessionHash);
  // The client's key, the server's key, the client's salt, the server's salt (RFC 5246 6.3); AEAD has no MAC keys.
  const block = keyBlock(master, clientRandom, serverRandom, 2 * (KEY_BYTES + SALT_BYTES));
  const salts = 2 * KEY_BYTES;
  const read = new Protection(suite, block.subarray(0, KEY_BYTES), block.subarray(salts, salts + SALT_BYTES));
  const write = new Protection(suite, block.subarray(KEY_BYTES, salts), block.subarray(salts + SALT_BYTES));
  block.fill(0);
  return { master, read, write };
}
