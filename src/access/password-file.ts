/**
 * Password files as `mosquitto_passwd` writes them, one `user:hash` a line. Blank lines and lines that begin with `#`
 * are comments. Two kinds of hash are known:
 * `$7$iterations$salt$hash`, PBKDF2 with HMAC-SHA-512, and `$6$salt$hash`, SHA-512 of the password and then the salt;
 * salt and hash in base64, the hash of 64 bytes.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { decodeBase64, readUserFile } from './security-file.js';

interface Hash {
  /** Of PBKDF2; 0 for one plain SHA-512. */
  readonly iterations: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

const HASH_LENGTH = 64;
/** More would keep a processor busy for most of a second at every login. */
const MAX_ITERATIONS = 1_000_000;
/** Verifications at once. The threads that hash also write the store; a storm of logins leaves it half of them. */
const CONCURRENCY = 2;

const derive = promisify(pbkdf2);

export class PasswordFile {
  readonly #users: ReadonlyMap<string, Hash>;
  /** What unknown users are compared with, so that they cost as much as known ones. */
  readonly #hashes: readonly Hash[];
  readonly #key = randomBytes(32);
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  private constructor(users: ReadonlyMap<string, Hash>) {
    this.#users = users;
    const none: Hash = { iterations: 101, salt: randomBytes(12), hash: randomBytes(HASH_LENGTH) };
    this.#hashes = users.size > 0 ? [...users.values()] : [none];
  }

  /**
   * Reads a password file.
   * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
   */
  static async load(file: string): Promise<PasswordFile> {
    return new PasswordFile(await readUserFile(file, { kind: 'password file', line: 'user:hash', parse: parseHash }));
  }

  /** Number of users. */
  get size(): number {
    return this.#users.size;
  }

  /**
   * Whether the password is the user's. The event loop does not wait for PBKDF2, comparison takes constant time, and an
   * unknown user takes as long as some known one, always the same.
   */
  async verify(username: string, password: Uint8Array | string): Promise<boolean> {
    const known = this.#users.get(username);
    const expected = known ?? this.#decoy(username);
    const bytes = typeof password === 'string' ? Buffer.from(password) : password;
    const hash = await this.#hash(bytes, expected);
    return timingSafeEqual(hash, expected.hash) && known !== undefined;
  }

  /** The same hash for the same unknown user, chosen so that nobody outside can tell which. */
  #decoy(username: string): Hash {
    const choice = createHmac('sha256', this.#key).update(username).digest().readUIntBE(0, 6);
    return this.#hashes[choice % this.#hashes.length];
  }

  async #hash(password: Uint8Array, { iterations, salt }: Hash): Promise<Buffer> {
    if (iterations === 0) return createHash('sha512').update(password).update(salt).digest();
    if (this.#running >= CONCURRENCY) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await derive(password, salt, iterations, HASH_LENGTH, 'sha512');
    } finally {
      // The next one takes over this one's place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

/** The hash, or what is wrong with it. */
function parseHash(text: string): Hash | string {
  const [empty, kind, ...fields] = text.split('$');
  if (empty !== '' || kind === undefined) return 'the password is not hashed; mosquitto_passwd -U FILE hashes it';
  if (kind !== '6' && kind !== '7')
    return 'the kind of hash is unknown; known are $7$ (sha512-pbkdf2) and $6$ (sha512)';
  if (fields.length !== (kind === '7' ? 3 : 2))
    return `the hash is not $${kind}$${kind === '7' ? 'iterations$' : ''}salt$hash`;
  const iterations = kind === '7' ? fields.shift() : '0';
  if (kind === '7' && (!/^[1-9]\d{0,9}$/.test(iterations ?? '') || Number(iterations) > MAX_ITERATIONS)) {
    return `the number of iterations must be a whole number from 1 to ${MAX_ITERATIONS}`;
  }
  const salt = decodeBase64(fields[0]);
  if (salt === null || salt.length === 0) return 'the salt is not base64';
  const hash = decodeBase64(fields[1]);
  if (hash === null || hash.length !== HASH_LENGTH) return `the hash is not ${HASH_LENGTH} bytes in base64`;
  return { iterations: Number(iterations), salt, hash };
}
