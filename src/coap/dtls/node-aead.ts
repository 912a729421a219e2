/** Records sealed and opened by node:crypto, in six calls each. */
import { type CipherCCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';
import type { Aead } from './aead.js';

/** By the number of the cipher. The types of CCM fit GCM too: both take the lengths of tag and plaintext. */
const ALGORITHMS = ['aes-128-ccm', 'aes-128-gcm'] as readonly string[] as readonly CipherCCMTypes[];

/** CCM needs data, if only none; OpenSSL does not take an empty buffer for it that native code has looked at. */
const NO_DATA = Buffer.alloc(0);

export const NODE_AEAD: Aead = {
  seal(cipher, key, nonce, additional, input, output, tag) {
    const sealing = createCipheriv(ALGORITHMS[cipher], key, nonce, { authTagLength: tag });
    sealing.setAAD(additional, { plaintextLength: input.length });
    const end = sealing.update(input.length > 0 ? input : NO_DATA).copy(output);
    sealing.final();
    sealing.getAuthTag().copy(output, end);
  },

  open(cipher, key, nonce, additional, input, output, tag) {
    const plaintextLength = input.length - tag;
    try {
      const opening = createDecipheriv(ALGORITHMS[cipher], key, nonce, { authTagLength: tag });
      opening.setAuthTag(input.subarray(plaintextLength));
      opening.setAAD(additional, { plaintextLength });
      const plaintext = opening.update(input.subarray(0, plaintextLength));
      opening.final();
      plaintext.copy(output);
      return true;
    } catch {
      return false;
    }
  },
};
