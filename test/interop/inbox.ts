/** What arrives from elsewhere, in order, for tests that wait for it. */
import { inspect } from 'node:util';

/** Time after which a test has waited in vain, in milliseconds. */
const PATIENCE = 15_000;

interface Waiting<T> {
  matches(item: T): boolean;
  resolve(item: T): void;
  reject(error: Error): void;
}

export class Inbox<T> {
  readonly #name: string;
  readonly #items: T[] = [];
  readonly #waiting = new Set<Waiting<T>>();
  #end: Error | null = null;

  /** @param name what the inbox belongs to, for the message of a test that waited in vain */
  constructor(name: string) {
    this.#name = name;
  }

  put(item: T): void {
    for (const waiting of this.#waiting) {
      if (!waiting.matches(item)) continue;
      this.#waiting.delete(waiting);
      waiting.resolve(item);
      return;
    }
    this.#items.push(item);
  }

  /** Nothing more will arrive. */
  end(reason: string): void {
    this.#end ??= new Error(reason);
    for (const waiting of this.#waiting) waiting.reject(this.#end);
    this.#waiting.clear();
  }

  /** Takes out the first item that matches, waiting for it if need be. */
  take(matches: (item: T) => boolean, what: string): Promise<T> {
    const index = this.#items.findIndex(matches);
    if (index >= 0) return Promise.resolve(this.#items.splice(index, 1)[0]);
    return new Promise<T>((resolve, reject) => {
      const fail = (error: Error): void => {
        reject(new Error(`${this.#name}: ${what} did not arrive (${error.message}); there is ${inspect(this.#items)}`));
      };
      if (this.#end !== null) return fail(this.#end);
      const timer = setTimeout(() => waiting.reject(new Error('waited in vain')), PATIENCE);
      const waiting: Waiting<T> = {
        matches,
        resolve: (item) => {
          clearTimeout(timer);
          resolve(item);
        },
        reject: (error) => {
          clearTimeout(timer);
          this.#waiting.delete(waiting);
          fail(error);
        },
      };
      this.#waiting.add(waiting);
    });
  }

  /** Takes out the next item, whatever it is. */
  next(what = 'anything'): Promise<T> {
    return this.take(() => true, what);
  }

  /** Takes out all that is there now. */
  drain(): T[] {
    return this.#items.splice(0);
  }
}
