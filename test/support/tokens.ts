/** JSON Web Tokens and key sets, made with node:crypto alone: the library that the broker verifies them with has no part in it. */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export interface Pair {
  readonly kid: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export function rsaPair(kid: string, bits = 2048): Pair {
  return { kid, ...generateKeyPairSync('rsa', { modulusLength: bits }) };
}

export function ecPair(kid: string, curve: 'P-256' | 'P-384' | 'P-521' = 'P-256'): Pair {
  return { kid, ...generateKeyPairSync('ec', { namedCurve: curve }) };
}

/** A public key as a key set has it. */
export function jwkOf({ kid, publicKey }: Pair, more: object = {}): object {
  return { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', ...more };
}

export function jwksOf(...pairs: Pair[]): string {
  return JSON.stringify({ keys: pairs.map((pair) => jwkOf(pair)) });
}

export type Claims = Readonly<Record<string, unknown>>;

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** RFC 7518 3.3 to 3.5. */
function signatureOf(alg: string, signed: Buffer, key: KeyObject | Uint8Array): Buffer {
  const hash = `sha${alg.slice(2)}`;
  if (alg.startsWith('HS')) return createHmac(hash, key).update(signed).digest();
  const privateKey = key as KeyObject;
  if (alg.startsWith('ES')) return sign(hash, signed, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  if (alg.startsWith('PS')) return sign(hash, signed, { key: privateKey, padding: 6, saltLength: -1 });
  return sign(hash, signed, privateKey);
}

/** A token in the compact form (RFC 7515 7.1). @param key null for no signature */
export function tokenWith(header: Claims, claims: Claims, key: KeyObject | Uint8Array | null): string {
  const text = `${encoded(header)}.${encoded(claims)}`;
  const signature = key === null ? '' : signatureOf(String(header.alg), Buffer.from(text), key).toString('base64url');
  return `${text}.${signature}`;
}

/** A token of the owner of a key. */
export function signedBy(pair: Pair, alg: string, claims: Claims): string {
  return tokenWith({ alg, kid: pair.kid, typ: 'JWT' }, claims, pair.privateKey);
}
