/** SCRAM-SHA-256, the server's side: RFC 5802, RFC 7677. Nobody sees the password, and both sides prove that they know it. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { AuthenticationExchange, AuthenticationMethod, AuthenticationStep } from './authentication-method.js';
import { saslprep } from './saslprep.js';
import { type ClientFirst, parseClientFinal, parseClientFirst } from './scram-message.js';

/** What the server keeps of a password (RFC 5802 3). */
export interface ScramCredentials {
  readonly iterations: number;
  readonly salt: Buffer;
  /** 32 bytes. */
  readonly storedKey: Buffer;
  /** 32 bytes. */
  readonly serverKey: Buffer;
}

export const SCRAM_SHA_256 = 'SCRAM-SHA-256';
/** Least of RFC 7677 4. */
export const MIN_ITERATIONS = 4096;
export const KEY_LENGTH = 32;
const SALT_LENGTH = 16;
/** Random bytes of a server nonce: a multiple of three, so that its base64 has no padding. */
const NONCE_LENGTH = 24;
const NOT_AUTHORIZED = 0x87;

const derive = promisify(pbkdf2);

/**
 * What to keep of a password.
 * @param password prepared with SASLprep
 */
export async function scramCredentials(
  password: string,
  iterations = MIN_ITERATIONS,
  salt: Buffer = randomBytes(SALT_LENGTH),
): Promise<ScramCredentials> {
  const salted = await derive(password, salt, iterations, KEY_LENGTH, 'sha256');
  const storedKey = hash(hmac(salted, 'Client Key'));
  return { iterations, salt, storedKey, serverKey: hmac(salted, 'Server Key') };
}

export class ScramSha256 implements AuthenticationMethod {
  readonly name = SCRAM_SHA_256;
  #users: ReadonlyMap<string, ScramCredentials> = new Map();
  /** What the salts of unknown users look like. */
  #models: readonly Pick<ScramCredentials, 'iterations' | 'salt'>[] = [];
  readonly #secret = randomBytes(32);
  readonly #newNonce: () => string;

  /**
   * @param users by their prepared names
   * @param newNonce makes the server's part of a nonce, for tests that know what comes
   */
  constructor(
    users: ReadonlyMap<string, ScramCredentials>,
    newNonce = () => randomBytes(NONCE_LENGTH).toString('base64'),
  ) {
    this.#newNonce = newNonce;
    this.replace(users);
  }

  /** Puts other users in the place of those there are; an exchange that has begun goes on with what it knows. */
  replace(users: ReadonlyMap<string, ScramCredentials>): void {
    const none = { iterations: MIN_ITERATIONS, salt: Buffer.alloc(SALT_LENGTH) };
    this.#users = users;
    this.#models = users.size > 0 ? [...users.values()] : [none];
  }

  begin(): AuthenticationExchange {
    return new ScramExchange((name) => this.#find(name), this.#newNonce());
  }

  /** A user's credentials, or for an unknown one what looks like them, always the same, and has no password. */
  #find(username: string): Found {
    // Computed for known users as well, so that they cost as much.
    const decoy = this.#decoy(username);
    const credentials = this.#users.get(username);
    return { known: credentials !== undefined, credentials: credentials ?? decoy };
  }

  #decoy(username: string): ScramCredentials {
    const bytes = (purpose: string): Buffer => hmac(this.#secret, `${purpose} ${username}`);
    const model = this.#models[bytes('model').readUIntBE(0, 6) % this.#models.length];
    const salt = Buffer.alloc(model.salt.length, bytes('salt'));
    return { iterations: model.iterations, salt, storedKey: bytes('stored key'), serverKey: bytes('server key') };
  }
}

interface Found {
  readonly known: boolean;
  readonly credentials: ScramCredentials;
}

type Find = (username: string) => Found;

/** A client's first message, and what the server has answered. */
interface Challenge extends Found {
  readonly first: ClientFirst;
  /** server-first-message. */
  readonly answer: string;
  readonly nonce: string;
  readonly username: string;
}

class ScramExchange implements AuthenticationExchange {
  readonly #find: Find;
  readonly #serverNonce: string;
  #invited = false;
  #challenge: Challenge | null = null;

  constructor(find: Find, serverNonce: string) {
    this.#find = find;
    this.#serverNonce = serverNonce;
  }

  step(data: Buffer | null): AuthenticationStep {
    if (this.#challenge !== null) return this.#finish(this.#challenge, data ?? Buffer.alloc(0));
    if (data !== null) return this.#begin(data);
    // A client that named only the method is asked for its first message (RFC 4422 5, item 2a).
    if (this.#invited) return refusal('no first message');
    this.#invited = true;
    return { outcome: 'continue', data: null };
  }

  #begin(data: Buffer): AuthenticationStep {
    const first = parseClientFirst(data);
    if (typeof first === 'string') return refusal(first);
    const username = saslprep(first.username);
    if (username === null) return refusal('the user name has a character that no user name may have');
    if (first.authorizationIdentity !== null && saslprep(first.authorizationIdentity) !== username) {
      return refusal('the client wants to act as another user');
    }
    const { known, credentials } = this.#find(username);
    const nonce = first.nonce + this.#serverNonce;
    const answer = `r=${nonce},s=${credentials.salt.toString('base64')},i=${credentials.iterations}`;
    this.#challenge = { first, answer, nonce, username, known, credentials };
    return { outcome: 'continue', data: Buffer.from(answer) };
  }

  #finish(challenge: Challenge, data: Buffer): AuthenticationStep {
    const { first, answer, nonce, username, known, credentials } = challenge;
    const final = parseClientFinal(data);
    if (typeof final === 'string') return refusal(final);
    if (!final.binding.equals(Buffer.from(first.gs2Header))) {
      return refusal('the channel binding does not repeat the GS2 header');
    }
    if (final.nonce !== nonce) return refusal('the nonce of the last message is another one');
    if (final.proof.length !== KEY_LENGTH) return refusal(`the proof is not ${KEY_LENGTH} bytes`);
    const authMessage = `${first.bare},${answer},${final.withoutProof}`;
    const clientKey = hmac(credentials.storedKey, authMessage);
    for (let i = 0; i < KEY_LENGTH; i++) clientKey[i] ^= final.proof[i];
    const proven = timingSafeEqual(hash(clientKey), credentials.storedKey);
    if (!proven || !known) return refusal('wrong password, or an unknown user', username);
    const verifier = hmac(credentials.serverKey, authMessage).toString('base64');
    return { outcome: 'success', username, data: Buffer.from(`v=${verifier}`) };
  }
}

function refusal(reason: string, username?: string): AuthenticationStep {
  const failure = { outcome: 'failure', reasonCode: NOT_AUTHORIZED, reason: `${SCRAM_SHA_256}: ${reason}` } as const;
  return username === undefined ? failure : { ...failure, username };
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function hash(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
