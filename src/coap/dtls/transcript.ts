/** All messages of a handshake as one, in the form that its hashes and signatures take (RFC 6347 4.2.6). */
import { createHash, createVerify, type KeyObject } from 'node:crypto';
import { wholeMessage } from './fragments.js';

export class Transcript {
  readonly #hash = createHash('sha256');
  /** Hashes beside it if the client is to sign: node:crypto verifies no hash that is made already. */
  #verify: ReturnType<typeof createVerify> | undefined = createVerify('sha256');

  add(type: number, messageSequence: number, body: Buffer): void {
    const message = wholeMessage(type, messageSequence, body);
    this.#hash.update(message);
    this.#verify?.update(message);
  }

  /** The hash of the messages so far. */
  hash(): Buffer {
    return this.#hash.copy().digest();
  }

  /** Nobody will sign this. */
  forgetSignature(): void {
    this.#verify = undefined;
  }

  /** Whether a signature, ECDSA with SHA-256, is that of the messages so far. Only to be asked once. */
  isSigned(key: KeyObject, signature: Buffer): boolean {
    const verify = this.#verify;
    this.#verify = undefined;
    try {
      return verify?.verify(key, signature) ?? false;
    } catch {
      return false;
    }
  }
}
