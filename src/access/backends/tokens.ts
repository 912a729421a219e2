/**
 * JSON Web Tokens (RFC 7519) in the place of passwords. What signs is fixed by the configuration: either one secret (HS256 and so on),
 * or public keys (RS256, PS256, ES256 and so on); `alg` of a token only chooses among the algorithms of that one kind (RFC 8725 3.1).
 */
import type { KeyObject } from 'node:crypto';
import { decodeProtectedHeader, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { type Allowed, type Answer, type Backend, type Candidate, type Denied, IGNORED, textsOf } from './backend.js';
import { KeysUnavailable } from './jwks.js';

/** Algorithms by what they need. */
export const SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const;
export const KEY_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
] as const;

/** A claim that a token has to have, with `%u` for the user name and `%c` for the client identifier. */
export interface WantedClaim {
  readonly name: string;
  readonly value: string;
}

export interface TokensOptions {
  /** A secret key, or what finds a public one. */
  readonly key: KeyObject | JWTVerifyGetKey;
  readonly algorithms: readonly string[];
  readonly issuer?: string | undefined;
  readonly audience?: string | undefined;
  /** Where the user name is. */
  readonly usernameClaim: string;
  /** Whether a user name in CONNECT has to be that of the token. */
  readonly matchUsername: boolean;
  readonly claims: readonly WantedClaim[];
  readonly groupsClaim?: string | undefined;
  /** Seconds by which clocks may differ. */
  readonly leeway: number;
  readonly requireExpiry: boolean;
  readonly disconnectAfterExpiry: boolean;
}

/** Three parts in base64url; the signature of `alg: none` is empty, and it is a token all the same. */
const TOKEN = /^[\w-]+\.[\w-]*\.[\w-]*$/;
/** Bytes of the longest user name that MQTT could carry. */
const LONGEST_NAME = 65_535;

/** The token in a password; null if there is none. */
export function tokenOf(password: Uint8Array): string | null {
  const text = Buffer.from(password.buffer, password.byteOffset, password.byteLength).toString('latin1');
  if (!TOKEN.test(text)) return null;
  try {
    return typeof decodeProtectedHeader(text).alg === 'string' ? text : null;
  } catch {
    return null;
  }
}

/** A claim by its name, or by the names that lead to it with dots between them; undefined if there is none. */
export function claimAt(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let value: unknown = payload;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = Reflect.get(value, name);
  }
  return value;
}

/** Whether a claim is, or has in its list, a value. */
function has(claim: unknown, value: string): boolean {
  if (Array.isArray(claim)) return claim.some((one) => has(one, value));
  return (typeof claim === 'string' || typeof claim === 'number' || typeof claim === 'boolean') && `${claim}` === value;
}

/** A list, or names with spaces between them, as `scope` has them (RFC 8693 4.2). */
function groupsOf(claim: unknown): string[] {
  return typeof claim === 'string' ? claim.split(' ').filter((name) => name !== '') : textsOf(claim);
}

function isUsername(claim: unknown): claim is string {
  if (typeof claim !== 'string' || claim === '' || !claim.isWellFormed()) return false;
  return !claim.includes('\0') && Buffer.byteLength(claim) <= LONGEST_NAME;
}

function denied(reason: string): Denied {
  return { outcome: 'deny', by: 'jwt', reason };
}

export class Tokens implements Backend {
  readonly by = 'jwt';
  readonly #options: TokensOptions;
  readonly #now: () => number;
  readonly #close: () => void;

  /**
   * @param now milliseconds since the epoch
   * @param close ends what finds the keys
   */
  constructor(options: TokensOptions, now: () => number = Date.now, close: () => void = () => {}) {
    this.#options = options;
    this.#now = now;
    this.#close = close;
  }

  async ask(candidate: Candidate): Promise<Answer> {
    const token = candidate.password === undefined ? null : tokenOf(candidate.password);
    if (token === null) return IGNORED;
    try {
      return this.#judge(await this.#verify(token), candidate);
    } catch (error) {
      if (error instanceof KeysUnavailable) {
        const reason = `the keys of tokens cannot be fetched: ${error.message}`;
        return { outcome: 'unavailable', busy: false, option: 'access.jwt_jwks_url', reason };
      }
      // Its sentences name claims and algorithms, and show nothing of a token.
      return denied(error instanceof errors.JOSEError ? error.message : 'the token cannot be verified');
    }
  }

  async #verify(token: string): Promise<JWTPayload> {
    const { key, algorithms, issuer, audience, leeway, requireExpiry } = this.#options;
    const options = {
      algorithms: [...algorithms],
      clockTolerance: leeway,
      currentDate: new Date(this.#now()),
      requiredClaims: requireExpiry ? ['exp'] : [],
      ...(issuer === undefined ? null : { issuer }),
      ...(audience === undefined ? null : { audience }),
    };
    const { payload } =
      typeof key === 'function' ? await jwtVerify(token, key, options) : await jwtVerify(token, key, options);
    return payload;
  }

  #judge(payload: JWTPayload, { username, clientId }: Candidate): Denied | Allowed {
    const { usernameClaim, matchUsername, claims, groupsClaim, leeway, disconnectAfterExpiry } = this.#options;
    const own = claimAt(payload, usernameClaim);
    if (!isUsername(own)) return denied(`the claim ${usernameClaim} is no user name`);
    if (matchUsername && username !== undefined && username !== own) {
      return denied(`the claim ${usernameClaim} is another than the user name of the client`);
    }
    for (const { name, value } of claims) {
      const wanted = value.replace(/%[uc]/g, (placeholder) => (placeholder === '%u' ? own : clientId));
      if (!has(claimAt(payload, name), wanted)) return denied(`the claim ${name} is not ${value}`);
    }
    const { exp } = payload;
    const expires = disconnectAfterExpiry && exp !== undefined;
    const grant = {
      by: 'jwt',
      username: own,
      groups: groupsClaim === undefined ? [] : groupsOf(claimAt(payload, groupsClaim)),
      superuser: false,
      expiresAt: expires ? (exp + leeway) * 1000 : Number.POSITIVE_INFINITY,
    } as const;
    return { outcome: 'allow', grant };
  }

  close(): void {
    this.#close();
  }
}
