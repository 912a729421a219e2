/**
 * Password files as `mosquitto_passwd` writes them, one `user:hash` a line. Blank lines and lines that begin with `#`
 * are comments. Two kinds of hash are known:
 * `$7$iterations$salt$hash`, PBKDF2 with HMAC-SHA-512, and `$6$salt$hash`, SHA-512 of the password and then the salt;
 * salt and hash in base64, the hash of 64 bytes.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { ErrorKinds, PorticoError } from '../errors.js';

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
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      const reason = UNREADABLE[code] ?? (error as Error).message;
      throw new PorticoError(ErrorKinds.SecurityFile, `${file}: the password file cannot be read: ${reason}`, {
        cause: error,
      });
    }
    return new PasswordFile(parse(file, text));
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

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is none of that name',
  EACCES: 'this user may not',
  EISDIR: 'it is a folder',
};

function parse(file: string, text: string): Map<string, Hash> {
  const users = new Map<string, Hash>();
  const lines = new Map<string, number>();
  const faults: string[] = [];
  text.split('\n').forEach((whole, i) => {
    const line = whole.trimEnd();
    if (line === '' || line.startsWith('#')) return;
    const colon = line.indexOf(':');
    const user = line.slice(0, Math.max(0, colon));
    const outcome = colon < 1 ? 'the line is not user:hash' : parseHash(line.slice(colon + 1));
    const first = lines.get(user);
    if (typeof outcome === 'string') faults.push(`${file}:${i + 1}: ${outcome}`);
    else if (first !== undefined) faults.push(`${file}:${i + 1}: user ${user} is already on line ${first}`);
    else {
      users.set(user, outcome);
      lines.set(user, i + 1);
    }
  });
  if (faults.length > 0) throw new PorticoError(ErrorKinds.SecurityFile, faults.join('\n'));
  return users;
}

/** The hash, or what is wrong with it. Sentences never repeat what was read: it may be a password in the clear. */
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
  const salt = decode(fields[0]);
  if (salt === null || salt.length === 0) return 'the salt is not base64';
  const hash = decode(fields[1]);
  if (hash === null || hash.length !== HASH_LENGTH) return `the hash is not ${HASH_LENGTH} bytes in base64`;
  return { iterations: Number(iterations), salt, hash };
}

/** Strict base64: Node's own decoder skips what it does not know. */
function decode(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : null;
}
