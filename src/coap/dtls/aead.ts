/** What seals and opens records: `aead.c` where it was built, else node:crypto. */
import { loadNative } from '../native.js';
import { NODE_AEAD } from './node-aead.js';

/** With AES-128. */
export const AeadCipher = { Ccm: 0, Gcm: 1 } as const;

/**
 * Turns `input` into `output`, which has just the room for it.
 * @param key 16 bytes
 * @param nonce 12 bytes
 * @param tag bytes of the authentication tag, 8 to 16
 * @throws Error if a length is wrong
 */
type Transformation<Result> = (
  cipher: number,
  key: Buffer,
  nonce: Buffer,
  additional: Buffer,
  input: Buffer,
  output: Buffer,
  tag: number,
) => Result;

export interface Aead {
  /** A plaintext into ciphertext and tag. */
  readonly seal: Transformation<void>;
  /** Ciphertext and tag into the plaintext, if they are authentic; whether they are. */
  readonly open: Transformation<boolean>;
}

export const AEAD: Aead = loadNative<Aead>(new URL('./aead.node', import.meta.url)) ?? NODE_AEAD;
