/**
 * Public keys of those who sign tokens: JSON Web Key Sets (RFC 7517 5), from a file or from a URL. One from a URL is fetched when it is
 * first needed, when it has become old, and when a token names a key that it has not.
 */
import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { createLocalJWKSet, errors, type JWSHeaderParameters, type JWTVerifyGetKey } from 'jose';
import { ErrorKinds, PorticoError } from '../../errors.js';
import { readSecurityFile } from '../security-file.js';
import { type BackendCounts, WebFailure } from './backend.js';
import type { WebClient } from './web-client.js';

/** Milliseconds between two fetches for keys that are not there, and after one that failed: nobody can make the broker fetch more often. */
const COOLDOWN = 10_000;
/** Bits of the shortest RSA key that is taken (RFC 7518 3.3). */
const LEAST_RSA = 2048;
/** Members of a key that nobody but its owner may know. */
const PRIVATE = ['d', 'k'];

/**
 * The keys that can verify signatures.
 * @throws Error with a sentence that shows nothing of a key
 */
export function parseJwks(text: string): JWTVerifyGetKey {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    throw new Error('it is not JSON');
  }
  const listed: unknown = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : undefined;
  if (!Array.isArray(listed)) throw new Error('it is not a JSON Web Key Set: an object with the list keys');
  const keys = listed.flatMap((key: unknown, i) => (isForSignatures(key, i + 1) ? [key] : []));
  if (keys.length === 0) throw new Error('it has no key of the types RSA and EC for signatures');
  return createLocalJWKSet({ keys });
}

/** Whether a key is one that we know a use for; those of other types and uses may stand beside it (RFC 7517 5). */
function isForSignatures(key: unknown, number: number): key is JsonWebKey {
  if (typeof key !== 'object' || key === null) throw new Error(`key ${number} is no object`);
  const jwk = key as JsonWebKey;
  if (PRIVATE.some((member) => member in jwk)) {
    throw new Error(`key ${number} has private parts: a key set is for public keys alone`);
  }
  if ((jwk.kty !== 'RSA' && jwk.kty !== 'EC') || (jwk.use !== undefined && jwk.use !== 'sig')) return false;
  try {
    const { asymmetricKeyDetails } = createPublicKey({ key: jwk, format: 'jwk' });
    if (jwk.kty === 'EC' || (asymmetricKeyDetails?.modulusLength ?? 0) >= LEAST_RSA) return true;
  } catch {
    throw new Error(`key ${number} is no public key`);
  }
  throw new Error(`key ${number} is shorter than ${LEAST_RSA} bits`);
}

/**
 * Reads a file of keys.
 * @throws PorticoError `PORTICO_SECURITY_FILE`
 */
export async function readJwksFile(file: string): Promise<JWTVerifyGetKey> {
  const bytes = await readSecurityFile(file, 'file of keys');
  try {
    return parseJwks(bytes.toString('utf8'));
  } catch (error) {
    const message = `${file}: ${(error as Error).message}`;
    throw new PorticoError(ErrorKinds.SecurityFile, message, { cause: error });
  }
}

/** The keys cannot be had now; the message is for the log. */
export class KeysUnavailable extends Error {}

/** Keys from a URL. */
export class RemoteKeys {
  readonly #url: string;
  readonly #client: WebClient;
  readonly #lifetime: number;
  readonly #counts: () => BackendCounts;
  readonly #now: () => number;
  #keys: JWTVerifyGetKey | null = null;
  /** When they were fetched, and when that was last tried, in milliseconds of the clock. */
  #fetchedAt = 0;
  #triedAt = Number.NEGATIVE_INFINITY;
  /** Why the last fetch failed; empty if it did not. */
  #failure = '';
  #fetching: Promise<void> | null = null;

  /**
   * @param lifetime milliseconds after which the keys are fetched again
   * @param now milliseconds of a clock that only goes on
   */
  constructor(url: string, client: WebClient, lifetime: number, counts: () => BackendCounts, now: () => number) {
    this.#url = url;
    this.#client = client;
    this.#lifetime = lifetime;
    this.#counts = counts;
    this.#now = now;
  }

  /**
   * The key of a token.
   * @throws KeysUnavailable, or an error of jose if there is no such key
   */
  readonly keyOf: JWTVerifyGetKey = async (header, token) => {
    if (this.#keys === null || this.#now() - this.#fetchedAt >= this.#lifetime) await this.#fetch();
    try {
      return await this.#find(header, token);
    } catch (error) {
      // Its issuer may have begun to sign with a new one.
      if (!(error instanceof errors.JWKSNoMatchingKey) || this.#isTooEarly()) throw error;
      await this.#fetch();
      return this.#find(header, token);
    }
  };

  #find(header: JWSHeaderParameters | undefined, token: Parameters<JWTVerifyGetKey>[1]): ReturnType<JWTVerifyGetKey> {
    if (this.#keys === null) throw new KeysUnavailable(this.#failure);
    return this.#keys(header as Parameters<JWTVerifyGetKey>[0], token);
  }

  #isTooEarly(): boolean {
    return this.#now() - this.#triedAt < COOLDOWN;
  }

  /** Fetches the keys; many that need them at once wait for one fetch. */
  async #fetch(): Promise<void> {
    if (this.#fetching === null) {
      if (this.#failure !== '' && this.#isTooEarly()) throw new KeysUnavailable(this.#failure);
      this.#triedAt = this.#now();
      this.#fetching = this.#ask().finally(() => {
        this.#fetching = null;
      });
    }
    await this.#fetching;
  }

  async #ask(): Promise<void> {
    const counts = this.#counts();
    counts.jwksFetches++;
    try {
      const { status, body } = await this.#client.ask({ url: this.#url, method: 'GET' });
      if (status !== 200) throw new WebFailure(`it answers with status ${status}`);
      this.#keys = parseJwks(body.toString('utf8'));
      this.#fetchedAt = this.#now();
      this.#failure = '';
    } catch (error) {
      counts.jwksFailures++;
      this.#failure = (error as Error).message;
      throw new KeysUnavailable(this.#failure, { cause: error });
    }
  }
}
