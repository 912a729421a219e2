/** The key derivation of TLS 1.2 with SHA-256 (RFC 5246 5, 6.3, 8.1; RFC 4279 2; RFC 7627 4). */
import { createHmac } from 'node:crypto';
import { VERIFY_DATA_BYTES } from './protocol.js';

export const MASTER_SECRET_BYTES = 48;

/** PRF(secret, label, seed) = P_SHA256(secret, label + seed), `length` bytes of it. */
export function prf(secret: Buffer, label: string, seed: Buffer, length: number): Buffer {
  const labelled = Buffer.concat([Buffer.from(label, 'latin1'), seed]);
  const output = Buffer.alloc(length);
  let chain = labelled;
  for (let at = 0; at < length; ) {
    chain = createHmac('sha256', secret).update(chain).digest();
    const piece = createHmac('sha256', secret).update(chain).update(labelled).digest();
    at += piece.copy(output, at);
    piece.fill(0);
  }
  return output;
}

/** The premaster secret of plain PSK: as many zero bytes as the key has, and the key (RFC 4279 2). */
export function premasterSecret(key: Buffer): Buffer {
  const premaster = Buffer.alloc(4 + 2 * key.length);
  premaster.writeUInt16BE(key.length, 0);
  premaster.writeUInt16BE(key.length, 2 + key.length);
  key.copy(premaster, 4 + key.length);
  return premaster;
}

export function masterSecret(premaster: Buffer, clientRandom: Buffer, serverRandom: Buffer): Buffer {
  return prf(premaster, 'master secret', Buffer.concat([clientRandom, serverRandom]), MASTER_SECRET_BYTES);
}

/** @param sessionHash of all messages up to and including ClientKeyExchange (RFC 7627 3) */
export function extendedMasterSecret(premaster: Buffer, sessionHash: Buffer): Buffer {
  return prf(premaster, 'extended master secret', sessionHash, MASTER_SECRET_BYTES);
}

export function keyBlock(master: Buffer, clientRandom: Buffer, serverRandom: Buffer, length: number): Buffer {
  return prf(master, 'key expansion', Buffer.concat([serverRandom, clientRandom]), length);
}

/** @param hash of all handshake messages before this Finished (RFC 5246 7.4.9) */
export function verifyData(master: Buffer, sender: 'client' | 'server', hash: Buffer): Buffer {
  return prf(master, `${sender} finished`, hash, VERIFY_DATA_BYTES);
}
