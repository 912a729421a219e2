/**
 * Password files as `portico passwd` and `mosquitto_passwd` write them, one `user:hash` a line (`password-hash.ts`). Blank
 * lines and lines that begin with `#` are comments.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { hashAs, type PasswordHash, parseHash } from './password-hash.js';
import { readUserFile, type UserFileFormat } from './security-file.js';

const FORMAT: UserFileFormat<PasswordHash> = { kind: 'password file', line: 'user:hash', parse: parseHash };

export class PasswordFile {
  readonly #users: ReadonlyMap<string, PasswordHash>;
  /** What unknown users are compared with, so that they cost as much as known ones. */
  readonly #hashes: readonly PasswordHash[];
  readonly #key = randomBytes(32);

  private constructor(users: ReadonlyMap<string, PasswordHash>) {
    this.#users = users;
    const none: PasswordHash = { kind: 'pbkdf2', iterations: 101, salt: randomBytes(12), hash: randomBytes(64) };
    this.#hashes = users.size > 0 ? [...users.values()] : [none];
  }

  /**
   * Reads a password file.
   * @throws PorticoError `PORTICO_SECURITY_FILE`; its message has one line `FILE:LINE: sentence` for every fault
   */
  static async load(file: string): Promise<PasswordFile> {
    return new PasswordFile(await readUserFile(file, FORMAT));
  }

  /** Number of users. */
  get size(): number {
    return this.#users.size;
  }

  has(username: string): boolean {
    return this.#users.has(username);
  }

  /**
   * Whether the password is the user's. The event loop does not wait for PBKDF2 and scrypt, comparison takes constant time,
   * and an unknown user takes as long as some known one, always the same. Nothing bounds how many are computed at once:
   * that is what `Passwords` is for.
   */
  async verify(username: string, password: Uint8Array | string): Promise<boolean> {
    const known = this.#users.get(username);
    const expected = known ?? this.#decoy(username);
    const bytes = typeof password === 'string' ? Buffer.from(password) : password;
    const hash = await hashAs(bytes, expected);
    return timingSafeEqual(hash, expected.hash) && known !== undefined;
  }

  /** The same hash for the same unknown user, chosen so that nobody outside can tell which. */
  #decoy(username: string): PasswordHash {
    const choice = createHmac('sha256', this.#key).update(username).digest().readUIntBE(0, 6);
    return this.#hashes[choice % this.#hashes.length];
  }
}
