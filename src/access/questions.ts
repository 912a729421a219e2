/**
 * Questions that take their time, to a server or to a slow hash: a few at a time, the others in a line of bounded length. The same
 * question of many is asked once, and its answer is known for a while, so that clients that come back all at once do not have to
 * wait for each other.
 */
import { createHmac, randomBytes } from 'node:crypto';

export interface QuestionsOptions {
  /** Questions at once. */
  readonly concurrency: number;
  /** Questions that wait, besides those under way. */
  readonly queue: number;
  /** Most answers that are known; beyond it the oldest is forgotten, and asked for again. 10,000 unless given. */
  readonly mostKnown?: number;
}

/** One question, of one client or of many that ask the same. */
interface Question<Answer> {
  readonly key: string;
  readonly ask: () => Promise<Answer>;
  /** Whether those who ask still want to know. */
  readonly asking: (() => boolean)[];
  readonly answer: Promise<Answer | null>;
  settle(answer: Promise<Answer> | null): void;
}

interface Known<Answer> {
  readonly answer: Answer;
  /** Milliseconds of the clock. */
  readonly until: number;
}

const MOST_KNOWN = 10_000;

export class Questions<Answer> {
  #options: QuestionsOptions;
  readonly #lifetime: (answer: Answer) => number;
  readonly #now: () => number;
  readonly #key = randomBytes(32);
  /** In the order in which they were answered. */
  readonly #known = new Map<string, Known<Answer>>();
  /** Under way or waiting. */
  readonly #asked = new Map<string, Question<Answer>>();
  readonly #waiting = new Set<Question<Answer>>();
  #running = 0;
  /** Counts `forget`: an answer to what was asked before is not remembered. */
  #generation = 0;
  #whenIdle: (() => void) | null = null;

  /**
   * @param lifetime milliseconds for which an answer is known; 0 for not at all
   * @param now milliseconds of a clock that only goes on
   */
  constructor(options: QuestionsOptions, lifetime: (answer: Answer) => number, now: () => number) {
    this.#options = options;
    this.#lifetime = lifetime;
    this.#now = now;
  }

  /** Questions that wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Other limits from here on. @param lifetime milliseconds for which what is known already stays known at most; any if left out */
  replaceOptions(options: QuestionsOptions, lifetime = Number.POSITIVE_INFINITY): void {
    this.#options = options;
    const latest = this.#now() + lifetime;
    for (const [key, { answer, until }] of this.#known) {
      if (lifetime === 0) this.#known.delete(key);
      else if (until > latest) this.#known.set(key, { answer, until: latest });
    }
  }

  /** Answers may be others from here on: nothing that is known is used again, and nobody joins what is under way. */
  forget(): void {
    this.#generation++;
    this.#known.clear();
    this.#asked.clear();
    for (const question of this.#waiting) this.#asked.set(question.key, question);
  }

  /** Answers that are kept. */
  get known(): number {
    return this.#known.size;
  }

  /**
   * What stands for a question: nothing of it can be read from that.
   * @param parts all on which the answer may depend
   */
  keyOf(parts: readonly (string | Uint8Array | null)[]): string {
    const hmac = createHmac('sha256', this.#key);
    for (const part of parts) {
      const bytes = part === null ? null : Buffer.from(part);
      const length = Buffer.alloc(5);
      length.writeUInt32BE(bytes?.length ?? 0);
      length[4] = bytes === null ? 0 : 1;
      hmac.update(length);
      if (bytes !== null) hmac.update(bytes);
    }
    return hmac.digest('base64');
  }

  /** The answer to a question if it is known; undefined if not. */
  recall(key: string): Answer | undefined {
    const known = this.#known.get(key);
    if (known === undefined) return undefined;
    if (this.#now() < known.until) return known.answer;
    this.#known.delete(key);
    return undefined;
  }

  /**
   * Asks a question.
   * @param wanted asked when the turn comes: if nobody wants to know any more, nothing is asked, and the answer is null
   * @returns `busy` if too many wait. Rejects as `ask` does
   */
  put(key: string, wanted: () => boolean, ask: () => Promise<Answer>): Promise<Answer | null> | 'busy' {
    const asked = this.#asked.get(key);
    if (asked !== undefined) {
      asked.asking.push(wanted);
      return asked.answer;
    }
    const { concurrency, queue } = this.#options;
    if (this.#running >= concurrency && this.#waiting.size >= queue) return 'busy';
    let settle: Question<Answer>['settle'] = () => {};
    const answer = new Promise<Answer | null>((resolve) => {
      settle = resolve;
    });
    const question: Question<Answer> = { key, ask, asking: [wanted], answer, settle };
    this.#asked.set(key, question);
    this.#waiting.add(question);
    this.#begin();
    return answer;
  }

  /** Calls back once nobody waits for an answer any more. */
  whenIdle(then: () => void): void {
    this.#whenIdle = then;
    this.#begin();
  }

  /** Begins as many as may run. */
  #begin(): void {
    for (const question of this.#waiting) {
      if (this.#running >= this.#options.concurrency) return;
      this.#waiting.delete(question);
      if (question.asking.some((wants) => wants())) this.#carryOut(question);
      else {
        this.#end(question);
        question.settle(null);
      }
    }
    if (this.#running > 0) return;
    this.#whenIdle?.();
    this.#whenIdle = null;
  }

  #carryOut(question: Question<Answer>): void {
    this.#running++;
    const generation = this.#generation;
    const answer = question.ask();
    const done = (): void => {
      this.#running--;
      this.#end(question);
      this.#begin();
    };
    answer.then((known) => {
      if (generation === this.#generation) this.#learn(question.key, known);
      done();
    }, done);
    question.settle(answer);
  }

  #end(question: Question<Answer>): void {
    if (this.#asked.get(question.key) === question) this.#asked.delete(question.key);
  }

  #learn(key: string, answer: Answer): void {
    const lifetime = this.#lifetime(answer);
    if (lifetime <= 0) return;
    this.#known.delete(key);
    this.#known.set(key, { answer, until: this.#now() + lifetime });
    if (this.#known.size <= (this.#options.mostKnown ?? MOST_KNOWN)) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}
