/** What `aead.c` exports, where it was built: with a C compiler and the headers of Node.js. */
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';

export const AeadCipher = { Ccm: 0, Gcm: 1 } as const;

export interface Aead {
  /**
   * Writes ciphertext and tag of `input` to `output`, which has room for them.
   * @param tag bytes of the tag, 8 to 16
   * @throws Error if a length is wrong
   */
  seal(
    cipher: number,
    key: Buffer,
    nonce: Buffer,
    additional: Buffer,
    input: Buffer,
    output: Buffer,
    tag: number,
  ): void;
  /** Writes the plaintext of ciphertext and tag to `output`; whether they are authentic. */
  open(
    cipher: number,
    key: Buffer,
    nonce: Buffer,
    additional: Buffer,
    input: Buffer,
    output: Buffer,
    tag: number,
  ): boolean;
}

function load(): Aead | null {
  try {
    return createRequire(import.meta.url)('./aead.node') as Aead;
  } catch {
    // It was not built, or for another machine.
    return null;
  }
}

/** Null where there is none, and node:crypto has to do; its context is that of one thread. */
export const AEAD: Aead | null = isMainThread ? load() : null;
