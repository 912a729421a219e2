/** Checks passwords off the event loop, a few at a time; one that was right is known for a while. */
import type { Answer, Ignored } from './backends/backend.js';
import { Questions, type QuestionsOptions } from './questions.js';

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

const ALWAYS = (): boolean => true;

/** Checks that are under way or wait, and what was right lately; of one file or of several. */
class PasswordLine {
  /** Files that share it. */
  files = 0;
  options: PasswordsOptions;
  readonly questions: Questions<boolean>;

  constructor(options: PasswordsOptions, now: () => number) {
    this.options = options;
    this.questions = new Questions(limitsOf(options), (right) => (right ? this.options.cache * 1000 : 0), now);
  }

  replaceOptions(options: PasswordsOptions): void {
    this.options = options;
    this.questions.replaceOptions(limitsOf(options), options.cache * 1000);
  }
}

export class Passwords {
  #file: PasswordSource | null;
  readonly #line: PasswordLine;
  /** Tells what is asked of it from what is asked of others in the line. */
  readonly #number: string;

  /**
   * @param file null if nobody has a password
   * @param now milliseconds of a clock that only goes on
   * @param line where checks wait, and where it is known what was right: for files that share one
   */
  constructor(
    file: PasswordSource | null,
    options: PasswordsOptions,
    now: () => number = () => performance.now(),
    line = new PasswordLine(options, now),
  ) {
    this.#file = file;
    this.#line = line;
    this.#number = String(line.files++);
  }

  /** The same for another file: its checks wait in the same line. */
  beside(file: PasswordSource | null): Passwords {
    return new Passwords(file, this.#line.options, undefined, this.#line);
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
    return this.#line.questions.waiting;
  }

  /** From here on another file counts; nothing that was known of the former one is used again. */
  replace(file: PasswordSource | null): void {
    this.#file = file;
    this.#line.questions.forget();
  }

  /** Other limits from here on, for all that share the line. What is known already is known for no longer than it would be by them. */
  replaceOptions(options: PasswordsOptions): void {
    this.#line.replaceOptions(options);
  }

  /**
   * Whether the password is the user's. Wrong passwords, and those of unknown users, take as long as right ones that are not
   * known.
   * @param wanted asked when the turn comes: if nobody wants to know any more, nothing is computed, and the answer is no
   */
  verify(username: string, password: Uint8Array, wanted: () => boolean = ALWAYS): boolean | 'busy' | Promise<boolean> {
    const { questions } = this.#line;
    const key = questions.keyOf([this.#number, username, password]);
    if (questions.recall(key) === true) return true;
    const answer = questions.put(key, wanted, () => this.#ask(username, password));
    return answer === 'busy' ? answer : answer.then((right) => right === true);
  }

  async #ask(username: string, password: Uint8Array): Promise<boolean> {
    return this.#file !== null && (await this.#file.verify(username, password));
  }
}

/** Only right passwords are known, of which each user has one: there are never more than users in the file. */
function limitsOf({ queue }: PasswordsOptions): QuestionsOptions {
  return { concurrency: CONCURRENCY, queue, mostKnown: Number.POSITIVE_INFINITY };
}
