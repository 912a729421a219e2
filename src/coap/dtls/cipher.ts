/** The cipher suites, and one direction of a protected association: AEAD as RFC 5246 6.2.3.3, RFC 6655 3, RFC 7251 2 and RFC 5288 3 have it. */
import { AEAD, type Aead, AeadCipher } from './aead.js';
import { ownCopy } from './fields.js';

export interface CipherSuite {
  readonly code: number;
  readonly name: string;
  readonly keyExchange: 'psk' | 'ecdhe-ecdsa';
  readonly algorithm: 'aes-128-ccm' | 'aes-128-gcm';
  /** Bytes of the authentication tag. */
  readonly tag: number;
}

/**
 * In the order of preference. RFC 7252 makes the first of each kind mandatory (9.1.3.1, 9.1.3.3). Pre-shared keys come first:
 * who offers them has one, while the suites with certificates are in every client's list, also of one that knows no CA.
 */
export const CIPHER_SUITES: readonly CipherSuite[] = [
  { code: 0xc0a8, name: 'TLS_PSK_WITH_AES_128_CCM_8', keyExchange: 'psk', algorithm: 'aes-128-ccm', tag: 8 },
  { code: 0xc0a4, name: 'TLS_PSK_WITH_AES_128_CCM', keyExchange: 'psk', algorithm: 'aes-128-ccm', tag: 16 },
  { code: 0x00a8, name: 'TLS_PSK_WITH_AES_128_GCM_SHA256', keyExchange: 'psk', algorithm: 'aes-128-gcm', tag: 16 },
  {
    code: 0xc0ae,
    name: 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8',
    keyExchange: 'ecdhe-ecdsa',
    algorithm: 'aes-128-ccm',
    tag: 8,
  },
  {
    code: 0xc0ac,
    name: 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM',
    keyExchange: 'ecdhe-ecdsa',
    algorithm: 'aes-128-ccm',
    tag: 16,
  },
  {
    code: 0xc02b,
    name: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    keyExchange: 'ecdhe-ecdsa',
    algorithm: 'aes-128-gcm',
    tag: 16,
  },
];

export const KEY_BYTES = 16;
/** The implicit part of the nonce. */
export const SALT_BYTES = 4;
/** The explicit part of the nonce, in front of each ciphertext. */
export const EXPLICIT_NONCE_BYTES = 8;
const NONCE_BYTES = SALT_BYTES + EXPLICIT_NONCE_BYTES;

/** The key of one direction. */
export class Protection {
  readonly suite: CipherSuite;
  /** Bytes that a ciphertext is longer than its plaintext. */
  readonly expansion: number;
  readonly #key: Buffer;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  readonly #aead: Aead;
  readonly #cipher: number;

  /** Takes copies of key and salt. */
  constructor(suite: CipherSuite, key: Buffer, salt: Buffer, aead = AEAD) {
    this.suite = suite;
    this.#aead = aead;
    this.#cipher = suite.algorithm === 'aes-128-ccm' ? AeadCipher.Ccm : AeadCipher.Gcm;
    this.expansion = EXPLICIT_NONCE_BYTES + suite.tag;
    this.#key = ownCopy(key);
    salt.copy(this.#nonce);
  }

  /**
   * Writes explicit nonce, ciphertext and tag of `plaintext` to `output` at `at`, which has room for them and does not overlap
   * `plaintext`; returns the end.
   * @param explicit 8 bytes that are never used twice with this key: epoch and sequence number
   */
  seal(plaintext: Buffer, explicit: Buffer, additional: Buffer, output: Buffer, at: number): number {
    const nonce = this.#nonce;
    explicit.copy(nonce, SALT_BYTES, 0, EXPLICIT_NONCE_BYTES);
    const start = at + explicit.copy(output, at, 0, EXPLICIT_NONCE_BYTES);
    const { tag } = this.suite;
    const end = start + plaintext.length + tag;
    this.#aead.seal(this.#cipher, this.#key, nonce, additional, plaintext, output.subarray(start, end), tag);
    return end;
  }

  /** The plaintext of explicit nonce, ciphertext and tag; undefined if they are not authentic, or too short. */
  open(sealed: Buffer, additional: Buffer): Buffer | undefined {
    const plaintextLength = sealed.length - this.expansion;
    if (plaintextLength < 0) return undefined;
    const nonce = this.#nonce;
    sealed.copy(nonce, SALT_BYTES, 0, EXPLICIT_NONCE_BYTES);
    const plaintext = Buffer.allocUnsafe(plaintextLength);
    const protectedBytes = sealed.subarray(EXPLICIT_NONCE_BYTES);
    const { tag } = this.suite;
    const is = this.#aead.open(this.#cipher, this.#key, nonce, additional, protectedBytes, plaintext, tag);
    return is ? plaintext : undefined;
  }

  /** Forgets the key. */
  destroy(): void {
    this.#key.fill(0);
    this.#nonce.fill(0);
  }
}
