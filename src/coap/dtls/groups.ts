/** Ephemeral Diffie-Hellman keys of the named groups (RFC 8422 5.4, 5.11). */
import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';

/** RFC 8422 5.1.1. */
export const Group = { Secp256r1: 23, X25519: 29 } as const;
export type Group = (typeof Group)[keyof typeof Group];

export interface EphemeralKey {
  readonly group: Group;
  /** The public key as it is sent. */
  readonly point: Buffer;
  /** The secret shared with the owner of `point`; undefined if that is none of the group's (RFC 8422 5.11). */
  agree(point: Buffer): Buffer | undefined;
}

const UNCOMPRESSED = 4;
const SECP256R1_BYTES = 65;

function secp256r1(): EphemeralKey {
  const key = createECDH('prime256v1');
  return {
    group: Group.Secp256r1,
    point: key.generateKeys(),
    agree: (point) =>
      point.length === SECP256R1_BYTES && point[0] === UNCOMPRESSED
        ? ifValid(() => key.computeSecret(point))
        : undefined,
  };
}

function x25519(): EphemeralKey {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return {
    group: Group.X25519,
    point: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'),
    agree: (point) =>
      ifValid(() => {
        const jwk = { kty: 'OKP', crv: 'X25519', x: point.toString('base64url') };
        return diffieHellman({ privateKey, publicKey: createPublicKey({ key: jwk, format: 'jwk' }) });
      }),
  };
}

/** A point off the curve, and one that leads to zero, makes node:crypto throw. */
function ifValid(agree: () => Buffer): Buffer | undefined {
  try {
    return agree();
  } catch {
    return undefined;
  }
}

export function ephemeralKey(group: Group): EphemeralKey {
  return group === Group.X25519 ? x25519() : secp256r1();
}
