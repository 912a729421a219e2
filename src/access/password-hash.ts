/**
 * Hashes of passwords as they stand in a password file. Three kinds are known:
 * - `$scrypt$ln=14,r=8,p=1$salt$hash`, scrypt (RFC 7914) with N = 2^ln, as the PHC string format has it: salt and hash in
 *   base64 without padding; what `portico passwd` writes;
 * - `$7$iterations$salt$hash`, PBKDF2 with HMAC-SHA-512, and
 * - `$6$salt$hash`, SHA-512 of the password and then the salt, both as `mosquitto_passwd` writes them: salt and hash in
 *   base64, the hash of 64 bytes.
 */
import { createHash, pbkdf2, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { decodeBase64 } from './security-file.js';

interface Salted {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

export type PasswordHash =
  | (Salted & { readonly kind: 'sha512' })
  | (Salted & { readonly kind: 'pbkdf2'; readonly iterations: number })
  | (Salted & ScryptCost & { readonly kind: 'scrypt' });

/** What scrypt takes (RFC 7914 2): 128 * r * 2^ln bytes, and p times as much work. */
export interface ScryptCost {
  /** Logarithm of N to base 2. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

const MOSQUITTO_HASH_LENGTH = 64;
/** More would keep a processor busy for most of a second at every login. */
const MAX_ITERATIONS = 1_000_000;
/** N * r * p: 256 MiB if p is 1, and most of a second at every login. */
const MAX_SCRYPT_WORK = 2 ** 21;
/** Bytes of a scrypt hash; fewer could be met by chance, more say nothing. */
const SCRYPT_HASH_LENGTHS = [16, 64] as const;

/** What `portico passwd` writes unless it is told otherwise: 16 MiB and some 50 ms. */
export const DEFAULT_LN = 14;
/** What may be asked of it. */
export const LN_RANGE = [10, 18] as const;
const SALT_LENGTH = 16;
const HASH_LENGTH = 32;
/** Of the hashes that Mosquitto, too, reads; it computes them while all its clients wait. */
const MOSQUITTO_ITERATIONS = 10_000;
const MOSQUITTO_SALT_LENGTH = 12;

const derivePbkdf2 = promisify(pbkdf2);
const deriveScrypt = promisify<Uint8Array, Buffer, number, object, Buffer>(scrypt);

/** The hash of a password, with the salt and the cost of another hash. The event loop waits for SHA-512 only. */
export function hashAs(password: Uint8Array, like: PasswordHash): Buffer | Promise<Buffer> {
  const { salt, hash } = like;
  switch (like.kind) {
    case 'sha512':
      return createHash('sha512').update(password).update(salt).digest();
    case 'pbkdf2':
      return derivePbkdf2(password, salt, like.iterations, hash.length, 'sha512');
    case 'scrypt':
      return computeScrypt(password, salt, like, hash.length);
  }
}

function computeScrypt(password: Uint8Array, salt: Buffer, { ln, r, p }: ScryptCost, length: number): Promise<Buffer> {
  const N = 2 ** ln;
  return deriveScrypt(password, salt, length, { N, r, p, maxmem: 128 * r * (N + p + 2) });
}

/** `$scrypt$...` of a password, with a salt of its own. */
export async function scryptHash(password: Uint8Array, ln: number = DEFAULT_LN): Promise<string> {
  const cost = { ln, r: 8, p: 1 };
  const salt = randomBytes(SALT_LENGTH);
  const hash = await computeScrypt(password, salt, cost, HASH_LENGTH);
  return `$scrypt$ln=${ln},r=${cost.r},p=${cost.p}$${unpadded(salt)}$${unpadded(hash)}`;
}

/** `$7$...` of a password, which Mosquitto reads, with a salt of its own. */
export async function mosquittoHash(password: Uint8Array): Promise<string> {
  const salt = randomBytes(MOSQUITTO_SALT_LENGTH);
  const hash = await derivePbkdf2(password, salt, MOSQUITTO_ITERATIONS, MOSQUITTO_HASH_LENGTH, 'sha512');
  return `$7$${MOSQUITTO_ITERATIONS}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

/** Whether a text is, or was meant to be, a hash of whatever kind; otherwise it is a password in the clear. */
export function looksHashed(text: string): boolean {
  return /^\$[a-z0-9-]+\$/i.test(text);
}

/** The hash, or what is wrong with it. */
export function parseHash(text: string): PasswordHash | string {
  const [empty, kind, ...fields] = text.split('$');
  if (empty !== '' || kind === undefined) return 'the password is not hashed; portico passwd -U FILE hashes it';
  switch (kind) {
    case 'scrypt':
      return parseScrypt(fields);
    case '7':
      return parsePbkdf2(fields);
    case '6':
      return fields.length === 2 ? parseMosquitto('sha512', fields) : 'the hash is not $6$salt$hash';
    default:
      return 'the kind of hash is unknown; known are $scrypt$, $7$ (sha512-pbkdf2) and $6$ (sha512)';
  }
}

function parsePbkdf2([iterations, ...fields]: readonly string[]): PasswordHash | string {
  if (fields.length !== 2) return 'the hash is not $7$iterations$salt$hash';
  if (!/^[1-9]\d{0,9}$/.test(iterations) || Number(iterations) > MAX_ITERATIONS) {
    return `the number of iterations must be a whole number from 1 to ${MAX_ITERATIONS}`;
  }
  const salted = parseMosquitto('pbkdf2', fields);
  return typeof salted === 'string' ? salted : { ...salted, kind: 'pbkdf2', iterations: Number(iterations) };
}

function parseMosquitto<Kind extends string>(
  kind: Kind,
  [saltText, hashText]: readonly string[],
): (Salted & { kind: Kind }) | string {
  const salt = decodeBase64(saltText);
  if (salt === null || salt.length === 0) return 'the salt is not base64';
  const hash = decodeBase64(hashText);
  if (hash?.length !== MOSQUITTO_HASH_LENGTH) return `the hash is not ${MOSQUITTO_HASH_LENGTH} bytes in base64`;
  return { kind, salt, hash };
}

function parseScrypt([parameters, saltText, hashText, ...more]: readonly string[]): PasswordHash | string {
  const [, ln, r, p] = (/^ln=([1-9]\d?),r=([1-9]\d{0,8}),p=([1-9]\d{0,8})$/.exec(parameters ?? '') ?? []).map(Number);
  if (ln === undefined || hashText === undefined || more.length > 0) {
    return 'the hash is not $scrypt$ln=..,r=..,p=..$salt$hash';
  }
  // N is less than 2^(16 * r) (RFC 7914 2).
  if (ln >= 16 * r) return 'ln must be less than 16 times r';
  if (2 ** ln * r * p > MAX_SCRYPT_WORK) {
    return `the hash takes too much to check: 2^ln * r * p may be at most ${MAX_SCRYPT_WORK}`;
  }
  const salt = decodeUnpadded(saltText);
  if (salt === null || salt.length === 0) return 'the salt is not base64 without padding';
  const hash = decodeUnpadded(hashText);
  const [least, most] = SCRYPT_HASH_LENGTHS;
  if (hash === null || hash.length < least || hash.length > most) {
    return `the hash is not ${least} to ${most} bytes in base64 without padding`;
  }
  return { kind: 'scrypt', ln, r, p, salt, hash };
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

function decodeUnpadded(text: string): Buffer | null {
  return text.includes('=') ? null : decodeBase64(text + '='.repeat((4 - (text.length % 4)) % 4));
}
