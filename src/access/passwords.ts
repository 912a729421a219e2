/**
 * Checks passwords off the event loop, a few at a time. The others wait in a line of bounded length; the same question of many is
 * asked once; and a password that was right is known for a while, so that clients that come back all at once do not have
 * to wait for each other.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { Answer, Ignored } from './backends/backend.js';

/** What knows whether a password is right, and takes its time: a `PasswordFile`. */
export interface PasswordSource {
  /** Whether it has a user. */
  has?(username: string): boolean;
  verify(username: string, password: Uint8Array): Promise<boolean>;
}

/** Whether the password is right; `busy` if too many wait to be checked. What a back-end has decided is its answer. */
export type Verdict = boolean | 'busy' | Exclude<Answer, Ignored>;

/** Verifications at once. The threads that hash also write the store; a storm of logins leaves it half of them. */
const CONCURRENCY = 2;

export interface PasswordsOptions {
  /** `limits.password_queue`: checks that wait, besides those under way. */
  readonly queue: number;
  /** `access.password_cache` in seconds; 0 for none. */
  readonly cache: number;
}

/** One question, of one client or of many that ask the same. */
interface Check {
  readonly username: string;
  readonly password: Uint8Array;
  readonly digest: string;
  /** Whether those who ask still want to know. */
  readonly asking: (() => boolean)[];
  readonly answer: Promise<boolean>;
  resolve(right: boolean): void;
  reject(error: unknown): void;
}

/** A password that was right: not the password, but what only this process can make of it. */
interface Known {
  readonly digest: string;
  /** Milliseconds of the clock. */
  readonly until: number;
}

const ALWAYS = (): boolean => true;

export class Passwords {
  #options: PasswordsOptions;
  readonly #now: () => number;
  readonly #key = randomBytes(32);
  #file: PasswordSource | null;
  #waiting: Check[] = [];
  /** The first of them that has not begun. */
  #next = 0;
  #running = 0;
  /** What is asked now, by digest. */
  readonly #asked = new Map<string, Check>();
  /** By user: of all passwords one is right, so there are never more than users in the file. */
  readonly #known = new Map<string, Known>();

  /**
   * @param file null if nobody has a password
   * @param now milliseconds of a clock that only goes on
   */
  constructor(file: PasswordSource | null, options: PasswordsOptions, now: () => number = () => performance.now()) {
    this.#file = file;
    this.#options = options;
    this.#now = now;
  }

  /** Null if nobody has a password. */
  get file(): PasswordSource | null {
    return this.#file;
  }

  /** Whether a user has a password. */
  knows(username: string | undefined): boolean {
    return username !== undefined && this.#file?.has?.(username) === true;
  }

  /** Checks that wait. */
  get waiting(): number {
    return this.#waiting.length - this.#next;
  }

  /** From here on another file counts; nothing that was known of the former one is used again. */
  replace(file: PasswordSource | null): void {
    this.#file = file;
    this.#known.clear();
    // What is being computed is of the former file: nobody who comes now joins it.
    this.#asked.clear();
    for (let i = this.#next; i < this.#waiting.length; i++) this.#asked.set(this.#waiting[i].digest, this.#waiting[i]);
  }

  /** Other limits from here on. What is known already is known for no longer than it would be by them. */
  replaceOptions(options: PasswordsOptions): void {
    this.#options = options;
    const latest = this.#now() + options.cache * 1000;
    for (const [username, { digest, until }] of this.#known) {
      if (options.cache === 0) this.#known.delete(username);
      else if (until > latest) this.#known.set(username, { digest, until: latest });
    }
  }

  /**
   * Whether the password is the user's. Wrong passwords, and those of unknown users, take as long as right ones that are not
   * known.
   * @param wanted asked when the turn comes: if nobody wants to know any more, nothing is computed, and the answer is no
   */
  verify(username: string, password: Uint8Array, wanted: () => boolean = ALWAYS): boolean | 'busy' | Promise<boolean> {
    const digest = this.#digest(username, password);
    const known = this.#known.get(username);
    if (known !== undefined && known.digest === digest && this.#now() < known.until) return true;
    const asked = this.#asked.get(digest);
    if (asked !== undefined) {
      asked.asking.push(wanted);
      return asked.answer;
    }
    if (this.#running >= CONCURRENCY && this.waiting >= this.#options.queue) return 'busy';
    const check = this.#newCheck(username, password, digest, wanted);
    this.#asked.set(digest, check);
    this.#waiting.push(check);
    this.#begin();
    return check.answer;
  }

  #newCheck(username: string, password: Uint8Array, digest: string, wanted: () => boolean): Check {
    let settle: Pick<Check, 'resolve' | 'reject'> | undefined;
    const answer = new Promise<boolean>((resolve, reject) => {
      settle = { resolve, reject };
    });
    return { username, password, digest, asking: [wanted], answer, ...(settle as Pick<Check, 'resolve' | 'reject'>) };
  }

  #digest(username: string, password: Uint8Array): string {
    const name = Buffer.from(username);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(name.length);
    return createHmac('sha256', this.#key).update(length).update(name).update(password).digest('base64');
  }

  /** Begins as many checks as may run. */
  #begin(): void {
    while (this.#running < CONCURRENCY && this.#next < this.#waiting.length) {
      const check = this.#waiting[this.#next++];
      if (check.asking.some((wants) => wants())) void this.#carryOut(check);
      else this.#end(check, () => check.resolve(false));
    }
    if (this.#next === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
    } else if (this.#next > 1000) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
  }

  async #carryOut(check: Check): Promise<void> {
    const { username, password, digest } = check;
    const file = this.#file;
    this.#running++;
    try {
      const right = file !== null && (await file.verify(username, password));
      const { cache } = this.#options;
      if (right && cache > 0 && file === this.#file) {
        this.#known.set(username, { digest, until: this.#now() + cache * 1000 });
      }
      this.#end(check, () => check.resolve(right));
    } catch (error) {
      this.#end(check, () => check.reject(error));
    } finally {
      this.#running--;
      this.#begin();
    }
  }

  #end(check: Check, answer: () => void): void {
    if (this.#asked.get(check.digest) === check) this.#asked.delete(check.digest);
    answer();
  }
}
